//! Java properties, as `java.util.Properties.load` reads them.
//!
//! Only what would be read differently is escaped, so that base64 and ordinary passwords stand there as they are
//! (kees' lines are read by shell scripts too). Everything beyond ASCII is a `\u` escape: Java reads such files as
//! Latin-1. Keys need no escape: a request's name has letters, digits, `-`, `_` and `.` only.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use crate::domain::SecretValue;

/// A file of `name=value` lines, sorted by name.
pub(super) fn file(lines: &mut [(&str, &str)]) -> SecretValue {
    lines.sort_unstable_by_key(|(name, _)| *name);
    // No escape makes more than six bytes of one; a buffer that does not grow leaves no copies behind.
    let size: usize = lines.iter().map(|(name, value)| name.len() + 6 * value.len() + 2).sum();
    let mut out = Zeroizing::new(String::with_capacity(size));
    for (name, value) in lines {
        out.push_str(name);
        out.push('=');
        escape(value, &mut out);
        out.push('\n');
    }
    SecretValue::new(std::mem::take(&mut *out).into_bytes())
}

fn escape(value: &str, out: &mut String) {
    let mut at_start = true;
    for char in value.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0C' => out.push_str("\\f"),
            // Blanks before a value are skipped by the reader, all others are kept.
            ' ' if at_start => out.push_str("\\ "),
            ' '..='~' => out.push(char),
            _ => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    // Writing to a String does not fail.
                    let _ = write!(out, "\\u{unit:04X}");
                }
            }
        }
        at_start &= char == ' ';
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// `java.util.Properties.load(InputStream)`: Latin-1, logical lines, escapes.
    pub(in crate::init) fn load(bytes: &[u8]) -> BTreeMap<String, String> {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let blank = |c: &char| matches!(c, ' ' | '\t' | '\x0C');
        let mut found = BTreeMap::new();
        let mut chars = text.chars().peekable();
        while chars.peek().is_some() {
            let mut line: Vec<(char, bool)> = Vec::new();
            while chars.next_if(blank).is_some() {}
            while let Some(char) = chars.next() {
                match char {
                    '\n' | '\r' => break,
                    '\\' => match chars.next() {
                        Some('\n' | '\r') => while chars.next_if(blank).is_some() {},
                        Some(escaped) => line.extend([('\\', false), (escaped, true)]),
                        None => {}
                    },
                    char => line.push((char, false)),
                }
            }
            if line.is_empty() || matches!(line[0].0, '#' | '!') {
                continue;
            }
            let is_end = |(c, escaped): &(char, bool)| !escaped && (blank(c) || matches!(c, '=' | ':'));
            let end = line.iter().position(is_end).unwrap_or(line.len());
            let (key, rest) = line.split_at(end);
            let mut rest = rest;
            let mut separated = false;
            while let Some((first, tail)) = rest.split_first() {
                let separator = matches!(first.0, '=' | ':') && !separated;
                if !separator && !blank(&first.0) {
                    break;
                }
                separated |= separator;
                rest = tail;
            }
            found.insert(unescape(key), unescape(rest));
        }
        found
    }

    fn unescape(text: &[(char, bool)]) -> String {
        let mut units: Vec<u16> = Vec::new();
        let mut chars = text.iter().map(|(char, _)| *char);
        while let Some(char) = chars.next() {
            let char = if char == '\\' {
                chars.next().unwrap()
            } else {
                units.extend(char.encode_utf16(&mut [0; 2]).iter());
                continue;
            };
            match char {
                'u' => {
                    let digits: String = chars.by_ref().take(4).collect();
                    units.push(u16::from_str_radix(&digits, 16).unwrap());
                }
                't' => units.push(9),
                'n' => units.push(10),
                'f' => units.push(12),
                'r' => units.push(13),
                char => units.extend(char.encode_utf16(&mut [0; 2]).iter()),
            }
        }
        String::from_utf16(&units).unwrap()
    }

    proptest! {
        #[test]
        fn java_reads_what_was_written(value in any::<String>(), other in "[ \\\\\n\r\t=:#!a\u{e9}\u{1F600}]{0,12}") {
            let written = file(&mut [("b.c_d", &value), ("a", &other)]);
            let expected = BTreeMap::from([("b.c_d".to_owned(), value), ("a".to_owned(), other)]);
            prop_assert_eq!(load(written.expose()), expected);
        }
    }

    #[test]
    fn only_what_must_be_is_escaped() {
        for (value, line) in [
            ("a=b:c#d!e f", "n=a=b:c#d!e f\n"),
            ("  two", "n=\\ \\ two\n"),
            ("line\nline", "n=line\\nline\n"),
            ("c:\\x", "n=c:\\\\x\n"),
            ("\u{e9}\u{1F600}\u{0}", "n=\\u00E9\\uD83D\\uDE00\\u0000\n"),
            ("", "n=\n"),
        ] {
            assert_eq!(file(&mut [("n", value)]).expose(), line.as_bytes());
        }
    }

    #[test]
    fn lines_are_sorted() {
        assert_eq!(file(&mut [("b", "2"), ("a", "1")]).expose(), b"a=1\nb=2\n");
    }
}
