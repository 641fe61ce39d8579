//! Rendering templates over a pod's values.
//!
//! Invariants: what goes wrong is told by line and kind, never with minijinja's own details, for those may quote a
//! value. Work and output are bounded. Copies that minijinja makes of values are not wiped: they live as long as the
//! rendering.

use std::collections::BTreeMap;
use std::io;

use minijinja::value::Value;
use minijinja::{Error, ErrorKind};
use zeroize::Zeroizing;

use crate::domain::SecretValue;
use crate::template;

/// Bytes that one rendering may give: a Secret object holds no more either.
const LARGEST: usize = 1 << 20;

/// What a template can name.
#[derive(Debug, Default)]
pub(super) struct Values<'a> {
    /// `secret['NAME']`: text where it is UTF-8. The caller makes PEM of keys and base64 of random bytes.
    pub(super) secrets: BTreeMap<&'a str, SecretValue>,
    /// `resource['NAME']`.
    pub(super) resources: BTreeMap<&'a str, SecretValue>,
    /// `lease['NAME']`: a number.
    pub(super) leases: BTreeMap<&'a str, i32>,
}

/// Why a template gave no text. Shows neither values nor the template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
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
    #[error("line {line} failed: {reason}")]
    Failed {
        /// The line of the template.
        line: usize,
        /// What a filter of ours says, or the kind of failure in minijinja's words.
        reason: String,
    },
}

/// Renders a template.
pub(super) fn render(source: &str, values: &Values<'_>) -> Result<SecretValue, TemplateError> {
    let environment = template::environment();
    let template = template::compile(&environment, source).map_err(TemplateError::Syntax)?;
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

fn failure(error: &Error) -> TemplateError {
    let line = error.line().unwrap_or(1);
    match error.kind() {
        ErrorKind::UndefinedError => TemplateError::Unknown { line },
        ErrorKind::BadSerialization if error.detail() == Some(template::NOT_TEXT) => {
            TemplateError::Binary { line }
        }
        ErrorKind::WriteFailure => TemplateError::TooLarge,
        kind => {
            let reason = template::refusal(error).map_or_else(|| kind.to_string(), str::to_owned);
            TemplateError::Failed { line, reason }
        }
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
        assert_eq!(
            rendered("{{ secret.raw | urlencode }}\n{{ secret.no | urlencode }}"),
            Err(TemplateError::Unknown { line: 2 })
        );
        let Err(TemplateError::Failed { reason, .. }) = rendered("{{ secret['db.password'] | fromjson }}")
        else {
            panic!()
        };
        assert_eq!(reason, "fromjson was given no JSON");
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
            "{{ secret['db.password'] | fromjson }}",
            "{{ secret['db.password'] | pem }}",
            "{{ secret['db.password'] | der }}",
            "{{ secret.raw | pem(secret['db.password']) }}",
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
