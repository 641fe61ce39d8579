//! Templates of kees' exporter: Handlebars, with the context and by the rules of the Java library that kees uses.
//!
//! | name | what it is |
//! |---|---|
//! | `moduleName` | the module; also inside of `each`, where that library looks outwards |
//! | `parameters` | secrets, resources and leases, sorted by `storageSuffix` |
//! | `{{storageSuffix}}` | below the prefix: `storageKey`, or the name; of a lease its `storageKeyPrefix` |
//! | `fullAnnotationName`, `parameterName`, `fieldName`, `parameterNameWithField` | of each |
//! | `kind`, `type`, `size`, `userId`, `storageKey`, `storageKeyPrefix`, `rangeStart`, `rangeEnd` | as annotated |
//! | `storagePath` | with the pod's prefix, which kees' exporter does not know |
//!
//! As there, what one pod names twice is listed twice, and values are escaped as in HTML unless `{{{` is written. What
//! several pods name is listed once. Where whitespace matters this was compared with that library byte by byte.
//!
//! Deliberately absent: `localValue`, since no policy has use for a value; inverted sections (`{{^parameters}}`), which are
//! a mistake here; the words `first`, `last`, `odd` and `even` that `{{@first}}` and the like print there.

mod recursion;

use std::collections::BTreeMap;

use handlebars::{
    BlockContext, Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderError,
    RenderErrorReason, Renderable as _, ScopedJson, Template,
};
use serde_json::{Map, Value, json};

use crate::domain::{
    AnnotationDomain, Delivery, Family, Generated, Modulus, NamedCurve, Origin, RequestName, Requests,
    StorageKey,
};
use crate::workload::Asking;
use recursion::recursive_partial;

const STORAGE_SUFFIX: &str = "storageSuffix";
const FULL_ANNOTATION_NAME: &str = "fullAnnotationName";

/// Why a template gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It is not Handlebars.
    #[error("the template cannot be read: {0}")]
    Syntax(#[from] Box<handlebars::TemplateError>),
    /// It would never end.
    #[error(
        "the template cannot be rendered: its inline partial {0} includes itself; take {{{{> {0}}}}} out of it"
    )]
    Recursive(String),
    /// It asks for what is not there.
    #[error("the template cannot be rendered: {0}")]
    Render(#[from] Box<handlebars::RenderError>),
}

/// What the template makes of everything that is asked for.
///
/// # Errors
///
/// When the template is not well-formed, or calls a helper that kees does not have.
pub fn from_template(
    asking: &[Asking<'_>],
    domain: &AnnotationDomain,
    module: &str,
    template: &str,
) -> Result<String, TemplateError> {
    let mut handlebars = Handlebars::new();
    handlebars.register_escape_fn(escape);
    handlebars.register_helper(STORAGE_SUFFIX, Box::new(StorageSuffix));
    handlebars.register_helper("blockHelperMissing", Box::new(Section));
    let text = with_else_lines(template);
    if let Some(name) = recursive_partial(&Template::compile(&text).map_err(Box::new)?) {
        return Err(TemplateError::Recursive(name));
    }
    let context = json!({"moduleName": module, "parameters": parameters(asking, domain, module)});
    // Without a name, so that it cannot include itself either.
    Ok(handlebars.render_template(&text, &context).map_err(Box::new)?)
}

/// A line with `{{else}}` alone is an ordinary line to that library: its blanks and its end are printed. Beside what prints
/// nothing it is one here too. What stands in comments stays.
fn with_else_lines(template: &str) -> String {
    const ELSE: &str = "{{else}}";
    let (mut text, mut rest) = (String::with_capacity(template.len()), template);
    while let Some(at) = rest.find("{{") {
        let (before, tag) = rest.split_at(at);
        text.push_str(before);
        let end = match tag {
            _ if tag.starts_with(ELSE) => {
                text.push_str("{{{nothing}}}{{else}}{{{nothing}}}");
                rest = &tag[ELSE.len()..];
                continue;
            }
            _ if tag.starts_with("{{!--") => "--}}",
            _ if tag.starts_with("{{!") => "}}",
            _ => "{{",
        };
        let length = tag.find(end).map_or(tag.len(), |at| at + end.len());
        text.push_str(&tag[..length]);
        rest = &tag[length..];
    }
    text + rest
}

/// What that library escapes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#x27;"),
            '`' => out.push_str("&#x60;"),
            '=' => out.push_str("&#x3D;"),
            _ => out.push(char),
        }
    }
    out
}

/// `{{storageSuffix}}` of what is looked at, or `{{storageSuffix parameter}}`.
struct StorageSuffix;

impl HelperDef for StorageSuffix {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let suffix = match helper.param(0) {
            Some(parameter) => parameter.value().get(STORAGE_SUFFIX).cloned(),
            None => render.evaluate(context, "this")?.as_json().get(STORAGE_SUFFIX).cloned(),
        };
        suffix.map(ScopedJson::Derived).ok_or_else(|| {
            let message = "storageSuffix is of a parameter: write it inside of {{#each parameters}}";
            RenderErrorReason::Other(message.to_owned()).into()
        })
    }
}

/// `{{#parameters}} … {{/parameters}}`, Mustache's way to write `each`.
struct Section;

impl HelperDef for Section {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let Some(template) = helper.template() else { return Ok(()) };
        let items = match render.evaluate(context, helper.name())?.as_json() {
            Value::Array(items) => items.clone(),
            Value::Null | Value::Bool(false) => Vec::new(),
            one => vec![one.clone()],
        };
        for item in items {
            let mut block = BlockContext::new();
            block.set_base_value(item);
            render.push_block(block);
            let rendered = template.render(registry, context, render, out);
            render.pop_block();
            rendered?;
        }
        Ok(())
    }
}

/// All parameters, as often as one pod has them.
fn parameters(asking: &[Asking<'_>], domain: &AnnotationDomain, module: &str) -> Vec<Value> {
    let mut by_suffix: BTreeMap<Vec<u16>, Vec<Value>> = BTreeMap::new();
    for one in asking {
        let mut of_pod: BTreeMap<Vec<u16>, Vec<Value>> = BTreeMap::new();
        let mut parameters = of_requests(&one.requests, domain, module);
        // Of two with one suffix, the one that is annotated first.
        let position = |(_, parameter): &(String, Value)| {
            let name = parameter.get(FULL_ANNOTATION_NAME).and_then(Value::as_str);
            one.keys.iter().position(|key| Some(key.as_str()) == name)
        };
        parameters.sort_by_cached_key(position);
        for (suffix, parameter) in parameters {
            // Java compares strings by units of UTF-16.
            of_pod.entry(suffix.encode_utf16().collect()).or_default().push(parameter);
        }
        for (suffix, parameters) in of_pod {
            let known = by_suffix.entry(suffix).or_default();
            let more = parameters.into_iter().skip(known.len());
            known.extend(more);
        }
    }
    by_suffix.into_values().flatten().collect()
}

fn of_requests(requests: &Requests, domain: &AnnotationDomain, module: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut add = |family: Family, name: &RequestName, suffix: &str, path: Option<String>, more: Value| {
        let mut parameter = Map::new();
        let mut set = |key: &str, value: Value| drop(parameter.insert(key.to_owned(), value));
        set("moduleName", json!(module));
        set(FULL_ANNOTATION_NAME, json!(domain.key(family, name.as_str())));
        set("parameterName", json!(name.bare()));
        set("parameterNameWithField", json!(name.as_str()));
        set("fieldName", json!(name.field()));
        set(STORAGE_SUFFIX, json!(suffix));
        set("storagePath", json!(path));
        if let Value::Object(more) = more {
            parameter.extend(more);
        }
        found.push((suffix.to_owned(), Value::Object(parameter)));
    };
    for request in &requests.secrets {
        let Delivery::Stored(stored) = &request.delivery else { continue };
        let suffix = stored.storage_key.as_ref().map_or(request.name.as_str(), StorageKey::as_str);
        let (kind, size, user_id) = match &stored.origin {
            Origin::Dynamic(generated) => ("DYNAMIC", size_of(generated), user_id(generated)),
            Origin::Reference { size, .. } => ("REFERENCE", size.unwrap_or(0), None),
        };
        let storage_key = stored.storage_key.as_ref().map(StorageKey::as_str);
        let more = json!({
            "kind": kind, "type": stored.origin.kind().word(), "size": size, "userId": user_id, "storageKey": storage_key,
        });
        let path = requests.secret_path(&request.name, stored);
        add(Family::Secret, &request.name, suffix, Some(path.as_str().to_owned()), more);
    }
    for resource in &requests.resources {
        let storage_key = resource.storage_key.as_ref().map(StorageKey::as_str);
        let path = requests.resource_path(resource).as_str().to_owned();
        add(Family::Resource, &resource.name, resource.key(), Some(path), json!({"storageKey": storage_key}));
    }
    for lease in &requests.leases {
        let more = json!({
            "kind": "INDEX",
            "storageKeyPrefix": lease.storage_key_prefix.as_ref().map(StorageKey::as_str),
            "rangeStart": lease.range.start(),
            "rangeEnd": lease.range.end(),
        });
        let path = requests.lease_series(lease).as_str().to_owned();
        add(Family::Lease, &lease.name, lease.series(), Some(path), more);
    }
    found
}

/// The parameter `size`, in bits; 0 where there is none, as in Java.
fn size_of(generated: &Generated) -> u16 {
    match generated {
        Generated::Rsa { size, .. } | Generated::Gpg { size, .. } => match size {
            Modulus::Bits2048 => 2048,
            Modulus::Bits3072 => 3072,
            Modulus::Bits4096 => 4096,
        },
        Generated::Ec { curve: NamedCurve::P256, .. } => 256,
        Generated::Ec { curve: NamedCurve::P384, .. } => 384,
        Generated::Ed25519 { .. } => 0,
        Generated::Random { size } | Generated::ApiKey { size, .. } | Generated::Password { size } => *size,
    }
}

fn user_id(generated: &Generated) -> Option<&str> {
    match generated {
        Generated::Gpg { user_id, .. } => Some(user_id),
        _ => None,
    }
}
