//! A log line that may be due a thousand times a second, said once in a while with how often it was not said.
//!
//! Deliberately absent: a timer. What was held back is told with the next line, and by metrics exactly.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Decides whether a line is written now.
#[derive(Debug)]
pub struct Sparingly {
    every: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: Option<Instant>,
    held_back: u64,
}

impl Sparingly {
    /// At most one line in `every`.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self { every, state: Mutex::default() }
    }

    /// Where the line is to be written: how many were held back since the last one.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        // Numbers are whole whatever panicked.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.next.is_some_and(|next| now < next) {
            state.held_back += 1;
            return None;
        }
        state.next = now.checked_add(self.every);
        Some(std::mem::take(&mut state.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_a_while_tells_how_many_were_held_back() {
        let sparingly = Sparingly::new(Duration::from_secs(1));
        let start = Instant::now();
        let at = |milliseconds| sparingly.admit(start + Duration::from_millis(milliseconds));
        assert_eq!(
            [at(0), at(1), at(999), at(1000), at(1001), at(3000)],
            [Some(0), None, None, Some(2), None, Some(1)]
        );
    }
}
