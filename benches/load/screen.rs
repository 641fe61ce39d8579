//! What is written: titles, remarks, and tables whose columns are as wide as what is in them; and beside that, on
//! stderr, how far a section is.

use std::io::Write as _;

/// A table; its first row is the heads of the columns.
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    pub(crate) fn new<const N: usize>(heads: [&str; N]) -> Self {
        Self(vec![heads.map(str::to_owned).into()])
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.push(cells.into());
    }

    /// Writes it, the first column to the left and the others, which are numbers, to the right.
    pub(crate) fn write(&self) {
        let columns = self.0.first().map_or(0, Vec::len);
        let width = |column: usize| self.0.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.0 {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            write(&format!("  {}\n", cells.collect::<Vec<_>>().join("   ")));
        }
    }
}

pub(crate) fn title(text: &str) {
    write(&format!("\n{text}\n"));
}

pub(crate) fn remark(text: &str) {
    write(&format!("  {text}\n"));
}

/// Says how a figure stands to its budget.
pub(crate) fn budget(what: &str, is_kept: bool) {
    remark(&format!("budget {}: {what}", if is_kept { "kept" } else { "MISSED" }));
}

/// Says which step of how many begins.
pub(crate) fn progress(step: usize, steps: usize) {
    error(&format!("    {} of {steps}", step + 1));
}

/// Writes to stderr.
pub(crate) fn error(text: &str) {
    // A reader that is gone is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A reader that is gone is no reason to fail.
fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
