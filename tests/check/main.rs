//! `keystow check`: faults that are seeded, and what finds them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod installation;
mod live;
mod offline;
mod seeds;
