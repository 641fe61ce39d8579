//! `keystow rotate` on a real API server, with the rights that are shipped and no others.
//!
//! | module | what is tried |
//! |---|---|
//! | [`guide`] | a hand-made key, as guides of token issuers have people make it, and what `kubectl get secret` shows after |
//! | [`load`] | rotations under a load of issuing and verifying, by controllers that are killed at any instant |
//! | [`many`] | five hundred workloads that read one Secret |
//! | [`once`] | what is due, forced, revoked and dry; what is wrong, and the exit codes |
//! | [`restarts`] | who is told of a changed Secret, once, and who is not |
//! | [`external`] | ExternalSecrets and stores that embed a token |
//! | [`tokens`] | Secrets that hold a token, fresh and by the key that signs |
//! | [`metrics`] | what a controller tells in numbers |
//! | [`leaks`] | what is said and shown of private keys |

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

#[path = "../support/mod.rs"]
mod support;

mod external;
mod fixture;
mod guide;
mod leaks;
mod load;
mod many;
mod metrics;
mod once;
mod restarts;
mod tokens;
mod untold;
