//! Kees' generator: `java.util.Random`, seeded by `String.hashCode` of a name.
//!
//! `java.util.Random` is a 48-bit linear congruential generator whose recipe is part of Java's public contract;
//! `String.hashCode` is too.

use num_bigint::BigUint;

use crate::generate::BASE62;

struct Random(u64);

impl Random {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;

    fn new(seed: i32) -> Self {
        // Java widens the int with its sign.
        Self((i64::from(seed) as u64 ^ Self::MULTIPLIER) & Self::MASK)
    }

    /// `next(32)`.
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(Self::MULTIPLIER).wrapping_add(0xB) & Self::MASK;
        (self.0 >> 16) as u32
    }

    /// `nextBytes`: each number's bytes, the lowest first.
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 4);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

/// `String.hashCode`: over UTF-16 units.
fn hash_code(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// Kees strips a field from the name once more than the annotation's rule does: everything from the last `_` on
/// where only lower-case letters follow.
fn strip(name: &str) -> &str {
    match name.rsplit_once('_') {
        Some((before, after)) if after.bytes().all(|b| b.is_ascii_lowercase()) => before,
        _ => name,
    }
}

fn seeded(name: &str) -> Random {
    Random::new(hash_code(strip(name)))
}

/// RANDOM: `bits / 8` bytes.
pub(super) fn random(name: &str, bits: u16) -> Vec<u8> {
    seeded(name).bytes(usize::from(bits / 8))
}

/// PASSWORD: `bits` bytes as one big-endian integer in base 62, of which the first `bits / 8` digits count.
pub(super) fn password(name: &str, bits: u16) -> Vec<u8> {
    let integer = BigUint::from_bytes_be(&seeded(name).bytes(usize::from(bits)));
    let digits = integer.to_radix_be(62).into_iter().take(usize::from(bits / 8));
    digits.map(|digit| BASE62[usize::from(digit)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_codes_are_javas() {
        for (text, hash) in
            [("", 0), ("a", 97), ("Aa", 2112), ("BB", 2112), ("hello", 99_162_322), ("\u{1F600}", 1_772_899)]
        {
            assert_eq!(hash_code(text), hash, "{text}");
        }
    }

    #[test]
    fn the_generator_is_javas() {
        // `new Random(42).nextInt()` and `new Random(0).nextInt()`.
        assert_eq!(Random::new(42).next() as i32, -1_170_105_035);
        assert_eq!(Random::new(0).next() as i32, -1_155_484_576);
    }

    #[test]
    fn one_field_is_stripped() {
        for (name, stripped) in [("a_b", "a"), ("a_", "a"), ("a_b2", "a_b2"), ("a_b_c", "a_b"), ("a", "a")] {
            assert_eq!(strip(name), stripped);
        }
        assert_eq!(strip("/my_env/web-0"), "/my_env/web-0");
    }

    #[test]
    fn lengths_are_an_eighth_of_the_size() {
        for bits in [1, 7, 8, 100, 128, 8192] {
            assert_eq!(random("x", bits).len(), usize::from(bits / 8));
            assert_eq!(password("x", bits).len(), usize::from(bits / 8));
        }
    }
}
