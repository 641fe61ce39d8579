//! MutatingAdmissionPolicies (Kubernetes 1.36): for clusters that want no webhook, what it would do to the pods of given
//! manifests, written down in CEL.
//!
//! ```text
//! manifest ─▶ the plan of the injection ─▶ its operations ─▶ one mutation each, for a pod as the API server has it by then
//!                                        └ annotations, containers ─▶ matchConditions: of these pods and no others
//! ```
//!
//! The service account's plugin has run before: lists that the manifest lacks may be there. So each mutation asks.
//!
//! What it cannot, and says at the head of its output: refuse a pod, or warn of it; serve pods that differ from the
//! manifest; follow the configuration. A pod that no policy matches starts without its secrets.

use aws_lc_rs::digest::{SHA256, digest};
use json_patch::PatchOperation;
use serde_json::{Value, json};

use super::ExportError;
use super::cel::{add, field, string, strings, value};
use crate::domain::{AnnotationDomain, Family, hex, is_dns_subdomain};
use crate::inject::manifest::{self, Injected, ManifestError};
use crate::inject::{Change, Settings};
use crate::workload::Workload;

const API: &str = "admissionregistration.k8s.io/v1";
/// What a name may have.
const LONGEST_NAME: usize = 253;

const HEAD: &str = "\
# MutatingAdmissionPolicies of keystow: they do to the pods of these manifests what its webhook would do, without a webhook.
# They need Kubernetes 1.36, and are made of the manifests and the configuration as they are: after a change of either,
# write them anew.
#
# What they cannot:
# - refuse a pod whose annotations are wrong, or warn of what is odd: keystow check -f does, before it is applied;
# - serve a pod that differs from its manifest in annotations of keystow, in containers or in their order: it matches no
#   policy, and STARTS WITHOUT ITS SECRETS;
# - see what other policies and webhooks do after them: containers that come in later receive nothing;
# - fetch or create anything: keystow's init container and creator are needed all the same.
";

/// Why there are no policies.
#[derive(Debug, thiserror::Error)]
pub enum MutatingPolicyError {
    /// The webhook would refuse a pod, or cannot read it.
    #[error("{file}: {source}")]
    Manifest {
        /// The file's name.
        file: String,
        /// Why.
        source: Box<ManifestError>,
    },
    /// An operation that is not written in CEL.
    #[error(
        "{object}: its init container is there already, and moving it is nothing for a policy; take it out of the manifest"
    )]
    Moves {
        /// `Deployment demo/app`
        object: String,
    },
    /// No policy can be called after it.
    #[error(
        "{object}: that is no name of an object in Kubernetes; write lower-case letters, digits, `-` and `.`"
    )]
    Name {
        /// `Deployment demo/app`
        object: String,
    },
    /// Nothing to write.
    #[error(transparent)]
    Export(#[from] ExportError),
}

/// The policies for all workloads of these files, each with its binding; names and texts.
///
/// # Errors
///
/// Every pod that the webhook would refuse, or when none asks for anything.
pub fn mutating_admission_policies(
    files: &[(String, String)],
    namespace: &str,
    settings: &Settings,
) -> Result<String, Vec<MutatingPolicyError>> {
    let mut errors = Vec::new();
    let mut policies = Vec::new();
    for (file, text) in files {
        match manifest::inject(text, namespace, settings) {
            Ok(documents) => {
                let injected = documents.iter().flat_map(|document| &document.injected);
                for injected in injected.filter(|injected| !injected.changes.is_empty()) {
                    match policy(injected, namespace, &settings.domain) {
                        Ok(policy) => policies.extend(policy),
                        Err(error) => errors.push(error),
                    }
                }
            }
            Err(refused) => errors.extend(refused.into_iter().map(|source| MutatingPolicyError::Manifest {
                file: file.clone(),
                source: Box::new(source),
            })),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    if policies.is_empty() {
        return Err(vec![ExportError::NoRequests.into()]);
    }
    policies.sort_by(|(one, _), (other, _)| one.cmp(other));
    policies.dedup();
    let objects: Vec<Value> = policies.into_iter().flat_map(|(_, objects)| objects).collect();
    match super::documents(&objects) {
        Ok(text) => Ok(format!("{HEAD}---\n{text}")),
        Err(error) => Err(vec![error.into()]),
    }
}

type Named = (String, [Value; 2]);

fn policy(
    injected: &Injected,
    namespace: &str,
    domain: &AnnotationDomain,
) -> Result<Option<Named>, MutatingPolicyError> {
    let Some(workload) = Workload::of(&injected.before, namespace) else { return Ok(None) };
    let Some(pod) = injected.before.pointer(workload.pod_at) else { return Ok(None) };
    let mut mutations = Vec::new();
    for change in &injected.changes {
        let expression = mutation(change, pod)
            .ok_or_else(|| MutatingPolicyError::Moves { object: workload.to_string() })?;
        mutations.extend(
            expression
                .into_iter()
                .map(|expression| json!({"patchType": "JSONPatch", "jsonPatch": {"expression": expression}})),
        );
    }
    let conditions = conditions(pod, domain);
    let Some(name) = name_of(&workload, &json!([conditions, mutations])) else {
        return Err(MutatingPolicyError::Name { object: workload.to_string() });
    };
    let pods = json!({
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "Namespaced",
    });
    let policy = json!({
        "apiVersion": API,
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": workload.namespace}},
                "resourceRules": [pods],
            },
            "matchConditions": conditions,
            "mutations": mutations,
        },
    });
    let binding = json!({
        "apiVersion": API,
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name},
    });
    Ok(Some((name, [policy, binding])))
}

/// The name of a policy, a DNS subdomain; `None` where the workload's own is none. Of workloads that only say how their
/// names begin, and of names that are cut off, those that are alike are told apart by a digest.
fn name_of(workload: &Workload, policy: &Value) -> Option<String> {
    let Workload { kind, namespace, name, is_generated, .. } = workload;
    let beginning = name.trim_end_matches(['-', '.']);
    let is_name = if *is_generated { is_dns_subdomain(beginning) } else { is_dns_subdomain(name) };
    if !is_name || !is_dns_subdomain(namespace) {
        return None;
    }
    let mut full = format!("keystow.{namespace}.{}.{beginning}", kind.to_lowercase());
    if full.len() > LONGEST_NAME || *is_generated {
        let digest = digest(&SHA256, format!("{name} {policy}").as_bytes());
        let digest = hex(&digest.as_ref()[..8]);
        full.truncate(LONGEST_NAME - digest.len() - 1);
        full = format!("{}-{digest}", full.trim_end_matches(['-', '.']));
    }
    Some(full)
}

/// The expressions of one operation; `None` where there is none.
fn mutation(change: &Change, pod: &Value) -> Option<Vec<String>> {
    match change.operation() {
        PatchOperation::Add(operation) => {
            let path = operation.path.to_string();
            if path.starts_with("/metadata/") {
                return Some(vec![add(&path, &value(&operation.value))]);
            }
            if path == "/spec/serviceAccountName" {
                return Some(account(&operation.value, pod));
            }
            Some(vec![into_list(&path, &operation.value)])
        }
        // Offline nothing is known to come from the account's plugin.
        PatchOperation::Remove(_) => Some(Vec::new()),
        _ => None,
    }
}

/// The account, and away with the pull secrets of the one that the pod had before, which the plugin then fills again.
fn account(name: &Value, pod: &Value) -> Vec<String> {
    let mut all = vec![add("/spec/serviceAccountName", &value(name))];
    if pod.pointer("/spec/imagePullSecrets").is_none() {
        all.push(
            "has(object.spec.imagePullSecrets) ? [JSONPatch{op: \"remove\", path: \"/spec/imagePullSecrets\"}] : []"
                .to_owned(),
        );
    }
    all
}

/// An element into a list that is there by now, or else the list with it.
fn into_list(path: &str, part: &Value) -> String {
    let (list, at) = match path.rsplit_once('/') {
        // The plan makes a list of what the manifest lacks, and puts it at the front or the end of one that it has.
        Some((list, at)) if at == "-" || at.bytes().all(|byte| byte.is_ascii_digit()) => (list, at),
        _ => (path, "-"),
    };
    let element = match part {
        Value::Array(only) if list == path => only.first().unwrap_or(&Value::Null),
        other => other,
    };
    let element = value(element);
    let there = add(&format!("{list}/{at}"), &element);
    let absent = add(list, &format!("[{element}]"));
    format!("has({}) ? {there} : {absent}", field(list))
}

/// Of the pods of this workload, and of no others.
fn conditions(pod: &Value, domain: &AnnotationDomain) -> Value {
    let annotations = pod.pointer("/metadata/annotations").and_then(Value::as_object);
    let ours: Vec<(&String, &str)> = annotations
        .into_iter()
        .flatten()
        .filter(|(key, _)| domain.classify(key).is_some())
        .filter_map(|(key, value)| Some((key, value.as_str()?)))
        .collect();
    let equal = ours.iter().map(|(key, text)| {
        let key = string(key);
        format!(
            "{key} in object.metadata.annotations && object.metadata.annotations[{key}] == {}",
            string(text)
        )
    });
    let equal: Vec<String> =
        std::iter::once("has(object.metadata.annotations)".to_owned()).chain(equal).collect();
    let families: Vec<String> = Family::ALL.iter().map(|family| string(&domain.key(*family, ""))).collect();
    let is_ours: Vec<String> = families.iter().map(|prefix| format!("k.startsWith({prefix})")).collect();
    let names = |list: &str| {
        let containers = pod.pointer(&format!("/spec/{list}")).and_then(Value::as_array);
        let names: Vec<&str> = containers
            .into_iter()
            .flatten()
            .filter_map(|container| container.get("name").and_then(Value::as_str))
            .collect();
        if names.is_empty() {
            format!("!has(object.spec.{list}) || object.spec.{list}.size() == 0")
        } else {
            format!("has(object.spec.{list}) && object.spec.{list}.map(c, c.name) == {}", strings(names))
        }
    };
    json!([
        {"name": "its-annotations", "expression": equal.join(" && ")},
        {
            "name": "no-others-of-keystow",
            "expression": format!(
                "object.metadata.annotations.filter(k, {}).size() == {}", is_ours.join(" || "), ours.len()
            ),
        },
        {"name": "its-containers", "expression": names("containers")},
        {"name": "its-init-containers", "expression": names("initContainers")},
    ])
}
