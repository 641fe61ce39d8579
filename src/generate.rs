//! Where values come from that nobody typed.
//!
//! ```text
//! Recipe, time ─▶ fresh ─────────▶ random values, for the creator       ─┐
//! name, size ───▶ deterministic ─▶ predictable values, for development  ─┴▶ openpgp (feature `gpg`): RSA key ─▶ armour
//! ```
//!
//! Neither knows a store: who asks says where the values go. Neither has a clock. Deliberately absent: a form in which a
//! value could be shown; all of them are [`crate::domain::SecretValue`].

pub mod deterministic;
pub mod fresh;
#[cfg(feature = "gpg")]
mod openpgp;
mod pair;

/// The digits of passwords, in the order of their values.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// What the size of an OpenPGP key's password would be if it were annotated: 16 characters, as under kees.
const GPG_PASSWORD_BITS: u16 = 128;
