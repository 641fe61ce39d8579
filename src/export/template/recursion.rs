//! Whether an inline partial leads to itself: rendering would not end, but run out of stack.
//!
//! Nothing here has depth that a template could follow, so none has use for it. A name that is computed
//! (`{{> (lookup this "name")}}`) counts as that of every inline partial.

use std::collections::{BTreeMap, BTreeSet};

use handlebars::template::{DecoratorTemplate, Parameter, Template, TemplateElement};

/// Inline partials, and which others each includes.
type Includes = BTreeMap<String, Included>;

#[derive(Debug, Default)]
struct Included {
    by_name: BTreeSet<String>,
    computed: bool,
}

/// An inline partial that includes itself, be it by way of others.
pub(super) fn recursive_partial(template: &Template) -> Option<String> {
    let mut includes = Includes::new();
    collect(template, None, &mut includes);
    includes.keys().find(|name| reaches(&includes, name)).cloned()
}

fn reaches(includes: &Includes, name: &str) -> bool {
    let (mut seen, mut ahead) = (BTreeSet::new(), vec![name]);
    while let Some(Included { by_name, computed }) = ahead.pop().and_then(|one| includes.get(one)) {
        if *computed || by_name.contains(name) {
            return true;
        }
        ahead.extend(
            by_name
                .iter()
                .map(String::as_str)
                .filter(|next| includes.contains_key(*next) && seen.insert(*next)),
        );
    }
    false
}

fn collect(template: &Template, within: Option<&str>, includes: &mut Includes) {
    for element in &template.elements {
        match element {
            TemplateElement::DecoratorBlock(decorator) => {
                let name = decorator.params.first().map(word);
                if let (Some(Some(name)), Some(body)) = (name, &decorator.template) {
                    includes.entry(name.to_owned()).or_default();
                    collect(body, Some(name), includes);
                }
            }
            TemplateElement::PartialExpression(partial) | TemplateElement::PartialBlock(partial) => {
                include(partial, within, includes);
                partial.template.iter().for_each(|block| collect(block, within, includes));
            }
            TemplateElement::HelperBlock(helper) => {
                let blocks = helper.template.iter().chain(&helper.inverse);
                blocks.for_each(|block| collect(block, within, includes));
            }
            _ => {}
        }
    }
}

fn include(partial: &DecoratorTemplate, within: Option<&str>, includes: &mut Includes) {
    let Some(included) = within.map(|within| includes.entry(within.to_owned()).or_default()) else { return };
    match word(&partial.name) {
        Some(name) => drop(included.by_name.insert(name.to_owned())),
        None => included.computed = true,
    }
}

/// A name as it is written; `None` of one that is computed.
fn word(parameter: &Parameter) -> Option<&str> {
    match parameter {
        Parameter::Literal(literal) => literal.as_str(),
        other => other.as_name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_to_itself_is_found() {
        let of = |text: &str| recursive_partial(&Template::compile(text).unwrap());
        assert_eq!(
            of(r#"{{#*inline "a"}}x{{/inline}}{{#*inline "b"}}{{> a}}{{/inline}}{{> b}}{{> a}}"#),
            None
        );
        for (text, name) in [
            (r#"{{#*inline "a"}}{{> a}}{{/inline}}{{> a}}"#, "a"),
            (r#"{{#*inline "a"}}{{#each parameters}}{{else}}{{#> a}}{{/a}}{{/each}}{{/inline}}"#, "a"),
            (r#"{{#*inline "b"}}{{> c}}{{/inline}}{{#*inline "c"}}{{#if x}}{{> b}}{{/if}}{{/inline}}"#, "b"),
            (r#"{{#*inline "a"}}{{> (lookup this "name")}}{{/inline}}"#, "a"),
        ] {
            assert_eq!(of(text).as_deref(), Some(name), "{text}");
        }
    }
}
