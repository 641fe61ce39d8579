//! Whose turn it is: each pod once, at its time, and never twice at once.
//!
//! Invariants: what is asked for while a turn runs is done after it; what is taken is given back by [`Queue::done`]; time is
//! an argument. Turns that are due come in the order of their time.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// The UID of a pod.
pub(super) type Uid = Arc<str>;

/// How soon it is tried again for the first time.
const FIRST: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Entry {
    /// When its turn comes; none while it runs or when it has none.
    due: Option<Instant>,
    is_running: bool,
    /// When its turn comes after this one.
    again: Option<Instant>,
    /// How often in a row it did not come to its end.
    failures: u32,
}

/// When it is this pod's turn next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Next {
    /// Not until something changes.
    Never,
    /// At this time, whatever came before.
    At(Instant),
    /// Later and later with every failure in a row, up to this much. `spread` is from 0 to 1, so that not all come at once.
    BackOff { at_most: Duration, spread: f64 },
}

/// The pods, in the order of their turns.
#[derive(Debug, Default)]
pub(super) struct Queue {
    due: BTreeSet<(Instant, Uid)>,
    entries: HashMap<Uid, Entry>,
    running: usize,
}

impl Queue {
    /// It is the pod's turn at that time, or earlier if it was to be.
    pub(super) fn add(&mut self, uid: &Uid, at: Instant) {
        let entry = self.entries.entry(Arc::clone(uid)).or_default();
        if entry.is_running {
            entry.again = Some(entry.again.map_or(at, |again| again.min(at)));
            return;
        }
        if entry.due.is_some_and(|due| due <= at) {
            return;
        }
        if let Some(due) = entry.due.replace(at) {
            self.due.remove(&(due, Arc::clone(uid)));
        }
        self.due.insert((at, Arc::clone(uid)));
    }

    /// Something has changed: what failed before says nothing any more.
    pub(super) fn renew(&mut self, uid: &Uid, now: Instant) {
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.failures = 0;
        }
        self.add(uid, now);
    }

    /// When the next turn comes.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Takes the first turn that is due.
    pub(super) fn take(&mut self, now: Instant) -> Option<Uid> {
        if self.next_due()? > now {
            return None;
        }
        let (_, uid) = self.due.pop_first()?;
        let entry = self.entries.get_mut(&uid)?;
        entry.due = None;
        entry.is_running = true;
        self.running += 1;
        Some(uid)
    }

    /// A turn has ended.
    pub(super) fn done(&mut self, uid: &Uid, next: Next, now: Instant) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        if !std::mem::take(&mut entry.is_running) {
            return;
        }
        self.running -= 1;
        let next = match next {
            Next::Never => {
                entry.failures = 0;
                None
            }
            Next::At(at) => Some(at),
            Next::BackOff { at_most, spread } => {
                entry.failures += 1;
                Some(now + back_off(entry.failures, at_most, spread))
            }
        };
        let at = [next, entry.again.take()].into_iter().flatten().min();
        match at {
            Some(at) => self.add(uid, at),
            None => drop(self.entries.remove(uid)),
        }
    }

    /// The pod has no turn any more; one that runs is the last.
    pub(super) fn remove(&mut self, uid: &Uid) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        if let Some(due) = entry.due.take() {
            self.due.remove(&(due, Arc::clone(uid)));
        }
        if entry.is_running {
            entry.again = None;
        } else {
            self.entries.remove(uid);
        }
    }

    /// How many turns run.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// How many run, or are due.
    pub(super) fn backlog(&self, now: Instant) -> usize {
        self.running + self.due.iter().take_while(|(due, _)| *due <= now).count()
    }
}

/// 1 s, 2 s, 4 s … `at_most`, and up to a quarter less by `spread`.
fn back_off(failures: u32, at_most: Duration, spread: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(at_most);
    doubled.mul_f64(1.0 - 0.25 * spread.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn uid(name: &str) -> Uid {
        name.into()
    }

    #[test]
    fn turns_come_in_the_order_of_their_time() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.add(&uid("b"), start + SECOND);
        queue.add(&uid("a"), start);
        queue.add(&uid("b"), start + 3 * SECOND);
        assert_eq!(queue.take(start), Some(uid("a")));
        assert_eq!(queue.take(start), None);
        assert_eq!(queue.next_due(), Some(start + SECOND), "the earlier time counts");
        queue.add(&uid("b"), start);
        assert_eq!((queue.take(start), queue.running(), queue.next_due()), (Some(uid("b")), 2, None));
    }

    #[test]
    fn what_comes_during_a_turn_is_done_after_it() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.add(&uid("a"), start);
        queue.take(start);
        queue.add(&uid("a"), start);
        assert_eq!(queue.take(start), None, "never twice at once");
        queue.done(&uid("a"), Next::Never, start);
        assert_eq!(queue.take(start), Some(uid("a")));
        queue.done(&uid("a"), Next::Never, start);
        assert_eq!((queue.take(start), queue.running(), queue.backlog(start)), (None, 0, 0));
    }

    #[test]
    fn failures_in_a_row_come_later_and_later() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.add(&uid("a"), start);
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..6 {
            assert_eq!(queue.take(now), Some(uid("a")));
            queue.done(&uid("a"), Next::BackOff { at_most: 10 * SECOND, spread: 0.0 }, now);
            let due = queue.next_due().unwrap();
            waits.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
        queue.renew(&uid("a"), now);
        queue.take(now);
        queue.done(&uid("a"), Next::BackOff { at_most: 10 * SECOND, spread: 1.0 }, now);
        assert_eq!(queue.next_due(), Some(now + SECOND.mul_f64(0.75)));
    }

    #[test]
    fn what_is_removed_has_no_turn() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.add(&uid("a"), start);
        queue.remove(&uid("a"));
        assert_eq!(queue.take(start), None);
        queue.add(&uid("b"), start);
        queue.take(start);
        queue.add(&uid("b"), start);
        queue.remove(&uid("b"));
        queue.done(&uid("b"), Next::Never, start);
        assert_eq!((queue.next_due(), queue.running()), (None, 0));
    }

    proptest! {
        #[test]
        fn whatever_happens_no_pod_has_two_turns_and_none_is_forgotten(
            steps in proptest::collection::vec((0u8..4, 0usize..5, 0u64..4), 1..200),
        ) {
            let (mut queue, start) = (Queue::default(), Instant::now());
            let uids: Vec<Uid> = (0..5).map(|n| uid(&n.to_string())).collect();
            let (mut running, mut wanted): (Vec<Uid>, std::collections::BTreeSet<Uid>) = Default::default();
            for (step, which, seconds) in steps {
                let pod = &uids[which];
                match step {
                    0 => {
                        queue.add(pod, start + seconds as u32 * SECOND);
                        wanted.insert(Arc::clone(pod));
                    }
                    1 => if let Some(taken) = queue.take(start + 10 * SECOND) {
                        prop_assert!(!running.contains(&taken));
                        wanted.remove(&taken);
                        running.push(taken);
                    },
                    2 => if let Some(ended) = running.pop() {
                        queue.done(&ended, Next::Never, start);
                    },
                    _ => {
                        queue.remove(pod);
                        wanted.remove(pod);
                    }
                }
                prop_assert_eq!(queue.running(), running.len());
            }
            for ended in running.drain(..) {
                queue.done(&ended, Next::Never, start);
            }
            let mut left = std::collections::BTreeSet::new();
            while let Some(taken) = queue.take(start + 10 * SECOND) {
                left.insert(Arc::clone(&taken));
                queue.done(&taken, Next::Never, start);
            }
            prop_assert_eq!(left, wanted);
            prop_assert!(queue.entries.is_empty() && queue.due.is_empty());
        }
    }
}
