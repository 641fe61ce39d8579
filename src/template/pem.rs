//! Keys in DER as PEM (RFC 7468), and back. The label is read from the key's own form; what is PEM already, or of no
//! known form, stays as it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::domain::SecretValue;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// The key as PEM where it is DER.
pub(crate) fn armored(value: &SecretValue) -> SecretValue {
    match label(value.expose()) {
        Some(label) => SecretValue::new(std::mem::take(&mut *block(label, value.expose())).into_bytes()),
        None => value.clone(),
    }
}

/// A block of this label.
pub(super) fn block(label: &str, der: &[u8]) -> Zeroizing<String> {
    let text = Zeroizing::new(STANDARD.encode(der));
    let mut out = Zeroizing::new(String::with_capacity(text.len() + text.len() / 64 + 2 * label.len() + 40));
    for part in [BEGIN, label, DASHES, "\n"] {
        out.push_str(part);
    }
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    for part in [END, label, DASHES, "\n"] {
        out.push_str(part);
    }
    out
}

/// The base64 of the first block in a text.
pub(super) fn first_block(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(BEGIN)?;
    let (_, rest) = rest.split_once(DASHES)?;
    rest.split_once(END).map(|(inner, _)| inner)
}

/// Whether this is one DER sequence: a key or a certificate.
pub(super) fn is_der(bytes: &[u8]) -> bool {
    matches!(element(bytes), Some((SEQUENCE, _, [])))
}

/// The PEM label of a key, by its outer form:
///
/// - PKCS#8 is `SEQUENCE { INTEGER, SEQUENCE { OID … }, OCTET STRING … }`
/// - SubjectPublicKeyInfo is `SEQUENCE { SEQUENCE { OID … }, BIT STRING }`
/// - SEC 1 is `SEQUENCE { INTEGER, OCTET STRING … }`
/// - PKCS#1 is `SEQUENCE { INTEGER × 9 }`, or `× 2` for a public key
pub(super) fn label(bytes: &[u8]) -> Option<&'static str> {
    let (SEQUENCE, key, []) = element(bytes)? else { return None };
    match element(key)? {
        (INTEGER, _, rest) => match element(rest)? {
            (SEQUENCE, algorithm, rest) => {
                let is_algorithm = matches!(element(algorithm)?, (OBJECT_IDENTIFIER, ..));
                (is_algorithm && matches!(element(rest)?, (OCTET_STRING, ..))).then_some("PRIVATE KEY")
            }
            (OCTET_STRING, ..) => Some("EC PRIVATE KEY"),
            (INTEGER, _, []) => Some("RSA PUBLIC KEY"),
            (INTEGER, ..) => Some("RSA PRIVATE KEY"),
            _ => None,
        },
        (SEQUENCE, algorithm, rest) => {
            let is_algorithm = matches!(element(algorithm)?, (OBJECT_IDENTIFIER, ..));
            (is_algorithm && matches!(element(rest)?, (BIT_STRING, _, []))).then_some("PUBLIC KEY")
        }
        _ => None,
    }
}

/// Tag, content and what follows the first DER element.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer as _, EcPrivateKeyRfc5915Der, PublicKeyX509Der};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
    use proptest::prelude::*;

    use super::*;

    fn first_line(der: &[u8]) -> String {
        let pem = armored(&SecretValue::new(der.to_vec()));
        String::from_utf8_lossy(pem.expose()).lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn labels_are_those_of_the_forms() {
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let ed25519 = Ed25519KeyPair::generate().unwrap();
        let sec1: EcPrivateKeyRfc5915Der<'_> = ec.private_key().as_der().unwrap();
        let spki: PublicKeyX509Der<'_> = ed25519.public_key().as_der().unwrap();
        assert_eq!(first_line(ec.to_pkcs8v1().unwrap().as_ref()), "-----BEGIN PRIVATE KEY-----");
        assert_eq!(first_line(ed25519.to_pkcs8().unwrap().as_ref()), "-----BEGIN PRIVATE KEY-----");
        assert_eq!(first_line(sec1.as_ref()), "-----BEGIN EC PRIVATE KEY-----");
        assert_eq!(first_line(spki.as_ref()), "-----BEGIN PUBLIC KEY-----");
        assert_eq!(first_line(&[0x30, 6, 2, 1, 5, 2, 1, 3]), "-----BEGIN RSA PUBLIC KEY-----");
        assert_eq!(first_line(&[0x30, 9, 2, 1, 0, 2, 1, 3, 2, 1, 3]), "-----BEGIN RSA PRIVATE KEY-----");
    }

    #[test]
    fn what_is_no_der_stays_as_it_is() {
        for value in [b"-----BEGIN PRIVATE KEY-----\n".as_slice(), b"", b"0", &[0x30, 0x80], b"password"] {
            assert_eq!(armored(&SecretValue::new(value.to_vec())).expose(), value);
        }
    }

    #[test]
    fn lines_have_64_characters() {
        let der = Ed25519KeyPair::generate().unwrap().to_pkcs8().unwrap();
        let pem = armored(&SecretValue::new(der.as_ref().to_vec()));
        let text = std::str::from_utf8(pem.expose()).unwrap();
        assert_eq!(text.lines().nth(1).map(str::len), Some(64));
        let inner: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        assert_eq!(STANDARD.decode(inner).unwrap(), der.as_ref());
        assert!(text.ends_with("-----END PRIVATE KEY-----\n"));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(prop_oneof![Just(0x30_u8), Just(2), Just(4), any::<u8>()], 0..40)) {
            let _ = armored(&SecretValue::new(bytes));
        }
    }
}
