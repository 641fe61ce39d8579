//! Files as a world: every kind of object that a check looks at, with the line of each key.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::code::Code;
use super::finding::{Finding, Place};
use super::judge::{text, title};
use super::world::{Known, Located, SecretObject, World};
use crate::domain::SecretValue;
use crate::workload::{self, Workload};
use crate::yaml::{self, Duplicates, Node, Tree};

/// Adds what a file has. A document that cannot be read is a finding, and the others are read all the same.
pub fn read_file(world: &mut World, file: &str, text: &str) {
    for document in yaml::documents(text) {
        let first = u64::try_from(document.line).unwrap_or(1);
        let place =
            |line: u64| Place { file: Some(file.to_owned()), line: Some(line), object: String::new() };
        let read = Node::parse(document.text).and_then(|node| {
            let value = workload::parse(document.text, Duplicates::LastCounts);
            value.map(|value| (node, value)).map_err(|message| yaml::NotYaml { line: None, message })
        });
        match read {
            Ok((node, value)) => {
                let mut lines = BTreeMap::new();
                let mut twice = Vec::new();
                collect(&node, String::new(), first - 1, &mut lines, &mut twice);
                for (key, line) in twice {
                    world.unreadable.push(finding(
                        Code::DuplicateKey,
                        place(line),
                        format!("{key} stands twice, and the last one counts"),
                        "delete one of them",
                    ));
                }
                for (at, object) in workload::objects(&value) {
                    add(world, file, object, &at, &lines);
                }
            }
            Err(error) => {
                let line = first - 1 + error.line.unwrap_or(1);
                world.unreadable.push(finding(
                    Code::NotYaml,
                    place(line),
                    format!("the document {}", error.message),
                    "mend it",
                ));
            }
        }
    }
}

fn finding(code: Code, place: Place, message: String, advice: &str) -> Finding {
    Finding { place, code, severity: code.severity(), message, advice: advice.to_owned() }
}

/// The line of every key and element, by where it is.
fn collect(
    node: &Node,
    at: String,
    before: u64,
    lines: &mut BTreeMap<String, u64>,
    twice: &mut Vec<(String, u64)>,
) {
    match &node.tree {
        Tree::Map(entries) => {
            for entry in entries {
                let below = format!("{at}/{}", entry.key.replace('~', "~0").replace('/', "~1"));
                if lines.insert(below.clone(), before + entry.line).is_some() {
                    twice.push((entry.key.clone(), before + entry.line));
                }
                collect(&entry.node, below, before, lines, twice);
            }
        }
        Tree::List(nodes) => {
            for (index, node) in nodes.iter().enumerate() {
                let below = format!("{at}/{index}");
                lines.insert(below.clone(), before + node.line);
                collect(node, below, before, lines, twice);
            }
        }
        Tree::Null | Tree::Bool | Tree::Number(_) | Tree::Text(_) => {}
    }
    if at.is_empty() {
        lines.insert(at, before + node.line);
    }
}

fn add(world: &mut World, file: &str, object: &Value, at: &str, lines: &BTreeMap<String, u64>) {
    let kind = text(object, "/kind").to_owned();
    let mut object = object.clone();
    let is_of_namespace =
        !matches!(kind.as_str(), "Namespace" | "ClusterSecretStore" | "MutatingWebhookConfiguration");
    if text(&object, "/metadata/namespace").is_empty()
        && is_of_namespace
        && object.get("metadata").is_some_and(Value::is_object)
    {
        object["metadata"]["namespace"] = Value::String(world.namespace.clone());
    }
    let below = lines.range(at.to_owned()..).take_while(|(pointer, _)| pointer.starts_with(at));
    let own: BTreeMap<String, u64> = below
        .filter_map(|(pointer, line)| Some((pointer.strip_prefix(at)?.to_owned(), *line)))
        .filter(|(pointer, _)| pointer.is_empty() || pointer.starts_with('/'))
        .collect();
    let place =
        Place { file: Some(file.to_owned()), line: own.get("").copied(), object: title(&kind, &object) };
    let located = |object| Located { place: place.clone(), lines: own.clone(), object };
    match kind.as_str() {
        "Secret" => {
            let object = secret(&object);
            push(&mut world.secrets, Located { place: place.clone(), lines: own.clone(), object });
        }
        "ConfigMap" => push(&mut world.config_maps, located(object)),
        "ServiceAccount" => push(&mut world.service_accounts, object),
        "ExternalSecret" => push(&mut world.external_secrets, located(object)),
        "SecretStore" | "ClusterSecretStore" => push(&mut world.secret_stores, located(object)),
        _ if Workload::of(&object, &world.namespace).is_some() => world.workloads.push(located(object)),
        _ => {}
    }
}

fn push<T>(known: &mut Known<Vec<T>>, one: T) {
    match known {
        Known::Yes(all) => all.push(one),
        Known::No(_) | Known::Unasked => *known = Known::Yes(vec![one]),
    }
}

fn secret(object: &Value) -> SecretObject {
    let map = |at: &str| -> BTreeMap<String, String> {
        let entries = object.pointer(at).and_then(Value::as_object).into_iter().flatten();
        entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    };
    let mut data: BTreeMap<String, SecretValue> = map("/data")
        .into_iter()
        .map(|(key, value)| {
            // What is not base64 is refused by the API server; it is looked at as it stands.
            let bytes = STANDARD.decode(value.trim()).unwrap_or_else(|_| value.into_bytes());
            (key, SecretValue::new(bytes))
        })
        .collect();
    data.extend(
        map("/stringData").into_iter().map(|(key, value)| (key, SecretValue::new(value.into_bytes()))),
    );
    SecretObject {
        namespace: text(object, "/metadata/namespace").to_owned(),
        name: text(object, "/metadata/name").to_owned(),
        kind: text(object, "/type").to_owned(),
        labels: map("/metadata/labels"),
        annotations: map("/metadata/annotations"),
        written: None,
        data,
    }
}
