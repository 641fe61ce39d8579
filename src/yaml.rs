//! YAML: the documents of a file, as values, and as trees with lines.
//!
//! Read as kubectl reads it, by YAML 1.1: `0755` is 493, and `yes` is a boolean. No message quotes what was read, which may
//! be a Secret.

mod tree;

use serde_json::Value;
use serde_saphyr::options::DuplicateKeyPolicy;

pub use tree::{Entry, Node, NotYaml, Tree};

/// One document of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Document<'t> {
    /// Its first line in the file, counted from 1.
    pub line: usize,
    /// Its text, without its `---`.
    pub text: &'t str,
}

/// What becomes of a key that stands twice in one map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicates {
    /// It is a mistake.
    Refused,
    /// The last one counts, as with kees and with `kubectl apply --validate=false`.
    LastCounts,
}

/// The documents. A line that begins with `---` is always a marker in YAML, also within block scalars. What has no
/// content is no document.
pub fn documents(text: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut start, mut line, mut first_line, mut at) = (0, 1, 1, 0);
    for part in text.split_inclusive('\n') {
        let bare = part.trim_end();
        let marker = bare == "---" || bare.strip_prefix("--- ").is_some();
        if marker {
            documents.push(Document { line: first_line, text: &text[start..at] });
            // What follows the marker on its line belongs to the document.
            let after = if bare == "---" { part.len() } else { 4 };
            (start, first_line) = (at + after, if bare == "---" { line + 1 } else { line });
        }
        at += part.len();
        line += 1;
    }
    documents.push(Document { line: first_line, text: &text[start..] });
    let has_content = |document: &Document<'_>| {
        document
            .text
            .lines()
            .map(str::trim)
            .any(|line| !line.is_empty() && !line.starts_with(['#', '%']) && line != "...")
    };
    documents.retain(has_content);
    documents
}

/// One YAML or JSON document as a value.
pub fn parse(text: &str, duplicates: Duplicates) -> Result<Value, String> {
    let policy = match duplicates {
        Duplicates::Refused => DuplicateKeyPolicy::Error,
        Duplicates::LastCounts => DuplicateKeyPolicy::LastWins,
    };
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        with_snippet: false,
        duplicate_keys: policy,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| reason(&error))
}

/// Why text cannot be read, in words of its author's business where the library's are about its own functions.
fn reason(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    let mut cause = error;
    while let Error::AliasError { error, .. } | Error::WithSnippet { error, .. } = cause {
        cause = error;
    }
    match cause {
        Error::MultipleDocuments { .. } => {
            "it has more than one document; take out what follows the second ---, or the `...`".to_owned()
        }
        Error::Budget { .. } => {
            "it is nested too deep, or has too much in it, be it by aliases; write it plainly, in several documents".to_owned()
        }
        _ => error.without_snippet().to_string(),
    }
}

/// A value as YAML.
pub fn to_yaml(value: &Value) -> Result<String, String> {
    serde_saphyr::to_string(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Value {
        parse(text, Duplicates::Refused).unwrap()
    }

    #[test]
    fn documents_are_split_at_markers_and_empty_ones_dropped() {
        let text = "# a comment\n---\na: 1\n---\n---\n# nothing\n--- {b: 2}\nc: |\n  --- not a marker\n";
        let found: Vec<_> = documents(text).iter().map(|document| (document.line, document.text)).collect();
        assert_eq!(found, [(3, "a: 1\n"), (7, "{b: 2}\nc: |\n  --- not a marker\n")]);
    }

    #[test]
    fn unquoted_octal_stays_octal() {
        assert_eq!(read("defaultMode: 0755")["defaultMode"], 493);
        assert_eq!(read("defaultMode: 0o755")["defaultMode"], 493);
    }

    #[test]
    fn words_are_what_kubectl_takes_them_for() {
        let words = read("a: yes\nb: 'yes'\nc: \"0755\"\nd: 1e3\ne: 1.10");
        assert_eq!(words, serde_json::json!({"a": true, "b": "yes", "c": "0755", "d": 1e3, "e": 1.1}));
    }

    #[test]
    fn strings_that_look_like_something_else_stay_strings() {
        for text in [
            "yes",
            "on",
            "y",
            "null",
            "~",
            "0755",
            "0o17",
            "1e3",
            "1.10",
            "",
            " x",
            "2026-01-01",
            "=",
            "|",
            "a: b",
            "'",
        ] {
            let value = serde_json::json!({ "a": text, text: "b" });
            assert_eq!(read(&to_yaml(&value).unwrap()), value, "{text}");
        }
    }

    #[test]
    fn of_a_key_that_stands_twice_the_last_may_count() {
        let text = "a: 1\na: 2\n";
        assert_eq!(parse(text, Duplicates::LastCounts).unwrap()["a"], 2);
        assert!(parse(text, Duplicates::Refused).unwrap_err().contains("uplicate"));
    }

    #[test]
    fn no_message_speaks_of_functions_of_the_library() {
        let bomb = format!("a: &a [{}]\nb: [{}]\n", "x,".repeat(10_000), "*a,".repeat(10_000));
        for (text, told) in
            [("a: 1\n...\nb: 2\n", "more than one document"), (&bomb, "has too much in it, be it by aliases")]
        {
            let reason = parse(text, Duplicates::Refused).unwrap_err();
            assert!(reason.contains(told) && !reason.contains("from_"), "{reason}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_what_was_read() {
        let text = "kind: Secret\nstringData: {password: hunter2\n";
        let told = parse(text, Duplicates::Refused).unwrap_err();
        assert!(!told.contains("hunter2"), "{told}");
        assert!(!Node::parse(text).unwrap_err().message.contains("hunter2"));
    }

    #[test]
    fn a_line_is_that_of_the_key_or_of_the_nearest_above() {
        let text = "a:\n  b:\n  - c: 1\n  - d/e: 2\n";
        let node = Node::parse(text).unwrap();
        for (pointer, line) in
            [("", 1), ("/a", 1), ("/a/b", 2), ("/a/b/1/d~1e", 4), ("/a/b/7", 2), ("/x/y", 1)]
        {
            assert_eq!(node.line_of(pointer), line, "{pointer}");
        }
    }
}
