//! What the configuration says of the provider.

use std::time::Duration;

use crate::domain::StoreName;

/// What is served, and to whom.
#[derive(Debug, Clone, PartialEq)]
pub struct Provider {
    /// The Secret of the keys: its namespace and name.
    pub keys: (String, String),
    /// What tokens must be for.
    pub audience: String,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// The store that is read; the default one where there is none.
    pub store: Option<StoreName>,
    /// Who may what.
    pub callers: Vec<Caller>,
    /// How much each may.
    pub rate: Rate,
}

/// What a token's `sub` must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// This.
    Exact(String),
    /// What begins with this (written with `*` at the end).
    Prefix(String),
}

/// Callers, and what they may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub subject: Subject,
    /// Paths that may be read are these, or below them.
    pub read: Vec<String>,
    /// Paths that may be written.
    pub write: Vec<String>,
}

/// How much each may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second, in the long run.
    pub per_second: u32,
    /// Requests at once.
    pub burst: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self { per_second: 50, burst: 200 }
    }
}

impl Subject {
    /// Reads what an operator wrote; `None` of what is no subject.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (begin, is_prefix) = text.strip_suffix('*').map_or((text, false), |begin| (begin, true));
        let is_plain = !begin.contains('*') && !begin.chars().any(|c| c.is_control() || c.is_whitespace());
        let is_subject = is_plain && !text.is_empty();
        is_subject.then(|| if is_prefix { Self::Prefix(begin.into()) } else { Self::Exact(begin.into()) })
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Exact(text) => text.clone(),
            Self::Prefix(begin) => format!("{begin}*"),
        }
    }

    /// Whether a token's subject is meant.
    #[must_use]
    pub fn is(&self, subject: &str) -> bool {
        match self {
            Self::Exact(text) => text == subject,
            Self::Prefix(begin) => subject.starts_with(begin.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_whole_or_a_beginning() {
        for text in ["", "a*b", "a b", "a\n", "**"] {
            assert_eq!(Subject::read(text), None, "{text:?}");
        }
        for text in ["*", "a*", "system:serviceaccount:eso:eso"] {
            assert_eq!(Subject::read(text).unwrap().text(), text);
        }
    }
}
