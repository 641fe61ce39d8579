//! Findings as text for people, JSON for programs, SARIF for code scanning.

mod json;
mod sarif;
mod text;

use super::finding::{Finding, Severity};

pub use json::json;
pub use sarif::sarif;
pub use text::text;

/// How many findings there are of each severity: `3 errors, 1 warning`.
fn summary(findings: &[Finding]) -> String {
    let counts = [Severity::Error, Severity::Warning, Severity::Note].map(|severity| {
        let count = findings.iter().filter(|finding| finding.severity == severity).count();
        (count, severity.word())
    });
    let told: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}{}", if count == 1 { "" } else { "s" }))
        .collect();
    told.join(", ")
}
