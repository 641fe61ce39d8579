//! `--explain`: what is added to an object and why, and the lines before and after, coloured on a terminal.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use similar::{ChangeTag, TextDiff};

use crate::domain::{AnnotationDomain, Family};
use crate::inject::Reason;
use crate::inject::manifest::{Document, Injected};
use crate::yaml::to_yaml;

const ADDED: Style = AnsiColor::Green.on_default();
const REMOVED: Style = AnsiColor::Red.on_default();
const TITLE: Style = Style::new().bold();
const REASON: Style = AnsiColor::Cyan.on_default();

/// What was done to the objects of a document.
pub(super) fn document(document: &Document<'_>, domain: &AnnotationDomain) -> Result<String, String> {
    let changed = document.injected.iter().filter(|object| !object.changes.is_empty());
    changed.map(|object| explain(object, domain)).collect()
}

fn explain(object: &Injected, domain: &AnnotationDomain) -> Result<String, String> {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(text, "{TITLE}{}: {} change(s){TITLE:#}", object.object, object.changes.len());
    let width = object.changes.iter().map(|change| change.path().len()).max().unwrap_or_default();
    for change in &object.changes {
        let (style, sign) = if change.removes() { (REMOVED, '-') } else { (ADDED, '+') };
        let because = because(&change.reason, domain);
        let _ =
            writeln!(text, "  {style}{sign} {:width$}{style:#}  {REASON}{because}{REASON:#}", change.path());
    }
    let (before, after) = (to_yaml(&object.before)?, to_yaml(&object.after)?);
    let diff = TextDiff::from_lines(&before, &after);
    for group in diff.grouped_ops(3) {
        text.push_str("  ┄\n");
        for line in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let (style, sign) = match line.tag() {
                ChangeTag::Insert => (ADDED, '+'),
                ChangeTag::Delete => (REMOVED, '-'),
                ChangeTag::Equal => (Style::new(), ' '),
            };
            let _ = writeln!(text, "  {style}{sign} {}{style:#}", line.value().trim_end_matches('\n'));
        }
    }
    text.push('\n');
    Ok(text)
}

fn because(reason: &Reason, domain: &AnnotationDomain) -> String {
    match reason {
        Reason::Status => "notes what was done, so that nothing is done twice".to_owned(),
        Reason::Fetch => "the init container that fetches what the pod asks for".to_owned(),
        Reason::Refresh => domain.key(Family::Inject, "refresh"),
        Reason::Position => domain.key(Family::Inject, "init-position"),
        Reason::ServiceAccount => domain.key(Family::Inject, "service-account"),
        Reason::Secret(name) => domain.key(Family::Secret, name),
        Reason::TemplateEnv(name) => domain.key(Family::Inject, &format!("template-env.{name}")),
    }
}
