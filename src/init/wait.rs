//! How long to wait before asking a store again: one deadline, doubling delays, jitter.
//!
//! The clock is tokio's, which tests pause; the jitter is a function that the caller gives.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

/// The first delay.
const FIRST: Duration = Duration::from_millis(500);

/// The longest delay: the creator usually needs a second, a throttled table a few.
const LONGEST: Duration = Duration::from_secs(10);

/// The last look is this long before the deadline, so that there is time for an answer.
const MARGIN: Duration = Duration::from_secs(1);

/// Gives numbers from 0 to 1, so that a thousand pods that start together do not ask together.
pub(super) type Jitter = Box<dyn FnMut() -> f64 + Send>;

/// The waiting of one fetch.
pub(super) struct Waiting {
    deadline: Instant,
    next: Duration,
    jitter: Jitter,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Waiting {
    /// Starts the clock.
    pub(super) fn new(limit: Duration, jitter: Jitter) -> Self {
        let now = Instant::now();
        // Far enough away where the limit is beyond what a clock can tell.
        let deadline = now.checked_add(limit).unwrap_or(now + Duration::from_secs(86_400 * 365));
        Self { deadline, next: FIRST, jitter }
    }

    /// When the waiting is over.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Sleeps until it is time to ask again, not shorter than the store wants; `false` where there is no time left.
    pub(super) async fn pause(&mut self, at_least: Option<Duration>) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now()).saturating_sub(MARGIN);
        if left.is_zero() {
            return false;
        }
        // Half of the delay is certain, the other half is left to chance.
        let delay = self.next.mul_f64(0.5 + 0.5 * (self.jitter)().clamp(0.0, 1.0));
        self.next = (self.next * 2).min(LONGEST);
        tokio::time::sleep(delay.max(at_least.unwrap_or_default()).min(left)).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pauses(limit: u64, at_least: Option<Duration>) -> Vec<u128> {
        let mut waiting = Waiting::new(Duration::from_secs(limit), Box::new(|| 1.0));
        let start = Instant::now();
        let mut times = Vec::new();
        while waiting.pause(at_least).await {
            times.push(start.elapsed().as_millis());
        }
        times
    }

    #[tokio::test(start_paused = true)]
    async fn delays_double_and_the_last_look_is_before_the_deadline() {
        assert_eq!(pauses(30, None).await, [500, 1500, 3500, 7500, 15_500, 25_500, 29_000]);
        assert_eq!(pauses(1, None).await, Vec::<u128>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_is_left_alone_as_long_as_it_wants() {
        assert_eq!(pauses(20, Some(Duration::from_secs(8))).await, [8000, 16_000, 19_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_beyond_the_clock_is_no_panic() {
        assert!(Waiting::new(Duration::MAX, Box::new(|| 0.0)).pause(None).await);
    }
}
