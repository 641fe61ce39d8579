//! Random instants that can be had again: by a seed, which a run that fails shows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Numbers that look random, from a seed (SplitMix64).
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// From the seed that `KEYSTOW_SEED` gives, or a new one; says which.
    pub(crate) fn new() -> Self {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos() as u64;
        let seed = std::env::var("KEYSTOW_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(now);
        // Shown by a run that fails.
        #[allow(clippy::print_stdout, reason = "a seed is how a failure is seen again")]
        {
            println!("KEYSTOW_SEED={seed}");
        }
        Self(seed)
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    /// Between nothing and `longest`.
    pub(crate) fn time(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.next() as f64 / u64::MAX as f64)
    }
}
