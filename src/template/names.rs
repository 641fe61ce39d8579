//! The names that a template has in its text: `secret['db.password']`, `lease.shard`.
//!
//! ```text
//! template ─▶ tags (guard) ─▶ tokens ─▶ names, each certain to be reached or not
//! ```
//!
//! Invariants: a name is certain only where rendering reaches it whatever the values are, and fails when there is no such
//! value: it stands first in a `{{ … }}` outside of all branches and loops, and nothing there provides for its absence.
//! What is computed, escaped or assigned by the template itself is not seen. Nothing is evaluated, and the work is linear.
//!
//! Deliberately absent: minijinja's own `undeclared_variables`, which does not see names in brackets.

use std::collections::HashSet;

use super::guard::{Kind, Tag, tags};
use crate::domain::Family;

/// A name in a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'s> {
    /// What is named.
    pub what: What<'s>,
    /// The line of the template.
    pub line: usize,
    /// Whether every rendering fails that does not have it.
    pub is_certain: bool,
}

/// What a name is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What<'s> {
    /// A value that the pod asks for, or should.
    Value(Family, &'s str),
    /// A variable that no template has.
    Other(&'s str),
}

impl Named<'_> {
    /// Whether it is the secret of this name.
    pub fn is_secret(&self, name: &str) -> bool {
        self.what == What::Value(Family::Secret, name)
    }
}

/// A piece of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'s> {
    Word(&'s str),
    /// What is between quotes; nothing where it has escapes.
    Text(Option<&'s str>),
    Sign(char),
}

/// The names in a template, in their order, each once: certain where one of its places is.
pub fn names(source: &str) -> Vec<Named<'_>> {
    let all: Vec<(Tag<'_>, Vec<Token<'_>>)> = tags(source)
        .map_while(Result::ok)
        .filter(|tag| tag.kind != Kind::Comment)
        .map(|tag| (tag, tokens(tag.text)))
        .collect();
    let assigned = assigned(&all);
    let mut found = Found { names: Vec::new(), provided: HashSet::new() };
    let (mut depth, mut line, mut counted) = (0_usize, 1, 0);
    for (tag, tokens) in &all {
        line += source[counted..tag.at].matches('\n').count();
        counted = tag.at;
        match (tag.kind, tokens.first()) {
            (Kind::Block, Some(Token::Word("if" | "for" | "macro" | "call" | "block"))) => depth += 1,
            (Kind::Block, Some(Token::Word("endif" | "endfor" | "endmacro" | "endcall" | "endblock"))) => {
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        found.read(tokens, line, tag.kind == Kind::Print && depth == 0, &assigned);
    }
    let Found { mut names, provided } = found;
    names.retain(|named| named.is_certain || !provided.contains(&named.what));
    names
}

struct Found<'s> {
    names: Vec<Named<'s>>,
    /// What the template asks after before it takes it.
    provided: HashSet<What<'s>>,
}

impl<'s> Found<'s> {
    fn read(&mut self, tokens: &[Token<'s>], line: usize, is_printed: bool, assigned: &HashSet<&str>) {
        let provides = tokens.iter().any(|token| matches!(token, Token::Word("is" | "default" | "d")));
        for at in 0..tokens.len() {
            let Some((what, after)) = lookup(tokens, at, assigned) else { continue };
            let is_certain = at == 0 && is_printed && fails_without(&tokens[after..]);
            if !is_certain && matches!(what, What::Other(_)) {
                continue;
            }
            if provides && !is_certain {
                self.provided.insert(what);
            }
            match self.names.iter_mut().find(|named| named.what == what) {
                Some(named) if is_certain && !named.is_certain => *named = Named { what, line, is_certain },
                Some(_) => {}
                None => self.names.push(Named { what, line, is_certain }),
            }
        }
    }
}

/// Whether a printed value must be there: nothing follows it, or what does not take what is absent.
fn fails_without(rest: &[Token<'_>]) -> bool {
    match rest {
        [] => true,
        [Token::Sign('|'), Token::Word("default" | "d"), ..] => false,
        [Token::Sign('|' | '[' | '.'), ..] => !rest.contains(&Token::Word("if")),
        _ => false,
    }
}

/// The name that begins at a token, and where what follows it begins.
fn lookup<'s>(tokens: &[Token<'s>], at: usize, assigned: &HashSet<&str>) -> Option<(What<'s>, usize)> {
    let Token::Word(word) = tokens[at] else { return None };
    // Names of attributes, filters and tests are none of ours.
    let is_part = at > 0 && matches!(tokens[at - 1], Token::Sign('.' | '|') | Token::Word("is"));
    if is_part || assigned.contains(word) {
        return None;
    }
    let family = match word {
        "secret" => Family::Secret,
        "resource" => Family::Resource,
        "lease" => Family::Lease,
        other => return (!KNOWN.contains(&other)).then_some((What::Other(other), at + 1)),
    };
    match tokens[at + 1..] {
        [Token::Sign('['), Token::Text(Some(name)), Token::Sign(']'), ..] => {
            Some((What::Value(family, name), at + 4))
        }
        [Token::Sign('.'), Token::Word(name), ..] => Some((What::Value(family, name), at + 3)),
        _ => None,
    }
}

/// Words that a template has without asking for anything: literals, operators, functions.
const KNOWN: [&str; 17] = [
    "True",
    "False",
    "None",
    "true",
    "false",
    "none",
    "not",
    "and",
    "or",
    "in",
    "is",
    "if",
    "else",
    "range",
    "dict",
    "debug",
    "namespace",
];

/// What the template may give another meaning: every word that its assignments and loops name as a whole.
fn assigned<'s>(all: &[(Tag<'s>, Vec<Token<'s>>)]) -> HashSet<&'s str> {
    let mut assigned = HashSet::from(["loop", "self", "caller"]);
    for (tag, tokens) in all {
        let may_assign = matches!(
            tokens.first(),
            Some(Token::Word("set" | "for" | "with" | "macro" | "call" | "import" | "from" | "block"))
        );
        if tag.kind != Kind::Block || !may_assign {
            continue;
        }
        for (at, token) in tokens.iter().enumerate().skip(1) {
            let is_part = tokens[at - 1] == Token::Sign('.');
            let has_part = matches!(tokens.get(at + 1), Some(Token::Sign('[' | '.')));
            if let (Token::Word(word), false, false) = (token, is_part, has_part) {
                assigned.insert(word);
            }
        }
    }
    assigned
}

/// The tokens of a tag, as far as names need them: a number is a sign.
fn tokens(tag: &str) -> Vec<Token<'_>> {
    // Control of blanks around the tag.
    let tag = tag.strip_prefix(['-', '+']).unwrap_or(tag);
    let tag = tag.strip_suffix(['-', '+']).unwrap_or(tag);
    let mut tokens = Vec::new();
    let mut rest = tag.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => {
                let (length, text) = quoted(rest, first);
                tokens.push(Token::Text(text));
                length
            }
            _ if is_word(first) => {
                let length = rest.find(|char| !is_word(char)).unwrap_or(rest.len());
                let word = &rest[..length];
                tokens.push(if first.is_ascii_digit() { Token::Sign('0') } else { Token::Word(word) });
                length
            }
            sign => {
                tokens.push(Token::Sign(sign));
                sign.len_utf8()
            }
        };
        rest = rest[length..].trim_start();
    }
    tokens
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

/// The length of a text in quotes, and what is between them; nothing where it has escapes.
fn quoted(text: &str, quote: char) -> (usize, Option<&str>) {
    let mut escaped = false;
    let mut is_plain = true;
    for (at, char) in text.char_indices().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' => {
                escaped = true;
                is_plain = false;
            }
            _ if char == quote => return (at + 1, is_plain.then(|| &text[1..at])),
            _ => {}
        }
    }
    (text.len(), None)
}

#[cfg(test)]
mod tests {
    use minijinja::value::Value;
    use proptest::prelude::*;

    use super::*;
    use crate::template::{compile, environment};

    /// Every value that a template names and the pod does not ask for: each by its name, certain ones with a `!`.
    fn unknown(source: &str) -> Vec<String> {
        let missing = |named: &Named<'_>| match named.what {
            What::Value(family, name) => (name != "there").then(|| format!("{}.{name}", family.word())),
            What::Other(name) => Some(name.to_owned()),
        };
        let shown = |named: &Named<'_>| {
            Some(format!("{}{}{}", missing(named)?, named.line, if named.is_certain { "!" } else { "" }))
        };
        names(source).iter().filter_map(shown).collect()
    }

    fn render(source: &str) -> Result<String, String> {
        let environment = environment();
        let family = || Value::from_pairs([("there", Value::from("1"))]);
        let context = Value::from_pairs([("secret", family()), ("resource", family()), ("lease", family())]);
        compile(&environment, source)?.render(context).map_err(|error| error.to_string())
    }

    #[test]
    fn what_must_fail_is_certain() {
        for (source, found) in [
            ("{{ secret['db.password'] }}", "secret.db.password1!"),
            ("a\n{{- secret[\"x\"] | urlencode -}}", "secret.x2!"),
            ("{# {{ secret.a }} #}\n{{resource.b|b64encode|default('c')}}", "resource.b2!"),
            (
                "{{ lease.shard }}{% if secret.there %}{% endif %}{{ secret.x | tojson(indent=2) }}",
                "lease.shard1! secret.x1!",
            ),
            ("{{ secret.x.y }}", "secret.x1!"),
            ("{{ secrets['there'] }}", "secrets1!"),
            ("{{ db_password }}", "db_password1!"),
            ("{% set a = 1 %}{{ a }}{{ secret['}}'] }}", "secret.}}1!"),
            ("{% if true %}{{ secret.x }}{% endif %}{{ secret.x }}", "secret.x1!"),
            ("{% with a = 1 %}{{ secret.x }}{% endwith %}", "secret.x1!"),
        ] {
            assert_eq!(unknown(source).join(" "), found, "{source}");
            assert!(render(source).is_err(), "{source}");
        }
    }

    #[test]
    fn what_may_not_be_reached_is_not_certain() {
        for (source, found) in [
            ("{% if false %}{{ secret.x }}{% endif %}", "secret.x1"),
            ("{% for a in [] %}\n{{ secret.x }}{% endfor %}", "secret.x2"),
            ("{{ 'a' if true else secret.x }}", "secret.x1"),
            ("{{ secret.x | upper if false else 'a' }}", "secret.x1"),
            ("{{ true or secret.x }}", "secret.x1"),
            ("{% set a = secret.x %}", "secret.x1"),
            ("{{ [secret.x] | length }}", "secret.x1"),
        ] {
            assert_eq!(unknown(source).join(" "), found, "{source}");
            assert!(render(source).is_ok(), "{source}");
        }
    }

    #[test]
    fn what_the_template_provides_for_is_its_own_business() {
        for source in [
            "{{ secret.there ~ resource['there'] }}",
            "{{ secret.x | default('a') }}{{ secret['x'] | d('a') }}",
            "{% if secret.x is defined %}{{ secret.x }}{% endif %}",
            "{% if secret.x is undefined %}a{% else %}{{ secret.x }}{% endif %}",
            "{{ secret['the' ~ 're'] }}{{ secret['\\x74here'] }}",
            "{% set secret = ['a'] %}{{ secret[0] }}",
            "{% for resource in [[1]] %}{{ resource[0] }}{{ loop.index }}{% endfor %}",
            "{% for name in secret %}{{ secret[name] }}{% endfor %}",
            "{% with lease = 1 %}{{ lease }}{% endwith %}",
            "{{ range(3) | join(',') }}{{ true }}{{ none }}",
            "{{ namespace(a=1).a }}{{ dict(a=1).a }}",
            "no tags, { and }",
        ] {
            assert_eq!(unknown(source), Vec::<String>::new(), "{source}");
            assert!(render(source).is_ok(), "{source}: {:?}", render(source));
        }
    }

    #[test]
    fn every_function_is_known() {
        for (name, _) in environment().globals() {
            assert!(KNOWN.contains(&name), "{name}");
        }
    }

    fn part() -> impl Strategy<Value = String> {
        let name =
            prop_oneof![Just("['there']"), Just("['x']"), Just(".x"), Just("[secret.there]"), Just("")];
        let root = prop_oneof![Just("secret"), Just("lease"), Just("a"), Just("'b'"), Just("none")];
        let after = prop_oneof![
            Just(""),
            Just("|upper"),
            Just("|default('c')"),
            Just(" is defined"),
            Just(" if false else 'd'"),
            Just(" or 1"),
            Just("|tojson"),
            Just("~'e'"),
            Just("|d"),
            Just("[0]"),
            Just(" and false"),
            Just("|urlencode|default(1)"),
        ];
        let before = prop_oneof![
            Just("{{ "),
            Just("{{-"),
            Just("{{ 1 or "),
            Just("{% set a = "),
            Just("{% if "),
            Just("{% for a in "),
            Just("{{ not "),
        ];
        (before, root, name, after).prop_map(|(before, root, name, after)| {
            let close = match before {
                "{% set a = " => " %}",
                "{% if " => " %}y{% else %}{{ secret.x }}{% endif %}",
                "{% for a in " => " %}{{ a }}{% endfor %}",
                _ => " }}",
            };
            format!("{before}{root}{name}{after}{close}")
        })
    }

    proptest! {
        #[test]
        fn no_template_that_renders_is_certain_to_fail(parts in prop::collection::vec(part(), 1..6)) {
            let source = parts.join(" ");
            if render(&source).is_ok() {
                let found = unknown(&source);
                prop_assert!(found.iter().all(|name| !name.ends_with('!')), "{source}: {found:?}");
            }
        }

        #[test]
        fn nothing_panics(source in "[{}%#'\"\\\\ a.\\[\\]|secretif\u{e9}\n-]{0,80}") {
            let _ = names(&source);
        }
    }
}
