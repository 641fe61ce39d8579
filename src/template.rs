//! Templates of `inject.D/template.NAME`: a text in minijinja's syntax over the pod's own values.
//!
//! `{{ secret['db.password'] }}`, `{{ resource['db.host'] }}`, `{{ lease['shard'] }}`, with minijinja's own filters and
//! `b64encode`, `b64decode`, `urlencode`, `tojson`. An unknown name is an error, not an empty text. Nothing is escaped
//! unless a filter does it. Pure: no files, no environment, no other templates.
//!
//! Left out of the language: `*`, braces inside tags, `raw` blocks, other templates, and tags of more than 1024 bytes
//! (see `guard`): the webhook compiles what strangers write.
//!
//! Invariants: what goes wrong while rendering is told by line and kind, never with minijinja's own details, for
//! those may quote a value. Work and output are bounded. Copies that minijinja makes of values are not wiped:
//! they live as long as the rendering.

mod guard;

use std::collections::BTreeMap;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use zeroize::Zeroizing;

use crate::domain::SecretValue;

/// Instructions that one rendering may take.
const FUEL: u64 = 200_000;

/// Bytes that one rendering may give: a Secret object holds no more either.
const LARGEST: usize = 1 << 20;

/// What a template can name.
#[derive(Debug, Default)]
pub struct Values<'a> {
    /// `secret['NAME']`: text where it is UTF-8, keys as PEM.
    pub secrets: BTreeMap<&'a str, SecretValue>,
    /// `resource['NAME']`.
    pub resources: BTreeMap<&'a str, SecretValue>,
    /// `lease['NAME']`: a number.
    pub leases: BTreeMap<&'a str, i32>,
}

/// Why a template gave no text. Shows neither values nor the template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text is no template, or has what templates cannot have.
    #[error("cannot be read: {0}")]
    Syntax(String),
    /// A name that the pod asks for nowhere.
    #[error(
        "line {line} uses a name that is not there; secret[…], resource[…] and lease[…] know what the pod's annotations ask for"
    )]
    Unknown {
        /// The line of the template.
        line: usize,
    },
    /// Bytes where text was wanted.
    #[error("line {line} prints a value that is not UTF-8; put it through b64encode")]
    Binary {
        /// The line of the template.
        line: usize,
    },
    /// More than [`LARGEST`] bytes.
    #[error("gives more than {LARGEST} bytes")]
    TooLarge,
    /// Everything else that can go wrong.
    #[error("line {line} failed: {kind}")]
    Failed {
        /// The line of the template.
        line: usize,
        /// The kind of failure, in minijinja's words.
        kind: String,
    },
}

/// Says what is wrong with the syntax of a template, if anything: for admission, where values are not known.
pub fn check(source: &str) -> Result<(), String> {
    guard::check(source)?;
    environment().template_from_str(source).map(drop).map_err(|error| syntax(&error))
}

/// Renders a template.
pub fn render(source: &str, values: &Values<'_>) -> Result<SecretValue, TemplateError> {
    guard::check(source).map_err(TemplateError::Syntax)?;
    let environment = environment();
    let template =
        environment.template_from_str(source).map_err(|error| TemplateError::Syntax(syntax(&error)))?;
    let context = Value::from_pairs([
        ("secret", bytes_by_name(&values.secrets)),
        ("resource", bytes_by_name(&values.resources)),
        ("lease", Value::from_pairs(values.leases.iter().map(|(name, index)| (*name, Value::from(*index))))),
    ]);
    let mut out = Bounded(Zeroizing::new(Vec::with_capacity(source.len() * 2)));
    match template.render_captured_to(context, &mut out) {
        Ok(_) => Ok(SecretValue::new(std::mem::take(&mut *out.0))),
        Err(error) => Err(failure(&error)),
    }
}

fn bytes_by_name(values: &BTreeMap<&str, SecretValue>) -> Value {
    Value::from_pairs(values.iter().map(|(name, value)| {
        let value = match std::str::from_utf8(value.expose()) {
            Ok(text) => Value::from(text),
            Err(_) => Value::from_bytes(value.expose().to_vec()),
        };
        (*name, value)
    }))
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    // A file that ends in a line end in the annotation ends in one on the volume. Only delimiters can be refused.
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_formatter(|out, state, value| {
        if value.as_str().is_none() && value.as_bytes().is_some() {
            return Err(Error::new(ErrorKind::BadSerialization, NOT_TEXT));
        }
        minijinja::escape_formatter(out, state, value)
    });
    environment.add_filter("b64encode", |value: &Value| match value.as_bytes() {
        Some(bytes) => Ok(STANDARD.encode(bytes)),
        None => Ok::<_, Error>(STANDARD.encode(value.to_string())),
    });
    environment.add_filter("b64decode", |value: &str| {
        let bytes = STANDARD
            .decode(value.trim())
            .map_err(|_| Error::new(ErrorKind::InvalidOperation, "b64decode was given no base64"))?;
        Ok::<_, Error>(match String::from_utf8(bytes) {
            Ok(text) => Value::from(text),
            Err(error) => Value::from_bytes(error.into_bytes()),
        })
    });
    environment
}

/// Marks the formatter's own error.
const NOT_TEXT: &str = "not UTF-8";

fn syntax(error: &Error) -> String {
    // Nothing but the template's own text can be in here.
    error.to_string()
}

fn failure(error: &Error) -> TemplateError {
    let line = error.line().unwrap_or(1);
    match error.kind() {
        ErrorKind::UndefinedError => TemplateError::Unknown { line },
        ErrorKind::BadSerialization if error.detail() == Some(NOT_TEXT) => TemplateError::Binary { line },
        ErrorKind::WriteFailure => TemplateError::TooLarge,
        kind => TemplateError::Failed { line, kind: kind.to_string() },
    }
}

/// Refuses what is too large.
struct Bounded(Zeroizing<Vec<u8>>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LARGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(source: &str) -> Result<String, TemplateError> {
        let value = |text: &[u8]| SecretValue::new(text.to_vec());
        let values = Values {
            secrets: BTreeMap::from([("db.password", value(b"p@ss'\"<w>")), ("raw", value(&[0xFF, 0]))]),
            resources: BTreeMap::from([("db.host", value(b"db.local"))]),
            leases: BTreeMap::from([("shard", 7)]),
        };
        render(source, &values).map(|text| String::from_utf8(text.expose().to_vec()).unwrap())
    }

    #[test]
    fn values_are_named_by_family_and_never_escaped() {
        let source =
            "postgres://app:{{ secret['db.password'] }}@{{ resource['db.host'] }}/app{{ lease.shard }}\n";
        assert_eq!(rendered(source).unwrap(), "postgres://app:p@ss'\"<w>@db.local/app7\n");
    }

    #[test]
    fn filters_encode() {
        assert_eq!(rendered("{{ secret['db.password'] | urlencode }}").unwrap(), "p%40ss%27%22%3Cw%3E");
        assert_eq!(rendered("{{ secret.raw | b64encode }}").unwrap(), "/wA=");
        assert_eq!(rendered("{{ resource['db.host'] | b64encode | b64decode }}").unwrap(), "db.local");
        let json: String =
            serde_json::from_str(&rendered("{{ secret['db.password'] | tojson }}").unwrap()).unwrap();
        assert_eq!(json, "p@ss'\"<w>");
    }

    #[test]
    fn what_is_wrong_is_told_by_line() {
        assert_eq!(rendered("a\n{{ secret['db.pasword'] }}"), Err(TemplateError::Unknown { line: 2 }));
        assert_eq!(rendered("{{ nothing }}"), Err(TemplateError::Unknown { line: 1 }));
        assert_eq!(rendered("{{ secret.raw }}"), Err(TemplateError::Binary { line: 1 }));
        assert!(matches!(rendered("{{ 1"), Err(TemplateError::Syntax(_))));
        assert!(check("{% if %}").unwrap_err().contains("syntax"));
        assert_eq!(check("{{ secret['a'] }}"), Ok(()));
    }

    #[test]
    fn work_and_output_are_bounded() {
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
        assert!(matches!(rendered(endless), Err(TemplateError::Failed { line: 1, .. })));
        let large = format!("{{% for a in range(99) %}}{}{{% endfor %}}", "x".repeat(20_000));
        assert_eq!(rendered(&large), Err(TemplateError::TooLarge));
        assert!(rendered("{% include 'other' %}").is_err());
    }

    #[test]
    fn no_failure_shows_a_value() {
        for source in [
            "{{ secret['db.password'] | int }}",
            "{{ secret['db.password'] | b64decode }}",
            "{{ secret['db.password'] + 1 }}",
            "{{ secret['db.password']() }}",
            "{{ secret['db.password'] | nope }}",
            "{{ secret[secret['db.password']] }}",
        ] {
            let error = rendered(source).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("p@ss"), "{error:?}");
        }
    }
}
