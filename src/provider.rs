//! The endpoint of External Secrets Operator's webhook provider: values of a store, for callers with a token that the current
//! keys verify.
//!
//! ```text
//! GET /webhook?key=PATH, Authorization: Bearer TOKEN
//!   ─▶ token (who, by which key) ─▶ allowed (may this subject read this path) ─▶ limits ─▶ store ─▶ JSON
//! Secret of the keys ──watch──▶ live ─▶ keys (verified as a whole) ─▶ swapped at once for every request after
//! ```
//!
//! Invariants: the algorithm is that of the key, never what the token says; an issuer is believed for its own key alone; who is
//! not listed may do nothing. A key that leaves the Secret verifies nothing from then on. Of the Secret only the public
//! documents are ever decoded. No value and no token is logged.
//!
//! Deliberately absent: tokens of its own, and users. Who issues tokens is whoever holds the private keys that
//! `keystow rotate` keeps.

#[cfg(feature = "kubernetes")]
mod allowed;
#[cfg(feature = "kubernetes")]
mod keys;
#[cfg(feature = "kubernetes")]
mod limits;
#[cfg(feature = "kubernetes")]
mod live;
#[cfg(feature = "kubernetes")]
pub mod metrics;
#[cfg(feature = "kubernetes")]
mod room;
#[cfg(feature = "kubernetes")]
mod router;
#[cfg(feature = "kubernetes")]
pub mod run;
#[cfg(feature = "kubernetes")]
mod serving;
mod settings;
#[cfg(feature = "kubernetes")]
mod token;

pub use settings::{Caller, Provider, Rate, Subject};
