//! The pods that the creator has something to do with, and how far it is with each.
//!
//! Invariants: of all other pods nothing is kept, and of a pod that has its values only its leases and names, so memory
//! follows the number of annotated pods and little of it; a pod is known by its UID, and one of the same name is another
//! one. A list that was begun again replaces what an earlier one left.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kube::api::ObjectMeta;
use tokio::time::Instant;

use super::metrics::Reason;
use super::queue::Uid;
use super::sweep::Living;
use super::turn::{Pod, Wait};
use super::wish::{self, LeaseWish, Wish};
use crate::controller::listed::Listed;
use crate::domain::{LeaseSeries, StoreName};
use crate::inject::Settings;

/// How long the API server keeps an Event at least; after half of that somebody is told again.
const TELL_AGAIN: Duration = Duration::from_secs(30 * 60);

#[derive(Debug)]
struct Entry {
    pod: Pod,
    digest: u64,
    wish: Arc<Wish>,
    /// What it waits for.
    reasons: BTreeSet<Reason>,
    series: Vec<LeaseSeries>,
    /// What somebody was told of, and when.
    told: Vec<(Reason, Instant)>,
}

/// The pods.
#[derive(Debug, Default)]
pub(super) struct Roll {
    pods: Listed<Entry>,
}

/// A pod that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) uid: Uid,
    /// It may hold indices.
    pub(super) may_hold: bool,
}

impl Roll {
    pub(super) fn begin(&mut self) {
        self.pods.begin();
    }

    /// The list is complete: what it did not hold is gone.
    pub(super) fn end(&mut self) -> Vec<Gone> {
        self.pods.end().into_iter().map(|(_, entry)| entry.gone()).collect()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.pods.is_complete()
    }

    pub(super) fn len(&self) -> usize {
        self.pods.iter().count()
    }

    /// A pod is there, or has changed. Yields it where it is its turn.
    pub(super) fn see(&mut self, settings: &Settings, meta: &ObjectMeta, now: Instant) -> Option<Uid> {
        let uid = meta.uid.as_deref()?;
        let digest = wish::digest(settings, meta);
        let is_going = meta.deletion_timestamp.is_some();
        if let Some(mut entry) = self.pods.remove(uid) {
            let is_same = entry.digest == digest;
            if is_same || is_going {
                // What is going starts nothing any more.
                if is_going {
                    entry.settle(&[], now);
                    entry.forget();
                }
                self.pods.put(uid, entry);
                return None;
            }
            // Leases that it does not ask for any more are looked at when leases are compared with pods.
        }
        if is_going {
            return None;
        }
        let wish = Arc::new(wish::of(settings, meta)?);
        let owners = meta.owner_references.iter().flatten();
        let pod = Pod {
            uid: uid.into(),
            namespace: meta.namespace.as_deref()?.into(),
            name: meta.name.as_deref()?.into(),
            returns: owners.into_iter().any(|owner| owner.kind == "StatefulSet"),
            since: now,
        };
        let turn = Arc::clone(&pod.uid);
        let entry =
            Entry { pod, digest, wish, reasons: BTreeSet::new(), series: Vec::new(), told: Vec::new() };
        self.pods.put(uid, entry);
        Some(turn)
    }

    /// A pod is gone, or has ended.
    pub(super) fn gone(&mut self, uid: &str) -> Option<Gone> {
        self.pods.remove(uid).map(Entry::gone)
    }

    /// What is to be done for a pod whose turn it is.
    pub(super) fn turn(&self, uid: &str) -> Option<(Pod, Arc<Wish>)> {
        self.pods.get(uid).map(|entry| (entry.pod.clone(), Arc::clone(&entry.wish)))
    }

    /// What came of its turn. Yields what somebody is to be told of, each reason with all its notes in one.
    pub(super) fn settle(&mut self, uid: &str, waits: &[Wait], now: Instant) -> Vec<(Reason, String)> {
        self.pods.get_mut(uid).map(|entry| entry.settle(waits, now)).unwrap_or_default()
    }

    /// It has its values.
    pub(super) fn has_values(&mut self, uid: &str) {
        if let Some(entry) = self.pods.get_mut(uid) {
            entry.forget();
        }
    }

    /// Pods that wait for an index of these series, as many as there are, those that wait longest first.
    pub(super) fn waiting_for(&self, released: &[LeaseSeries]) -> Vec<Uid> {
        let mut waiting: Vec<&Entry> = Vec::new();
        waiting.extend(self.pods.iter().map(|(_, entry)| entry).filter(|entry| !entry.series.is_empty()));
        waiting.sort_by_key(|entry| entry.pod.since);
        let mut left = released.to_vec();
        let mut woken = Vec::new();
        for entry in waiting {
            if let Some(at) = left.iter().position(|series| entry.series.contains(series)) {
                left.swap_remove(at);
                woken.push(Arc::clone(&entry.pod.uid));
            }
        }
        woken
    }

    /// Pods that ask for leases, so that those can be looked after.
    pub(super) fn with_leases(&self) -> impl Iterator<Item = &Uid> {
        self.pods.iter().filter(|(_, entry)| !entry.wish.leases.is_empty()).map(|(_, entry)| &entry.pod.uid)
    }

    /// How many pods wait, for each reason in the order of [`Reason::ALL`].
    pub(super) fn waiting(&self) -> [i64; Reason::ALL.len()] {
        let mut counts = [0; Reason::ALL.len()];
        for (_, entry) in self.pods.iter() {
            for (count, reason) in counts.iter_mut().zip(Reason::ALL) {
                *count += i64::from(entry.reasons.contains(&reason));
            }
        }
        counts
    }

    /// Who lives and asks for leases.
    pub(super) fn living(&self) -> Living {
        let mut living = Living::default();
        for (uid, entry) in self.pods.iter().filter(|(_, entry)| !entry.wish.leases.is_empty()) {
            living.uids.insert(uid.into());
            living.names.insert(entry.pod.name.clone());
            let asked = living.asked.entry(entry.wish.store.clone()).or_default();
            asked.namespaces.insert(entry.pod.namespace.clone());
            asked.series.extend(entry.wish.leases.iter().map(|lease| lease.series.clone()));
        }
        living
    }

    /// What is asked for of leases: the store, the namespace, the series and its range.
    pub(super) fn leases(&self) -> impl Iterator<Item = (&StoreName, &str, &LeaseWish)> {
        self.pods.iter().flat_map(|(_, entry)| {
            entry.wish.leases.iter().map(|lease| (&entry.wish.store, &*entry.pod.namespace, lease))
        })
    }
}

impl Entry {
    fn gone(self) -> Gone {
        Gone { may_hold: !self.wish.leases.is_empty(), uid: self.pod.uid }
    }

    /// Its values are nobody's concern until its annotations change.
    fn forget(&mut self) {
        if !self.wish.generations.is_empty() {
            Arc::make_mut(&mut self.wish).generations = Vec::new();
        }
    }

    fn settle(&mut self, waits: &[Wait], now: Instant) -> Vec<(Reason, String)> {
        self.reasons = waits.iter().map(|wait| wait.reason).collect();
        self.series = waits.iter().filter_map(|wait| wait.series.clone()).collect();
        self.told.retain(|(reason, _)| self.reasons.contains(reason));
        let mut news = Vec::new();
        for reason in &self.reasons {
            let told = self.told.iter_mut().find(|(told, _)| told == reason);
            match told {
                Some((_, at)) if now.saturating_duration_since(*at) < TELL_AGAIN => continue,
                Some((_, at)) => *at = now,
                None => self.told.push((*reason, now)),
            }
            let mut notes: Vec<&str> = Vec::new();
            for wait in waits.iter().filter(|wait| wait.reason == *reason) {
                if !notes.contains(&wait.note.as_str()) {
                    notes.push(&wait.note);
                }
            }
            news.push((*reason, notes.join("; ")));
        }
        news
    }
}

#[cfg(test)]
mod tests;
