//! What a template may not even be parsed with.
//!
//! The webhook checks templates that anybody who may create a pod wrote. minijinja's compiler recurses once for each
//! operator of a chain (`a~a~a…`, 20,000 of them overflow a thread's stack, which ends the whole process), and
//! computes constants while it compiles (`'x' * 100000000` takes 100 MB, each time). So the size of a tag and the
//! number of tags are bounded, and a tag has no `*`.
//!
//! The scan must see tags where minijinja's lexer sees them. Two of its features would make that doubtful: braces
//! inside tags (a `}}` may then close something else) and `raw` blocks (a quote in one is not a quote). Both are
//! refused. Whatever else is seen differently is a syntax error to minijinja.

/// Bytes between the delimiters of one tag: at most half as many levels of recursion.
const LONGEST_TAG: usize = 1024;

/// Each `elif` is one level of recursion.
const MOST_TAGS: usize = 1000;

/// A tag of a template.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tag<'s> {
    pub(super) kind: Kind,
    /// What is between the delimiters.
    pub(super) text: &'s str,
    /// Where that begins in the template.
    pub(super) at: usize,
}

/// What a tag does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `{{ … }}`
    Print,
    /// `{% … %}`
    Block,
    /// `{# … #}`
    Comment,
}

/// Says why the template is not parsed, if it is not.
pub(super) fn check(source: &str) -> Result<(), String> {
    for (index, tag) in tags(source).enumerate() {
        tag?;
        if index >= MOST_TAGS {
            return Err(format!("more than {MOST_TAGS} tags"));
        }
    }
    Ok(())
}

/// The tags of a template, up to the first that cannot be taken.
pub(super) fn tags(source: &str) -> impl Iterator<Item = Result<Tag<'_>, String>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let opened = at + source.get(at..)?.find('{')? + 1;
            let (kind, end) = match source.as_bytes().get(opened) {
                Some(b'#') => (Kind::Comment, "#}"),
                Some(b'{') => (Kind::Print, "}}"),
                Some(b'%') => (Kind::Block, "%}"),
                _ => {
                    at = opened;
                    continue;
                }
            };
            let inside = opened + 1;
            let rest = &source[inside..];
            let length = match kind {
                Kind::Comment => Ok(rest.find(end).unwrap_or(rest.len())),
                Kind::Print | Kind::Block => tag_length(rest, end),
            };
            return Some(
                length
                    .map(|length| {
                        at = inside + length + end.len();
                        Tag { kind, text: &rest[..length], at: inside }
                    })
                    .inspect_err(|_| at = source.len()),
            );
        }
    })
}

/// How long a tag is without its delimiters, which end it outside of quotes.
fn tag_length(tag: &str, end: &str) -> Result<usize, String> {
    if tag.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '+')).starts_with("raw") {
        return Err("raw blocks are not taken; write {{ '{{' }} for braces".to_owned());
    }
    let mut quote = None;
    let mut escaped = false;
    for (at, char) in tag.char_indices() {
        if at > LONGEST_TAG {
            return Err(format!("a tag of more than {LONGEST_TAG} bytes"));
        }
        match (quote, char) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if open == char => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(char),
            (None, '*' | '{') => {
                return Err(format!("a tag with `{char}`, which templates cannot have here"));
            }
            (None, _) if tag[at..].starts_with(end) => return Ok(at),
            (None, _) => {}
        }
    }
    // minijinja says better what is wrong with a tag that does not end.
    Ok(tag.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_templates_pass() {
        for source in [
            "",
            "a { b } * c % {",
            "{{ secret['a*b'] }} * {{ secret[\"}}{*\\\"*\"] }}",
            "{# * raw {{ ' #}{% if a %}*{% elif b %}{% endif %}",
            "{%- for a in b -%}{{- a -}}{%- endfor -%}",
            &"{{ a }}".repeat(MOST_TAGS),
        ] {
            assert_eq!(check(source), Ok(()), "{source}");
        }
    }

    #[test]
    fn everything_that_could_harm_the_webhook_is_refused() {
        for (source, words) in [
            ("{{ 'x' * 100000000 }}".to_owned(), "`*`"),
            ("{{ 9 ** 9 }}".to_owned(), "`*`"),
            ("{% set a = 'x' * 9 %}".to_owned(), "`*`"),
            ("{{ {'a': {'b': 1}} * 9 }}".to_owned(), "`{`"),
            ("{% raw %}{{ ' {% endraw %}{{ 'x' * 9 }}".to_owned(), "raw"),
            ("{%- raw %}{% endraw %}".to_owned(), "raw"),
            ("{# ' #}{{ 'x' * 9 }}".to_owned(), "`*`"),
            (format!("{{{{ a{} }}}}", "~a".repeat(20_000)), "1024"),
            (format!("{{{{ {}a }}}}", "not ".repeat(20_000)), "1024"),
            (format!("{{% if a{} %}}", "|a".repeat(20_000)), "1024"),
            ("{% elif a %}".repeat(20_000), "tags"),
        ] {
            assert!(check(&source).unwrap_err().contains(words), "{}", &source[..20]);
        }
    }

    /// On the stack of a test thread, which is that of a worker: the worst that passes is survived.
    #[test]
    fn what_passes_is_compiled() {
        let worst = |part: &str| format!("{{{{ {} a }}}}", part.repeat((LONGEST_TAG - 8) / part.len()));
        let chained = format!("{{{{ a{} }}}}", "~a".repeat((LONGEST_TAG - 8) / 2));
        let elifs = format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}".repeat(MOST_TAGS - 2));
        for source in [worst("not "), worst("-"), chained, elifs, worst("("), worst("[")] {
            assert_eq!(check(&source), Ok(()));
            let _ = super::super::check(&source);
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(source in "[{}%#'\"*\\\\ a\u{e9}-]{0,60}") {
            let _ = super::super::check(&source);
        }
    }
}
