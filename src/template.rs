//! Templates of `inject.D/template.NAME`: the language, and whether a text is of it.
//!
//! `{{ secret['db.password'] }}`, `{{ resource['db.host'] }}`, `{{ lease['shard'] }}` in minijinja's syntax, with its own
//! filters and `b64encode`, `b64decode`, `urlencode`, `tojson`. An unknown name is an error, not an empty text. Nothing
//! is escaped unless a filter does it.
//!
//! Left out of the language: `*`, braces inside tags, `raw` blocks, other templates, and tags of more than 1024 bytes
//! (see `guard`): the webhook compiles what strangers write. Deliberately absent: rendering, which is the init
//! container's.

mod guard;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, Template, UndefinedBehavior};

/// Instructions that one rendering may take.
const FUEL: u64 = 200_000;

/// Marks the refusal of the formatter to print bytes.
pub(crate) const NOT_TEXT: &str = "not UTF-8";

/// Says what is wrong with the syntax of a template, if anything: for admission, where values are not known.
pub fn check(source: &str) -> Result<(), String> {
    compile(&environment(), source).map(drop)
}

/// Compiles a template.
pub(crate) fn compile<'e>(
    environment: &'e Environment<'_>,
    source: &'e str,
) -> Result<Template<'e, 'e>, String> {
    guard::check(source)?;
    // Nothing but the template's own text can be in this message.
    environment.template_from_str(source).map_err(|error| error.to_string())
}

/// The language.
pub(crate) fn environment() -> Environment<'static> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_is_checked_without_values() {
        assert_eq!(check("{{ secret['a'] | tojson }}"), Ok(()));
        assert!(check("{% if %}").unwrap_err().contains("syntax"));
        assert!(check("{{ 'x' * 9 }}").unwrap_err().contains("`*`"));
    }
}
