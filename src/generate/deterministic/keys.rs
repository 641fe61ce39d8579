//! Key pairs derived from a name. Insecure on purpose.
//!
//! Private keys are PKCS#8 version 1, public keys X.509 SubjectPublicKeyInfo, both in DER, as kees stores them.
//! Every pair is checked by the cryptography library before it is given out.

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use num_bigint::BigUint;
use num_integer::Integer as _;

use crate::domain::NamedCurve;
use crate::generate::pair::Pair;

use super::der::RsaNumbers;
use super::primes::next_prime;
use super::stream::Stream;

/// What pairs can be derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum KeyKind {
    Rsa,
    Ec(NamedCurve),
    Ed25519,
}

/// Kees' local RSA keys have 2048 bits whatever was asked for.
const RSA_PRIME_BITS: usize = 1024;

/// A candidate for a P-256 or P-384 scalar is out of range once in 2^32 tries.
const MOST_TRIES: usize = 8;

/// Derives the pair; `None` where the library refuses it.
pub(super) fn derive(kind: KeyKind, name: &str) -> Option<Pair> {
    match kind {
        KeyKind::Rsa => rsa(&mut Stream::new("RSA 2048", name)),
        KeyKind::Ec(NamedCurve::P256) => ec(&ECDH_P256, 32, &mut Stream::new("EC P-256", name)),
        KeyKind::Ec(NamedCurve::P384) => ec(&ECDH_P384, 48, &mut Stream::new("EC P-384", name)),
        KeyKind::Ed25519 => ed25519(&mut Stream::new("Ed25519", name)),
    }
}

fn rsa(stream: &mut Stream) -> Option<Pair> {
    let numbers = rsa_numbers(stream)?;
    let (public, private) = (numbers.public_key(), numbers.private_key());
    // The library checks the numbers of the private key against each other, and derives its public half.
    let checked = rsa::KeyPair::from_pkcs8(&private).ok()?;
    let derived: PublicKeyX509Der<'_> = checked.public_key().as_der().ok()?;
    (derived.as_ref() == public.as_slice()).then(|| Pair::new(&public, &private))
}

fn ec(algorithm: &'static agreement::Algorithm, length: usize, stream: &mut Stream) -> Option<Pair> {
    let key = (0..MOST_TRIES)
        .find_map(|_| agreement::PrivateKey::from_private_key(algorithm, &stream.take(length)).ok())?;
    let private: Pkcs8V1Der<'_> = key.as_der().ok()?;
    let public: PublicKeyX509Der<'_> = key.compute_public_key().ok()?.as_der().ok()?;
    Some(Pair::new(public.as_ref(), private.as_ref()))
}

fn ed25519(stream: &mut Stream) -> Option<Pair> {
    let key = Ed25519KeyPair::from_seed_unchecked(&stream.take(32)).ok()?;
    let private = key.to_pkcs8v1().ok()?;
    let public: PublicKeyX509Der<'_> = key.public_key().as_der().ok()?;
    Some(Pair::new(public.as_ref(), private.as_ref()))
}

fn rsa_numbers(stream: &mut Stream) -> Option<RsaNumbers> {
    let one = BigUint::from(1_u8);
    let e = BigUint::from(65_537_u32);
    let mut prime = || {
        loop {
            let prime = next_prime(stream, RSA_PRIME_BITS);
            if (&prime - &one).gcd(&e) == one {
                return prime;
            }
        }
    };
    let (first, second) = (prime(), prime());
    // By convention the first prime is the greater one.
    let (p, q) = if first > second { (first, second) } else { (second, first) };
    let (p1, q1) = (&p - &one, &q - &one);
    let d = e.modinv(&p1.lcm(&q1))?;
    Some(RsaNumbers {
        modulus: &p * &q,
        exponents: [&d % &p1, &d % &q1],
        coefficient: q.modinv(&p)?,
        public_exponent: e,
        private_exponent: d,
        primes: [p, q],
    })
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1,
        ECDSA_P384_SHA384_ASN1_SIGNING, ED25519, EcdsaKeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_SHA256, VerificationAlgorithm,
    };

    use super::*;
    use crate::domain::SecretValue;

    const MESSAGE: &[u8] = b"signed by one half, verified by the other";

    /// The same on every machine and in every version: local data may be encrypted with these.
    fn fingerprint(key: &SecretValue) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.expose());
        crate::domain::hex(&digest.as_ref()[..8])
    }

    #[test]
    fn rsa_halves_match_and_never_change() {
        let pair = derive(KeyKind::Rsa, "signingKey.v1").unwrap();
        let key = rsa::KeyPair::from_pkcs8(pair.private.expose()).unwrap();
        assert_eq!(key.public_modulus_len(), 256);
        let mut signature = vec![0; 256];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), MESSAGE, &mut signature).unwrap();
        let public = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public.expose()).unwrap();
        public.verify_sig(MESSAGE, &signature).unwrap();
        assert_eq!(fingerprint(&pair.public), "b628f4cd0c149ee8");
    }

    #[test]
    fn ec_halves_match_and_never_change() {
        let p384: &'static dyn VerificationAlgorithm = &ECDSA_P384_SHA384_ASN1;
        for (curve, signing, verifying, print) in [
            (
                NamedCurve::P256,
                &ECDSA_P256_SHA256_ASN1_SIGNING,
                &ECDSA_P256_SHA256_ASN1 as _,
                "cc4245fec902ee7c",
            ),
            (NamedCurve::P384, &ECDSA_P384_SHA384_ASN1_SIGNING, p384, "86dd2594bd470f58"),
        ] {
            let pair = derive(KeyKind::Ec(curve), "a").unwrap();
            let key = EcdsaKeyPair::from_pkcs8(signing, pair.private.expose()).unwrap();
            let signature = key.sign(&SystemRandom::new(), MESSAGE).unwrap();
            let public = ParsedPublicKey::new(verifying, pair.public.expose()).unwrap();
            public.verify_sig(MESSAGE, signature.as_ref()).unwrap();
            assert_eq!(fingerprint(&pair.public), print);
        }
    }

    #[test]
    fn ed25519_halves_match_and_never_change() {
        let pair = derive(KeyKind::Ed25519, "a").unwrap();
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pair.private.expose()).unwrap();
        let public = ParsedPublicKey::new(&ED25519, pair.public.expose()).unwrap();
        public.verify_sig(MESSAGE, key.sign(MESSAGE).as_ref()).unwrap();
        assert_eq!(fingerprint(&pair.public), "333cac063702d659");
    }
}
