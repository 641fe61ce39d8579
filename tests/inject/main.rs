//! The injection as a whole, without a server: golden pairs, recorded reviews, properties.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod golden;
mod properties;
mod reviews;
mod round_trip;
