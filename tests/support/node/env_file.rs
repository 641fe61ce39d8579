//! kubelet's strict reader of the files behind `fileKeyRef`.
//!
//! A line is blank, a comment, or `NAME='value'`. The quotes are mandatory, what is between them is literal and may
//! span lines, nothing but blanks and a comment may follow. Lines end as Go's scanner ends them: a carriage return
//! before the newline is lost, even inside a value, and a line of 64 KiB or more cannot be read. Reading stops at the
//! name that is looked for, so an error behind it goes unnoticed; and an empty value cannot be told from none.

/// The longest line that Go's scanner takes.
const LINE_LIMIT: usize = 64 * 1024;

/// Why a file cannot be read; kubelet reports none of the details.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvFileError {
    #[error("line {0}: no '='")]
    NoEquals(usize),
    #[error("line {0}: no name before '='")]
    NoName(usize),
    #[error("line {0}: blank before '='")]
    BlankBeforeEquals(usize),
    #[error("line {0}: the value is not in single quotes")]
    NotQuoted(usize),
    #[error("line {0}: something follows the closing quote")]
    Trailing(usize),
    #[error("line {0}: the quote is not closed")]
    NotClosed(usize),
    #[error("line {0} is too long")]
    LineTooLong(usize),
}

/// The value of `key` in `text`; empty where it is not there.
pub(crate) fn lookup(text: &str, key: &str) -> Result<String, EnvFileError> {
    let mut lines = Lines { rest: text, number: 0 };
    while let Some(line) = lines.next_line()? {
        let line = line.trim_start_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let number = lines.number;
        let (name, value) = line.split_once('=').ok_or(EnvFileError::NoEquals(number))?;
        if name.trim_end_matches([' ', '\t']).is_empty() {
            return Err(EnvFileError::NoName(number));
        }
        if name.ends_with([' ', '\t']) {
            return Err(EnvFileError::BlankBeforeEquals(number));
        }
        // As in a shell, a blank after '=' ends an empty value; the rest of the line is then of no matter.
        let value = if value.starts_with([' ', '\t']) { String::new() } else { lines.quoted(value)? };
        if name == key {
            return Ok(value);
        }
    }
    Ok(String::new())
}

struct Lines<'t> {
    rest: &'t str,
    number: usize,
}

impl<'t> Lines<'t> {
    fn next_line(&mut self) -> Result<Option<&'t str>, EnvFileError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        if line.len() >= LINE_LIMIT {
            return Err(EnvFileError::LineTooLong(self.number));
        }
        self.rest = rest;
        Ok(Some(line.strip_suffix('\r').unwrap_or(line)))
    }

    /// The value that begins with `first`, and goes on over the next lines until its quote is closed.
    fn quoted(&mut self, first: &'t str) -> Result<String, EnvFileError> {
        let began = self.number;
        let mut line = first.strip_prefix('\'').ok_or(EnvFileError::NotQuoted(began))?;
        let mut value = String::new();
        loop {
            if let Some((end, after)) = line.split_once('\'') {
                let after = after.trim_start_matches([' ', '\t']);
                if !after.is_empty() && !after.starts_with('#') {
                    return Err(EnvFileError::Trailing(self.number));
                }
                value.push_str(end);
                return Ok(value);
            }
            value.push_str(line);
            value.push('\n');
            line = self.next_line()?.ok_or(EnvFileError::NotClosed(began))?;
        }
    }
}
