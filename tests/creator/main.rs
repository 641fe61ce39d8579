//! What the creator makes, judged by the programs that others read it with.
//!
//! | module | what is tried |
//! |---|---|
//! | [`keys`] | key pairs with `openssl`, OpenPGP keys with `gpg`, generated and derived ones |

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

#[path = "../support/mod.rs"]
mod support;

mod keys;
