//! The webhook in a cluster where things go wrong: certificates that turn over, replicas that die, API servers that are
//! away. A real API server, and replicas as processes with the shipped rights.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

#[path = "../support/mod.rs"]
mod support;

mod certificates;
mod cluster;
mod creation;
mod memory;
mod rotation;

/// The binary under test.
const KEYSTOW: &str = env!("CARGO_BIN_EXE_keystow");
/// Its configuration file.
const CONFIGURATION: &str =
    "injection: {image: 'keystow:test'}\nstores: {default: local, local: {local: {}}}\n";
