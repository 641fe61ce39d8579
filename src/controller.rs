//! Loops over the cluster that no review waits for.
//!
//! Each runs on the leader alone, and each can be left out: what it needs of rights and memory is then not needed.

pub mod create;
mod event;
mod listed;
pub(crate) mod metadata;
mod process;
#[cfg(feature = "kubernetes")]
pub mod rotate;
pub mod uninjected;

pub use self::process::ProcessError;
