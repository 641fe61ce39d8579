//! How fast Events are written: a token bucket, kept as the time at which it is full again.

use std::time::Duration;

use tokio::time::Instant;

/// Gives `burst` tokens at once, and one each `interval` after that.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    burst: u32,
    interval: Duration,
    full: Option<Instant>,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(burst: u32, interval: Duration) -> Self {
        Self { burst, interval, full: None }
    }

    /// Takes a token, where there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let missing = self.full.map_or(Duration::ZERO, |full| full.saturating_duration_since(now));
        let after = missing + self.interval;
        let may = after <= self.interval * self.burst;
        if may {
            self.full = Some(now + after);
        }
        may
    }

    /// Takes all tokens, and those of some time to come.
    pub(crate) fn pause(&mut self, now: Instant, rest: Duration) {
        self.full = Some(now + rest + self.interval * self.burst);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How many can be taken at once.
    fn drain(bucket: &mut Bucket, now: Instant) -> usize {
        (0..1000).take_while(|_| bucket.take(now)).count()
    }

    #[test]
    fn a_burst_then_one_each_interval() {
        let mut bucket = Bucket::new(5, SECOND);
        let start = Instant::now();
        assert_eq!(drain(&mut bucket, start), 5);
        assert_eq!(drain(&mut bucket, start + SECOND - Duration::from_millis(1)), 0);
        assert_eq!(drain(&mut bucket, start + SECOND), 1);
        assert_eq!(drain(&mut bucket, start + 4 * SECOND), 3);
        assert_eq!(drain(&mut bucket, start + 1000 * SECOND), 5);
    }

    #[test]
    fn nothing_during_a_pause_and_then_one_each_interval() {
        let mut bucket = Bucket::new(5, SECOND);
        let start = Instant::now();
        bucket.pause(start, 10 * SECOND);
        assert_eq!(drain(&mut bucket, start + 10 * SECOND), 0);
        assert_eq!(drain(&mut bucket, start + 11 * SECOND), 1);
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_has_more_than_its_share(
            burst in 1u32..20,
            steps in proptest::collection::vec((0u64..3000, 0usize..30), 1..60),
        ) {
            let mut bucket = Bucket::new(burst, SECOND);
            let start = Instant::now();
            let mut elapsed = Duration::ZERO;
            let mut taken: Vec<Duration> = Vec::new();
            for (rest, wanted) in steps {
                elapsed += Duration::from_millis(rest);
                taken.extend((0..wanted).filter(|_| bucket.take(start + elapsed)).map(|_| elapsed));
            }
            for (first, from) in taken.iter().enumerate() {
                for (last, to) in taken.iter().enumerate().skip(first) {
                    let share = u64::from(burst) + (*to - *from).as_secs();
                    prop_assert!((last - first + 1) as u64 <= share, "{from:?} to {to:?}");
                }
            }
        }
    }
}
