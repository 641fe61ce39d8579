//! Templates of `inject.D/template.NAME`: the language, and whether a text is of it.
//!
//! `{{ secret['db.password'] }}`, `{{ resource['db.host'] }}`, `{{ lease['shard'] }}` in minijinja's syntax, with its own
//! filters and those of `filters`. An unknown name is an error, not an empty text, also where it goes through a filter.
//! Nothing is escaped unless a filter does it.
//!
//! Left out of the language: `*`, braces inside tags, `raw` blocks, other templates, and tags of more than 1024 bytes
//! (see `guard`): the webhook compiles what strangers write. Deliberately absent: rendering, which is the init
//! container's.

mod filters;
mod guard;
mod names;
pub(crate) mod pem;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Template, UndefinedBehavior};

pub use self::names::{Named, What, names};

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

/// What one of our own filters said of what it was given, which is no part of any value.
pub(crate) fn refusal(error: &Error) -> Option<&'static str> {
    filters::REFUSALS.into_iter().find(|refusal| error.detail() == Some(*refusal))
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
    filters::add(&mut environment);
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
