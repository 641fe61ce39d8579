//! Values that nobody can guess: what the creator stores.
//!
//! ```text
//! Recipe ─▶ RSA, EC, ED25519: pairs  (made, written in DER, read again, signed and verified)
//!         ├▶ GPG: an RSA pair and a password ─▶ openpgp (feature `gpg`)
//!         └▶ RANDOM, API keys, PASSWORD: bytes of the library's generator
//! ```
//!
//! Invariants: one value for each of [`Recipe::parts`], in that order. A pair is given out only after the stored form of
//! its private half has signed something that the stored form of its public half verifies. Every character of a password
//! has the same probability: a number that is no digit is thrown away, never reduced.
//!
//! Every buffer here that holds a secret wipes itself, and so do those of the library: its documents when they are
//! dropped, and its heap whenever it is freed. What remains unwiped until it is written over are copies on the stack and
//! in registers that the compiler makes of moved values, and for an OpenPGP key those that `openpgp` names.
//!
//! Deliberately absent: a clock (the time of an OpenPGP key is an argument), storing, and asynchronous calls: an RSA key
//! of 4096 bits keeps a processor busy for a second or several, so ask on a thread that may wait.

mod pairs;

use std::time::SystemTime;

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use self::pairs::{ec, ed25519, rsa};
use super::BASE62;
use super::pair::Pair;
use crate::domain::{Modulus, Recipe, SecretType, SecretValue};

/// Why there are no values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// The generator of random numbers gave none.
    #[error(
        "the system gives no random numbers; try again, and look at the node's kernel log if it stays so"
    )]
    Random,
    /// The library made no key.
    #[error("the cryptography library made no key of type {}; try again, and give more memory if it stays so", .0.word())]
    Key(SecretType),
    /// What was made is not what it should be.
    #[error(
        "a new key of type {} failed its test and was thrown away; try again, and suspect the node's memory if it stays so",
        .0.word()
    )]
    Broken(SecretType),
    /// OpenPGP, in a build without it.
    #[error("this build generates no GPG keys; build keystow with the feature `gpg`")]
    NotCarried,
    /// An OpenPGP key carries its time of creation in 32 bits, from 1970 on.
    #[error("an OpenPGP key cannot have the time that it is now; set the clock of the node")]
    Clock,
}

/// Makes one value for each of the recipe's parts, in their order. `created` is the time that an OpenPGP key carries, to
/// the second. Takes up to several seconds of a processor, and waits for nothing.
pub fn make(recipe: &Recipe, created: SystemTime) -> Result<Vec<SecretValue>, GenerateError> {
    let halves = |pair: Pair| vec![pair.public, pair.private];
    match recipe {
        Recipe::Rsa(size) => rsa(*size).map(halves),
        Recipe::Ec(curve) => ec(*curve).map(halves),
        Recipe::Ed25519 => ed25519().map(halves),
        Recipe::Gpg { size, user_id } => gpg(*size, user_id, created),
        Recipe::Random { bits } => Ok(vec![random(*bits)?]),
        Recipe::ApiKey { bits } => random(*bits).map(|value| vec![value.clone(), value]),
        Recipe::Password { bits } => Ok(vec![password(*bits)?]),
    }
}

#[cfg(feature = "gpg")]
fn gpg(size: Modulus, user_id: &str, created: SystemTime) -> Result<Vec<SecretValue>, GenerateError> {
    use super::GPG_PASSWORD_BITS;
    use super::openpgp::{Plan, Salt};
    let since_1970 = created.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| GenerateError::Clock)?;
    let created = u32::try_from(since_1970.as_secs()).map_err(|_| GenerateError::Clock)?;
    let mut salt = Salt::default();
    rand::fill(&mut salt).map_err(|_| GenerateError::Random)?;
    let (pair, password) = (rsa(size)?, password(GPG_PASSWORD_BITS)?);
    let plan = Plan { private: &pair.private, user_id, created, password: &password, salt };
    let armour = plan.carry_out().ok_or(GenerateError::Broken(SecretType::Gpg))?;
    Ok(vec![armour.public, armour.private, password])
}

#[cfg(not(feature = "gpg"))]
fn gpg(_: Modulus, _: &str, _: SystemTime) -> Result<Vec<SecretValue>, GenerateError> {
    Err(GenerateError::NotCarried)
}

/// RANDOM: `bits / 8` bytes.
fn random(bits: u16) -> Result<SecretValue, GenerateError> {
    let mut bytes = Zeroizing::new(vec![0; usize::from(bits / 8)]);
    rand::fill(&mut bytes).map_err(|_| GenerateError::Random)?;
    Ok(SecretValue::new(std::mem::take(&mut *bytes)))
}

/// PASSWORD: `bits / 8` characters.
fn password(bits: u16) -> Result<SecretValue, GenerateError> {
    let length = usize::from(bits / 8);
    // With room for all of them: a vector that grows leaves copies behind.
    let mut characters = Zeroizing::new(Vec::with_capacity(length));
    let mut drawn = Zeroizing::new([0_u8; 64]);
    while characters.len() < length {
        rand::fill(&mut *drawn).map_err(|_| GenerateError::Random)?;
        let missing = length - characters.len();
        // Of 64 numbers, 62 are digits.
        let digits = drawn.iter().filter_map(|byte| BASE62.get(usize::from(byte & 0x3F)));
        characters.extend(digits.take(missing));
    }
    Ok(SecretValue::new(std::mem::take(&mut *characters)))
}

#[cfg(test)]
mod tests;
