//! The injection as a whole, without a server: golden pairs, recorded reviews, properties.

mod golden;
mod properties;
mod reviews;
