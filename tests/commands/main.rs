//! What surrounds the commands: the plugin of kubectl, completions, manual pages, the pages of docs/.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

#[path = "../support/mod.rs"]
mod support;

mod guides;
mod man;
mod plugin;
mod reference;
