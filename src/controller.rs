//! Loops over the cluster that no review waits for.
//!
//! Each runs on the leader alone, and each can be left out: what it needs of rights and memory is then not needed.

mod bucket;
pub mod create;
mod event;
mod listed;
mod metadata;
pub mod uninjected;
