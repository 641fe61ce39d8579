//! Primes from a stream: the first prime at or after a number that the stream gives.
//!
//! What is found does not depend on how it is looked for, so a faster search or another library gives the same
//! keys. The arithmetic is not constant-time and leaves traces in memory: the numbers are public anyway.

use num_bigint::BigUint;

use super::stream::Stream;

/// Bases of the Miller-Rabin test. A composite of 1024 random bits passes even one of them with a probability
/// far below 2^-80.
const BASES: [u32; 8] = [2, 3, 5, 7, 11, 13, 17, 19];

/// Trial division up to here leaves about one candidate in sixteen.
const SIEVE: u32 = 8000;

/// The first prime at or after the next `bits` of the stream, whose two upper bits are set: a product of two
/// such primes has twice the bits.
pub(super) fn next_prime(stream: &mut Stream, bits: usize) -> BigUint {
    let mut bytes = stream.take(bits / 8);
    if let Some(first) = bytes.first_mut() {
        *first |= 0xC0;
    }
    if let Some(last) = bytes.last_mut() {
        *last |= 1;
    }
    let mut candidate = BigUint::from_bytes_be(&bytes);
    let small = small_primes();
    let mut rests: Vec<u32> = small.iter().map(|prime| remainder(&candidate, *prime)).collect();
    loop {
        // A rest of 0 is a divisor: candidates are far above the sieve, so never the prime itself.
        if rests.iter().all(|rest| *rest != 0) && is_prime(&candidate) {
            return candidate;
        }
        candidate += 2_u32;
        for (rest, prime) in rests.iter_mut().zip(&small) {
            *rest = (*rest + 2) % prime;
        }
    }
}

fn remainder(number: &BigUint, prime: u32) -> u32 {
    (number % prime).iter_u32_digits().next().unwrap_or(0)
}

fn small_primes() -> Vec<u32> {
    let mut primes: Vec<u32> = Vec::new();
    for candidate in (3..SIEVE).step_by(2) {
        if primes.iter().take_while(|p| **p * **p <= candidate).all(|p| candidate % p != 0) {
            primes.push(candidate);
        }
    }
    primes
}

/// The Miller-Rabin test of an odd number above every base.
fn is_prime(number: &BigUint) -> bool {
    let one = BigUint::from(1_u8);
    let below = number - &one;
    let twos = below.trailing_zeros().unwrap_or(0);
    let odd = &below >> twos;
    BASES.iter().all(|base| {
        let mut power = BigUint::from(*base).modpow(&odd, number);
        if power == one || power == below {
            return true;
        }
        for _ in 1..twos {
            power = &power * &power % number;
            if power == below {
                return true;
            }
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes_are_told_from_composites() {
        // 561, 1105 and 1729 fool Fermat's test, 2047 fools base 2, 3215031751 fools bases 2 to 7.
        for composite in [561_u64, 1105, 1729, 2047, 3_215_031_751] {
            assert!(!is_prime(&BigUint::from(composite)), "{composite}");
        }
        for prime in [23_u64, 7919, 2_147_483_647, 18_446_744_073_709_551_557] {
            assert!(is_prime(&BigUint::from(prime)), "{prime}");
        }
    }

    #[test]
    fn a_product_of_two_has_twice_the_bits() {
        let mut stream = Stream::new("test", "a");
        let (p, q) = (next_prime(&mut stream, 128), next_prime(&mut stream, 128));
        assert_eq!((p.bits(), q.bits(), (&p * &q).bits()), (128, 128, 256));
        assert_ne!(p, q);
    }
}
