//! Secrets that pods name, by annotation or by themselves, and whether they and their keys are there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::code::Code;
use super::finding::{Place, Severity};
use super::judge::{Judge, Subject, list, text};
use super::world::Known;
use crate::domain::{Delivery, Family, KubernetesTarget, nearest};

/// A Secret that a pod names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) namespace: String,
    pub(super) secret: String,
    /// The only key that is meant; all of them without it.
    pub(super) key: Option<String>,
    is_optional: bool,
    use_: Use,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Use {
    /// A variable, or files.
    Value,
    /// Variables of all keys, with this before each.
    AllVariables(String),
    /// To pull images with.
    Pull,
}

/// Every Secret that a subject names.
pub(super) fn of(judge: &Judge<'_>, subject: &Subject<'_>) -> Vec<Reference> {
    let mut found = Vec::new();
    by_annotation(judge, subject, &mut found);
    for field in ["initContainers", "containers"] {
        for (index, container) in list(subject.pod, &format!("/spec/{field}")).iter().enumerate() {
            let at = format!("/spec/{field}/{index}");
            by_container(subject, container, &at, &mut found);
        }
    }
    by_volume(subject, &mut found);
    for (index, pull) in list(subject.pod, "/spec/imagePullSecrets").iter().enumerate() {
        let at = format!("/spec/imagePullSecrets/{index}");
        add(subject, &at, pull, "name", None, Use::Pull, &mut found);
    }
    found
}

fn by_annotation(judge: &Judge<'_>, subject: &Subject<'_>, found: &mut Vec<Reference>) {
    let Some(asking) = subject.asked() else { return };
    for request in &asking.requests.secrets {
        let Delivery::Kubernetes(secret) = &request.delivery else { continue };
        let (key, use_) = match &secret.target {
            KubernetesTarget::Env { key, .. } => (Some(key.as_str().to_owned()), Use::Value),
            KubernetesTarget::Path { key, .. } => {
                (key.as_ref().map(|key| key.as_str().to_owned()), Use::Value)
            }
            KubernetesTarget::EnvFrom { prefix } => {
                let prefix = prefix.as_ref().map(|prefix| prefix.as_str().to_owned());
                (None, Use::AllVariables(prefix.unwrap_or_default()))
            }
        };
        found.push(Reference {
            namespace: subject.workload.namespace.clone(),
            secret: secret.secret.as_str().to_owned(),
            key,
            is_optional: secret.optional,
            use_,
            place: subject.annotation(&judge.settings.domain.key(Family::Secret, request.name.as_str())),
        });
    }
}

fn by_container(subject: &Subject<'_>, container: &Value, at: &str, found: &mut Vec<Reference>) {
    for (index, variable) in list(container, "/env").iter().enumerate() {
        if let Some(reference) = variable.pointer("/valueFrom/secretKeyRef") {
            let at = format!("{at}/env/{index}/valueFrom/secretKeyRef");
            let key = text(reference, "/key").to_owned();
            add(subject, &at, reference, "name", Some(key), Use::Value, found);
        }
    }
    for (index, source) in list(container, "/envFrom").iter().enumerate() {
        if let Some(reference) = source.get("secretRef") {
            let at = format!("{at}/envFrom/{index}/secretRef");
            let prefix = text(source, "/prefix").to_owned();
            add(subject, &at, reference, "name", None, Use::AllVariables(prefix), found);
        }
    }
}

fn by_volume(subject: &Subject<'_>, found: &mut Vec<Reference>) {
    for (index, volume) in list(subject.pod, "/spec/volumes").iter().enumerate() {
        let at = format!("/spec/volumes/{index}");
        if let Some(source) = volume.get("secret") {
            by_items(subject, source, "secretName", &format!("{at}/secret"), found);
        }
        for (index, projected) in list(volume, "/projected/sources").iter().enumerate() {
            if let Some(source) = projected.get("secret") {
                by_items(subject, source, "name", &format!("{at}/projected/sources/{index}/secret"), found);
            }
        }
    }
}

fn by_items(subject: &Subject<'_>, source: &Value, name: &str, at: &str, found: &mut Vec<Reference>) {
    let items = list(source, "/items");
    if items.is_empty() {
        add(subject, at, source, name, None, Use::Value, found);
    }
    for item in items {
        add(subject, at, source, name, Some(text(item, "/key").to_owned()), Use::Value, found);
    }
}

fn add(
    subject: &Subject<'_>,
    at: &str,
    source: &Value,
    name: &str,
    key: Option<String>,
    use_: Use,
    found: &mut Vec<Reference>,
) {
    let secret = source.get(name).and_then(Value::as_str).unwrap_or_default();
    if secret.is_empty() {
        return;
    }
    found.push(Reference {
        namespace: subject.workload.namespace.clone(),
        secret: secret.to_owned(),
        key,
        is_optional: source.get("optional") == Some(&Value::Bool(true)),
        use_,
        place: subject.at(at),
    });
}

pub(super) fn rules(judge: &mut Judge<'_>) {
    judge.for_each(|judge, subject| {
        for reference in of(judge, subject) {
            check(judge, &reference);
        }
    });
}

fn check(judge: &mut Judge<'_>, reference: &Reference) {
    let Known::Yes(secrets) = &judge.world.secrets else { return };
    let Reference { namespace, secret, key, is_optional, use_, place } = reference;
    let Some(located) = judge.secret(namespace, secret) else {
        return missing(judge, reference);
    };
    debug_assert!(!secrets.is_empty());
    let data = &located.object.data;
    if let Some(key) = key.as_ref().filter(|key| !data.contains_key(*key)) {
        let known: Vec<&str> = data.keys().map(String::as_str).collect();
        let meant =
            nearest(key, &known).map(|meant| format!("; {meant} was probably meant")).unwrap_or_default();
        let message = format!("Secret {secret} has no key {key}{meant}");
        let has =
            if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
        let code = if *is_optional { Code::OptionalMissing } else { Code::KeyMissing };
        judge.report(code, place.clone(), message, format!("add the key, or name one that is there: {has}"));
    }
    if let Use::AllVariables(prefix) = use_ {
        for key in
            data.keys().filter(|key| format!("{prefix}{key}").starts_with(|c: char| c.is_ascii_digit()))
        {
            let message =
                format!("key {key} of Secret {secret} makes no variable: its name begins with a digit");
            judge.report(Code::UnusableName, place.clone(), message, "rename the key, or give a prefix");
        }
    }
}

fn missing(judge: &mut Judge<'_>, reference: &Reference) {
    let Reference { namespace, secret, is_optional, use_, place, .. } = reference;
    let secrets = judge.world.secrets.yes().map(Vec::as_slice).unwrap_or_default();
    let known: BTreeSet<&str> = secrets
        .iter()
        .filter(|known| known.object.namespace == *namespace)
        .map(|known| known.object.name.as_str())
        .collect();
    let external = judge.world.external_secrets.yes().map(Vec::as_slice).unwrap_or_default();
    let is_written = external.iter().any(|object| super::external::target(&object.object) == secret);
    if !judge.world.is_live && (known.is_empty() || is_written) {
        // Nothing in these files says that they have all Secrets.
        return;
    }
    let known: Vec<&str> = known.into_iter().collect();
    let meant =
        nearest(secret, &known).map(|meant| format!("; {meant} was probably meant")).unwrap_or_default();
    let (severity, code) = match (is_optional, use_, judge.world.is_live) {
        (true, ..) => (Severity::Warning, Code::OptionalMissing),
        // The kubelet goes on without it, and pulls what is public.
        (false, Use::Pull, true) => (Severity::Warning, Code::SecretMissing),
        (false, _, true) => (Severity::Error, Code::SecretMissing),
        (false, _, false) => (Severity::Note, Code::SecretMissing),
    };
    let whereabouts = if judge.world.is_live { "is not there" } else { "is not among these files" };
    let message = format!("Secret {secret} {whereabouts}{meant}");
    judge.report_as(severity, code, place.clone(), message, "create it, or mend its name");
}
