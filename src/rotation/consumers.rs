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
    AnnotationDomain, Delivery, Grammar, KubernetesTarget, Parsed, SecretValue, parse_duration,
};

pub use note::{Note, Seen};

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
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, salt.expose()));
    let mut add = |bytes: &[u8]| {
        // With its length, so that no two things read alike.
        context.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(bytes);
    };
    add(reference.to_string().as_bytes());
    for (key, value) in data {
        if reference.key.as_ref().is_none_or(|wanted| wanted == key) {
            add(key.as_bytes());
            add(value.expose());
        }
    }
    let tag = context.sign();
    Some(tag.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]).take(DIGITS).map(digit).collect())
}

fn digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0')
}

/// Decides, by what was noted (none where nothing was), what would be noted now, and when it was told last.
#[must_use]
pub fn decide(
    noted: Option<&Note>,
    to_note: &Note,
    wants: &Wants,
    told: Option<Timestamp>,
    now: Timestamp,
) -> Verdict {
    let Some(noted) = noted else {
        return if to_note.seen.0.is_empty() { Verdict::UpToDate } else { Verdict::Note };
    };
    if let Some(until) = noted.others_until(to_note) {
        return Timestamp::from_second(until).map_or(Verdict::Note, |until| Verdict::Wait { until });
    }
    if noted.salt != to_note.salt {
        return Verdict::Note;
    }
    if noted.seen == to_note.seen {
        return Verdict::UpToDate;
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
        Some(until) if until > now => Verdict::Wait { until },
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
mod tests {
    use serde_json::json;

    use super::*;

    fn domain() -> AnnotationDomain {
        AnnotationDomain::new("bsycorp.com").unwrap()
    }

    fn names(references: &[Reference]) -> Vec<String> {
        references.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_goes_into_an_environment_is_found_and_what_is_mounted_is_not() {
        let template = json!({
            "metadata": {"annotations": {
                "secret.bsycorp.com/api": "kind=KUBERNETES,secret=api,key=token,env=API_TOKEN",
                "secret.bsycorp.com/all": "kind=KUBERNETES,secret=many,envFrom=true",
                "secret.bsycorp.com/tls": "kind=KUBERNETES,secret=tls,path=/tls",
            }},
            "spec": {
                "initContainers": [{"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "one", "key": "a"}}}]}],
                "containers": [{
                    "env": [
                        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "one", "key": "a"}}},
                        {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "two", "key": "b"}}},
                        {"name": "C", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "c"}}},
                    ],
                    "envFrom": [{"secretRef": {"name": "whole"}}, {"configMapRef": {"name": "map"}}],
                    "volumeMounts": [{"name": "keys", "mountPath": "/keys"}],
                }],
                "volumes": [{"name": "keys", "secret": {"secretName": "mounted"}}],
            },
        });
        let found = of_template(&template, "shop", &domain());
        assert_eq!(names(&found), ["shop/api/token", "shop/many/*", "shop/one/a", "shop/whole/*"]);
    }

    #[test]
    fn an_external_secret_depends_on_what_its_store_logs_in_with_and_on_what_it_copies() {
        let webhook = json!({"provider": {"webhook": {
            "headers": {"Authorization": "Bearer {{ .jwt.token }}"},
            "secrets": [{"name": "jwt", "secretRef": {"name": "eso-token", "namespace": "iam", "key": "token"}}],
            "caProvider": {"type": "ConfigMap", "name": "ca"},
        }}});
        let kubernetes = json!({"provider": {"kubernetes": {"remoteNamespace": "iam"}}});
        let aws = json!({"auth": {"secretRef": {"accessKeyIDSecretRef": {"name": "aws", "key": "id"}}}});
        let store = |kind: &str, name: &str| match (kind, name) {
            ("ClusterSecretStore", "webhook") => Some(webhook.clone()),
            ("SecretStore", "kubernetes") => Some(kubernetes.clone()),
            ("SecretStore", "aws") => Some(aws.clone()),
            _ => None,
        };
        let of = |spec: Value| names(&of_external_secret(&spec, "shop", store));
        let by = |kind: &str, name: &str| json!({"kind": kind, "name": name});
        let data = json!([{"secretKey": "a", "remoteRef": {"key": "veza"}}]);
        assert_eq!(
            of(json!({"secretStoreRef": by("ClusterSecretStore", "webhook"), "data": data})),
            ["iam/eso-token/token"]
        );
        assert_eq!(of(json!({"secretStoreRef": {"name": "kubernetes"}, "data": data})), ["iam/veza/*"]);
        assert_eq!(of(json!({"secretStoreRef": by("SecretStore", "aws"), "data": data})), ["shop/aws/id"]);
        assert!(of(json!({"secretStoreRef": by("SecretStore", "webhook"), "data": data})).is_empty());
        let from =
            json!([{"extract": {"key": "all"}, "sourceRef": {"storeRef": by("SecretStore", "kubernetes")}}]);
        assert_eq!(of(json!({"dataFrom": from})), ["iam/all/*"]);
        let stores: Vec<_> = stores_of("one, shop/two,").collect();
        assert_eq!(stores, [(None, "one"), (Some("shop"), "two")]);
    }

    #[test]
    fn what_is_mounted_by_sub_path_is_found() {
        let template = json!({"spec": {
            "containers": [{"volumeMounts": [
                {"name": "plain", "mountPath": "/a"},
                {"name": "plain", "mountPath": "/b/tls.key", "subPath": "tls.key"},
                {"name": "items", "mountPath": "/c", "subPath": "deep/file"},
                {"name": "sources", "mountPath": "/d", "subPathExpr": "$(POD)"},
                {"name": "cache", "mountPath": "/e", "subPath": "x"},
            ]}],
            "volumes": [
                {"name": "plain", "secret": {"secretName": "one"}},
                {"name": "items", "secret": {"secretName": "two", "items": [{"key": "k", "path": "deep/file"}]}},
                {"name": "sources", "projected": {"sources": [{"configMap": {"name": "x"}}, {"secret": {"name": "three"}}]}},
                {"name": "cache", "emptyDir": {}},
            ],
        }});
        let found = names(&of_template(&template, "shop", &domain()));
        assert_eq!(found, ["shop/one/tls.key", "shop/three/*", "shop/two/k"]);
    }

    #[test]
    fn only_what_is_read_makes_the_hash() {
        let salt = SecretValue::new(vec![7; 32]);
        let data = |a: &str, b: &str| {
            let value = |text: &str| SecretValue::new(text.as_bytes().to_vec());
            BTreeMap::from([("a".to_owned(), value(a)), ("b".to_owned(), value(b))])
        };
        let of = |key: Option<&str>| Reference {
            namespace: "shop".into(),
            secret: "s".into(),
            key: key.map(str::to_owned),
        };
        let one = |key, data: &BTreeMap<_, _>| hash(&of(key), data, &salt).unwrap();
        assert_eq!(one(Some("a"), &data("1", "2")), one(Some("a"), &data("1", "3")));
        assert_ne!(one(None, &data("1", "2")), one(None, &data("1", "3")));
        assert_ne!(one(None, &data("12", "3")), one(None, &data("1", "23")));
        assert_eq!(hash(&of(Some("c")), &data("1", "2"), &salt), None);
        let other = hash(&of(Some("a")), &data("1", "2"), &SecretValue::new(vec![8; 32])).unwrap();
        assert_ne!(one(Some("a"), &data("1", "2")), other);
        assert_eq!(other.len(), DIGITS);
    }

    #[test]
    fn a_consumer_is_told_once_of_a_change_and_never_of_what_was_not_seen_before() {
        let seen = |text: &str| Note::read(&format!("salt@900,{text}"));
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let wants = |is_opted_out| Wants { is_opted_out, interval: Duration::from_secs(60) };
        let decide = |noted: Option<&str>, now_seen: &str, out, told: Option<i64>| {
            let noted = noted.map(seen);
            decide(noted.as_ref(), &seen(now_seen), &wants(out), told.map(at), at(1_000))
        };
        let tell = Verdict::Tell { changed: vec!["shop/s".into()] };
        assert_eq!(decide(Some("shop/s/a=-"), "shop/s/a=1", false, None), tell);
        assert_eq!(decide(None, "shop/s/a=1", false, None), Verdict::Note);
        assert_eq!(decide(None, "", false, None), Verdict::UpToDate);
        assert_eq!(decide(Some("shop/s/a=1"), "shop/s/a=1", false, None), Verdict::UpToDate);
        assert_eq!(decide(Some("shop/s/a=1"), "shop/s/a=2", false, None), tell);
        assert_eq!(decide(Some("shop/s/a=1"), "shop/s/a=1,shop/t/b=9", false, None), Verdict::Note);
        assert_eq!(decide(Some("shop/s/a=1"), "shop/s/a=2", true, None), Verdict::Note);
        assert_eq!(decide(Some("shop/s/a=1"), "shop/s/a=2", false, Some(900)), tell);
        assert_eq!(
            decide(Some("shop/s/a=1"), "shop/s/a=2", false, Some(990)),
            Verdict::Wait { until: at(1_050) }
        );
        let text = "salt@12,shop/s/*=1,shop/s/a=2";
        assert_eq!(Note::read(text).write(), text);
    }

    #[test]
    fn a_secret_that_went_tells_nobody_and_neither_does_one_that_came_back_the_same() {
        let reference =
            |key: &str| Reference { namespace: "shop".into(), secret: "s".into(), key: Some(key.to_owned()) };
        let note = |hash: Option<&str>, noted: Option<&Note>| {
            let hashes = [(reference("a"), hash.map(str::to_owned)), (reference("b"), None)];
            Note::of("salt".to_owned(), 1, hashes, noted)
        };
        let there = note(Some("1"), None);
        assert_eq!(there.seen.write(), "shop/s/a=1,shop/s/b=-");
        let gone = note(None, Some(&there));
        assert_eq!(gone.seen, there.seen);
        assert_eq!(note(Some("1"), Some(&gone)).seen, there.seen);
        assert_ne!(note(Some("2"), Some(&gone)).seen, there.seen);
    }

    #[test]
    fn what_was_noted_under_another_salt_tells_nobody_and_is_noted_anew_once_a_minute() {
        let (theirs, ours) =
            (Note::read("theirs@1000,shop/s/a=1"), |at| Note::read(&format!("ours@{at},shop/s/a=2")));
        let wants = Wants { is_opted_out: false, interval: Duration::ZERO };
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let decide = |now| decide(Some(&theirs), &ours(now), &wants, None, at(now));
        assert_eq!(decide(1_001), Verdict::Wait { until: at(1_060) });
        assert_eq!(decide(1_060), Verdict::Note);
        // A clock that was wrong holds nobody up.
        assert_eq!(decide(900), Verdict::Note);
        // What is not there is not what another salt's hash says.
        let absent = Note::of(
            "ours".to_owned(),
            1,
            [(Reference { namespace: "shop".into(), secret: "s".into(), key: Some("a".into()) }, None)],
            Some(&theirs),
        );
        assert_eq!(absent.write(), "ours@1,shop/s/a=-");
    }

    #[test]
    fn wants_are_read_from_annotations() {
        let read =
            |key: &str, value: &str| Wants::read(&domain(), |asked| (asked == key).then(|| value.to_owned()));
        assert!(read("rotate.bsycorp.com/restart", "false").is_opted_out);
        assert!(read("rotate.bsycorp.com/restart", "False").is_opted_out);
        assert!(!read("rotate.bsycorp.com/restart", "true").is_opted_out);
        assert_eq!(read("rotate.bsycorp.com/restart-interval", "10m").interval, Duration::from_secs(600));
        assert_eq!(read("rotate.bsycorp.com/restart-interval", "soon").interval, INTERVAL);
    }
}
