//! `keystow export`: what the policies allow, and that it is no more.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../init/pod.rs"]
mod pod;

mod cluster;
mod encryption;
mod iam;
mod mutating_policy;
mod program;
mod template;
mod terraform;
mod written;
