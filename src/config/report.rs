//! Mistakes with their places, gathered until all are known.

use std::fmt;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// A JSON pointer such as `/stores/prod/dynamodb/table`; empty for the file as a whole.
    pub path: String,
    /// The line, counted from 1; of something that is missing, the line of what it is missing in.
    pub line: Option<u64>,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "the file" } else { &self.path };
        write!(f, "{path}: {}", self.message)
    }
}

/// Where something is in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) line: u64,
}

impl Place {
    pub(super) fn root(line: u64) -> Self {
        Self { path: String::new(), line }
    }

    pub(super) fn child(&self, key: &str, line: u64) -> Self {
        Self { path: format!("{}/{}", self.path, key.replace('~', "~0").replace('/', "~1")), line }
    }
}

/// The mistakes so far.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Mistake>);

impl Report {
    pub(super) fn add(&mut self, at: &Place, message: String) {
        self.0.push(Mistake { path: at.path.clone(), line: Some(at.line), message });
    }

    /// What a rule made of something; where it refused, its words are told.
    pub(super) fn check<T>(&mut self, at: &Place, result: Result<T, impl fmt::Display>) -> Option<T> {
        result.map_err(|error| self.add(at, error.to_string())).ok()
    }

    /// All of them, in the order of the file.
    pub(super) fn into_mistakes(mut self) -> Vec<Mistake> {
        self.0.sort_by(|a, b| (a.line, &a.path).cmp(&(b.line, &b.path)));
        self.0
    }
}
