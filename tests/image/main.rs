//! The container image: what is in it, and that the program in it does its work where nothing else is.
//!
//! Flow: `tests/image/build.sh` makes it, by the Dockerfile → [`layout`] reads and unpacks it → [`container`] starts it as a
//! node would: by its own entry point, as its own user, without capabilities, on a read-only root.
//!
//! Invariants: no test runs on an image that is older than what it is made of; nothing is pulled.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

#[path = "../source/mod.rs"]
mod source;
#[path = "../support/mod.rs"]
mod support;

mod container;
mod contents;
mod layout;
mod names;
mod serves;
