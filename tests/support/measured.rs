//! Figures that a test got: shown whether it passes or not, and again among the closing lines of `make test`.

use std::fmt::Arguments;
use std::io::Write as _;

/// Shows a figure, `what: how much`, past what libtest keeps to itself.
pub(crate) fn measured(figure: Arguments<'_>) {
    // In one piece, since others write at the same time. A closed stderr is no reason to fail.
    drop(std::io::stderr().write_all(format!("measured {figure}\n").as_bytes()));
}
