//! The operator's configuration file as people and CI systems meet it: golden files of all mistakes and of what is in
//! effect, the program's own `--check-config`, and the documents that name its fields.
//!
//! `UPDATE_GOLDEN=1 cargo test --test config` writes the golden files instead of comparing them; read the difference.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod fields;
mod golden;
mod program;
