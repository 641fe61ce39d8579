//! The numbers of an RSA key: out of PKCS#8 (RFC 5958, RFC 8017 A.1.2), into OpenPGP's form (RFC 9580, 3.2 and 5.5.5.1).
//!
//! They are borrowed from the document, so that there is no copy to wipe. Deliberately absent: keys of more than two
//! primes, and tolerance: what is read was written by ourselves.

use zeroize::Zeroizing;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// Without leading zeros, the most significant byte first.
pub(super) struct Numbers<'k> {
    modulus: &'k [u8],
    public_exponent: &'k [u8],
    private_exponent: &'k [u8],
    /// The greater one first, as PKCS#1 has them.
    primes: [&'k [u8]; 2],
    /// The inverse of the second prime modulo the first.
    coefficient: &'k [u8],
}

impl<'k> Numbers<'k> {
    pub(super) fn read(pkcs8: &'k [u8]) -> Option<Self> {
        let mut document = whole(pkcs8, SEQUENCE)?;
        let _version = element(&mut document, INTEGER)?;
        let _algorithm = element(&mut document, SEQUENCE)?;
        let mut key = whole(whole(document, OCTET_STRING)?, SEQUENCE)?;
        let mut next = || {
            let number = element(&mut key, INTEGER)?;
            // At most one byte, for the sign.
            Some(number.strip_prefix(&[0]).unwrap_or(number))
        };
        let _version = next()?;
        let (modulus, public_exponent, private_exponent) = (next()?, next()?, next()?);
        let primes = [next()?, next()?];
        let (_p1, _q1, coefficient) = (next()?, next()?, next()?);
        let [first, second] = primes;
        let is_in_order = first.len() == second.len() && first > second;
        is_in_order.then_some(Self { modulus, public_exponent, private_exponent, primes, coefficient })
    }

    /// The public numbers of a key packet.
    pub(super) fn public(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write(&[self.modulus, self.public_exponent], &mut out);
        out
    }

    /// The secret numbers of a key packet, with room for `more` bytes.
    pub(super) fn secret(&self, more: usize) -> Zeroizing<Vec<u8>> {
        // OpenPGP has the lesser prime first, and its inverse: the same number as the coefficient of PKCS#1.
        let [greater, lesser] = self.primes;
        let numbers = [self.private_exponent, lesser, greater, self.coefficient];
        let length: usize = numbers.iter().map(|number| number.len() + 2).sum();
        // All of it at once: a vector that grows leaves copies behind.
        let mut out = Zeroizing::new(Vec::with_capacity(length + more));
        write(&numbers, &mut out);
        out
    }
}

/// Multiprecision integers: the number of bits, and the bytes.
fn write(numbers: &[&[u8]], out: &mut Vec<u8>) {
    for number in numbers {
        let unused = number.first().map_or(0, |first| first.leading_zeros());
        let bits = number.len() as u32 * 8 - unused;
        out.extend_from_slice(&(bits as u16).to_be_bytes());
        out.extend_from_slice(number);
    }
}

/// The content of the one element that there is.
fn whole(mut input: &[u8], tag: u8) -> Option<&[u8]> {
    let content = element(&mut input, tag)?;
    input.is_empty().then_some(content)
}

/// The content of the next element.
fn element<'k>(input: &mut &'k [u8], tag: u8) -> Option<&'k [u8]> {
    let rest = input.strip_prefix(&[tag])?;
    let (length, rest) = match *rest {
        [length @ ..=0x7F, ref rest @ ..] => (usize::from(length), rest),
        [0x81, length, ref rest @ ..] => (usize::from(length), rest),
        [0x82, high, low, ref rest @ ..] => (usize::from(u16::from_be_bytes([high, low])), rest),
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *input = rest;
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::openpgp::tests::rsa_key;

    #[test]
    fn numbers_are_written_with_their_bits() {
        let mut out = Vec::new();
        write(&[&[1], &[0x01, 0xFF], &[0x80]], &mut out);
        assert_eq!(out, [0, 1, 1, 0, 9, 0x01, 0xFF, 0, 8, 0x80]);
    }

    #[test]
    fn what_is_cut_or_longer_is_not_read() {
        let private = rsa_key();
        let private = private.expose();
        assert!(Numbers::read(private).is_some());
        assert!((0..private.len()).all(|end| Numbers::read(&private[..end]).is_none()));
        assert!(Numbers::read(&[private, &[0]].concat()).is_none());
    }
}
