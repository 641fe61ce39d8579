//! How long a request may take.
//!
//! The API server tells each webhook how long it will wait, as `?timeout=5s` in Go's duration syntax. An answer after
//! that is for nobody, so it is the deadline here too; a caller that does not say gets a default, and nobody gets more
//! than a cap.

use std::time::Duration;

use crate::domain::parse_duration;

/// The deadline of a request with this query: what it asks for, at most `cap`; `default` when it does not say, or says
/// something that is no positive duration.
#[must_use]
pub fn of_query(query: Option<&str>, default: Duration, cap: Duration) -> Duration {
    query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .find_map(|pair| pair.strip_prefix("timeout="))
        .and_then(|asked| parse_duration(asked).ok())
        .filter(|asked| !asked.is_zero())
        .unwrap_or(default)
        .min(cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_is_what_the_query_asks_within_the_cap() {
        let (default, cap) = (Duration::from_secs(10), Duration::from_secs(30));
        let table = [
            (None, 10),
            (Some(""), 10),
            (Some("timeout=5s"), 5),
            (Some("a=b&timeout=1s&timeout=2s"), 1),
            (Some("timeout=1m30s"), 30),
            (Some("timeout=0"), 10),
            (Some("timeout=-1s"), 10),
            (Some("timeout=soon"), 10),
            (Some("xtimeout=5s"), 10),
        ];
        for (query, seconds) in table {
            assert_eq!(of_query(query, default, cap), Duration::from_secs(seconds), "{query:?}");
        }
    }
}
