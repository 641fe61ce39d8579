//! The downward-API file: one `key="value"` a line, the value quoted as Go's `strconv.Quote` does.
//!
//! Kees took the outer quotes off and left the escapes; here they are undone, so that init reads what the webhook
//! and the creator read. Errors name the line and never its text, which may hold a `localModeValue`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Kubernetes allows 256 KiB of annotations, and quoting makes at most four bytes of one.
const LARGEST: u64 = 2 << 20;

/// The annotations in the order of the file. Values are wiped on drop: some are secret.
pub(super) type Annotations = Vec<(String, Zeroizing<String>)>;

/// Why there are no annotations.
#[derive(Debug, thiserror::Error)]
pub enum AnnotationsError {
    /// The file cannot be read.
    #[error(
        "cannot read the annotations file {path}; mount the pod's metadata.annotations there by a downwardAPI volume"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is larger than any pod's annotations.
    #[error("the annotations file {path} has more than {LARGEST} bytes; it is not the kubelet's")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A line is not of the form that the kubelet writes.
    #[error("line {line} of the annotations file {rule}; it is not the kubelet's")]
    Line {
        /// Counted from one.
        line: usize,
        /// What is wrong, as the end of a sentence.
        rule: &'static str,
    },
}

/// Reads the file.
pub(super) fn read(path: &Path) -> Result<Annotations, AnnotationsError> {
    let failed = |source| AnnotationsError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = Zeroizing::new(String::new());
    let size = file.take(LARGEST + 1).read_to_string(&mut text).map_err(failed)?;
    if size as u64 > LARGEST {
        return Err(AnnotationsError::TooLarge { path: path.to_owned() });
    }
    parse(&text)
}

/// Reads the text of the file.
pub(super) fn parse(text: &str) -> Result<Annotations, AnnotationsError> {
    let lines = text.split('\n').enumerate().filter(|(_, line)| !line.is_empty());
    lines
        .map(|(index, line)| {
            parse_line(line).map_err(|rule| AnnotationsError::Line { line: index + 1, rule })
        })
        .collect()
}

fn parse_line(line: &str) -> Result<(String, Zeroizing<String>), &'static str> {
    let (key, quoted) = line.split_once('=').ok_or("is not of the form key=\"value\"")?;
    let value = quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .ok_or("has a value that is not in double quotes")?;
    Ok((key.to_owned(), unquote(value)?))
}

/// Undoes `strconv.Quote`, without the quotes.
fn unquote(text: &str) -> Result<Zeroizing<String>, &'static str> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '"']) {
        let (plain, marked) = rest.split_at(at);
        bytes.extend_from_slice(plain.as_bytes());
        if marked.starts_with('"') {
            return Err("has a double quote inside its value without a backslash");
        }
        rest = unescape(&marked[1..], &mut bytes)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    match std::str::from_utf8(&bytes) {
        Ok(_) => {}
        Err(_) => return Err("has a value that is not UTF-8"),
    }
    let bytes = std::mem::take(&mut *bytes);
    String::from_utf8(bytes).map(Zeroizing::new).map_err(|_| "has a value that is not UTF-8")
}

/// Undoes one escape, whose backslash is already taken off, and gives back what follows it.
fn unescape<'t>(text: &'t str, bytes: &mut Vec<u8>) -> Result<&'t str, &'static str> {
    const UNKNOWN: &str = "has an escape that Go does not write";
    let Some(letter) = text.chars().next() else { return Err("ends in a backslash") };
    let single = match letter {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0C,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0B,
        '\\' => b'\\',
        '"' => b'"',
        'x' | 'u' | 'U' => {
            let count = match letter {
                'x' => 2,
                'u' => 4,
                _ => 8,
            };
            let (number, rest) = digits(&text[1..], count, 16).ok_or(UNKNOWN)?;
            if letter == 'x' {
                bytes.push(u8::try_from(number).map_err(|_| UNKNOWN)?);
            } else {
                let char = char::from_u32(number).ok_or("has an escape that is no Unicode character")?;
                bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
            return Ok(rest);
        }
        '0'..='7' => {
            let (number, rest) = digits(text, 3, 8).ok_or(UNKNOWN)?;
            bytes.push(u8::try_from(number).map_err(|_| UNKNOWN)?);
            return Ok(rest);
        }
        _ => return Err(UNKNOWN),
    };
    bytes.push(single);
    Ok(&text[1..])
}

/// Exactly `count` digits.
fn digits(text: &str, count: usize, radix: u32) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(count)?;
    // from_str_radix alone would take a sign.
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    Some((u32::from_str_radix(digits, radix).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes as `strconv.Quote` does; what Go would print as it is, is escaped in one of the two other ways too.
    fn quote(text: &str, escape_all: bool) -> String {
        let mut out = String::from("\"");
        for char in text.chars() {
            match char {
                '"' | '\\' => out.extend(['\\', char]),
                '\x07' => out.push_str("\\a"),
                '\x08' => out.push_str("\\b"),
                '\x0C' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\x0B' => out.push_str("\\v"),
                char if (char as u32) < 0x20 || char as u32 == 0x7F => {
                    out.push_str(&format!("\\x{:02x}", char as u32));
                }
                char if escape_all && (char as u32) < 0x1_0000 => {
                    out.push_str(&format!("\\u{:04x}", char as u32));
                }
                char if escape_all => out.push_str(&format!("\\U{:08x}", char as u32)),
                char => out.push(char),
            }
        }
        out.push('"');
        out
    }

    fn value(text: &str) -> Result<String, String> {
        let mut found = parse(text).map_err(|error| error.to_string())?;
        Ok(found.pop().unwrap().1.to_string())
    }

    proptest! {
        #[test]
        fn what_go_quotes_is_read_back(text in any::<String>(), escape_all: bool) {
            let line = format!("secret.bsycorp.com/a={}\n", quote(&text, escape_all));
            prop_assert_eq!(value(&line), Ok(text));
        }

        #[test]
        fn nothing_panics(text in "[\\\\\"abxuU0-9=\u{e9}\n ]{0,40}") {
            let _ = parse(&text);
        }
    }

    #[test]
    fn a_file_is_read_line_by_line() {
        let found = parse("a=\"1\"\nb.c/d=\"x=y,z=\\\"q\\\"\\n\"\n").unwrap();
        let found: Vec<_> = found.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(found, [("a", "1"), ("b.c/d", "x=y,z=\"q\"\n")]);
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn bytes_are_written_in_hex_and_octal() {
        assert_eq!(value("a=\"\\xc3\\xa9\\303\\251\\101\"").unwrap(), "\u{e9}\u{e9}A");
    }

    #[test]
    fn every_refusal_names_the_line_and_not_the_text() {
        for (line, rule) in [
            ("secret", "is not of the form"),
            ("a=secret", "not in double quotes"),
            ("a=\"secret", "not in double quotes"),
            ("a=\"", "not in double quotes"),
            ("a=\"secret\"secret\"", "without a backslash"),
            ("a=\"secret\\q\"", "escape that Go does not write"),
            ("a=\"secret\\'\"", "escape that Go does not write"),
            ("a=\"secret\\x4\"", "escape that Go does not write"),
            ("a=\"secret\\x+4\"", "escape that Go does not write"),
            ("a=\"secret\\777\"", "escape that Go does not write"),
            ("a=\"secret\\ud800\"", "no Unicode character"),
            ("a=\"secret\\U00110000\"", "no Unicode character"),
            ("a=\"secret\\xff\"", "not UTF-8"),
            ("a=\"secret\\\"", "ends in a backslash"),
        ] {
            let error = value(&format!("b=\"\"\n{line}\n")).unwrap_err();
            assert!(error.contains("line 2") && error.contains(rule), "{line}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_absent_or_too_large_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("annotations");
        assert!(matches!(read(&path), Err(AnnotationsError::Read { .. })));
        std::fs::write(&path, vec![b'a'; LARGEST as usize + 1]).unwrap();
        assert!(matches!(read(&path), Err(AnnotationsError::TooLarge { .. })));
    }
}
