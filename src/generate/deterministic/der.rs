//! The few ASN.1 forms in DER that an RSA key needs (RFC 8017 A.1, RFC 5958, RFC 5280 4.1).

use num_bigint::BigUint;
use zeroize::Zeroizing;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// `AlgorithmIdentifier { rsaEncryption, NULL }`.
const RSA_ENCRYPTION: [u8; 15] =
    [0x30, 0x0D, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00];

/// The numbers of an RSA key.
pub(super) struct RsaNumbers {
    pub(super) modulus: BigUint,
    pub(super) public_exponent: BigUint,
    pub(super) private_exponent: BigUint,
    pub(super) primes: [BigUint; 2],
    pub(super) exponents: [BigUint; 2],
    pub(super) coefficient: BigUint,
}

fn element(tag: u8, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Zeroizing::new(Vec::with_capacity(length + 6));
    out.push(tag);
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let digits = length.to_be_bytes();
        let digits = &digits[digits.iter().take_while(|digit| **digit == 0).count()..];
        out.push(0x80 | digits.len() as u8);
        out.extend_from_slice(digits);
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

fn integer(number: &BigUint) -> Zeroizing<Vec<u8>> {
    let bytes = Zeroizing::new(number.to_bytes_be());
    // A first bit that is set would be a sign.
    let sign: &[u8] = if bytes.first().is_some_and(|first| first & 0x80 != 0) { &[0] } else { &[] };
    element(INTEGER, &[sign, &bytes])
}

impl RsaNumbers {
    /// PKCS#8.
    pub(super) fn private_key(&self) -> Zeroizing<Vec<u8>> {
        let zero = integer(&BigUint::ZERO);
        let numbers = [
            &self.modulus,
            &self.public_exponent,
            &self.private_exponent,
            &self.primes[0],
            &self.primes[1],
            &self.exponents[0],
            &self.exponents[1],
            &self.coefficient,
        ]
        .map(integer);
        let mut parts: Vec<&[u8]> = vec![&zero];
        parts.extend(numbers.iter().map(|number| number.as_slice()));
        let key = element(SEQUENCE, &parts);
        element(SEQUENCE, &[&zero, &RSA_ENCRYPTION, &element(OCTET_STRING, &[&key])])
    }

    /// X.509 SubjectPublicKeyInfo.
    pub(super) fn public_key(&self) -> Zeroizing<Vec<u8>> {
        let key = element(SEQUENCE, &[&integer(&self.modulus), &integer(&self.public_exponent)]);
        element(SEQUENCE, &[&RSA_ENCRYPTION, &element(BIT_STRING, &[&[0], &key])])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lengths_are_der() {
        for (number, bytes) in [
            (0_u32, vec![2, 1, 0]),
            (127, vec![2, 1, 127]),
            (128, vec![2, 2, 0, 128]),
            (65_537, vec![2, 3, 1, 0, 1]),
        ] {
            assert_eq!(*integer(&BigUint::from(number)), bytes);
        }
        assert_eq!(element(4, &[&[7; 127]])[..2], [4, 127]);
        assert_eq!(element(4, &[&[7; 128]])[..3], [4, 0x81, 128]);
        assert_eq!(element(4, &[&[7; 300]])[..4], [4, 0x82, 1, 44]);
    }
}
