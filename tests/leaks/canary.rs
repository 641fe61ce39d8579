//! Values that are found again, however they were written down.
//!
//! A canary has one mark in it, and its place behind that. Found are the mark, what it is in base64 at each of the three
//! places it can have there (with either alphabet), base64 of that once more, and each of those in hexadecimal digits,
//! percent-encoded, escaped as JSON and Rust do it, and as a list of numbers, as `Debug` prints bytes.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Letters and digits only: quoting and escaping what is special leaves it as it is.
const MARK: &str = "kNaRyXq7Wv";

/// A value that stands at `place`.
pub(crate) fn canary(place: &str) -> String {
    format!("{MARK}-{place}")
}

/// The same in base64, as `localModeValue` and the data of a Secret have it.
pub(crate) fn canary_base64(place: &str) -> String {
    STANDARD.encode(canary(place))
}

/// Fails where `text` shows a canary.
#[track_caller]
pub(crate) fn assert_none(what: &str, text: impl AsRef<[u8]>) {
    let seen = sightings(MARK, text.as_ref());
    assert!(seen.is_empty(), "{what} shows a value:\n{}", seen.join("\n"));
}

/// Fails where `text` shows a private key in PEM.
#[track_caller]
pub(crate) fn assert_no_key(what: &str, text: impl AsRef<[u8]>) {
    let seen = sightings("PRIVATE KEY", text.as_ref());
    assert!(seen.is_empty(), "{what} shows a private key:\n{}", seen.join("\n"));
}

/// Each way in which `mark` is in `text`, with what is around it.
fn sightings(mark: &str, text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let found = |(way, form): (String, String)| {
        let at = text.find(&form)?;
        let mut around = at.saturating_sub(80)..(at + form.len() + 80).min(text.len());
        while !text.is_char_boundary(around.start) {
            around.start -= 1;
        }
        while !text.is_char_boundary(around.end) {
            around.end += 1;
        }
        Some(format!("{way}: …{}…", &text[around]))
    };
    forms(mark).into_iter().filter_map(found).collect()
}

/// Each way to write `mark`, and how it looks.
fn forms(mark: &str) -> Vec<(String, String)> {
    let mut seeds = vec![("as it is".to_owned(), mark.to_owned())];
    for (way, once) in base64_forms(mark) {
        let again = base64_forms(&once).map(|(again, twice)| (format!("{way}, {again}"), twice));
        seeds.extend(again);
        seeds.push((way, once));
    }
    let mut all = Vec::new();
    for (way, seed) in seeds {
        let each = |write: fn(u8) -> String, between: &str| {
            seed.bytes().map(write).collect::<Vec<_>>().join(between)
        };
        all.extend([
            (format!("{way}, hexadecimal"), each(|byte| format!("{byte:02x}"), "")),
            (format!("{way}, HEXADECIMAL"), each(|byte| format!("{byte:02X}"), "")),
            (format!("{way}, hexadecimal bytes"), each(|byte| format!("{byte:02x}"), " ")),
            (format!("{way}, percent-encoded"), each(|byte| format!("%{byte:02x}"), "")),
            (format!("{way}, PERCENT-encoded"), each(|byte| format!("%{byte:02X}"), "")),
            (format!("{way}, escaped as JSON"), each(|byte| format!("\\u{byte:04x}"), "")),
            (format!("{way}, escaped as JSON, in capitals"), each(|byte| format!("\\u{byte:04X}"), "")),
            (format!("{way}, escaped as Rust"), each(|byte| format!("\\x{byte:02x}"), "")),
            (format!("{way}, a list"), each(|byte| byte.to_string(), ", ")),
            (format!("{way}, a dense list"), each(|byte| byte.to_string(), ",")),
        ]);
        all.push((way, seed));
    }
    all
}

/// What of base64 is the same whatever stands before and behind.
fn base64_forms(text: &str) -> impl Iterator<Item = (String, String)> {
    let encode = |before: usize, engine: &dyn Fn(&[u8]) -> String| {
        let bytes = [&vec![0; before], text.as_bytes()].concat();
        // A character that holds bits of a neighbour says nothing.
        let first = (before * 8).div_ceil(6);
        let last = bytes.len() * 8 / 6;
        (format!("base64 at {before}"), engine(&bytes)[first..last].to_owned())
    };
    let all: Vec<_> = (0..3)
        .flat_map(|before| [encode(before, &|b| STANDARD.encode(b)), encode(before, &|b| URL_SAFE.encode(b))])
        .collect();
    all.into_iter()
}

/// Whether a canary in `text` would be found; for tests of the tests.
pub(crate) fn is_seen(text: impl AsRef<[u8]>) -> bool {
    !sightings(MARK, text.as_ref()).is_empty()
}

#[test]
fn a_canary_is_seen_in_every_encoding() {
    let each = |write: fn(u8) -> String| canary("here").bytes().map(write).collect::<String>();
    for before in ["", "a", "ab", "abc"] {
        let text = format!("{before}{}{before}", canary("here"));
        let once = STANDARD.encode(&text);
        let pod = serde_json::json!({ "data": { before: once } }).to_string();
        for written in [
            text.clone(),
            once.clone(),
            URL_SAFE.encode(&text),
            STANDARD.encode(&pod),
            format!("{:?}", text.as_bytes()),
            format!("{:?}", once.as_bytes()),
            serde_json::to_string(text.as_bytes()).unwrap(),
            format!("{text:?}"),
        ] {
            assert!(is_seen(&written), "{written}");
        }
    }
    for written in [
        each(|byte| format!("{byte:02x}")),
        each(|byte| format!("{byte:02X}")),
        each(|byte| format!("%{byte:02X}")),
        each(|byte| format!("\\u{byte:04x}")),
        each(|byte| format!("\\x{byte:02x}")),
    ] {
        assert!(is_seen(&written), "{written}");
    }
    assert!(!is_seen("nothing of that kind, kNaRy neither"));
    assert!(std::panic::catch_unwind(|| assert_none("a log", canary("here"))).is_err());
    assert!(std::panic::catch_unwind(|| assert_no_key("a log", "-----BEGIN PRIVATE KEY-----")).is_err());
}
