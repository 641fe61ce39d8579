//! What a test has to say whether it passes or not, and again among the closing lines of `make test`: figures that it got,
//! and servers' answers that no server gave.

use std::collections::BTreeSet;
use std::fmt::Arguments;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

/// Shows a figure, `what: how much`, past what libtest keeps to itself.
pub(crate) fn measured(figure: Arguments<'_>) {
    // In one piece, since others write at the same time. A closed stderr is no reason to fail.
    drop(std::io::stderr().write_all(format!("measured {figure}\n").as_bytes()));
}

/// Says that `what` was not a real server's: each only once.
pub(crate) fn simulated(what: Arguments<'_>) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let line = format!("simulated: {what}\n");
    if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(line.clone()) {
        drop(std::io::stderr().write_all(line.as_bytes()));
    }
}
