//! Who must be told when a Secret changes: what reads it once, and when it was told last.
//!
//! ```text
//! Deployment, StatefulSet, DaemonSet ─▶ env, envFrom, secret.D of kind=KUBERNETES ─┐
//! ExternalSecret ─▶ what its stores log in with, what it copies                      ├─▶ References ─▶ Seen ─▶ Verdict
//! ```
//!
//! A container's environment is read when it starts and never again, and what is mounted by `subPath` stays as it was. What
//! is mounted otherwise, what the kubelet reads from files (`fileKeyRef`) and what the init container refreshes follows by
//! itself, and is not looked at.
//!
//! What was seen is noted on the consumer as a keyed hash of each reference's content, so that nobody who reads the note can
//! try values. A consumer that is seen for the first time, or was noted under another key, is told nothing: what it last
//! read is not known. Nor is one whose Secret went: what runs has its value, and what starts anew would have none.
//!
//! Deliberately absent: jobs and bare pods, which nobody can start again; the next ones read what is there then.

mod note;

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::hmac;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::set::after;
use crate::domain::{
    AnnotationDomain, Delivery, Grammar, KubernetesTarget, Parsed, SecretValue, hex, parse_duration,
};

pub use note::{Note, Seen, Standing};

/// How long a consumer is left alone after it was restarted, unless it says otherwise.
const INTERVAL: Duration = Duration::from_secs(60);
/// Digits of a hash in the note: as good as never alike, and a note of a hundred references stays short.
const DIGITS: usize = 16;

/// A part of a Secret that is read: all of it without a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The Secret's namespace.
    pub namespace: String,
    /// Its name.
    pub secret: String,
    /// The key of its data.
    pub key: Option<String>,
}

/// What a consumer wants beyond what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wants {
    /// Whether it is not to be told.
    pub is_opted_out: bool,
    /// How long it is to be left alone after it was told.
    pub interval: Duration,
}

/// What is to be done about a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    UpToDate,
    /// It is noted what it reads, and it is told nothing.
    Note,
    /// It is told, and that is noted.
    Tell {
        /// The Secrets that changed, `NAMESPACE/NAME`.
        changed: Vec<String>,
    },
    /// The same, not before this.
    Wait {
        /// When it has been left alone for long enough.
        until: Timestamp,
    },
}

/// What containers made of a template take from Secrets into their environment.
#[must_use]
pub fn of_template(template: &Value, namespace: &str, domain: &AnnotationDomain) -> Vec<Reference> {
    let reference = |secret: &str, key: Option<&str>| Reference {
        namespace: namespace.to_owned(),
        secret: secret.to_owned(),
        key: key.map(str::to_owned),
    };
    let mut found = Vec::new();
    for field in ["initContainers", "containers"] {
        for container in list(template, &format!("/spec/{field}")) {
            for variable in list(container, "/env") {
                let Some(by) = variable.pointer("/valueFrom/secretKeyRef") else { continue };
                if let (Some(name), Some(key)) = (text(by, "/name"), text(by, "/key")) {
                    found.push(reference(name, Some(key)));
                }
            }
            for source in list(container, "/envFrom") {
                found.extend(text(source, "/secretRef/name").map(|name| reference(name, None)));
            }
            mounted_alone(template, container, &reference, &mut found);
        }
    }
    injected(template, domain, &reference, &mut found);
    found.sort();
    found.dedup();
    found
}

/// What is mounted by `subPath`: the kubelet puts it there once, and brings no change of it.
fn mounted_alone(
    template: &Value,
    container: &Value,
    reference: &dyn Fn(&str, Option<&str>) -> Reference,
    found: &mut Vec<Reference>,
) {
    for mount in list(container, "/volumeMounts") {
        let path = text(mount, "/subPath");
        if path.or_else(|| text(mount, "/subPathExpr")).is_none() {
            continue;
        }
        let volumes = list(template, "/spec/volumes").iter();
        for volume in volumes.filter(|volume| text(volume, "/name") == text(mount, "/name")) {
            let sources = list(volume, "/projected/sources").iter().filter_map(|source| source.get("secret"));
            for secret in volume.get("secret").into_iter().chain(sources) {
                let Some(name) = text(secret, "/secretName").or_else(|| text(secret, "/name")) else {
                    continue;
                };
                let items = list(secret, "/items");
                let key = match items.iter().find(|item| text(item, "/path") == path) {
                    Some(item) => text(item, "/key"),
                    None => path.filter(|path| items.is_empty() && !path.contains('/')),
                };
                found.push(reference(name, key));
            }
        }
    }
}

/// What the webhook will put there: the template does not show it.
fn injected(
    template: &Value,
    domain: &AnnotationDomain,
    reference: &dyn Fn(&str, Option<&str>) -> Reference,
    found: &mut Vec<Reference>,
) {
    let annotations = template.pointer("/metadata/annotations").and_then(Value::as_object);
    let texts =
        annotations.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
    // Names of files are the webhook's business: what it refuses makes no pod.
    let grammar = Grammar { domain, taken_files: &[] };
    let Ok(Parsed::Requests(requests, _)) = grammar.parse(texts) else { return };
    for request in &requests.secrets {
        let Delivery::Kubernetes(secret) = &request.delivery else { continue };
        match &secret.target {
            KubernetesTarget::Env { key, .. } => {
                found.push(reference(secret.secret.as_str(), Some(key.as_str())));
            }
            KubernetesTarget::EnvFrom { .. } => found.push(reference(secret.secret.as_str(), None)),
            KubernetesTarget::Path { .. } => {}
        }
    }
}

/// What an ExternalSecret depends on: what its stores log in with, and the Secrets that are copied where a store reads from
/// Kubernetes. `store` yields the spec of one by its kind and name.
pub fn of_external_secret(
    spec: &Value,
    namespace: &str,
    store: impl Fn(&'static str, &str) -> Option<Value>,
) -> Vec<Reference> {
    let mut found = Vec::new();
    let mut add = |by: &Value, keys: &[&str]| {
        let is_cluster = text(by, "/kind") == Some("ClusterSecretStore");
        let kind = if is_cluster { "ClusterSecretStore" } else { "SecretStore" };
        let Some(spec) = text(by, "/name").and_then(|name| store(kind, name)) else { return };
        collect(&spec, namespace, &mut found);
        let Some(kubernetes) = spec.pointer("/provider/kubernetes") else { return };
        let remote = text(kubernetes, "/remoteNamespace").unwrap_or("default");
        found.extend(keys.iter().map(|key| Reference {
            namespace: remote.to_owned(),
            secret: (*key).to_owned(),
            key: None,
        }));
    };
    let entries = || list(spec, "/data").iter().chain(list(spec, "/dataFrom"));
    let key = |entry: &'_ Value| {
        let key = text(entry, "/remoteRef/key").or_else(|| text(entry, "/extract/key"));
        key.map(str::to_owned)
    };
    let keys: Vec<String> = entries().filter_map(key).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    add(spec.get("secretStoreRef").unwrap_or(&Value::Null), &keys);
    for entry in entries() {
        add(entry.pointer("/sourceRef/storeRef").unwrap_or(&Value::Null), &keys);
    }
    found.sort();
    found.dedup();
    found
}

/// The stores that embed a token: of each SecretStore its namespace, of a ClusterSecretStore none, and the name. Written
/// `NAME` or `NAMESPACE/NAME`, with commas between.
pub fn stores_of(text: &str) -> impl Iterator<Item = (Option<&str>, &str)> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| match name.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, name),
    })
}

/// The Secrets that a store logs in with: whatever in its spec is called a `secretRef` and has a name.
fn collect(value: &Value, namespace: &str, found: &mut Vec<Reference>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, namespace, found)),
        Value::Object(fields) => {
            for (field, value) in fields {
                let name = text(value, "/name");
                if let Some(name) = name.filter(|_| field.to_ascii_lowercase().ends_with("secretref")) {
                    found.push(Reference {
                        namespace: text(value, "/namespace").unwrap_or(namespace).to_owned(),
                        secret: name.to_owned(),
                        key: text(value, "/key").map(str::to_owned),
                    });
                }
                collect(value, namespace, found);
            }
        }
        _ => {}
    }
}

/// The hash of what a reference means in a Secret's data; `None` where its key is not there.
#[must_use]
pub fn hash(
    reference: &Reference,
    data: &BTreeMap<String, SecretValue>,
    salt: &SecretValue,
) -> Option<String> {
    if reference.key.as_ref().is_some_and(|key| !data.contains_key(key)) {
        return None;
    }
    let name = reference.to_string();
    let meant = data.iter().filter(|(key, _)| reference.key.as_ref().is_none_or(|wanted| wanted == *key));
    let values = meant.flat_map(|(key, value)| [key.as_bytes(), value.expose()]);
    Some(keyed(std::iter::once(name.as_bytes()).chain(values), salt))
}

/// The hash of parts in their order, by which nobody without the salt can try what they are.
pub fn keyed<'p>(parts: impl IntoIterator<Item = &'p [u8]>, salt: &SecretValue) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, salt.expose()));
    for part in parts {
        // With its length, so that no two things read alike.
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    hex(&context.sign().as_ref()[..DIGITS / 2])
}

/// Decides, by what was noted (none where nothing was), what would be noted now, and when it was told last.
#[must_use]
pub fn decide(noted: Option<&Note>, to_note: &Note, wants: &Wants, told: Option<Timestamp>) -> Verdict {
    let Some(noted) = noted else {
        return if to_note.seen.0.is_empty() { Verdict::UpToDate } else { Verdict::Note };
    };
    match noted.standing(to_note) {
        Standing::Others { until } => return Verdict::Wait { until },
        Standing::Foreign => return Verdict::Note,
        Standing::Same => return Verdict::UpToDate,
        Standing::Changed => {}
    }
    let changed = to_note
        .seen
        .0
        .iter()
        .filter(|(reference, hash)| noted.seen.0.get(*reference).is_some_and(|before| before != *hash));
    let mut changed: Vec<String> =
        changed.map(|(reference, _)| format!("{}/{}", reference.namespace, reference.secret)).collect();
    changed.dedup();
    if changed.is_empty() || wants.is_opted_out {
        return Verdict::Note;
    }
    match told.map(|told| after(told, wants.interval)) {
        Some(until) if until > to_note.at => Verdict::Wait { until },
        _ => Verdict::Tell { changed },
    }
}

impl Wants {
    /// Reads a consumer's annotations; those of its template count too.
    #[must_use]
    pub fn read(domain: &AnnotationDomain, annotation: impl Fn(&str) -> Option<String>) -> Self {
        let opted = annotation(&domain.restart_key());
        let interval = annotation(&domain.restart_interval_key());
        Self {
            is_opted_out: opted.is_some_and(|text| !text.trim().eq_ignore_ascii_case("true")),
            interval: interval.and_then(|text| parse_duration(&text).ok()).unwrap_or(INTERVAL),
        }
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.secret, self.key.as_deref().unwrap_or("*"))
    }
}

fn list<'v>(value: &'v Value, at: &str) -> &'v [Value] {
    value.pointer(at).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, at: &str) -> Option<&'v str> {
    value.pointer(at).and_then(Value::as_str).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
