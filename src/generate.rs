//! Where values come from that nobody typed.
//!
//! [`deterministic`] derives predictable values from names, for development. Deliberately absent: random
//! generation, which is the creator's.

pub mod deterministic;
