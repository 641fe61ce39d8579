//! Until when a store is left alone. A state and the time: no clock, no waiting.
//!
//! ```text
//! there ──failed──▶ left alone, longer with every failure ──time──▶ one asks ──answered──▶ there
//!                        ▲                                             └──failed──┘
//! ```
//!
//! The one who asks whether it is back is alone with that: a store that stalls holds up one turn, and not those of pods of
//! other stores.

use std::time::Duration;

use tokio::time::Instant;

/// How long a store is left alone after it failed once, and after it failed often.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(10);
/// The longest rest that a store is given because it asks for it.
const LONGEST_WISH: Duration = Duration::from_secs(100);
/// How long one may ask whether it is back, and how soon the others come again meanwhile.
const ASKED: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(2);

/// Whether a store is away.
#[derive(Debug, Default)]
pub(super) struct Away {
    until: Option<Instant>,
    /// Somebody asks whether it is back.
    is_asked: bool,
    failures: u32,
    reason: String,
}

impl Away {
    /// When to come again, and why not now; nothing where the store may be asked, and then it is to be told what came of it.
    pub(super) fn look(&mut self, now: Instant) -> Option<(Instant, String)> {
        match self.until {
            None => None,
            Some(until) if now < until && self.is_asked => Some((until.min(now + SOON), self.reason.clone())),
            Some(until) if now < until => Some((until, self.reason.clone())),
            Some(_) => {
                self.is_asked = true;
                self.until = Some(now + ASKED);
                None
            }
        }
    }

    /// It did not answer, or asked to be left alone for a time. Yields until when it is, and whether that is news.
    pub(super) fn failed(&mut self, reason: &str, wish: Option<Duration>, now: Instant) -> (Instant, bool) {
        match self.until {
            // One of those who asked together told already.
            Some(until) if now < until && !self.is_asked => (until, false),
            _ => {
                let rest = FIRST_REST.saturating_mul(1 << self.failures.min(8)).min(LONGEST_REST);
                let until = now + rest.max(wish.unwrap_or_default().min(LONGEST_WISH));
                let is_news = self.failures == 0;
                let failures = self.failures + 1;
                *self = Self { until: Some(until), is_asked: false, failures, reason: reason.to_owned() };
                (until, is_news)
            }
        }
    }

    /// Whoever was to ask had nothing to ask: another one may.
    pub(super) fn was_not_asked(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_asked) {
            self.until = Some(now);
        }
    }

    /// It answered. Yields whether that is news.
    pub(super) fn answered(&mut self) -> bool {
        std::mem::take(self).failures > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_longer_with_every_failure() {
        let (mut away, start) = (Away::default(), Instant::now());
        assert_eq!(away.look(start), None);
        let mut now = start;
        let mut rests = Vec::new();
        for _ in 0..5 {
            let (until, _) = away.failed("no answer", None, now);
            assert_eq!(away.failed("another", None, now), (until, false), "asked together");
            assert_eq!(away.look(now), Some((until, "no answer".to_owned())));
            rests.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(rests, [1, 2, 4, 8, 10]);
        assert!(away.answered() && !away.answered(), "once it is news");
        assert_eq!(away.look(now), None);
        assert!(away.failed("again", None, now).1);
    }

    #[test]
    fn one_asks_whether_it_is_back_and_the_others_wait_for_him() {
        let (mut away, start) = (Away::default(), Instant::now());
        let (until, _) = away.failed("no answer", None, start);
        assert_eq!(away.look(until), None);
        let soon = |away: &mut Away| away.look(until).map(|(until, _)| until);
        assert_eq!(soon(&mut away), Some(until + SOON));
        assert_eq!(away.look(until + ASKED), None, "another one where he does not come back");
        away.was_not_asked(until);
        assert_eq!(away.look(until), None, "or where he had nothing to ask");
        let (next, is_news) = away.failed("still away", None, until);
        assert!(next > until && !is_news);
        assert_eq!(soon(&mut away), Some(next));
    }

    #[test]
    fn it_is_left_alone_for_as_long_as_it_asks_within_reason() {
        let rest = |seconds| {
            let now = Instant::now();
            (Away::default().failed("throttled", Some(Duration::from_secs(seconds)), now).0 - now).as_secs()
        };
        assert_eq!([rest(0), rest(30), rest(3600)], [1, 30, 100]);
    }
}
