//! Objects of a rendering, by their kind and name.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

/// What a tool rendered. Two objects of one kind and name would be a mistake, and are refused.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Objects(pub(crate) BTreeMap<String, Value>);

impl Objects {
    /// Reads the documents of a rendering.
    pub(crate) fn read(manifest: &str) -> Self {
        let documents: Vec<Value> = serde_saphyr::from_multiple(manifest).unwrap();
        let mut objects = BTreeMap::new();
        for object in documents.into_iter().filter(|document| !document.is_null()) {
            let name = format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]));
            assert!(objects.insert(name.clone(), object).is_none(), "{name} is there twice");
        }
        Self(objects)
    }

    /// The object `Kind/name`.
    pub(crate) fn get(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or_else(|| panic!("no {name} among {:?}", self.names()))
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// The objects of a kind.
    pub(crate) fn of_kind<'o>(&'o self, kind: &str) -> impl Iterator<Item = &'o Value> {
        self.0.values().filter(move |object| object["kind"] == kind)
    }

    /// The webhook's pod template.
    pub(crate) fn template(&self) -> &Value {
        &self.get("Deployment/keystow-webhook")["spec"]["template"]
    }

    /// The webhook's container.
    pub(crate) fn container(&self) -> &Value {
        &self.template()["spec"]["containers"][0]
    }

    /// The arguments of the webhook's container.
    pub(crate) fn arguments(&self) -> Vec<&str> {
        self.container()["args"].as_array().unwrap().iter().map(text).collect()
    }

    /// The first webhook of the MutatingWebhookConfiguration.
    pub(crate) fn webhook(&self) -> &Value {
        &self.get("MutatingWebhookConfiguration/inject-keystow")["webhooks"][0]
    }

    /// The operator's file.
    pub(crate) fn configuration(&self) -> &str {
        let map = self.of_kind("ConfigMap").find(|map| map["data"]["config.yaml"].is_string());
        text(&map.expect("a ConfigMap with config.yaml")["data"]["config.yaml"])
    }

    /// All rules of Roles and ClusterRoles, as JSON.
    pub(crate) fn rules(&self) -> String {
        let roles = self.of_kind("Role").chain(self.of_kind("ClusterRole"));
        roles.map(|role| role["rules"].to_string()).collect()
    }

    /// Asserts that both have the same objects, and says where they do not.
    pub(crate) fn assert_same(&self, other: &Self) {
        assert_eq!(self.names(), other.names());
        let mut differences = String::new();
        for (name, object) in &self.0 {
            differ(name, object, &other.0[name], &mut differences);
        }
        assert!(differences.is_empty(), "\n{differences}");
    }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// Writes a line for each place where the two differ.
fn differ(path: &str, left: &Value, right: &Value, out: &mut String) {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let more = right.keys().filter(|key| !left.contains_key(*key));
            for key in left.keys().chain(more) {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                differ(&format!("{path}.{key}"), &of(left), &of(right), out);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (at, (left, right)) in left.iter().zip(right).enumerate() {
                differ(&format!("{path}[{at}]"), left, right, out);
            }
        }
        _ if left == right => {}
        _ => writeln!(out, "{path}: {left} and {right}").unwrap(),
    }
}
