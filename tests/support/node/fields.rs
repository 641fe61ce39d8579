//! What a `fieldRef` names, as kubelet resolves it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

use super::NodeError;
use super::go_quote;

/// The value of field `path` for an environment variable.
pub(crate) fn env_field(pod: &Pod, path: &str) -> Result<String, NodeError> {
    let spec = pod.spec.as_ref();
    match path {
        "spec.nodeName" => Ok(spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default()),
        "spec.serviceAccountName" => {
            Ok(spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_default())
        }
        "status.podIP" | "status.podIPs" | "status.hostIP" | "status.hostIPs" => Ok("127.0.0.1".into()),
        _ => field(pod, path),
    }
}

/// The value of field `path` for a file of a downward-API volume.
pub(crate) fn field(pod: &Pod, path: &str) -> Result<String, NodeError> {
    let metadata = &pod.metadata;
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.annotations" => &metadata.annotations,
            "metadata.labels" => &metadata.labels,
            _ => return Err(NodeError::UnknownField(path.into())),
        };
        return Ok(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    match path {
        "metadata.annotations" => Ok(map_file(metadata.annotations.as_ref())),
        "metadata.labels" => Ok(map_file(metadata.labels.as_ref())),
        "metadata.name" => Ok(metadata.name.clone().unwrap_or_default()),
        "metadata.namespace" => Ok(metadata.namespace.clone().unwrap_or_default()),
        "metadata.uid" => Ok(metadata.uid.clone().unwrap_or_default()),
        _ => Err(NodeError::UnknownField(path.into())),
    }
}

/// `map['key']` in its two parts.
fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['")
}

/// The file for a whole map: a `key="value"` a line, sorted by key, no newline at the end.
fn map_file(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> =
        map.into_iter().flatten().map(|(key, value)| format!("{key}={}", go_quote::quote(value))).collect();
    lines.join("\n")
}
