//! The leader's part: brings the Secret and the `caBundle` to where they should be, one step after the other.
//!
//! Invariants: the configuration is read before the Secret, and written only as it was read. A CA is in the Secret
//! before it is in a `caBundle`; so a keeper that is not the leader any more, with an older Secret in hand, finds
//! that its `caBundle` may not be written, and can take no CA out of it that somebody serves with.

use std::time::{Duration, SystemTime};

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::events::EventType;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::bundle::Bundle;
use super::decide::{Memory, Step, Timing};
use super::issue::IssueError;
use super::material::{Fault, Material};
use super::metrics::{Done, ManagedMetrics};
use super::objects::{Objects, bundle_of, data_of, wipe_data};
use crate::certs::load::rfc3339;
use crate::certs::verify::Names;
use crate::cluster::{ApiError, Cluster};
use crate::leader::Leadership;
use crate::telemetry::{Once, chain};

/// How long one turn may take.
const TURN: Duration = Duration::from_secs(15);
/// How long a failed turn is rested after.
const RETRY: Duration = Duration::from_secs(3);
/// How long a turn that somebody else's write came into is rested after.
const CONTENDED: Duration = Duration::from_millis(200);
/// How far apart the caBundle is written at least. Whoever else writes it would be answered each time, and answer.
const APART: Duration = Duration::from_secs(1);
/// The longest rest: the wall clock may be set.
const LONGEST: Duration = Duration::from_secs(30);
/// The shortest: certificates count in seconds.
const SHORTEST: Duration = Duration::from_millis(250);

/// Why a step was not taken.
#[derive(Debug, Error)]
enum KeeperError {
    #[error("nothing could be issued")]
    Issue(#[from] IssueError),
    #[error(
        "the MutatingWebhookConfiguration {0} is not there; apply webhook-config, or name it by --webhook-configuration"
    )]
    NoConfiguration(String),
    #[error("the MutatingWebhookConfiguration {0} has no webhook; apply webhook-config again")]
    NoWebhook(String),
    #[error("the MutatingWebhookConfiguration {name} cannot be read{}", hint(source, "ClusterRole"))]
    ReadConfiguration { name: String, source: ApiError },
    #[error("the Secret {name} cannot be read{}", hint(source, "Role"))]
    ReadSecret { name: String, source: ApiError },
    #[error("the caBundle of {name} cannot be written{}", hint(source, "ClusterRole"))]
    WriteBundle { name: String, source: ApiError },
    #[error("the Secret {name} cannot be written{}", hint(source, "Role"))]
    WriteSecret { name: String, source: ApiError },
}

/// What to do about a refusal; where there was no answer, the cause says it.
fn hint(refusal: &ApiError, kind: &str) -> String {
    if refusal.is_forbidden() {
        format!("; check the {kind} keystow-webhook-certificates and its binding")
    } else if refusal.is_invalid() {
        "; if it is immutable, or of another type, delete it, and a new one is made".to_owned()
    } else {
        String::new()
    }
}

impl KeeperError {
    /// What could not be done. Events are told apart by that: one with other words and the same action counts as the same
    /// Event again.
    fn action(&self) -> &'static str {
        match self {
            Self::Issue(_) => "IssueCertificate",
            Self::NoConfiguration(_) | Self::NoWebhook(_) => "FindConfiguration",
            Self::ReadConfiguration { .. } => "ReadConfiguration",
            Self::ReadSecret { .. } => "ReadSecret",
            Self::WriteBundle { .. } => "WriteCaBundle",
            Self::WriteSecret { .. } => "WriteSecret",
        }
    }

    /// Whether somebody else wrote in between.
    fn is_contended(&self) -> bool {
        match self {
            Self::WriteBundle { source, .. } | Self::WriteSecret { source, .. } => source.is_conflict(),
            _ => false,
        }
    }
}

/// Keeps the certificates while this replica leads.
pub(super) struct Keeper {
    cluster: Cluster,
    objects: Objects,
    names: Vec<String>,
    timing: Timing,
    metrics: ManagedMetrics,
    memory: Memory,
    /// What of the Secret cannot be used, as it was told last.
    told: Vec<Fault>,
    /// Why a step was not taken, as it was last logged, and as an Event says it, which may have failed too.
    said: Once,
    failure_told: Option<String>,
    /// When the caBundle was written last.
    published: Option<Instant>,
}

/// A keeper that knows when to look.
pub(super) struct Woken {
    keeper: Keeper,
    changed: watch::Receiver<()>,
    leadership: Leadership,
}

impl Keeper {
    pub(super) fn new(
        cluster: Cluster,
        objects: Objects,
        names: Vec<String>,
        timing: Timing,
        metrics: ManagedMetrics,
    ) -> Self {
        Self {
            cluster,
            objects,
            names,
            timing,
            metrics,
            memory: Memory::default(),
            told: Vec::new(),
            said: Once::default(),
            failure_told: None,
            published: None,
        }
    }

    /// Looks when either object has changed, and while it leads.
    pub(super) fn woken_by(self, changed: watch::Receiver<()>, leadership: Leadership) -> Woken {
        Woken { keeper: self, changed, leadership }
    }

    /// One step, bounded; returns how long to rest.
    async fn turn(&mut self, now: SystemTime) -> Duration {
        let failure = match timeout(TURN, self.step(now)).await {
            Ok(Ok(rest)) => {
                self.said.clear();
                self.failure_told = None;
                return rest;
            }
            Ok(Err(error)) if error.is_contended() => return CONTENDED,
            Ok(Err(error)) => (error.action(), chain(&error)),
            Err(_) => ("AskApiServer", "the API server did not answer in time".to_owned()),
        };
        let (action, outcome) = failure;
        self.metrics.did(Done::Failed);
        if self.said.is_news(&outcome) {
            tracing::warn!(reason = outcome, "the certificates could not be kept; trying again");
        }
        if self.failure_told.as_ref() != Some(&outcome)
            && self.cluster.tell(EventType::Warning, "CertificateNotKept", action, outcome.clone()).await
        {
            self.failure_told = Some(outcome);
        }
        RETRY
    }

    async fn step(&mut self, now: SystemTime) -> Result<Duration, KeeperError> {
        let (configuration, bundle) = self.read_configuration().await?;
        let (found, material) = self.read_secret().await?;

        let step = self.timing.decide(&material, &bundle, &mut self.memory, now);
        match &step {
            Step::Rest(until) => {
                let rest = until.duration_since(now).unwrap_or_default();
                return Ok(rest.clamp(SHORTEST, LONGEST));
            }
            Step::Publish(wanted) => {
                let since = self.published.map_or(APART, |published| published.elapsed());
                if since < APART {
                    return Ok(APART - since);
                }
                self.published = Some(Instant::now());
                self.objects.publish(&configuration, wanted).await.map_err(|error| {
                    let name = self.objects.configuration.clone();
                    KeeperError::WriteBundle { name, source: error.into() }
                })?;
            }
            Step::Forget | Step::Prepare | Step::Promote | Step::Renew => {
                let after = self.timing.apply(&step, &material, &self.names, now)?;
                self.objects.store(found, &after).await.map_err(|error| KeeperError::WriteSecret {
                    name: self.objects.secret.clone(),
                    source: error.into(),
                })?;
                self.tell(&step, &after).await;
            }
        }
        if let Some(done) = Done::of(&step) {
            tracing::info!(step = done.as_str(), cas = cas(&step, &bundle), "kept the certificates");
            self.metrics.did(done);
        }
        Ok(Duration::ZERO)
    }

    async fn read_configuration(&self) -> Result<(MutatingWebhookConfiguration, Bundle), KeeperError> {
        let name = || self.objects.configuration.clone();
        let found = self.objects.configurations.get_opt(&self.objects.configuration).await;
        let found = found
            .map_err(|error| KeeperError::ReadConfiguration { name: name(), source: error.into() })?
            .ok_or_else(|| KeeperError::NoConfiguration(name()))?;
        let bundle = bundle_of(&found).ok_or_else(|| KeeperError::NoWebhook(name()))?;
        Ok((found, bundle))
    }

    async fn read_secret(&mut self) -> Result<(Option<Secret>, Material), KeeperError> {
        let mut found = self.objects.secrets.get_opt(&self.objects.secret).await.map_err(|error| {
            KeeperError::ReadSecret { name: self.objects.secret.clone(), source: error.into() }
        })?;
        let mut data = found.as_mut().map(data_of).unwrap_or_default();
        let (material, faults) = Material::read(&data, Names::All(&self.names));
        // Other people's keys of the Secret are written back as they were.
        wipe_data(&mut Material::take_ours(&mut data));
        if let Some(secret) = &mut found {
            secret.data = Some(data);
        }
        if faults != self.told {
            for fault in &faults {
                tracing::warn!(key = fault.key, reason = fault.reason, "a part of the Secret cannot be used");
            }
            let notes: Vec<_> =
                faults.iter().map(|fault| format!("{}: {}", fault.key, fault.reason)).collect();
            if !notes.is_empty() {
                let note = format!(
                    "Parts of the Secret {} cannot be used and will be replaced. {}",
                    self.objects.secret,
                    notes.join("; ")
                );
                self.cluster.tell(EventType::Warning, "CertificateUnusable", "ReadSecret", note).await;
            }
            self.told = faults;
        }
        Ok((found, material))
    }

    /// An Event for what an operator may want to know of later.
    async fn tell(&self, step: &Step, after: &Material) {
        let until = |time: Option<SystemTime>| time.map(rfc3339).unwrap_or_default();
        let leaf = until(after.leaf().map(|leaf| leaf.pair.validity.not_after));
        let (reason, note) = match step {
            Step::Prepare => {
                ("AuthorityPrepared", "A new CA was made; it signs once API servers trust it".to_owned())
            }
            Step::Promote => {
                let ca = until(after.current.as_ref().map(|current| current.ca.validity().not_after));
                (
                    "AuthorityChanged",
                    format!("A new CA signs, until {ca}; its first certificate is valid until {leaf}"),
                )
            }
            Step::Renew => ("CertificateRenewed", format!("A new certificate is valid until {leaf}")),
            Step::Forget | Step::Publish(_) | Step::Rest(_) => return,
        };
        self.cluster.tell(EventType::Normal, reason, "KeepCertificate", note).await;
    }
}

/// How many CAs the caBundle has after a step.
fn cas(step: &Step, before: &Bundle) -> usize {
    match step {
        Step::Publish(wanted) => wanted.iter().count(),
        _ => before.iter().count(),
    }
}

impl Woken {
    /// Runs until it is dropped.
    pub(super) async fn run(self) {
        let Self { mut keeper, mut changed, mut leadership } = self;
        // An error says that the campaign has ended, and with it the process's part in this.
        while leadership.wait_for(|leading| *leading).await.is_ok() {
            keeper.memory = Memory::default();
            while *leadership.borrow_and_update() {
                changed.mark_unchanged();
                let rest = keeper.turn(SystemTime::now()).await;
                tokio::select! {
                    () = tokio::time::sleep(rest) => {}
                    Ok(()) = changed.changed() => {}
                    Ok(()) = leadership.changed() => {}
                }
            }
        }
        // The process is draining; what is left of it serves.
        std::future::pending::<()>().await;
    }
}
