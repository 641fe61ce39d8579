//! A finding: what is wrong, where, how bad, and what to do.

use std::fmt;

use super::code::Code;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing: what could not be looked at, or what nobody can see from here.
    Note,
    /// It works today, and is weak or will break.
    Warning,
    /// It does not work, or will not when it is applied.
    Error,
}

impl Severity {
    /// SARIF's `level`, and the word of `--fail-on`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Where something was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file, as it was named.
    pub file: Option<String>,
    /// The line in it, counted from 1.
    pub line: Option<u64>,
    /// The object, as `KIND NAMESPACE/NAME`; `KIND NAME` of what is in no namespace.
    pub object: String,
}

impl Place {
    /// An object of a live cluster.
    pub fn of(object: impl Into<String>) -> Self {
        Self { file: None, line: None, object: object.into() }
    }
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// Which rule.
    pub code: Code,
    /// How bad it is here: a rule's own severity, or a lesser one.
    pub severity: Severity,
    /// What is wrong, with names and without values.
    pub message: String,
    /// What to do.
    pub advice: String,
}
