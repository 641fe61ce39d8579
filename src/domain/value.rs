//! Secret values as types: wiped when dropped, never printed.

use std::fmt;

use zeroize::Zeroizing;

/// The bytes of a secret. `Debug` prints a placeholder, there is no `Display`, and memory is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Zeroizing<Vec<u8>>);

impl SecretValue {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Shows the bytes. Every use of this is a place where a secret could leak.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// The value of a `localModeValue` parameter: base64, decoded and checked. Redacted like every secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalValue(SecretValue);

impl LocalValue {
    /// Decodes standard base64, padded or not; `None` where it is none.
    pub(super) fn decode(text: &str) -> Option<Self> {
        use base64::Engine as _;
        use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
        let lenient = GeneralPurpose::new(
            &base64::alphabet::STANDARD,
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
        );
        lenient.decode(text).ok().map(|bytes| Self(SecretValue::new(bytes)))
    }

    /// The decoded value.
    pub fn value(&self) -> &SecretValue {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_printing_shows_a_value() {
        let value = SecretValue::new(b"hunter2".to_vec());
        let local = LocalValue::decode("aHVudGVyMg==").unwrap();
        for shown in
            [format!("{value:?}"), format!("{value:#?}"), format!("{local:?}"), format!("{local:#?}")]
        {
            assert!(!shown.contains("hunter2") && !shown.contains("104"), "{shown}");
        }
        assert_eq!(local.value(), &value);
    }

    #[test]
    fn local_values_are_base64() {
        assert!(LocalValue::decode("dmFsdWU").is_some());
        assert!(LocalValue::decode("not base64!").is_none());
    }
}
