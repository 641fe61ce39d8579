//! Who has a turn, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// How long one waits at first, and at most, where the API server is away.
const AWAY: Duration = Duration::from_secs(2);
const LONGEST_AWAY: Duration = Duration::from_secs(60);

/// Turns to come, and those that run: at most one of each at a time.
pub(super) struct Roll<K> {
    due: BTreeMap<K, Instant>,
    running: BTreeSet<K>,
    /// Failures in a row.
    failures: BTreeMap<K, u32>,
}

impl<K: Ord + Clone> Roll<K> {
    pub(super) fn new() -> Self {
        Self { due: BTreeMap::new(), running: BTreeSet::new(), failures: BTreeMap::new() }
    }

    /// It has a turn as soon as may be.
    pub(super) fn hurry(&mut self, who: K) {
        self.due.insert(who, Instant::now());
    }

    /// It has no turn any more; whether it was to have one, or has one now.
    pub(super) fn forget(&mut self, who: &K) -> bool {
        self.failures.remove(who);
        self.due.remove(who).is_some() || self.running.contains(who)
    }

    /// When the next turn is.
    pub(super) fn next(&self) -> Option<Instant> {
        self.ready().map(|(_, due)| *due).min()
    }

    /// Begins the turn that is due, if one is.
    pub(super) fn begin(&mut self) -> Option<K> {
        let now = Instant::now();
        let who = self.ready().filter(|(_, due)| **due <= now).min_by_key(|(_, due)| **due)?.0.clone();
        self.due.remove(&who);
        self.running.insert(who.clone());
        Some(who)
    }

    /// Its turn is over; the next one is in so long, or sooner where it was hurried meanwhile. None where it needs none.
    pub(super) fn end(&mut self, who: K, wait: Option<Duration>) {
        self.running.remove(&who);
        self.failures.remove(&who);
        if let Some(wait) = wait {
            self.due.entry(who).or_insert(Instant::now() + wait);
        }
    }

    /// Its turn failed, and might not soon.
    pub(super) fn fail(&mut self, who: K) {
        self.running.remove(&who);
        let failures = self.failures.entry(who.clone()).or_default();
        *failures = failures.saturating_add(1);
        let wait = AWAY.saturating_mul(1 << (*failures - 1).min(6)).min(LONGEST_AWAY);
        self.due.entry(who).or_insert(Instant::now() + wait);
    }

    fn ready(&self) -> impl Iterator<Item = (&K, &Instant)> {
        self.due.iter().filter(|(who, _)| !self.running.contains(*who))
    }
}
