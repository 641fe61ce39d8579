//! Filters that templates have besides minijinja's own, and those of them that are strict here.
//!
//! | filter | from | to |
//! |---|---|---|
//! | `b64encode`, `b64decode` | text or bytes; base64, padded or not | base64; text, or bytes where it is no UTF-8 |
//! | `urlencode` | text or bytes | every byte but letters, digits, `-._~` as `%XX`: also `/`, which minijinja's leaves |
//! | `tojson`, `fromjson` | any value; JSON | JSON; lists, maps, texts |
//! | `pem`, `pem('CERTIFICATE')` | DER, or base64 of it; PEM stays | PEM; the label by the key's form unless it is given |
//! | `der` | the first block of a PEM text, or DER | bytes, for `b64encode` |
//!
//! Invariants: what is absent goes through no filter but `default`; no error quotes what a filter was given.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use minijinja::value::{Kwargs, Rest, Value};
use minijinja::{Environment, Error, ErrorKind, State, filters};

use super::pem;

/// Standard base64; what people paste often lacks its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const NO_BASE64: &str = "b64decode was given no base64";
const NO_JSON: &str = "fromjson was given no JSON";
const NO_PEM: &str = "der was given no PEM";
const NO_KEY: &str =
    "pem was given neither a key in DER nor its base64; name the label of what is no key: pem('CERTIFICATE')";
const NO_LABEL: &str = "pem takes a label of capitals";
const NOT_TEXT: &str = "pem was given what is not UTF-8";

/// What our filters say where they fail: none of it is of the values.
pub(super) const REFUSALS: [&str; 6] = [NO_BASE64, NO_JSON, NO_PEM, NO_KEY, NO_LABEL, NOT_TEXT];

/// Adds all of them.
pub(super) fn add(environment: &mut Environment<'static>) {
    for (name, filter) in [
        ("chain", Value::from_function(filters::chain)),
        ("e", Value::from_function(filters::escape)),
        ("escape", Value::from_function(filters::escape)),
        ("groupby", Value::from_function(filters::groupby)),
        ("join", Value::from_function(filters::join)),
        ("pprint", Value::from_function(filters::pprint)),
        ("tojson", Value::from_function(filters::tojson)),
        ("zip", Value::from_function(filters::zip)),
        ("b64decode", Value::from_function(b64decode)),
        ("b64encode", Value::from_function(b64encode)),
        ("der", Value::from_function(der)),
        ("fromjson", Value::from_function(fromjson)),
        ("pem", Value::from_function(to_pem)),
        ("urlencode", Value::from_function(urlencode)),
    ] {
        add_strict(environment, name, filter);
    }
}

/// Adds a filter that would take what is absent for an empty text.
fn add_strict(environment: &mut Environment<'static>, name: &'static str, filter: Value) {
    let strict = move |state: &mut State<'_, '_>, Rest(mut values): Rest<Value>, named: Kwargs| {
        if values.first().is_some_and(Value::is_undefined) {
            return Err(Error::from(ErrorKind::UndefinedError));
        }
        if named.args().next().is_some() {
            values.push(Value::from(named));
        }
        filter.call(state, &values)
    };
    environment.add_filter(name, strict);
}

fn refused(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, what)
}

/// The bytes of a value: its own, or those of its text.
fn bytes(value: &Value) -> Vec<u8> {
    value.as_bytes().map_or_else(|| value.to_string().into_bytes(), <[u8]>::to_vec)
}

fn value_of(bytes: Vec<u8>) -> Value {
    match String::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(error) => Value::from_bytes(error.into_bytes()),
    }
}

fn b64encode(value: &Value) -> String {
    BASE64.encode(bytes(value))
}

fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64.decode(text).ok()
}

fn b64decode(value: &Value) -> Result<Value, Error> {
    let decoded = decoded(&bytes(value)).ok_or_else(|| refused(NO_BASE64))?;
    Ok(value_of(decoded))
}

fn urlencode(value: &Value) -> Result<String, Error> {
    use std::fmt::Write as _;
    // minijinja makes a query of a map.
    if value.kind() == minijinja::value::ValueKind::Map {
        return filters::urlencode(value);
    }
    let mut out = String::new();
    for byte in bytes(value) {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            // Writing to a text does not fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    Ok(out)
}

fn fromjson(value: &Value) -> Result<Value, Error> {
    serde_json::from_slice(&bytes(value)).map_err(|_| refused(NO_JSON))
}

fn to_pem(value: &Value, label: Option<&str>) -> Result<String, Error> {
    let given = bytes(value);
    if given.trim_ascii_start().starts_with(b"-----BEGIN ") {
        return String::from_utf8(given).map_err(|_| refused(NOT_TEXT));
    }
    let is_der = |bytes: &[u8]| pem::label(bytes).is_some() || (label.is_some() && pem::is_der(bytes));
    let der = Some(given).filter(|given| is_der(given));
    let der = der.or_else(|| decoded(&bytes(value)).filter(|decoded| is_der(decoded)));
    let der = der.ok_or_else(|| refused(NO_KEY))?;
    let label = label.or_else(|| pem::label(&der)).unwrap_or_default();
    if label.is_empty()
        || !label.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b' ' || byte.is_ascii_digit())
    {
        return Err(refused(NO_LABEL));
    }
    Ok(pem::block(label, &der).to_string())
}

fn der(value: &Value) -> Result<Value, Error> {
    let given = bytes(value);
    if pem::is_der(&given) {
        return Ok(Value::from_bytes(given));
    }
    let text = std::str::from_utf8(&given).ok();
    let der = text.and_then(pem::first_block).and_then(|inner| decoded(inner.as_bytes()));
    der.map(Value::from_bytes).ok_or_else(|| refused(NO_PEM))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::environment;

    const KEY: [u8; 48] = [
        0x30, 0x2E, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20, 1, 2,
        3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29,
        30, 31, 32,
    ];

    fn render(source: &str) -> Result<String, ErrorKind> {
        let values = Value::from_pairs([
            ("der", Value::from_bytes(KEY.to_vec())),
            ("base64", Value::from(BASE64.encode(KEY))),
            ("json", Value::from(r#"{"user": "app", "ports": [1, 2]}"#)),
            ("odd", Value::from("p@s/s w\u{f6}rd~'")),
            ("bytes", Value::from_bytes(vec![0xFF, 0])),
        ]);
        let environment = environment();
        let template = environment.template_from_str(source).map_err(|error| error.kind())?;
        template.render(Value::from_pairs([("v", values)])).map_err(|error| error.kind())
    }

    fn ok(source: &str) -> String {
        render(source).unwrap_or_else(|kind| panic!("{source}: {kind}"))
    }

    #[test]
    fn base64_goes_both_ways() {
        assert_eq!(ok("{{ v.bytes | b64encode }}"), "/wA=");
        assert_eq!(ok("{{ '/wA' | b64decode | b64encode }}"), "/wA=");
        assert_eq!(ok("{{ 'aGVs\nbG8=\n' | b64decode }}"), "hello");
        assert!(render("{{ 'a?' | b64decode }}").is_err());
    }

    #[test]
    fn urls_take_what_was_encoded_anywhere() {
        assert_eq!(ok("{{ v.odd | urlencode }}"), "p%40s%2Fs%20w%C3%B6rd~%27");
        assert_eq!(ok("{{ v.bytes | urlencode }}"), "%FF%00");
        assert_eq!(ok("{{ dict(a='b c') | urlencode }}"), "a=b%20c");
    }

    #[test]
    fn json_goes_both_ways() {
        assert_eq!(ok("{{ (v.json | fromjson).user }}{{ (v.json | fromjson).ports[1] }}"), "app2");
        assert_eq!(ok("{{ dict(a=v.odd) | tojson }}"), "{\"a\": \"p@s/s w\u{f6}rd~\\u0027\"}");
        assert_eq!(ok("{{ [1] | tojson(indent=2) }}"), "[\n  1\n]");
        assert_eq!(render("{{ '{' | fromjson }}"), Err(ErrorKind::InvalidOperation));
        assert_eq!(render("{{ (v.json | fromjson).nobody }}"), Err(ErrorKind::UndefinedError));
    }

    #[test]
    fn pem_goes_both_ways() {
        let pem = ok("{{ v.der | pem }}");
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAEC"), "{pem}");
        assert!(pem.ends_with("-----END PRIVATE KEY-----\n"), "{pem}");
        assert_eq!(ok("{{ v.base64 | pem }}"), pem);
        assert_eq!(ok("{{ v.der | pem | pem }}"), pem);
        assert_eq!(ok("{{ v.der | pem | der | b64encode }}"), BASE64.encode(KEY));
        assert_eq!(ok("{{ v.der | der | b64encode }}"), BASE64.encode(KEY));
        assert!(ok("{{ v.der | pem('CERTIFICATE') }}").starts_with("-----BEGIN CERTIFICATE-----\n"));
        for wrong in [
            "{{ 'password' | pem }}",
            "{{ v.der | pem('a\n') }}",
            "{{ 'x' | der }}",
            "{{ v.odd | pem('CERTIFICATE') }}",
        ] {
            assert_eq!(render(wrong), Err(ErrorKind::InvalidOperation), "{wrong}");
        }
    }

    #[test]
    fn what_is_absent_goes_through_no_filter_but_default() {
        let names = "abs attr batch bool capitalize chain count dictsort e escape first float format groupby indent int items join last length lines list lower map max min pprint reject rejectattr replace reverse round safe select selectattr slice sort split string sum title tojson trim unique upper urlencode zip b64decode b64encode der fromjson pem";
        for name in names.split(' ') {
            for arguments in ["", "('a')", "('a', 'b')", "(1)"] {
                let source = format!("{{{{ v.nothing | {name}{arguments} }}}}");
                assert!(render(&source).is_err(), "{source}");
            }
        }
        assert_eq!(ok("{{ v.nothing | default('a') }}{{ v.nothing | d('b') | urlencode }}"), "ab");
    }
}
