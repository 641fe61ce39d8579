//! Bytes in stores that hold text: text as it is, bytes as a `data:` URL (RFC 2397).
//!
//! What people put there is nearly always text, and stays what they wrote. What is not UTF-8, a key in DER or random
//! bytes, is kept as `data:application/octet-stream;base64,…`, which says by itself what it is. So is text that begins
//! with these very words, or has a NUL in it: every value is read back as it was.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::domain::SecretValue;

const PREFIX: &str = "data:application/octet-stream;base64,";

/// The text that stands for a value.
pub(super) fn encode(value: &SecretValue) -> Zeroizing<String> {
    encode_where(value, |_| true)
}

/// The same, for a store that does not take all text as it is.
pub(super) fn encode_where(value: &SecretValue, is_plain: impl Fn(&str) -> bool) -> Zeroizing<String> {
    let is_plain = |text: &str| !text.starts_with(PREFIX) && !text.contains('\0') && is_plain(text);
    match std::str::from_utf8(value.expose()) {
        Ok(text) if is_plain(text) => Zeroizing::new(text.to_owned()),
        _ => {
            let mut out =
                Zeroizing::new(String::with_capacity(PREFIX.len() + value.expose().len().div_ceil(3) * 4));
            out.push_str(PREFIX);
            STANDARD.encode_string(value.expose(), &mut out);
            out
        }
    }
}

/// The value that a text stands for; the reason where it is a `data:` URL that cannot be read.
pub(super) fn decode(text: &str) -> Result<SecretValue, &'static str> {
    match text.strip_prefix(PREFIX) {
        None => Ok(SecretValue::new(text.as_bytes().to_vec())),
        Some(base64) => STANDARD.decode(base64).map(SecretValue::new).map_err(|_| {
            "what follows data:application/octet-stream;base64, is not base64; store it anew, or without that beginning"
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(bytes: &[u8]) -> SecretValue {
        SecretValue::new(bytes.to_vec())
    }

    #[test]
    fn text_stays_text_and_bytes_say_what_they_are() {
        for (bytes, text) in [
            (b"hunter2\n".as_slice(), "hunter2\n"),
            (b"", ""),
            (b"base64:aGk=", "base64:aGk="),
            (b"\xff\x00", "data:application/octet-stream;base64,/wA="),
            (b"a\0", "data:application/octet-stream;base64,YQA="),
        ] {
            assert_eq!(encode(&value(bytes)).as_str(), text);
        }
        assert!(decode("data:application/octet-stream;base64,?").is_err());
    }

    proptest! {
        #[test]
        fn every_value_is_read_back(bytes: Vec<u8>) {
            let value = value(&bytes);
            prop_assert_eq!(decode(&encode(&value)), Ok(value));
        }

        #[test]
        fn text_that_looks_encoded_is_read_back(tail: String) {
            let value = value(format!("{PREFIX}{tail}").as_bytes());
            prop_assert_eq!(decode(&encode(&value)), Ok(value));
        }
    }
}
