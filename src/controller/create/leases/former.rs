//! Which index a pod of a StatefulSet had, for the pod of the same name that comes after it.
//!
//! | after a release | who may have the index |
//! |---|---|
//! | for two minutes | that pod; another one only where nothing else is free |
//! | later | whoever is first; that pod still prefers it while it is free |
//!
//! Two minutes: the StatefulSet's controller makes the next pod as soon as the last one is gone, and may itself be
//! starting anew. Bounded in number, oldest out; a restart forgets all. It is a kindness, nothing relies on it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::domain::LeaseSeries;

/// How long an index is kept from others.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(120);
/// Pods that are remembered.
pub(super) const MOST: usize = 10_000;

/// Whose index it was: series, namespace, name.
type Whose = (LeaseSeries, String, String);

/// The indices, by pod and by age.
#[derive(Debug, Default)]
pub(super) struct Former {
    indices: HashMap<Whose, (i32, u64)>,
    by_age: BTreeMap<u64, Whose>,
    next: u64,
    /// Those that are kept from others, oldest first.
    kept: VecDeque<(Instant, LeaseSeries, i32)>,
}

impl Former {
    /// Remembers an index. It is the caller's business to keep it from others until [`Self::over`] tells it.
    pub(super) fn remember(
        &mut self,
        series: &LeaseSeries,
        namespace: &str,
        name: &str,
        index: i32,
        now: Instant,
    ) {
        self.forget(series, namespace, name);
        let whose = (series.clone(), namespace.to_owned(), name.to_owned());
        self.by_age.insert(self.next, whose.clone());
        self.indices.insert(whose, (index, self.next));
        self.next += 1;
        self.kept.push_back((now, series.clone(), index));
        if self.indices.len() > MOST
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.indices.remove(&oldest);
        }
    }

    /// The index that the pod had.
    pub(super) fn index_of(&self, series: &LeaseSeries, namespace: &str, name: &str) -> Option<i32> {
        let whose = (series.clone(), namespace.to_owned(), name.to_owned());
        self.indices.get(&whose).map(|(index, _)| *index)
    }

    /// Forgets it: the pod has one again.
    pub(super) fn forget(&mut self, series: &LeaseSeries, namespace: &str, name: &str) {
        let whose = (series.clone(), namespace.to_owned(), name.to_owned());
        if let Some((_, age)) = self.indices.remove(&whose) {
            self.by_age.remove(&age);
        }
    }

    /// The next index that is kept no longer.
    pub(super) fn over(&mut self, now: Instant) -> Option<(LeaseSeries, i32)> {
        let (since, ..) = self.kept.front()?;
        if now.saturating_duration_since(*since) < KEPT_FOR {
            return None;
        }
        self.kept.pop_front().map(|(_, series, index)| (series, index))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.indices.len().max(self.by_age.len())
    }
}
