//! Key pairs, made and tested.
//!
//! The test reads both halves as they will be stored, signs with the one and verifies with the other: what a faulty
//! memory or a fault of ours could break is found before anybody encrypts with it.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, VerificationAlgorithm,
};

use super::{GenerateError, Pair};
use crate::domain::{Modulus, NamedCurve, SecretType};

const MESSAGE: &[u8] = b"keystow tests a new key";

pub(super) fn rsa(size: Modulus) -> Result<Pair, GenerateError> {
    let size = match size {
        Modulus::Bits2048 => KeySize::Rsa2048,
        Modulus::Bits3072 => KeySize::Rsa3072,
        Modulus::Bits4096 => KeySize::Rsa4096,
    };
    let made = || {
        let key = rsa::KeyPair::generate(size).ok()?;
        let private: Pkcs8V1Der<'_> = key.as_der().ok()?;
        written(key.public_key(), private.as_ref())
    };
    let sign = |private: &[u8]| {
        let key = rsa::KeyPair::from_pkcs8(private).ok()?;
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), MESSAGE, &mut signature).ok()?;
        Some(signature)
    };
    tested(SecretType::Rsa, made(), sign, &RSA_PKCS1_2048_8192_SHA256)
}

pub(super) fn ec(curve: NamedCurve) -> Result<Pair, GenerateError> {
    let (signing, verifying): (_, &'static dyn VerificationAlgorithm) = match curve {
        NamedCurve::P256 => (&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P256_SHA256_ASN1),
        NamedCurve::P384 => (&ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1),
    };
    let made = || {
        let key = EcdsaKeyPair::generate(signing).ok()?;
        written(key.public_key(), key.to_pkcs8v1().ok()?.as_ref())
    };
    let sign = |private: &[u8]| {
        let key = EcdsaKeyPair::from_pkcs8(signing, private).ok()?;
        Some(key.sign(&SystemRandom::new(), MESSAGE).ok()?.as_ref().to_vec())
    };
    tested(SecretType::Ec, made(), sign, verifying)
}

pub(super) fn ed25519() -> Result<Pair, GenerateError> {
    let made = || {
        let key = Ed25519KeyPair::generate().ok()?;
        // Version 2 has the public half in it too, and OpenSSL 3.0 cannot read it.
        written(key.public_key(), key.to_pkcs8v1().ok()?.as_ref())
    };
    let sign = |private: &[u8]| {
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(private).ok()?;
        Some(key.try_sign(MESSAGE).ok()?.as_ref().to_vec())
    };
    tested(SecretType::Ed25519, made(), sign, &ED25519)
}

fn written(public: &impl AsDer<PublicKeyX509Der<'static>>, private: &[u8]) -> Option<Pair> {
    Some(Pair::new(public.as_der().ok()?.as_ref(), private))
}

/// The pair, if its halves belong together.
fn tested(
    kind: SecretType,
    made: Option<Pair>,
    sign: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
    verifying: &'static dyn VerificationAlgorithm,
) -> Result<Pair, GenerateError> {
    let pair = made.ok_or(GenerateError::Key(kind))?;
    let is_sound = sign(pair.private.expose()).is_some_and(|signature| {
        let public = ParsedPublicKey::new(verifying, pair.public.expose());
        public.is_ok_and(|public| public.verify_sig(MESSAGE, &signature).is_ok())
    });
    if is_sound { Ok(pair) } else { Err(GenerateError::Broken(kind)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_two_pairs_do_not_pass() {
        let (one, other) = (ed25519().unwrap(), ed25519().unwrap());
        let sign = |private: &[u8]| {
            let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(private).ok()?;
            Some(key.sign(MESSAGE).as_ref().to_vec())
        };
        let broken = Err(GenerateError::Broken(SecretType::Ed25519));
        let test = |public: &[u8], private: &[u8]| {
            tested(SecretType::Ed25519, Some(Pair::new(public, private)), sign, &ED25519).map(|_| ())
        };
        let (public, private) = (one.public.expose(), one.private.expose());
        assert_eq!(test(public, private), Ok(()));
        assert_eq!(test(other.public.expose(), private), broken);
        assert_eq!(test(public, &private[1..]), broken);
        assert_eq!(test(b"", private), broken);
        let none = tested(SecretType::Ed25519, None, sign, &ED25519).map(|_| ());
        assert_eq!(none, Err(GenerateError::Key(SecretType::Ed25519)));
    }
}
