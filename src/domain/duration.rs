//! Durations as Go writes them (`time.ParseDuration`): `30s`, `5m`, `1h30m`, `500ms`, `1.5h`; and days, which Go has
//! not: `365d`. A day is 24 hours, whatever the clocks do.

use std::time::Duration;

/// Text that is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a duration has a number and a unit (ms, s, m, h, d), such as 30s, 5m, 1h30m or 365d")]
pub struct InvalidDuration;

/// Reads a duration as Go writes it, days added: `1m30s`, `1.5h`, `500ms`, `30d`, `0`. Negative ones are none, since
/// nothing here can take less than no time.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    read(text).ok_or(InvalidDuration)
}

fn read(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanoseconds = 0_u128;
    while !rest.is_empty() {
        let (term, after) = parse_term(rest)?;
        nanoseconds = nanoseconds.checked_add(term)?;
        rest = after;
    }
    // Go's durations are 64-bit nanoseconds.
    i64::try_from(nanoseconds).ok()?;
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}

/// One number with its unit, in nanoseconds, and what follows it.
fn parse_term(text: &str) -> Option<(u128, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let unit = unit_nanoseconds(unit)?;
    let whole = number(whole)?.checked_mul(unit)?;
    // Digits past the eighteenth are below a nanosecond for every unit.
    let fraction = &fraction[..fraction.len().min(18)];
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction = number(fraction)?.checked_mul(unit)? / scale;
    Some((whole.checked_add(fraction)?, rest))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn number(digits: &str) -> Option<u128> {
    if digits.is_empty() { Some(0) } else { digits.parse().ok() }
}

fn unit_nanoseconds(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        // Both code points that look like it: the micro sign and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_writes_them() {
        let table = [
            ("0", 0),
            ("+0", 0),
            ("0s", 0),
            ("5s", 5_000_000_000),
            ("10s", 10_000_000_000),
            ("+5s", 5_000_000_000),
            ("30s", 30_000_000_000),
            ("1m30s", 90_000_000_000),
            ("500ms", 500_000_000),
            ("1.5s", 1_500_000_000),
            ("1.s", 1_000_000_000),
            (".5s", 500_000_000),
            ("1h2m3s4ms5us6ns", 3_723_004_005_006),
            ("12\u{b5}s", 12_000),
            ("12\u{3bc}s", 12_000),
            ("3s1m", 63_000_000_000),
            ("365d", 31_536_000_000_000_000),
            ("1d12h", 129_600_000_000_000),
            ("0.0000000001s", 0),
            ("0.3333333333333333333h", 1_199_999_999_999),
            ("9223372036854775807ns", 9_223_372_036_854_775_807),
        ];
        for (text, nanoseconds) in table {
            assert_eq!(read(text), Some(Duration::from_nanos(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration() {
        let table = [
            "",
            "+",
            "3",
            "s",
            ".",
            ".s",
            "-5s",
            "5 s",
            "5S",
            "5sec",
            "1D",
            "1w",
            "106752d",
            "5s ",
            "1..5s",
            "٣s",
            "5s3",
            "1e3s",
            "9223372036854775808ns",
            "99999999999999999999999999999999999999999999999999s",
        ];
        for text in table {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
