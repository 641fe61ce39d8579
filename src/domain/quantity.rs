//! Amounts of CPU and memory as Kubernetes writes them (apimachinery `resource.Quantity`): `100m`, `16Mi`, `1.5G`, `1e3`.
//!
//! ```text
//! quantity = [+|-] number suffix        number = digits | digits.digits | digits. | .digits
//! suffix   = "" | n u m k M G T P E | Ki Mi Gi Ti Pi Ei | (e|E) [+|-] digits
//! ```
//!
//! Kept exactly, in billionths, rounded up below that and capped at 2^63-1 as Kubernetes does. So `1K` is none (thousands
//! are `k`), and `1E` is 10^18 where `1E0` is 1. Stricter than the API server in two points, where a mistake is the likelier
//! reading: a number has a digit, and there are no blanks at the ends.

use std::cmp::Ordering;
use std::fmt;

/// One unit in billionths.
const ONE: u128 = 1_000_000_000;
/// What Kubernetes caps amounts at.
const LARGEST: u128 = i64::MAX as u128 * ONE;

/// An amount. Compared by what it is, shown as it was written.
#[derive(Debug, Clone)]
pub struct Quantity {
    text: String,
    negative: bool,
    billionths: u128,
}

/// Text that is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuantity {
    /// There is no number at the front.
    #[error("`{0}` is not a quantity such as 100m, 16Mi or 1.5G: it needs a number in front")]
    Number(String),
    /// What follows the number is none of Kubernetes' suffixes.
    #[error("`{found}` is not a quantity: {hint}")]
    Suffix {
        /// What was found.
        found: String,
        /// What to write instead.
        hint: &'static str,
    },
}

impl Quantity {
    /// Reads an amount.
    pub fn new(text: &str) -> Result<Self, InvalidQuantity> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, rest) = digits(unsigned);
        let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), digits);
        if whole.is_empty() && fraction.is_empty() {
            return Err(InvalidQuantity::Number(text.to_owned()));
        }
        let billionths = match scale(suffix) {
            Some(Scale::Decimal(exponent)) => shifted(whole, fraction, exponent),
            Some(Scale::Binary(bits)) => amount(whole, fraction, ONE << bits),
            None => return Err(InvalidQuantity::Suffix { found: text.to_owned(), hint: hint(suffix) }),
        };
        Ok(Self { text: text.to_owned(), negative: negative && billionths > 0, billionths })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is below zero.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// Whether it is nothing.
    pub fn is_zero(&self) -> bool {
        self.billionths == 0
    }

    /// Whether it is a whole number, as bytes are.
    pub fn is_whole(&self) -> bool {
        self.billionths.is_multiple_of(ONE)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.billionths.cmp(&other.billionths),
            (true, true) => other.billionths.cmp(&self.billionths),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        }
    }
}

/// What a suffix multiplies with.
enum Scale {
    /// A power of ten.
    Decimal(i64),
    /// A power of two.
    Binary(u32),
}

fn scale(suffix: &str) -> Option<Scale> {
    Some(match suffix {
        "" => Scale::Decimal(0),
        "n" => Scale::Decimal(-9),
        "u" => Scale::Decimal(-6),
        "m" => Scale::Decimal(-3),
        "k" => Scale::Decimal(3),
        "M" => Scale::Decimal(6),
        "G" => Scale::Decimal(9),
        "T" => Scale::Decimal(12),
        "P" => Scale::Decimal(15),
        "E" => Scale::Decimal(18),
        "Ki" => Scale::Binary(10),
        "Mi" => Scale::Binary(20),
        "Gi" => Scale::Binary(30),
        "Ti" => Scale::Binary(40),
        "Pi" => Scale::Binary(50),
        "Ei" => Scale::Binary(60),
        other => Scale::Decimal(other.strip_prefix(['e', 'E'])?.parse().ok()?),
    })
}

/// What was probably meant by a suffix that is none.
fn hint(suffix: &str) -> &'static str {
    match suffix {
        "K" => "thousands are `k`, and 1024 is `Ki`",
        "ki" | "KI" | "kI" | "KB" | "kB" | "kb" | "KiB" => "1024 bytes are `Ki`, 1000 are `k`",
        "mi" | "MI" | "MB" | "mb" | "MiB" | "Mb" => "1024 * 1024 bytes are `Mi`, a million is `M`",
        "g" | "gi" | "GI" | "GB" | "gb" | "GiB" | "Gb" => {
            "1024 * 1024 * 1024 bytes are `Gi`, a billion is `G`"
        }
        "e" | "e+" | "e-" | "E+" | "E-" => "an exponent has digits, such as 1e3",
        _ => {
            "behind the number stands one of n u m k M G T P E, Ki Mi Gi Ti Pi Ei, or an exponent such as e3, without blanks"
        }
    }
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// The number with its point moved, in billionths.
fn shifted(whole: &str, fraction: &str, exponent: i64) -> u128 {
    // Further than this, every amount is above the cap or a mere billionth.
    const FAR: i64 = 64;
    let length = |digits: &str| i64::try_from(digits.len()).unwrap_or(i64::MAX - FAR);
    let far = FAR.saturating_add(length(whole)).saturating_add(length(fraction));
    let exponent = exponent.clamp(-far, far);
    let places = usize::try_from(exponent.unsigned_abs()).unwrap_or_default();
    if exponent >= 0 {
        let moved = fraction.len().min(places);
        let whole = format!("{whole}{}{}", &fraction[..moved], "0".repeat(places - moved));
        amount(&whole, &fraction[moved..], ONE)
    } else {
        let moved = whole.len().min(places);
        let (kept, behind) = whole.split_at(whole.len() - moved);
        amount(kept, &format!("{}{behind}{fraction}", "0".repeat(places - moved)), ONE)
    }
}

/// `whole.fraction` units, each of so many billionths.
fn amount(whole: &str, fraction: &str, unit: u128) -> u128 {
    let digit = |byte: u8| u128::from(byte - b'0');
    let units = whole.bytes().try_fold(0_u128, |units, byte| {
        Some(units * 10 + digit(byte)).filter(|units| *units <= LARGEST / ONE)
    });
    let Some(whole) = units.and_then(|units| units.checked_mul(unit)) else { return LARGEST };
    // From the last digit on, rounding up each time, which is the same as rounding up once.
    let part =
        fraction.bytes().rev().fold(0, |behind: u128, byte| (digit(byte) * unit + behind).div_ceil(10));
    whole.saturating_add(part).min(LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_bigint::BigUint;
    use proptest::prelude::*;

    fn read(text: &str) -> Quantity {
        Quantity::new(text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn amounts_are_what_kubernetes_takes_them_for() {
        for (text, billionths) in [
            ("0", 0),
            ("1", ONE),
            ("+1", ONE),
            ("1.", ONE),
            (".5", ONE / 2),
            ("0.1", ONE / 10),
            ("100m", ONE / 10),
            ("1n", 1),
            ("1u", 1_000),
            ("0.1n", 1),
            ("1.0000000001", ONE + 1),
            ("1k", 1_000 * ONE),
            ("1e3", 1_000 * ONE),
            ("1E3", 1_000 * ONE),
            ("1e+3", 1_000 * ONE),
            ("1500e-3", ONE * 3 / 2),
            ("1.5e1", 15 * ONE),
            ("1E", 1_000_000_000_000_000_000 * ONE),
            ("1Ki", 1_024 * ONE),
            ("0.5Ki", 512 * ONE),
            ("1Mi", 1_048_576 * ONE),
            ("1Ei", (1 << 60) * ONE),
            ("007", 7 * ONE),
            ("9223372036854775807", LARGEST),
            ("9223372036854775808", LARGEST),
            ("100E", LARGEST),
            ("16Ei", LARGEST),
            ("1e99999", LARGEST),
            ("1e-99999", 1),
            ("0e99999", 0),
            ("99999999999999999999999999999999999999999999999999999999e-50", 1_000_000 * ONE),
        ] {
            assert_eq!(read(text).billionths, billionths, "{text}");
        }
    }

    #[test]
    fn what_is_no_amount() {
        for text in [
            "",
            "+",
            "-",
            ".",
            "m",
            "Ki",
            "1K",
            "1ki",
            "1MB",
            "1mi",
            "1g",
            "1i",
            ".5i",
            "1e",
            "1e+",
            "1e3m",
            "1.1.M",
            "1+1.0M",
            "0.1am",
            "aoeu",
            " 1",
            "1 ",
            "1 Mi",
            "1,5",
            "1_000",
            "0x10",
            "--1",
            "1e3.5",
            "٣",
            "1e99999999999999999999",
        ] {
            assert!(Quantity::new(text).is_err(), "{text}");
        }
        let hint = Quantity::new("64K").unwrap_err().to_string();
        assert_eq!(hint, "`64K` is not a quantity: thousands are `k`, and 1024 is `Ki`");
    }

    #[test]
    fn negative_amounts_are_amounts_below_zero() {
        assert!(read("-1").is_negative() && !read("-0").is_negative() && !read("1").is_negative());
        let mut amounts = ["1Ki", "-1", "1000", "1", "-2", "1k"].map(read);
        amounts.sort();
        assert_eq!(amounts.each_ref().map(Quantity::as_str), ["-2", "-1", "1", "1000", "1k", "1Ki"]);
        assert_eq!(read("1000"), read("1k"));
        assert!(read("16M").is_whole() && !read("16m").is_whole() && read("0.0").is_zero());
    }

    /// The same by arithmetic without bounds.
    fn reference(whole: &str, fraction: &str, power: (u32, i32)) -> BigUint {
        let (base, exponent) = power;
        let all: BigUint = format!("0{whole}{fraction}").parse().unwrap();
        let mut above = all * BigUint::from(ONE);
        let mut below = BigUint::from(10_u32).pow(u32::try_from(fraction.len()).unwrap());
        let factor = BigUint::from(base).pow(exponent.unsigned_abs());
        if exponent < 0 {
            below *= factor;
        } else {
            above *= factor;
        }
        let rounded = (above + &below - 1_u32) / below;
        rounded.min(BigUint::from(LARGEST))
    }

    proptest! {
        #[test]
        fn is_exact(whole in "[0-9]{1,25}", fraction in "[0-9]{0,25}", exponent in -40_i32..40) {
            let text = format!("{whole}.{fraction}e{exponent}");
            prop_assert_eq!(BigUint::from(read(&text).billionths), reference(&whole, &fraction, (10, exponent)));
        }

        #[test]
        fn is_exact_in_powers_of_two(whole in "[0-9]{0,22}", fraction in "[0-9]{1,25}", at in 0_usize..6) {
            let text = format!("{whole}.{fraction}{}", ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][at]);
            let exponent = i32::try_from(at + 1).unwrap() * 10;
            prop_assert_eq!(BigUint::from(read(&text).billionths), reference(&whole, &fraction, (2, exponent)));
        }

        #[test]
        fn never_panics_and_shows_what_was_written(text in "[-+.0-9eEinumkKMGTP]{0,12}|\\PC{0,12}") {
            if let Ok(quantity) = Quantity::new(&text) {
                prop_assert_eq!(quantity.to_string(), text);
            }
        }
    }
}
