//! What is remembered of the cluster: the namespaces that opted in, and the pods that were missed if theirs did.
//!
//! Invariants: of all other namespaces and pods nothing is kept, so memory follows the number of pods that were missed and
//! not the size of the cluster. A pod is known by its UID: one of the same name is another one. A list that was begun again
//! replaces what an earlier one left: whatever it does not hold is forgotten at its end, and not before, so that the count
//! does not fall and rise meanwhile.

use std::time::Duration;

use tokio::time::Instant;

use super::scope::Webhooks;
use crate::controller::listed::Listed;

/// How long a pod must have been missed before somebody is told: namespaces are watched apart from pods, and a label that
/// was just taken away may be seen a moment later than the pod that came without it.
const SETTLE: Duration = Duration::from_secs(5);

/// How much later a pod has its turn again whose Event was refused.
const AGAIN: Duration = Duration::from_secs(60);

/// A pod that was missed, if its namespace opted in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) namespace: Box<str>,
    pub(super) name: Box<str>,
    /// Kind and name of the controller that made it.
    pub(super) owner: Option<Box<str>>,
    /// The webhook would have refused it for its annotations.
    pub(super) is_refused: bool,
    /// The webhooks that it is for.
    pub(super) webhooks: Webhooks,
}

#[derive(Debug)]
struct Entry {
    candidate: Candidate,
    since: Instant,
    is_told: bool,
}

/// Somebody is to be told of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) uid: Box<str>,
    pub(super) pod: Candidate,
}

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Census {
    namespaces: Listed<Webhooks>,
    pods: Listed<Entry>,
}

impl Census {
    /// The configuration says something else now: both lists will be begun again. Whom somebody was told of is kept.
    pub(super) fn rescope(&mut self) {
        self.namespaces = Listed::default();
        self.pods.reopen();
    }

    pub(super) fn begin_namespaces(&mut self) {
        self.namespaces.begin();
    }

    /// A namespace is there, and opted into these webhooks.
    pub(super) fn namespace(&mut self, name: &str, webhooks: Webhooks) {
        if webhooks.is_empty() {
            self.namespaces.remove(name);
        } else {
            self.namespaces.put(name, webhooks);
        }
    }

    /// A namespace is gone.
    pub(super) fn namespace_is_gone(&mut self, name: &str) {
        self.namespaces.remove(name);
    }

    pub(super) fn end_namespaces(&mut self) {
        self.namespaces.end();
    }

    pub(super) fn begin_pods(&mut self) {
        self.pods.begin();
    }

    /// A pod is there; a candidate or not.
    pub(super) fn pod(&mut self, uid: &str, candidate: Option<Candidate>, now: Instant) {
        let Some(mut candidate) = candidate else {
            self.pods.remove(uid);
            return;
        };
        let (since, is_told) = self.pods.get(uid).map_or((now, false), |entry| (entry.since, entry.is_told));
        if is_told {
            candidate.owner = None;
        }
        self.pods.put(uid, Entry { candidate, since, is_told });
    }

    /// A pod is gone, or has ended.
    pub(super) fn pod_is_gone(&mut self, uid: &str) {
        self.pods.remove(uid);
    }

    pub(super) fn end_pods(&mut self) {
        self.pods.end();
    }

    /// How many were missed; nothing while a list is still to come.
    pub(super) fn count(&self) -> Option<usize> {
        (self.namespaces.is_complete() && self.pods.is_complete()).then(|| self.missed().count())
    }

    /// Those of whom somebody is to be told by now.
    pub(super) fn due(&self, now: Instant) -> impl Iterator<Item = Due> {
        let is_due =
            move |entry: &Entry| !entry.is_told && now.saturating_duration_since(entry.since) >= SETTLE;
        self.missed()
            .filter(move |(_, entry)| is_due(entry))
            .map(|(uid, entry)| Due { uid: uid.into(), pod: entry.candidate.clone() })
    }

    /// Somebody was told.
    pub(super) fn told(&mut self, uid: &str) {
        if let Some(entry) = self.pods.get_mut(uid) {
            entry.is_told = true;
            entry.candidate.owner = None;
        }
    }

    /// Nobody could be told now; the turn of others comes first.
    pub(super) fn tell_later(&mut self, uid: &str, now: Instant) {
        if let Some(entry) = self.pods.get_mut(uid) {
            entry.since = now + AGAIN;
        }
    }

    fn missed(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.pods.iter().filter(|(_, Entry { candidate, .. })| {
            let webhooks = self.namespaces.get(&candidate.namespace);
            webhooks.is_some_and(|webhooks| webhooks.meets(candidate.webhooks))
        })
    }
}

#[cfg(test)]
mod tests;
