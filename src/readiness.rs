//! Readiness that is owed, not asserted.
//!
//! Each part that must be up before traffic may come takes a named [`Condition`]; the process is ready when every
//! one of them has been released. Once drain begins it is not ready again, whatever is released later.
//!
//! Invariants: a condition that is dropped without being released stays missing (a task that died before it was
//! up must not make the process look ready); a released condition never comes back.
//!
//! Deliberately absent: liveness, and conditions that come and go. What may fail after the start is a metric.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is reported as missing once drain has begun.
pub const DRAINING: &str = "draining: this process is about to end";

/// Knows whether the process may have traffic. Cheap to clone; all clones are the same readiness.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Names in the order in which they were asked for, so that the list reads like the start does.
    missing: Vec<&'static str>,
    draining: bool,
}

impl Readiness {
    /// Readiness that nothing is owed to yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition; the process is not ready until it is released.
    #[must_use = "a condition that is dropped without being released is missing for ever"]
    pub fn condition(&self, name: &'static str) -> Condition {
        self.lock().missing.push(name);
        Condition { name, readiness: self.clone() }
    }

    /// What is still owed, by name; empty when the process is ready.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let state = self.lock();
        let drain = state.draining.then_some(DRAINING);
        drain.into_iter().chain(state.missing.iter().copied()).collect()
    }

    /// Makes the process not ready for the rest of its life.
    pub fn begin_drain(&self) {
        self.lock().draining = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is one statement, so what a panicking holder left behind is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that must be true before the process is ready.
pub struct Condition {
    name: &'static str,
    readiness: Readiness,
}

impl Condition {
    /// Says more closely what is missing.
    pub fn says(&mut self, name: &'static str) {
        let mut state = self.readiness.lock();
        if let Some(missing) = state.missing.iter_mut().find(|missing| **missing == self.name) {
            *missing = name;
        }
        drop(state);
        self.name = name;
    }

    /// Says that it is true.
    pub fn release(self) {
        let mut state = self.readiness.lock();
        if let Some(position) = state.missing.iter().position(|name| *name == self.name) {
            state.missing.remove(position);
        }
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_can_say_more_and_is_released_all_the_same() {
        let readiness = Readiness::new();
        let (mut first, second) = (readiness.condition("first"), readiness.condition("second"));
        first.says("first, for a reason");
        assert_eq!(readiness.missing(), ["first, for a reason", "second"]);
        first.release();
        second.release();
        assert!(readiness.missing().is_empty());
    }

    #[test]
    fn ready_when_nothing_is_owed() {
        assert!(Readiness::new().missing().is_empty());
    }

    #[test]
    fn lists_what_is_missing_until_each_is_released() {
        let readiness = Readiness::new();
        let certificate = readiness.condition("certificate");
        let socket = readiness.condition("socket");
        assert_eq!(readiness.missing(), ["certificate", "socket"]);
        certificate.release();
        assert_eq!(readiness.missing(), ["socket"]);
        socket.release();
        assert!(readiness.missing().is_empty());
    }

    #[test]
    fn a_condition_dropped_without_release_stays_missing() {
        let readiness = Readiness::new();
        drop(readiness.condition("certificate"));
        assert_eq!(readiness.missing(), ["certificate"]);
    }

    #[test]
    fn two_conditions_of_one_name_are_two() {
        let readiness = Readiness::new();
        let first = readiness.condition("watch");
        let _second = readiness.condition("watch");
        first.release();
        assert_eq!(readiness.missing(), ["watch"]);
    }

    #[test]
    fn drain_ends_readiness_for_good() {
        let readiness = Readiness::new();
        let late = readiness.condition("late");
        readiness.begin_drain();
        assert_eq!(readiness.missing(), [DRAINING, "late"]);
        late.release();
        assert_eq!(readiness.missing(), [DRAINING]);
    }
}
