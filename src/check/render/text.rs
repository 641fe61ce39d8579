//! Text: findings below the object that they are about, the worst first, with what to do.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::summary;
use crate::check::{Finding, Severity};

/// The findings, coloured; who prints them takes the colours out where there is no terminal. `looked_at` is how many
/// objects were.
pub fn text(findings: &[Finding], looked_at: usize) -> String {
    if findings.is_empty() {
        let style = AnsiColor::Green.on_default().bold();
        return format!("{style}ok:{style:#} nothing found in {looked_at} objects\n");
    }
    let mut out = String::new();
    let mut heading = None;
    for finding in findings {
        let own = (&finding.place.file, &finding.place.object);
        if heading != Some(own) {
            let gap = if heading.is_some() { "\n" } else { "" };
            let bold = Style::new().bold();
            let words: Vec<&str> = own
                .0
                .as_deref()
                .into_iter()
                .chain(Some(own.1.as_str()))
                .filter(|word| !word.is_empty())
                .collect();
            let _ = writeln!(out, "{gap}{bold}{}{bold:#}", words.join(": "));
            heading = Some(own);
        }
        let style = match finding.severity {
            Severity::Error => AnsiColor::Red.on_default().bold(),
            Severity::Warning => AnsiColor::Yellow.on_default().bold(),
            Severity::Note => AnsiColor::Cyan.on_default(),
        };
        let line = finding.place.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        let Finding { code, severity, message, advice, .. } = finding;
        let _ = writeln!(out, "  {style}{severity}{style:#} {} {line}{message}\n      {advice}", code.id());
    }
    let _ = writeln!(out, "\n{} (keystow check --explain CODE says more)", summary(findings));
    out
}
