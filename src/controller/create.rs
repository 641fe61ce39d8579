//! The creator: makes what pods ask for and nobody has made yet, and gives each pod its indices.
//!
//! ```text
//! pods ──metadata──▶ Roll (roll: who wants what, by wish) ──▶ Queue (queue) ──▶ turns (turn), some at once ──▶ store
//!                       └─ gone ──▶ release                                       └─▶ Events (report), metrics
//! now and then ──▶ sweep: leases of pods that went while nobody looked
//! ```
//!
//! Invariants: the leader alone does any of it, and that only saves work: whatever two creators do at once, or one that is
//! killed between two steps, every store has at most one value for a name, both halves of a pair or none, and one holder
//! for an index. Nothing that is stored is made again or written over. Of pods only the metadata is asked for, by one watch,
//! and none is ever touched.
//!
//! Deliberately absent: deleting secrets that nobody asks for any more. Somebody may restore a backup that needs them.

mod away;
mod known;
pub mod leases;
pub mod metrics;
mod queue;
mod report;
mod roll;
pub mod run;
mod stores;
mod sweep;
mod term;
mod turn;
mod wish;

pub use self::metrics::Reason;
