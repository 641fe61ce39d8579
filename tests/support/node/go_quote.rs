//! Go's `strconv.Quote`, in which kubelet writes the values of annotations and labels to a downward-API file.
//!
//! A Kubernetes string is UTF-8, so Go's escape for invalid bytes (`\xNN` above 0x7f) cannot occur.

use std::fmt::Write;

/// `text` as a Go string literal in double quotes.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        push(&mut quoted, character);
    }
    quoted.push('"');
    quoted
}

fn push(quoted: &mut String, character: char) {
    let code = u32::from(character);
    match character {
        '"' | '\\' => quoted.extend(['\\', character]),
        '\x07' => quoted.push_str("\\a"),
        '\x08' => quoted.push_str("\\b"),
        '\x0c' => quoted.push_str("\\f"),
        '\n' => quoted.push_str("\\n"),
        '\r' => quoted.push_str("\\r"),
        '\t' => quoted.push_str("\\t"),
        '\x0b' => quoted.push_str("\\v"),
        _ if is_printable(character) => quoted.push(character),
        // Writing to a String cannot fail.
        _ if code < 0x80 => drop(write!(quoted, "\\x{code:02x}")),
        _ if code < 0x10000 => drop(write!(quoted, "\\u{code:04x}")),
        _ => drop(write!(quoted, "\\U{code:08x}")),
    }
}

/// Go's `strconv.IsPrint`: letters, marks, numbers, punctuation, symbols, and of all spaces only U+0020.
///
/// Rust's own table, behind `escape_debug`, is made by the same rule (from a newer Unicode, which matters for
/// characters that Go does not know yet). Where a string begins it also escapes what joins the character before, so
/// there is one before.
fn is_printable(character: char) -> bool {
    let pair = String::from_iter(['a', character]);
    character == '\'' || !pair.escape_debug().skip(1).take(1).any(|first| first == '\\')
}
