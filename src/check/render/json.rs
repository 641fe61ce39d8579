//! JSON: `{"findings": [{code, name, severity, object, file, line, message, advice}], "summary": {error, warning, note}}`.

use serde_json::{Value, json};

use crate::check::{Finding, Severity};

/// The findings; fields that say nothing are null.
pub fn json(findings: &[Finding]) -> String {
    let count = |severity: Severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let one = |finding: &Finding| {
        json!({
            "code": finding.code.id(),
            "name": finding.code.name(),
            "severity": finding.severity.word(),
            "object": finding.place.object,
            "file": finding.place.file,
            "line": finding.place.line,
            "message": finding.message,
            "advice": finding.advice,
        })
    };
    let document = json!({
        "findings": findings.iter().map(one).collect::<Vec<Value>>(),
        "summary": {
            "error": count(Severity::Error),
            "warning": count(Severity::Warning),
            "note": count(Severity::Note),
        },
    });
    format!("{document:#}\n")
}
