//! What is wrong with annotations: problems refuse the pod, warnings come with the answer.
//!
//! A message names the annotation, the parameter, what was found and what is allowed. What was found is cut
//! to a readable length, and the value of a `localModeValue` is never part of any variant.

use std::fmt;

use super::request::Requests;

/// One problem of one annotation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{annotation}: {fault}")]
pub struct Problem {
    /// The annotation's full key.
    pub annotation: String,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with an annotation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The part behind the `/` is no name.
    #[error("the part after `/` is not {0}")]
    Name(&'static str),
    /// A part of the value is not `key=value`.
    #[error("{0} is not of the form key=value")]
    Syntax(Found),
    /// A parameter has a value out of a closed set's bounds.
    #[error("{parameter}={found} is not one of {allowed}")]
    NotOneOf {
        /// The parameter, or the annotation's own word where the whole value is meant.
        parameter: &'static str,
        /// What stood there.
        found: Found,
        /// The closed set.
        allowed: &'static str,
    },
    /// A parameter breaks its rule.
    #[error("{parameter}={found} {rule}")]
    Invalid {
        /// The parameter.
        parameter: &'static str,
        /// What stood there.
        found: Found,
        /// The rule, as the end of a sentence: "is not …".
        rule: String,
    },
    /// A parameter breaks its rule, and what stood there must not be shown.
    #[error("{parameter} {rule}")]
    InvalidHidden {
        /// The parameter.
        parameter: &'static str,
        /// The rule, as the end of a sentence: "is not …".
        rule: &'static str,
    },
    /// A parameter that must be there is not.
    #[error("{parameter} is missing: {rule}")]
    Missing {
        /// The parameter.
        parameter: &'static str,
        /// What is allowed.
        rule: &'static str,
    },
    /// Each parameter is right but they do not go together.
    #[error("{0}")]
    Conflict(String),
}

/// Something from an annotation, quoted in a message: control characters escaped, cut to 64 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found(String);

impl Found {
    /// Quotes `text`, up to where a `localModeValue` could begin that lost its separator.
    pub fn new(text: &str) -> Self {
        const LONGEST: usize = 64;
        let shown = text.to_ascii_lowercase().find("localmode").map_or(text, |at| &text[..at]);
        let kept: String = shown.chars().take(LONGEST).flat_map(char::escape_debug).collect();
        let is_cut = shown.len() < text.len() || shown.chars().nth(LONGEST).is_some();
        Self(if is_cut { kept + "…" } else { kept })
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something odd that does not keep the pod from being served.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning(String);

impl Warning {
    /// A warning about `annotation`. Kubernetes shows at most 256 characters of each.
    pub fn new(annotation: &str, message: &str) -> Self {
        Self(format!("{annotation}: {message}"))
    }

    /// The message.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why the annotations of a pod cannot be served: every problem at once, sorted by annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// At least one problem.
    pub problems: Vec<Problem>,
    /// What would have been warned of.
    pub warnings: Vec<Warning>,
    /// What could be read. Not to be served: only for others to complete the list of problems.
    pub readable: Box<Requests>,
}

impl std::error::Error for Rejection {}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_cut_and_escaped() {
        assert_eq!(Found::new("a\nb").to_string(), "a\\nb");
        assert_eq!(Found::new(&"x".repeat(70)).to_string(), format!("{}…", "x".repeat(64)));
    }
}
