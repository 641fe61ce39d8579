//! Secret numbers under a password, as GnuPG reads them (RFC 9580, 3.7.2.1 and 5.5.3): usage 254.
//!
//! The OpenPGP library can do that too, but does not wipe what it does it with.

use aws_lc_rs::cipher::{
    AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::constant_time;
use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::iv::FixedLength;
use bytes::Bytes;
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::types::{EncryptedSecretParams, S2kParams, SecretParams, StringToKey};
use zeroize::Zeroizing;

use super::Salt;
use super::numbers::Numbers;
use crate::domain::SecretValue;

/// The bytes of SHA-1.
const CHECK: usize = 20;
/// How many bytes are hashed. Stretching helps passwords that people think of; these have 95 random bits.
const HASHED: usize = 65_536;
/// The same as it is coded (3.7.1.3).
const COUNT: u8 = 0x60;

/// The secret numbers and their check.
fn plain(numbers: &Numbers<'_>) -> Zeroizing<Vec<u8>> {
    let mut plain = numbers.secret(CHECK);
    let check = digest(&SHA1_FOR_LEGACY_USE_ONLY, &plain);
    plain.extend_from_slice(check.as_ref());
    plain
}

/// The hash of salt and password, again and again: as long as an AES key.
fn key(salt: &[u8; 8], password: &SecretValue) -> Option<UnboundCipherKey> {
    let mut context = Context::new(&SHA256);
    let mut left = HASHED;
    while left > 0 {
        for part in [salt, password.expose()] {
            let part = &part[..part.len().min(left)];
            context.update(part);
            left -= part.len();
        }
    }
    UnboundCipherKey::new(&AES_256, context.finish().as_ref()).ok()
}

/// The secret part of a key packet.
pub(super) fn lock(numbers: &Numbers<'_>, password: &SecretValue, salt: &Salt) -> Option<SecretParams> {
    let (salt, iv) = salt.split_first_chunk::<8>()?;
    let iv: &[u8; 16] = iv.try_into().ok()?;
    let mut data = plain(numbers);
    let key = EncryptingKey::cfb128(key(salt, password)?).ok()?;
    key.less_safe_encrypt(&mut data, EncryptionContext::Iv128(FixedLength::from(iv))).ok()?;
    let s2k = StringToKey::IteratedAndSalted { hash_alg: HashAlgorithm::Sha256, salt: *salt, count: COUNT };
    let params =
        S2kParams::Cfb { sym_alg: SymmetricKeyAlgorithm::AES256, s2k, iv: Bytes::copy_from_slice(iv) };
    Some(SecretParams::Encrypted(EncryptedSecretParams::new(Bytes::copy_from_slice(&data), params)))
}

/// Whether the password opens these numbers.
pub(super) fn holds(secret: &SecretParams, numbers: &Numbers<'_>, password: &SecretValue) -> bool {
    let SecretParams::Encrypted(locked) = secret else { return false };
    let S2kParams::Cfb { s2k: StringToKey::IteratedAndSalted { salt, .. }, iv, .. } =
        locked.string_to_key_params()
    else {
        return false;
    };
    let opened = || {
        let key = DecryptingKey::cfb128(key(salt, password)?).ok()?;
        let iv: &[u8; 16] = iv.as_ref().try_into().ok()?;
        let mut data = Zeroizing::new(locked.data().to_vec());
        key.decrypt(&mut data, DecryptionContext::Iv128(FixedLength::from(iv))).ok()?;
        Some(data)
    };
    opened().is_some_and(|data| constant_time::verify_slices_are_equal(&data, &plain(numbers)).is_ok())
}
