//! Durations as Go writes them (`time.ParseDuration`): `30s`, `5m`, `1h30m`, `500ms`, `1.5h`.
//!
//! Absent: signs, and nanosecond exactness of long fractions.

use std::time::Duration;

/// Text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a duration has a number and a unit (ms, s, m, h), such as 30s, 5m or 1h30m")]
pub struct InvalidDuration;

/// Reads a Go duration. Units: `ns`, `us`, `µs`, `ms`, `s`, `m`, `h`; a bare `0` is zero.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(InvalidDuration)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let seconds: f64 = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(InvalidDuration),
        };
        let number: f64 = number.parse().map_err(|_| InvalidDuration)?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| InvalidDuration)?;
        total = total.checked_add(part).ok_or(InvalidDuration)?;
        rest = after;
    }
    if text.is_empty() { Err(InvalidDuration) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, milliseconds) in [
            ("0", 0),
            ("30s", 30_000),
            ("500ms", 500),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("2m0.5s", 120_500),
            ("1000us", 1),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in ["", "5", "s", "-1s", "1d", "1 s", "1s2", "..s", "1e3s", "99999999999999999999h"] {
            assert_eq!(parse_duration(text), Err(InvalidDuration), "{text}");
        }
    }
}
