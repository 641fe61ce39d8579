//! How much is served: so many requests a second for each caller of the configuration, and of tokens that are not believed
//! for all together.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::settings::Rate;
use crate::bucket::Bucket;

/// One bucket a caller, and the last one for who is nobody.
pub(super) struct Limits(Vec<Mutex<Bucket>>);

impl Limits {
    pub(super) fn new(callers: usize, rate: Rate) -> Self {
        let interval = Duration::from_secs(1) / rate.per_second.max(1);
        let bucket = || Mutex::new(Bucket::new(rate.burst, interval));
        Self((0..=callers).map(|_| bucket()).collect())
    }

    /// Whether this caller may go on.
    pub(super) fn admits(&self, caller: usize) -> bool {
        self.take(caller)
    }

    /// Whether one more may be told that it is not believed.
    pub(super) fn admits_nobody(&self) -> bool {
        self.take(self.0.len() - 1)
    }

    fn take(&self, at: usize) -> bool {
        let Some(bucket) = self.0.get(at) else { return false };
        // A bucket is one number, whole whatever panicked.
        bucket.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now())
    }
}
