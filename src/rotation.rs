//! Key sets that turn over: which key signs, which ones verify, and what happens next.
//!
//! ```text
//! annotations ─▶ Rotation ┐
//! data, notes ─▶ KeySet   ├─▶ next: publish ─▶ sign ─▶ retire ─▶ KeySet ─▶ data, jwks.json, issuers.yaml, notes
//! Window of two clocks    ┘
//!
//!               published        signs              verifies           gone
//! key n+1   ──────┤ publish ├────────────────┤ overlap + publish ├─────────
//! key n     ──── signs ──────┤ overlap + publish ├────────
//! ```
//!
//! Invariants: a set has exactly one key that signs, by its type. A key is published for `publish` before it signs, and
//! leaves no earlier than `overlap + publish` after it signed last, so a token verifies until it expires for everybody who
//! sees a change within `publish`. Every instant that is written down is the latest that it may be, every instant that is
//! compared with one is the earliest that it may be: of two clocks one may jump as it likes.
//!
//! Deliberately absent: clocks, randomness, clients. Keys are made by whoever asks ([`crate::generate`]), and come in as
//! values.

pub mod consumers;
mod documents;
mod material;
mod names;
mod notes;
mod ring;
mod set;
#[cfg(test)]
mod simulation;
mod steps;
pub mod tokens;

pub use documents::{ISSUERS, JWKS};
pub use material::{Material, MaterialError, private_key};
pub use notes::Notes;
pub use ring::{Found, Ring, RingError};
pub use set::{Former, Identity, KeySet, Next, Signing, Window};
pub use steps::{Forced, Refused, Step, forced, next_change, step};
