//! Instants as Kubernetes writes them, and how long ago something was, for people.

use k8s_openapi::jiff::Timestamp;

/// Seconds since 1970 of an instant (RFC 3339), `2026-11-26T10:00:00Z`. `None` of anything else.
pub fn seconds(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

/// `93 days`, `5 hours`, `2 minutes`.
pub(super) fn span(seconds: i64) -> String {
    let (count, unit) = match seconds {
        86_400.. => (seconds / 86_400, "day"),
        3_600.. => (seconds / 3_600, "hour"),
        60.. => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_counted_from_1970() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:01Z", Some(951_825_601)),
            ("2026-11-26T10:38:33Z", Some(1_795_689_513)),
            ("2026-11-26T10:38:33.123456Z", Some(1_795_689_513)),
            ("2026-13-26T10:38:33Z", None),
            ("2026-11-26", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn spans_are_told_in_the_largest_unit() {
        for (seconds, told) in
            [(1, "1 second"), (119, "1 minute"), (7200, "2 hours"), (90 * 86_400, "90 days")]
        {
            assert_eq!(span(seconds), told);
        }
    }
}
