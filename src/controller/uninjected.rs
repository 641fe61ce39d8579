//! Finds pods that ask for secrets in namespaces that opted in, and were not injected: the webhook was away, or the
//! namespace's label came late. They are counted, and an Event is written beside each. None is ever touched.
//!
//! ```text
//! configuration ──watch──▶ Scope (scope) ───┐ a change begins both lists again
//! namespaces ──source──▶ opted in? ─────────┼──▶ Census (census) ──every second──▶ gauge, Events (report, bucket)
//! pods ──source──▶ missed? (judge) ─────────┘
//! ```
//!
//! Invariants: of namespaces and pods only the metadata is asked for, and only those that opted in or were missed are
//! remembered; the leader alone does any of it; whatever happens to a watch, a list that follows puts things right.
//! Pods that ended are not watched: there is nothing left to inject.
//!
//! A pod that is older than its namespace's label counts: it asks for secrets that it does not have.
//!
//! Deliberately absent: repair. Deleting a pod is for those who know what it does.

mod census;
mod judge;
pub mod metrics;
mod report;
mod scope;
mod source;

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event as Seen, watch_object};
use prometheus_client::registry::Registry;
use tokio::time::{Instant, MissedTickBehavior, timeout};

use self::census::{Candidate, Census, Due};
pub use self::judge::Judge;
use self::metrics::{FinderMetrics, Watched};
use self::scope::Scope;
use self::source::Source;
use crate::bucket::Bucket;
use crate::cluster::{ApiError, Cluster};
use crate::leader::Leadership;
use crate::telemetry::{Once, chain};

/// How often the count is made, and Events are written.
const TICK: Duration = Duration::from_secs(1);
/// How long the Events of one turn may take.
const TELL_WITHIN: Duration = Duration::from_secs(5);
/// How long no Event is written after the API server did not answer.
const PAUSE: Duration = Duration::from_secs(15);
/// Events that may be written at once, and how often one after those: a namespace full of pods that were missed is news,
/// ten thousand Events in a minute are an outage.
const BURST: u32 = 25;
const EVENT_EACH: Duration = Duration::from_secs(1);

/// Finds pods that were missed, while this replica leads.
pub struct Finder {
    cluster: Cluster,
    judge: Judge,
    leadership: Leadership,
    metrics: FinderMetrics,
}

impl Finder {
    /// Looks for pods that `judge` says were missed.
    #[must_use]
    pub fn new(cluster: Cluster, judge: Judge, leadership: Leadership, registry: &mut Registry) -> Self {
        Self { cluster, judge, leadership, metrics: FinderMetrics::register(registry) }
    }

    /// Runs until it is dropped.
    pub async fn run(self) {
        let mut leadership = self.leadership.clone();
        while leadership.wait_for(|leading| *leading).await.is_ok() {
            let lost = tokio::select! {
                never = self.lead() => match never {},
                lost = leadership.wait_for(|leading| !*leading) => lost.is_ok(),
            };
            self.metrics.are(0);
            if !lost {
                break;
            }
        }
        // The process is draining, and nobody leads any more.
        std::future::pending::<()>().await;
    }

    /// Watches. Everything that is remembered, and every watch, goes with it.
    async fn lead(&self) -> Infallible {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(self.cluster.client().clone());
        let configuration = watch_object(configurations, self.cluster.configuration());
        let mut configuration = pin!(configuration.default_backoff());
        let mut source = Source::new(self.cluster.client().clone());
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut term = Term::new(self);
        loop {
            tokio::select! {
                Some(seen) = configuration.next() => {
                    let Some(found) = term.watched(Watched::Configuration, seen) else { continue };
                    match found {
                        Some(found) if term.rescope(&found) => source.begin(),
                        Some(_) => {}
                        None => {
                            source.stop();
                            term.unscope();
                        }
                    }
                }
                (resource, seen) = source.next() => {
                    if let Some(seen) = term.watched(resource, seen) {
                        term.take(resource, seen, Instant::now());
                    }
                }
                _ = ticks.tick() => term.look(Instant::now()).await,
            }
        }
    }
}

/// One time of leadership.
struct Term<'f> {
    finder: &'f Finder,
    scope: Option<Scope>,
    census: Census,
    bucket: Bucket,
    said_of_watches: [Once; Watched::ALL.len()],
    said_of_events: Once,
}

impl<'f> Term<'f> {
    fn new(finder: &'f Finder) -> Self {
        Self {
            finder,
            scope: None,
            census: Census::default(),
            bucket: Bucket::new(BURST, EVENT_EACH),
            said_of_watches: Default::default(),
            said_of_events: Once::default(),
        }
    }

    /// What was seen; nothing where the watch failed, which is tried again.
    fn watched<T>(&mut self, resource: Watched, seen: Result<T, watcher::Error>) -> Option<T> {
        let said = &mut self.said_of_watches[resource as usize];
        match seen {
            Ok(seen) => {
                said.clear();
                Some(seen)
            }
            Err(error) => {
                self.finder.metrics.failed(resource);
                let reason = chain(&ApiError::from(error));
                if said.is_news(&reason) {
                    let resource = resource.as_str();
                    tracing::warn!(resource, reason, "a watch for uninjected pods failed; trying again");
                }
                None
            }
        }
    }

    /// The configuration is this. Returns whether it means something else than before.
    fn rescope(&mut self, found: &MutatingWebhookConfiguration) -> bool {
        let scope = Scope::of(found);
        if self.scope.as_ref() == Some(&scope) {
            return false;
        }
        if !scope.conditions.is_empty() {
            let conditions = scope.conditions.join(", ");
            tracing::info!(
                conditions,
                "matchConditions that are not evaluated: pods they keep out are reported"
            );
        }
        self.scope = Some(scope);
        self.census.rescope();
        true
    }

    /// There is no configuration.
    fn unscope(&mut self) {
        let name = self.finder.cluster.configuration();
        tracing::warn!(name, "no such MutatingWebhookConfiguration: no namespace has opted in");
        self.scope = None;
        self.census.rescope();
        self.finder.metrics.are(0);
    }

    /// A namespace or a pod was seen, or the beginning or the end of a list of them.
    fn take(&mut self, resource: Watched, seen: Seen<ObjectMeta>, now: Instant) {
        let Some(scope) = &self.scope else { return };
        let census = &mut self.census;
        match (resource, seen) {
            (Watched::Configuration, _) => {}
            (Watched::Namespaces, Seen::Init) => census.begin_namespaces(),
            (Watched::Namespaces, Seen::InitDone) => census.end_namespaces(),
            (Watched::Namespaces, Seen::InitApply(namespace) | Seen::Apply(namespace)) => {
                let webhooks = scope.of_namespace(&namespace);
                census.namespace(namespace.name.as_deref().unwrap_or_default(), webhooks);
            }
            (Watched::Namespaces, Seen::Delete(namespace)) => {
                census.namespace_is_gone(namespace.name.as_deref().unwrap_or_default());
            }
            (Watched::Pods, Seen::Init) => census.begin_pods(),
            (Watched::Pods, Seen::InitDone) => census.end_pods(),
            (Watched::Pods, Seen::InitApply(pod) | Seen::Apply(pod)) => {
                let candidate = candidate(scope, &self.finder.judge, &pod);
                census.pod(pod.uid.as_deref().unwrap_or_default(), candidate, now);
            }
            (Watched::Pods, Seen::Delete(pod)) => {
                census.pod_is_gone(pod.uid.as_deref().unwrap_or_default());
            }
        }
    }

    /// Counts, and tells of as many as may be told of `now`.
    async fn look(&mut self, now: Instant) {
        let Some(count) = self.census.count() else { return };
        self.finder.metrics.are(count);
        let due: Vec<Due> = self.census.due(now).take_while(|_| self.bucket.take(now)).collect();
        if due.is_empty() {
            return;
        }
        if timeout(TELL_WITHIN, self.tell(&due, now)).await.is_err() {
            self.bucket.pause(now, PAUSE);
            self.complain("the API server did not answer in time");
        }
    }

    async fn tell(&mut self, due: &[Due], now: Instant) {
        let conditions = self.scope.as_ref().map(|scope| scope.conditions.clone()).unwrap_or_default();
        for due in due {
            let cluster = &self.finder.cluster;
            let event = report::event(due, &conditions, cluster.replica(), MicroTime(Timestamp::now()));
            let events: Api<Event> = Api::namespaced(cluster.client().clone(), &due.pod.namespace);
            match events.create(&PostParams::default(), &event).await.map_err(ApiError::from) {
                Ok(_) => {
                    let Candidate { namespace, name, owner, .. } = &due.pod;
                    tracing::warn!(
                        namespace = &**namespace,
                        pod = &**name,
                        owner = owner.as_deref(),
                        "a pod was not injected"
                    );
                }
                // Another leader told of it.
                Err(error) if error.is_conflict() => {}
                Err(error) if error.is_refusal() => {
                    self.census.tell_later(&due.uid, now);
                    self.complain(&chain(&error));
                    continue;
                }
                Err(error) => {
                    self.bucket.pause(now, PAUSE);
                    self.complain(&chain(&error));
                    return;
                }
            }
            self.census.told(&due.uid);
            self.said_of_events.clear();
        }
    }

    fn complain(&mut self, reason: &str) {
        if self.said_of_events.is_news(reason) {
            tracing::warn!(reason, "an Event about an uninjected pod could not be written; trying again");
        }
    }
}

/// What is remembered of a pod; nothing where it was not missed in any namespace.
fn candidate(scope: &Scope, judge: &Judge, pod: &ObjectMeta) -> Option<Candidate> {
    let webhooks = scope.of_pod(pod);
    let missed = judge.judge(pod).filter(|_| !webhooks.is_empty())?;
    let controller = pod.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    Some(Candidate {
        namespace: pod.namespace.as_deref()?.into(),
        name: pod.name.as_deref()?.into(),
        owner: controller.map(|owner| format!("{} {}", owner.kind, owner.name).into()),
        is_refused: missed.is_refused,
        webhooks,
    })
}
