//! `keystow provide` on a real API server, with the rights that are shipped, asked as External Secrets Operator asks.
//!
//! | module | what is tried |
//! |---|---|
//! | [`asked`] | what a ClusterSecretStore sends, and what it is answered; what is refused |
//! | [`large`] | many large values at once |
//! | [`live`] | rotations, revocations, a Secret that is deleted, without a restart |
//! | [`pushed`] | PushSecret, into a store that can replace and one that cannot |

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../rotate/fixture.rs"]
#[allow(dead_code, reason = "it is of other tests too")]
mod fixture;

mod asked;
mod client;
mod large;
mod live;
mod pushed;
