//! Several values in one JSON object, each under its field: as texts, and as people write it too.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::text;
use crate::domain::SecretValue;

/// The fields of an object as they are written in it.
pub(super) type Fields<'c> = BTreeMap<String, &'c RawValue>;

/// The fields of an object; `None` where the content is none.
#[cfg(any(feature = "_flat", test))]
pub(super) fn fields(content: &[u8]) -> Option<Fields<'_>> {
    serde_json::from_slice(content).ok()
}

/// The value of a field. Numbers and booleans stand for their own text. What is nested, or null, is refused.
pub(super) fn scalar(raw: &RawValue) -> Result<SecretValue, &'static str> {
    let raw = raw.get();
    match raw.as_bytes().first() {
        Some(b'"') => {
            let unquoted: Zeroizing<String> = serde_json::from_str(raw)
                .map(Zeroizing::new)
                .map_err(|_| "the field is not valid JSON text")?;
            text::decode(&unquoted)
        }
        Some(b'{' | b'[') => Err("the field holds nested JSON; store text, a number or a boolean"),
        Some(b'n') | None => Err("the field is null; store text, a number or a boolean"),
        Some(_) => Ok(SecretValue::new(raw.as_bytes().to_vec())),
    }
}

/// The content of an object with the fields that it had, as they were, and these values behind them.
pub(super) fn write(kept: &Fields<'_>, added: &[(&str, &SecretValue)]) -> SecretValue {
    let added: Vec<(&str, Zeroizing<String>)> =
        added.iter().map(|(name, value)| (*name, text::encode(value))).collect();
    // What grows is copied, and the copy left behind is not wiped: there is room for everything escaped.
    let kept_size = kept.iter().map(|(name, raw)| name.len() * 6 + raw.get().len() + 4).sum::<usize>();
    let added_size = added.iter().map(|(name, text)| (name.len() + text.len()) * 6 + 8).sum::<usize>();
    let mut out = Zeroizing::new(Vec::with_capacity(2 + kept_size + added_size));
    out.push(b'{');
    for (name, raw) in kept {
        key(&mut out, name);
        out.extend_from_slice(raw.get().as_bytes());
    }
    for (name, text) in &added {
        key(&mut out, name);
        // Writing text to memory as JSON cannot fail.
        let _ = serde_json::to_writer(&mut *out, text.as_str());
    }
    out.push(b'}');
    SecretValue::new(std::mem::take(&mut *out))
}

fn key(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    let _ = serde_json::to_writer(&mut *out, name);
    out.push(b':');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(bytes: &[u8]) -> SecretValue {
        SecretValue::new(bytes.to_vec())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (binary, awkward, brace) = (value(&[0, 255, 1]), value(b"a\"\\\n{}"), value(b"{"));
        let added = [("private", &binary), ("public", &awkward), ("brace", &brace)];
        let content = write(&Fields::new(), &added);
        let read = fields(content.expose()).unwrap();
        assert_eq!(read.len(), 3);
        for (name, value) in added {
            assert_eq!(scalar(read[name]).as_ref(), Ok(value), "{name}");
        }
        assert_eq!(write(&Fields::new(), &[]), value(b"{}"));
    }

    #[test]
    fn what_was_there_stays_as_it_was() {
        let content = br#"{"deep": {"a" : [1.0]}, "big": 12345678901234567890.10, "a\"b": "\u00e9"}"#;
        let kept = fields(content).unwrap();
        let written = write(&kept, &[("new", &value(b"1"))]);
        assert_eq!(
            String::from_utf8_lossy(written.expose()),
            r#"{"a\"b":"\u00e9","big":12345678901234567890.10,"deep":{"a" : [1.0]},"new":"1"}"#
        );
    }

    #[test]
    fn what_people_write_is_read_by_field() {
        let content = br#"{"user": "app", "port": 5432, "tls": true, "no": null, "deep": {"a": 1}}"#;
        let read = fields(content).unwrap();
        let text = |name: &str| scalar(read[name]).map(|v| String::from_utf8(v.expose().to_vec()).unwrap());
        assert_eq!(text("user").unwrap(), "app");
        assert_eq!(text("port").unwrap(), "5432");
        assert_eq!(text("tls").unwrap(), "true");
        assert!(text("no").unwrap_err().contains("null"));
        assert!(text("deep").unwrap_err().contains("nested"));
        for other in ["", "hunter2", "[1]", "\"a\"", "{"] {
            assert!(fields(other.as_bytes()).is_none(), "{other}");
        }
    }
}
