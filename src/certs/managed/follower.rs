//! Every replica's part: serves what the Secret holds, once API servers trust it.
//!
//! Flow: both objects are watched; each change, and each look at the clock, is judged anew ([`judge`]).
//!
//! A pair for one of the names will do: a replica that was given one more is ready with the leaf of before, and when it leads, the
//! keeper signs one for all. Else a rollout would wait for a leader that waits for the rollout.
//!
//! Invariants: a pair that API servers trust is not replaced by one that they do not; an expired one never comes in;
//! whatever happens to the API server, what is served stays.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::{Stream, StreamExt as _};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::bundle::Bundle;
use super::material::{Material, cert_path};
use super::metrics::ManagedMetrics;
use super::objects::{Objects, bundle_of, data_of, wipe_data};
use crate::certs::load::Pair;
use crate::certs::metrics::{CertificateMetrics, ReloadOutcome};
use crate::certs::served::Served;
use crate::certs::verify::{self, Names};
use crate::cluster::ApiError;
use crate::readiness::Condition;
use crate::telemetry::{Once, chain};

/// How often the clock is looked at.
const TICK: Duration = Duration::from_secs(10);

/// Serves what the Secret holds.
pub(super) struct Follower {
    objects: Objects,
    names: Vec<String>,
    served: Arc<Served>,
    ready: Option<Condition>,
    certificate: CertificateMetrics,
    metrics: ManagedMetrics,
    /// Tells the keeper of every change.
    changes: watch::Sender<()>,
    serving: Option<Pair>,
    offered: Option<Pair>,
    bundle: Bundle,
    said: Once,
    said_of_watches: [Once; 2],
}

/// What is watched.
#[derive(Debug, Clone, Copy)]
enum Watched {
    Secret,
    Configuration,
}

impl Watched {
    fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "the Secret",
            Self::Configuration => "the MutatingWebhookConfiguration",
        }
    }
}

/// What follows from what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Serve the pair that is offered.
    pub(super) replace: bool,
    /// API servers trust what is served then.
    pub(super) trusted: bool,
}

/// Judges the pair that is served and the one that is offered.
pub(super) fn judge(
    serving: Option<&Pair>,
    offered: Option<&Pair>,
    bundle: &Bundle,
    names: &[String],
    now: SystemTime,
) -> Verdict {
    let is_good = |pair: &Pair| {
        let roots = bundle.iter().map(super::bundle::CaCertificate::der);
        verify::is_accepted(roots, &pair.certified.cert, Names::Any(names), now)
    };
    let serving_is_good = serving.is_some_and(is_good);
    let is_other = |pair: &&Pair| serving.is_none_or(|serving| serving.certified.cert != pair.certified.cert);
    let Some(offered) = offered.filter(is_other) else {
        return Verdict { replace: false, trusted: serving_is_good };
    };
    let offered_is_good = is_good(offered);
    // One that nobody trusts yet is no worse than another, or none.
    let in_time = offered.check_time(&cert_path(), now).is_ok();
    let replace = in_time && (offered_is_good || !serving_is_good);
    Verdict { replace, trusted: if replace { offered_is_good } else { serving_is_good } }
}

impl Follower {
    pub(super) fn new(
        objects: Objects,
        names: Vec<String>,
        served: Arc<Served>,
        ready: Condition,
        certificate: CertificateMetrics,
        metrics: ManagedMetrics,
        changes: watch::Sender<()>,
    ) -> Self {
        Self {
            objects,
            names,
            served,
            ready: Some(ready),
            certificate,
            metrics,
            changes,
            serving: None,
            offered: None,
            bundle: Bundle::default(),
            said: Once::default(),
            said_of_watches: Default::default(),
        }
    }

    /// Follows until it is dropped.
    pub(super) async fn run(mut self) {
        let Objects { secrets, configurations, secret, configuration } = self.objects.clone();
        let mut secrets = pin!(watch_object(secrets, &secret).default_backoff());
        let mut configurations = pin!(watch_object(configurations, &configuration).default_backoff());
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                found = seen(&mut secrets) => {
                    if let Some(found) = self.watched(Watched::Secret, found) {
                        let mut data = found.map(|mut secret| data_of(&mut secret)).unwrap_or_default();
                        let (material, _) = Material::read(&data, Names::Any(&self.names));
                        wipe_data(&mut data);
                        self.take(&material);
                    }
                }
                found = seen(&mut configurations) => {
                    if let Some(found) = self.watched(Watched::Configuration, found) {
                        self.bundle = found.and_then(|found| bundle_of(&found)).unwrap_or_default();
                    }
                }
                _ = ticks.tick() => {}
            }
            self.look(SystemTime::now());
        }
    }

    /// What was seen of an object; nothing where the watch failed, which is tried again.
    fn watched<K>(&mut self, which: Watched, found: Result<Option<K>, watcher::Error>) -> Option<Option<K>> {
        let said = &mut self.said_of_watches[which as usize];
        match found {
            Ok(found) => {
                said.clear();
                self.changes.send_replace(());
                Some(found)
            }
            Err(error) => {
                let reason = chain(&ApiError::from(error));
                if said.is_news(&reason) {
                    let object = which.as_str();
                    tracing::warn!(object, reason, "cannot be watched, trying again; what is served stays");
                }
                None
            }
        }
    }

    /// A Secret without a leaf offers nothing; what is served stays.
    fn take(&mut self, material: &Material) {
        self.offered = material.leaf().map(|leaf| leaf.pair.clone());
        if let Some(current) = &material.current {
            self.metrics.ca_until(current.ca.validity().not_after);
        }
    }

    /// Judges anew, as of `now`.
    fn look(&mut self, now: SystemTime) {
        let verdict = judge(self.serving.as_ref(), self.offered.as_ref(), &self.bundle, &self.names, now);
        if let Some(offered) = self.offered.as_ref().filter(|_| verdict.replace) {
            self.served.replace(offered);
            self.certificate.serves_until(offered.validity.not_after);
            self.certificate.looked(ReloadOutcome::Replaced);
            tracing::info!(trusted = verdict.trusted, "a new certificate is served");
            self.serving = Some(offered.clone());
        }
        self.metrics.is_trusted(verdict.trusted);
        if verdict.trusted {
            if self.said.last().is_some() {
                tracing::info!("API servers trust the served certificate");
            }
            self.said.clear();
            if let Some(ready) = self.ready.take() {
                ready.release();
            }
            return;
        }
        let reason = match &self.serving {
            None => "certificate: none that can be served; the leader makes one",
            Some(pair) if pair.check_time(&cert_path(), now).is_err() => {
                "certificate: expired; the leader renews it"
            }
            Some(_) => "certificate: its CA is not in the caBundle; the leader writes it",
        };
        if let Some(ready) = &mut self.ready {
            ready.says(reason);
        }
        if self.said.is_news(reason) {
            tracing::warn!(reason, "API servers cannot call this replica");
        }
    }
}

/// The next thing seen; a watch never ends.
async fn seen<K>(
    stream: &mut (impl Stream<Item = Result<Option<K>, watcher::Error>> + Unpin),
) -> Result<Option<K>, watcher::Error> {
    match stream.next().await {
        Some(seen) => seen,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
