//! The webhook's server as its clients meet it: real sockets, real handshakes, key pairs minted for each test.
//!
//! What decides is a double that answers a constant; see [`support`]. Nothing here waits for luck: a test waits for a
//! condition, and fails when it does not come within a bound.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod bounds;
mod drain;
#[path = "../support/hello.rs"]
mod hello;
mod reload;
#[path = "../support/sink.rs"]
mod sink;
mod start;
mod support;
mod tls;
