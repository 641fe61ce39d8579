//! `keystow init` as a process, and what may happen to it: faults between it and a store, a kill at any instant, somebody
//! who looks for values where none may be.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../leaks/canary.rs"]
#[allow(dead_code, reason = "it is of other tests too")]
mod canary;

mod faults;
#[cfg(feature = "dynamodb")]
mod kees;
mod killed;
mod line;
mod modes;
mod pod;
