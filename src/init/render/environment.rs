//! `secret.env`, as the kubelet reads it for `fileKeyRef` (Kubernetes `kubelet/util/env`).
//!
//! `NAME='value'`: single quotes are mandatory, what is between them is taken literally, may span lines and knows no
//! escape. So some values cannot be written, and one that the kubelet would change or reject is refused here, by
//! name, before the application starts with a wrong one.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::domain::{EnvName, SecretValue};
use crate::init::fetch::Secret;

/// The kubelet reads with Go's `bufio.Scanner`, which gives up on a line of 64 KiB.
const LONGEST_LINE: usize = (64 << 10) - 1;

/// The longest name and its punctuation, which share a line with the value.
const NAME_AND_QUOTES: usize = 253 + 3;

/// Why the kubelet's environment file cannot hold a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Unwritable {
    /// The quotes around values are single ones, and there is no escape.
    #[error("it contains a single quote")]
    SingleQuote,
    /// No environment can hold it.
    #[error("it contains a NUL byte")]
    Nul,
    /// An environment is text.
    #[error("it is not UTF-8")]
    NotText,
    /// The kubelet drops it.
    #[error("it contains a carriage return at the end of a line, which the kubelet drops")]
    CarriageReturn,
    /// The kubelet gives up.
    #[error("it has a line of nearly 64 KiB, which the kubelet does not read")]
    LongLine,
    /// The kubelet takes it for absent, and the container does not start.
    #[error("it is empty, which the kubelet takes for absent")]
    Empty,
}

/// The variable of a secret.
pub(super) fn name(secret: &Secret) -> EnvName {
    secret.env.clone().unwrap_or_else(|| EnvName::derived_from(&secret.name))
}

/// Whether the kubelet would read this value as it is. An empty value matters only where a container refers to it.
pub(super) fn check(is_referred_to: bool, value: &[u8]) -> Result<(), Unwritable> {
    let Ok(text) = std::str::from_utf8(value) else { return Err(Unwritable::NotText) };
    if text.contains('\'') {
        return Err(Unwritable::SingleQuote);
    }
    if text.contains('\0') {
        return Err(Unwritable::Nul);
    }
    if text.contains("\r\n") {
        return Err(Unwritable::CarriageReturn);
    }
    if text.split('\n').any(|line| line.len() + NAME_AND_QUOTES > LONGEST_LINE) {
        return Err(Unwritable::LongLine);
    }
    if is_referred_to && text.is_empty() {
        return Err(Unwritable::Empty);
    }
    Ok(())
}

/// The file, sorted by variable. Every value has passed [`check`].
pub(super) fn file(lines: &BTreeMap<EnvName, SecretValue>) -> SecretValue {
    let size: usize = lines.iter().map(|(name, value)| name.as_str().len() + value.expose().len() + 4).sum();
    let mut out = Zeroizing::new(Vec::with_capacity(size));
    for (name, value) in lines {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b"='");
        out.extend_from_slice(value.expose());
        out.extend_from_slice(b"'\n");
    }
    SecretValue::new(std::mem::take(&mut *out))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The kubelet's reader: lines without their ends, quotes to quotes.
    fn read(bytes: &[u8], key: &str) -> Option<String> {
        let text = std::str::from_utf8(bytes).unwrap();
        let mut lines = text.split_terminator('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        while let Some(line) = lines.next() {
            let line = line.trim_start_matches([' ', '\t']);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, quoted) = line.split_once('=').unwrap();
            let mut rest = quoted.strip_prefix('\'').unwrap().to_owned();
            let mut value = String::new();
            while !rest.contains('\'') {
                value.push_str(&rest);
                value.push('\n');
                rest = lines.next().unwrap().to_owned();
            }
            let (last, after) = rest.split_once('\'').unwrap();
            assert_eq!(after, "");
            value.push_str(last);
            if name == key {
                return (!value.is_empty()).then_some(value);
            }
        }
        None
    }

    proptest! {
        #[test]
        fn the_kubelet_reads_what_was_written(value in any::<String>(), other in "[a\n\r '\"$#=\\\\]{0,10}") {
            let value = value.replace('\'', "");
            let mut lines = BTreeMap::new();
            for (name, text) in [("B", &value), ("A", &other)] {
                if check(true, text.as_bytes()).is_ok() {
                    lines.insert(EnvName::new(name).unwrap(), SecretValue::new(text.clone().into_bytes()));
                }
            }
            let file = file(&lines);
            for (name, value) in &lines {
                let expected = String::from_utf8(value.expose().to_vec()).unwrap();
                prop_assert_eq!(read(file.expose(), name.as_str()), Some(expected));
            }
        }
    }

    #[test]
    fn every_value_that_cannot_be_is_refused() {
        for (value, reason) in [
            (b"it's".as_slice(), Unwritable::SingleQuote),
            (b"a\0b", Unwritable::Nul),
            (b"\xFF", Unwritable::NotText),
            (b"a\r\nb", Unwritable::CarriageReturn),
            (&[b'a'; 64 << 10], Unwritable::LongLine),
            (b"", Unwritable::Empty),
        ] {
            assert_eq!(check(true, value), Err(reason));
        }
        assert_eq!(check(false, b""), Ok(()));
        assert_eq!(check(true, b"two\nlines $HOME \"quoted\" # no comment"), Ok(()));
    }
}
