//! SARIF 2.1.0, for code scanning: a run with a rule for each code, and a result for each finding.
//!
//! A fingerprint is of the code, the object and the message, and not of the line, so that a finding stays the same one when
//! lines are added above it.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::check::{Code, Finding};
use crate::domain::hex;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The findings as a log with one run.
pub fn sarif(findings: &[Finding]) -> String {
    let rules: Vec<Value> = Code::ALL.iter().map(|code| rule(*code)).collect();
    let document = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "keystow",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": findings.iter().map(result).collect::<Vec<Value>>(),
        }],
    });
    format!("{document:#}\n")
}

fn rule(code: Code) -> Value {
    json!({
        "id": code.id(),
        "name": code.name(),
        "shortDescription": {"text": code.title()},
        "fullDescription": {"text": code.explanation()},
        "help": {"text": code.explanation()},
        "defaultConfiguration": {"level": code.severity().word()},
    })
}

fn result(finding: &Finding) -> Value {
    let Finding { place, code, severity, message, advice } = finding;
    let index = Code::ALL.iter().position(|known| known == code);
    let mut location = json!({});
    if !place.object.is_empty() {
        let kind = "resource";
        location["logicalLocations"] = json!([{"fullyQualifiedName": place.object, "kind": kind}]);
    }
    if let Some(file) = &place.file {
        let line = place.line.unwrap_or(1).max(1);
        location["physicalLocation"] =
            json!({"artifactLocation": {"uri": uri(file)}, "region": {"startLine": line}});
    }
    json!({
        "ruleId": code.id(),
        "ruleIndex": index,
        "level": severity.word(),
        "message": {"text": format!("{message}. What to do: {advice}.")},
        "locations": [location],
        "partialFingerprints": {"keystow/v1": fingerprint(finding)},
    })
}

/// A path as a relative reference (RFC 3986).
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn fingerprint(finding: &Finding) -> String {
    let text = format!("{}\n{}\n{}", finding.code.id(), finding.place.object, finding.message);
    hex(&digest(&SHA256, text.as_bytes()).as_ref()[..16])
}
