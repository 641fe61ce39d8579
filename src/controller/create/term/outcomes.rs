//! What follows from what a task came to: numbers, Events, and when it is whose turn next.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::Term;
use crate::controller::create::metrics::Reason;
use crate::controller::create::queue::{Next, Uid};
use crate::controller::create::report;
use crate::controller::create::sweep::Swept;
use crate::controller::create::turn::{Outcome, Pod, Released, Wait};
use crate::domain::{LeaseSeries, StoragePath};

/// The longest wait before what a pod held is tried to be released again.
const RELEASE_AT_MOST: Duration = Duration::from_secs(10);

impl Term<'_> {
    pub(super) fn served(&mut self, uid: &Uid, outcome: Outcome, now: Instant) {
        let metrics = &self.shop.metrics;
        for (kind, made) in &outcome.generations {
            metrics.generation(*kind, *made);
        }
        outcome.assigned.iter().for_each(|_| metrics.assigned());
        let Some((pod, wish)) = self.roll.turn(uid) else {
            self.queue.done(uid, Next::Never, now);
            return;
        };
        self.tell_of_what_was_made(&pod, &outcome);
        let refused = wish.refused.iter().map(|refused| Wait::new(refused.reason, refused.note.clone()));
        let waits: Vec<Wait> = refused.chain(outcome.waits).collect();
        for reason in waits.iter().map(|wait| wait.reason).collect::<BTreeSet<_>>() {
            metrics.failed(reason);
            self.reasons.insert(reason);
        }
        for (reason, note) in self.roll.settle(uid, &waits, now) {
            // Of a store that is away there is one line, and an Event beside each pod.
            if reason != Reason::StoreUnavailable {
                let (namespace, name) = (&*pod.namespace, &*pod.name);
                tracing::warn!(namespace, pod = name, reason = reason.as_str(), note, "a pod waits");
            }
            self.shop.reporter.tell(&pod, report::waits(reason, note));
        }
        if waits.is_empty() && outcome.again.is_none() {
            self.roll.has_values(uid);
        }
        let next = match (next(&waits), outcome.again) {
            (Next::Never, Some(again)) => Next::At(again),
            (next, _) => next,
        };
        self.queue.done(uid, next, now);
    }

    fn tell_of_what_was_made(&self, pod: &Pod, outcome: &Outcome) {
        let (namespace, name) = (&*pod.namespace, &*pod.name);
        if !outcome.created.is_empty() {
            let paths: Vec<&str> = outcome.created.iter().flatten().map(StoragePath::as_str).collect();
            let paths = paths.join(", ");
            tracing::info!(namespace, pod = name, paths, "generated");
            let note = format!("generated what was absent: {paths}");
            self.shop.reporter.tell(pod, report::done("SecretsGenerated", "Generate", note));
        }
        if !outcome.assigned.is_empty() {
            let indices: Vec<String> =
                outcome.assigned.iter().map(|(series, index)| format!("index {index} of {series}")).collect();
            let note = indices.join(", ");
            tracing::info!(namespace, pod = name, note, "assigned");
            self.shop.reporter.tell(pod, report::done("LeaseAssigned", "AssignLease", note));
        }
    }

    pub(super) fn released(&mut self, uid: &Uid, released: Released, now: Instant) {
        let Released { series, failure } = released;
        self.shop.metrics.released(series.len());
        self.wake(&series, now);
        let next = match failure {
            None => {
                self.leaving.remove(uid);
                Next::Never
            }
            Some(wait) => {
                tracing::warn!(
                    pod_uid = &**uid,
                    reason = wait.note,
                    "leases of a pod that is gone are not released yet"
                );
                wait.until.map_or(Next::BackOff { at_most: RELEASE_AT_MOST, spread: spread() }, Next::At)
            }
        };
        self.queue.done(uid, next, now);
    }

    pub(super) fn swept(&mut self, swept: Swept, now: Instant) {
        self.is_sweeping = false;
        self.has_swept = true;
        let Swept { released, failures } = swept;
        self.shop.metrics.released(released.len());
        if !released.is_empty() {
            tracing::info!(indices = released.len(), "released what pods held that are gone");
        }
        if failures.is_empty() {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            self.shop.metrics.resynced(now);
        }
        self.reasons.extend(failures);
        self.wake(&released, now);
        for uid in std::mem::take(&mut self.went_meanwhile) {
            self.leave(uid, now);
        }
        // A record that somebody deleted is put back.
        for uid in self.roll.with_leases() {
            self.queue.add(uid, now);
        }
    }

    fn wake(&mut self, released: &[LeaseSeries], now: Instant) {
        for uid in self.roll.waiting_for(released) {
            self.queue.renew(&uid, now);
        }
    }
}

/// When to try again for a pod that waits like this.
fn next(waits: &[Wait]) -> Next {
    let tries = waits.iter().filter(|wait| wait.at_most().is_some());
    if let Some(until) = tries.clone().filter_map(|wait| wait.until).min() {
        return Next::At(until);
    }
    match tries.filter_map(Wait::at_most).min() {
        Some(at_most) => Next::BackOff { at_most, spread: spread() },
        None => Next::Never,
    }
}

/// From 0 to 1, so that not all who wait come back at once.
fn spread() -> f64 {
    let mut byte = [0_u8];
    // Without randomness they do.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    f64::from(byte[0]) / 255.0
}
