//! What people are told beside their pods: what was made for one, and what it waits for.
//!
//! Flow: [`Reporter::tell`] puts a report in a line of bounded length, [`Writer::run`] writes one after the other, warnings
//! first, not faster than [`EACH`] after the first [`BURST`].
//!
//! Invariants: no turn waits for an Event; a report that cannot be written now is tried again for as long as it is fresh; what
//! does not fit in the line any more is counted in a log line. An Event's name follows from what it says.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::metrics::Reason;
use super::turn::Pod;
use crate::bucket::Bucket;
use crate::cluster::{ApiError, Cluster, REPORTER};
use crate::controller::event::{Regarding, Said, about};
use crate::telemetry::{Once, Sparingly, chain};

/// Warnings that may wait to be written, and other reports.
const WARNINGS: usize = 10_000;
const NEWS: usize = 1_000;
/// Events that may be written at once, and how often one after those.
const BURST: u32 = 100;
const EACH: Duration = Duration::from_millis(50);
/// How old a report may be: what was true then may not be now, and a pod that waits on is told of again.
const FRESH: Duration = Duration::from_secs(120);
/// How long one may take, and how long nothing is written after the API server was away.
const WITHIN: Duration = Duration::from_secs(5);
const REST: Duration = Duration::from_secs(2);
/// How often one is written again that was forbidden.
const FORBIDDEN: u32 = 2;
const WARNING: &str = "Warning";

/// An Event to be written.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) pod: Pod,
    pub(super) said: Said,
    /// When it was true.
    at: Instant,
}

/// Takes reports.
#[derive(Debug)]
pub(super) struct Reporter {
    warnings: mpsc::Sender<Report>,
    news: mpsc::Sender<Report>,
    lost: Arc<Sparingly>,
}

/// Writes reports.
pub(super) struct Writer {
    cluster: Cluster,
    warnings: mpsc::Receiver<Report>,
    news: mpsc::Receiver<Report>,
    lost: Arc<Sparingly>,
    bucket: Bucket,
    said: Once,
}

/// Both ends of the line.
pub(super) fn line(cluster: Cluster) -> (Reporter, Writer) {
    let ((warnings, to_warn), (news, to_tell)) = (mpsc::channel(WARNINGS), mpsc::channel(NEWS));
    let lost = Arc::new(Sparingly::new(Duration::from_secs(60)));
    let reporter = Reporter { warnings, news, lost: Arc::clone(&lost) };
    let (bucket, said) = (Bucket::new(BURST, EACH), Once::default());
    (reporter, Writer { cluster, warnings: to_warn, news: to_tell, lost, bucket, said })
}

impl Reporter {
    /// Tells of a pod, when there is time.
    pub(super) fn tell(&self, pod: &Pod, said: Said) {
        let report = Report { pod: pod.clone(), said, at: Instant::now() };
        let line = if report.said.type_ == WARNING { &self.warnings } else { &self.news };
        if line.try_send(report).is_err() {
            lose(&self.lost);
        }
    }
}

impl Writer {
    /// Writes until nobody tells any more.
    pub(super) async fn run(mut self) {
        while let Some(report) = self.next().await {
            while !self.bucket.take(Instant::now()) {
                sleep(EACH).await;
            }
            if report.at.elapsed() > FRESH {
                lose(&self.lost);
                continue;
            }
            let event = event(&report, self.cluster.replica(), MicroTime(Timestamp::now()));
            let mut tries = 0;
            while report.at.elapsed() <= FRESH && !self.write(&report.pod, &event, tries).await {
                tries += 1;
                sleep(REST).await;
            }
        }
    }

    /// The next report: a warning where there is one.
    async fn next(&mut self) -> Option<Report> {
        tokio::select! {
            biased;
            Some(warning) = self.warnings.recv() => Some(warning),
            Some(news) = self.news.recv() => Some(news),
            else => None,
        }
    }

    /// Whether it is done with: written, or refused. An API server that has just started refuses what it will permit.
    async fn write(&mut self, pod: &Pod, event: &Event, tries: u32) -> bool {
        let events: Api<Event> = Api::namespaced(self.cluster.client().clone(), &pod.namespace);
        let parameters = PostParams { field_manager: Some(REPORTER.to_owned()), ..PostParams::default() };
        let (is_done, reason) = match timeout(WITHIN, events.create(&parameters, event)).await {
            Ok(Ok(_)) => (true, None),
            Ok(Err(error)) => match ApiError::from(error) {
                // It says so already.
                error if error.is_conflict() => (true, None),
                error if error.is_forbidden() && tries < FORBIDDEN => (false, Some(chain(&error))),
                error => (error.is_refusal(), Some(chain(&error))),
            },
            Err(_) => (false, Some("the API server did not answer in time".to_owned())),
        };
        match reason {
            None => self.said.clear(),
            Some(reason) if self.said.is_news(&reason) => {
                tracing::warn!(
                    namespace = &*pod.namespace,
                    pod = &*pod.name,
                    reason,
                    "an Event about a pod could not be written"
                );
            }
            Some(_) => {}
        }
        is_done
    }
}

/// More are due than can be written: one is not.
fn lose(lost: &Sparingly) {
    if let Some(before) = lost.admit(std::time::Instant::now()) {
        tracing::warn!(
            lost = before + 1,
            "more Events about pods are due than can be written; these are not"
        );
    }
}

fn event(report: &Report, replica: &str, now: MicroTime) -> Event {
    let Report { pod, said, .. } = report;
    let mut hasher = DefaultHasher::new();
    (said.reason, &said.note).hash(&mut hasher);
    let name = format!("keystow-{}-{:016x}", pod.uid, hasher.finish());
    let regarding = Regarding::pod(&pod.namespace, &pod.name, &pod.uid);
    about(regarding, name, said.clone(), replica, now)
}

/// Something was made for the pod.
pub(super) fn done(reason: &'static str, action: &'static str, note: String) -> Said {
    Said { type_: "Normal", reason, action, note }
}

/// The pod does not have something.
pub(super) fn waits(reason: Reason, note: String) -> Said {
    let (event_reason, action) = match reason {
        Reason::Annotations | Reason::NotAllowed | Reason::Unplaced => ("SecretsInvalid", "Generate"),
        Reason::Generator | Reason::StoreUnavailable | Reason::StoreDenied | Reason::StoreInvalid => {
            ("SecretsWaiting", "Generate")
        }
        Reason::Incomplete => ("SecretIncomplete", "Generate"),
        Reason::LeaseExhausted => ("LeaseExhausted", "AssignLease"),
        Reason::LeaseConflict => ("LeaseConflict", "AssignLease"),
        Reason::LeaseUnsupported => ("LeaseUnsupported", "AssignLease"),
    };
    Said { type_: WARNING, reason: event_reason, action, note }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(note: &str) -> Report {
        let at = Instant::now();
        let (uid, namespace, name) = ("8d4a".into(), "shop".into(), "app-1".into());
        let pod = Pod { uid, namespace, name, returns: false, since: at };
        Report { pod, at, said: waits(Reason::StoreUnavailable, note.to_owned()) }
    }

    #[test]
    fn an_event_has_one_name_for_what_it_says() {
        let name = |note: &str, replica: &str| {
            event(&report(note), replica, MicroTime(Timestamp::UNIX_EPOCH)).metadata.name.unwrap()
        };
        assert_eq!(name("away", "one"), name("away", "another"));
        assert_ne!(name("away", "one"), name("denied", "one"));
        assert!(name("away", "one").starts_with("keystow-8d4a-"));
    }

    #[test]
    fn a_note_is_cut_to_what_the_api_takes() {
        let event = event(&report(&"ä".repeat(2000)), "one", MicroTime(Timestamp::UNIX_EPOCH));
        assert_eq!(event.note.unwrap().len(), crate::cluster::LONGEST_NOTE);
        assert_eq!(event.regarding.unwrap().uid.as_deref(), Some("8d4a"));
    }
}
