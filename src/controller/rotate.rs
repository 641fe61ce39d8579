//! The rotation of keys in Secrets that ask for it: `rotate.D/type` and the annotations beside it.
//!
//! ```text
//! Secrets ──metadata──▶ those that ask ──▶ when due (term) ──▶ turn: read ─▶ Ring, steps (rotation) ─▶ one write
//!                       │                                       └─▶ Events (report), metrics
//!                       └──▶ who reads them once: workloads (consumers), stores of External Secrets (external)
//! ```
//!
//! Invariants: one Secret changes in one request, for the version that was read, so whoever is killed between two steps
//! leaves a set that is whole, and two that work at once do not undo each other. Nothing is remembered between turns: what
//! is due follows from the Secret and two clocks, this machine's and the API server's. Of Secrets that neither ask
//! for it nor are read by an environment, only the metadata is ever requested.
//!
//! Deliberately absent: keys that lie in other stores. A key set changes as a whole, and only a Secret does that for all
//! who read it.

pub mod consumers;
mod external;
mod listing;
mod maker;
pub mod metrics;
mod readers;
mod report;
mod roll;
pub mod run;
mod salt;
mod term;
mod token;
pub mod turn;
