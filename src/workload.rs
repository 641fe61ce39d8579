//! Workloads: the kinds of objects that make pods, and where they keep their pod.
//!
//! Documents are looked at as values: Kubernetes' types would drop what they do not know.

mod asking;

use std::fmt;

use serde_json::Value;

use crate::yaml::{self, Duplicates};

pub use asking::{Asking, UnreadableRequests};

/// How the kinds of lists end.
const LIST: &str = "List";

/// An object that makes pods, or is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// `Deployment`
    pub kind: String,
    /// Its own namespace, or the one that objects are in which name none.
    pub namespace: String,
    /// `metadata.name`, or `generateName`.
    pub name: String,
    /// Whether `name` only says how the names of objects begin.
    pub is_generated: bool,
    /// Where in the object the pod or its template is (RFC 6901).
    pub pod_at: &'static str,
}

impl Workload {
    /// Reads an object; `None` of one that makes no pods.
    pub fn of(object: &Value, namespace: &str) -> Option<Self> {
        let kind = object.get("kind").and_then(Value::as_str)?;
        let pod_at = template_pointer(kind)?;
        let metadata = |field: &str| object.pointer(&format!("/metadata/{field}")).and_then(Value::as_str);
        let (named, generated) = (metadata("name"), metadata("generateName"));
        Some(Self {
            kind: kind.to_owned(),
            namespace: metadata("namespace").unwrap_or(namespace).to_owned(),
            name: named.or(generated).unwrap_or("(without a name)").to_owned(),
            is_generated: named.is_none() && generated.is_some(),
            pod_at,
        })
    }

    /// Whether it makes pods of a template, and is none itself.
    pub fn has_template(&self) -> bool {
        !self.pod_at.is_empty()
    }

    /// What to tell an author who annotated the object instead of its pods.
    pub fn misplaced_annotations(&self) -> String {
        let Self { kind, pod_at, .. } = self;
        format!(
            "the annotations of a {kind} itself are not read; put them on the pod, below {pod_at}/metadata"
        )
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Where the kinds of workloads keep their pod.
fn template_pointer(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "Pod" => "",
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "ReplicationController" | "Job" => {
            "/spec/template"
        }
        "CronJob" => "/spec/jobTemplate/spec/template",
        _ => return None,
    })
}

/// Reads a document. Items of a typed list say no kind where the API server wrote it: they are what the list is of, as
/// with kubectl.
///
/// # Errors
///
/// Where it is not YAML.
pub fn parse(text: &str, duplicates: Duplicates) -> Result<Value, String> {
    let mut document = yaml::parse(text, duplicates)?;
    let text_of = |field: &str| document.get(field).and_then(Value::as_str).map(str::to_owned);
    let kind = text_of("kind").and_then(|kind| kind.strip_suffix(LIST).map(str::to_owned));
    let Some(kind) = kind.filter(|kind| !kind.is_empty()) else { return Ok(document) };
    let api_version = text_of("apiVersion");
    for item in items_mut(&mut document).into_iter().flatten().filter_map(Value::as_object_mut) {
        if !item.contains_key("kind") {
            item.insert("kind".to_owned(), kind.clone().into());
            item.extend(api_version.iter().map(|version| ("apiVersion".to_owned(), version.clone().into())));
        }
    }
    Ok(document)
}

/// The items of a `List`, be it typed as `PodList` is; `None` of any other object.
pub fn items_mut(object: &mut Value) -> Option<&mut [Value]> {
    if !is_list(object) {
        return None;
    }
    Some(object.get_mut("items").and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice))
}

/// The objects of a document with where they stand in it: itself, or the items of a `List`, and of those in it.
pub fn objects(document: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    collect(document, String::new(), &mut found);
    found
}

fn collect<'v>(object: &'v Value, at: String, found: &mut Vec<(String, &'v Value)>) {
    if !is_list(object) {
        return found.push((at, object));
    }
    let items = object.get("items").and_then(Value::as_array);
    for (index, item) in items.into_iter().flatten().enumerate() {
        collect(item, format!("{at}/items/{index}"), found);
    }
}

fn is_list(object: &Value) -> bool {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    kind == LIST || kind.ends_with(LIST) && object.get("items").is_some_and(Value::is_array)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_says_where_its_pod_is() {
        let of = |kind: &str| Workload::of(&json!({"kind": kind, "metadata": {"name": "a"}}), "demo");
        for kind in ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"] {
            assert_eq!(of(kind).unwrap().pod_at, "/spec/template", "{kind}");
        }
        assert_eq!(of("CronJob").unwrap().pod_at, "/spec/jobTemplate/spec/template");
        assert_eq!(of("Pod").unwrap().to_string(), "Pod demo/a");
        assert_eq!(of("Service"), None);
    }

    #[test]
    fn lists_are_looked_into() {
        let document = json!({"kind": "List", "items": [
            {"kind": "Pod"},
            {"kind": "List", "items": [{"kind": "Job"}]},
        ]});
        let found: Vec<_> =
            objects(&document).iter().map(|(at, object)| format!("{at} {}", object["kind"])).collect();
        assert_eq!(found, [r#"/items/0 "Pod""#, r#"/items/1/items/0 "Job""#]);
        let typed = json!({"kind": "JobList", "items": [{"kind": "Job"}]});
        assert_eq!(objects(&typed).len(), 1);
        assert_eq!(objects(&typed)[0].0, "/items/0");
        let own = json!({"kind": "AllowList", "spec": {}});
        assert_eq!(objects(&own), [(String::new(), &own)]);
        let pod = json!({"kind": "Pod"});
        assert_eq!(objects(&pod), [(String::new(), &pod)]);
    }

    #[test]
    fn items_of_a_typed_list_are_what_it_is_of() {
        let text = "apiVersion: apps/v1\nkind: DeploymentList\nitems: [{metadata: {name: a}}, {kind: Job}]\n";
        let read = parse(text, Duplicates::Refused).unwrap();
        assert_eq!(
            read["items"],
            json!([{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}}, {"kind": "Job"}])
        );
    }
}
