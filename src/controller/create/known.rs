//! What was found in a store a moment ago, and who is at work on what.
//!
//! A thousand pods of one Deployment ask for the same values at once: the store is asked for the first of them, and one
//! key is made.
//!
//! Invariants: what is remembered was in the store at most [`STILL`] ago, and says when; memory is bounded. That something
//! is not there is never remembered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use crate::domain::StoragePath;

/// How long what was there is taken to be there still.
pub(super) const STILL: Duration = Duration::from_secs(10);
/// How many groups are remembered.
const MOST: usize = 10_000;

/// Where the values of a group lie.
type Paths = Vec<StoragePath>;

/// Groups of values.
#[derive(Debug, Default)]
pub(super) struct Known {
    seen: Mutex<HashMap<Paths, Instant>>,
    at_work: Mutex<HashMap<Paths, Arc<tokio::sync::Mutex<()>>>>,
}

/// Nobody else in this process works on a group while this is held.
pub(super) struct Alone<'k> {
    known: &'k Known,
    paths: &'k [StoragePath],
    /// Given up before the entry is looked at.
    turn: Option<OwnedMutexGuard<()>>,
}

impl Known {
    /// When all of it was there, if that was a moment ago.
    pub(super) fn seen(&self, paths: &[StoragePath], now: Instant) -> Option<Instant> {
        let seen = lock(&self.seen).get(paths).copied();
        seen.filter(|seen| now.saturating_duration_since(*seen) < STILL)
    }

    /// All of it is there.
    pub(super) fn found(&self, paths: &[StoragePath], now: Instant) {
        let mut seen = lock(&self.seen);
        if seen.len() >= MOST {
            seen.retain(|_, seen| now.saturating_duration_since(*seen) < STILL);
        }
        if seen.len() < MOST {
            seen.insert(paths.to_owned(), now);
        }
    }

    /// Waits until nobody else works on it.
    pub(super) async fn alone<'k>(&'k self, paths: &'k [StoragePath]) -> Alone<'k> {
        let turn = Arc::clone(lock(&self.at_work).entry(paths.to_owned()).or_default());
        let mut alone = Alone { known: self, paths, turn: None };
        alone.turn = Some(turn.lock_owned().await);
        alone
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.turn = None;
        let mut at_work = lock(&self.known.at_work);
        // Whoever waits has a copy.
        if at_work.get(self.paths).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            at_work.remove(self.paths);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is one statement, so what a panicking holder left behind is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::StoragePrefix;

    fn paths(names: &[&str]) -> Paths {
        names.iter().map(|name| StoragePrefix::ROOT.join(name)).collect()
    }

    #[test]
    fn what_was_there_is_there_for_a_while() {
        let (known, start) = (Known::default(), Instant::now());
        let (pair, half) = (paths(&["a_public", "a_private"]), paths(&["a_public"]));
        known.found(&pair, start);
        assert_eq!((known.seen(&pair, start + STILL / 2), known.seen(&half, start)), (Some(start), None));
        assert_eq!(known.seen(&pair, start + STILL), None);
    }

    #[test]
    fn memory_is_bounded() {
        let (known, start) = (Known::default(), Instant::now());
        for n in 0..MOST + 10 {
            known.found(&paths(&[&n.to_string()]), start);
        }
        assert_eq!(lock(&known.seen).len(), MOST);
        known.found(&paths(&["later"]), start + STILL);
        assert_eq!(lock(&known.seen).len(), 1);
    }

    #[tokio::test]
    async fn one_works_on_a_group_at_a_time_and_nothing_is_left() {
        let known = Known::default();
        let (group, other) = (paths(&["a"]), paths(&["b"]));
        let first = known.alone(&group).await;
        drop(known.alone(&other).await);
        let second = known.alone(&group);
        tokio::pin!(second);
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        drop(second.await);
        // Who gives up waiting leaves nothing either.
        let third = known.alone(&group).await;
        drop(tokio::time::timeout(Duration::ZERO, known.alone(&group)).await);
        drop(third);
        assert!(lock(&known.at_work).is_empty());
    }
}
