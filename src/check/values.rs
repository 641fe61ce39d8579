//! Values of Secrets: defaults, short and empty ones, keys that fit nothing. No value leaves this file.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::code::Code;
use super::finding::{Place, Severity};
use super::judge::{Judge, Subject, list, text};
use super::words::{Credential, credential, is_secret_variable};
use super::world::{Located, SecretObject};
use super::{keys, references};
use crate::domain::SecretValue;

/// What examples, manuals and images come with. Compared without capitals and blanks around.
const DEFAULTS: [&str; 52] = [
    "password",
    "passw0rd",
    "password1",
    "password123",
    "p@ssw0rd",
    "pass",
    "changeme",
    "change-me",
    "change_me",
    "changeit",
    "admin",
    "admin123",
    "administrator",
    "root",
    "toor",
    "secret",
    "secret123",
    "s3cr3t",
    "mysecret",
    "my-secret",
    "my-secret-key",
    "mysecretkey",
    "secretkey",
    "secret-key",
    "jwt-secret",
    "supersecret",
    "super-secret",
    "supersecretkey",
    "letmein",
    "qwerty",
    "123456",
    "12345678",
    "123456789",
    "1234567890",
    "test",
    "test123",
    "default",
    "example",
    "dummy",
    "dev",
    "guest",
    "postgres",
    "mysql",
    "redis",
    "todo",
    "tbd",
    "replace-me",
    "replaceme",
    "placeholder",
    "none",
    "null",
    "change me",
];
/// What a placeholder begins with or has in it.
const PLACEHOLDERS: [&str; 13] = [
    "changeme",
    "change-me",
    "change_me",
    "change-this",
    "change-in-production",
    "change_in_production",
    "replace-me",
    "replace_me",
    "replace-this",
    "insert-your",
    "not-a-secret",
    "notasecret",
    "<your",
];
/// The least that two values must have in common to be worth a word.
const SHARED: usize = 8;
/// Types of Secrets that others write and read.
const FOREIGN: [&str; 3] =
    ["helm.sh/release.v1", "kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"];
const SERVICE_ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";
/// Where the store `kubernetes` notes the path of what it holds.
const STORE_PATH: &str = "store.bsycorp.com/path";
/// Files, which may end in a newline.
const FILES: [&str; 10] = ["json", "yaml", "yml", "pem", "crt", "key", "conf", "properties", "ini", "env"];

pub(super) fn rules(judge: &mut Judge<'_>) {
    let secrets = judge.world.secrets.yes().map(Vec::as_slice).unwrap_or_default();
    let mut by_value: BTreeMap<&[u8], Vec<(&Located<SecretObject>, &str)>> = BTreeMap::new();
    for located in secrets {
        let secret = &located.object;
        if secret.kind == SERVICE_ACCOUNT_TOKEN {
            let advice = "delete it, and let who needs a token ask for a short-lived one";
            judge.report(Code::LastingToken, located.place.clone(), "this token does not expire", advice);
        }
        if FOREIGN.contains(&secret.kind.as_str()) || secret.kind == SERVICE_ACCOUNT_TOKEN || is_lease(secret)
        {
            continue;
        }
        for (key, value) in &secret.data {
            of_value(judge, located, key, value);
            let is_ours = secret.annotations.contains_key(STORE_PATH);
            if !is_ours && value.expose().len() >= SHARED && credential(&secret.name, key).is_some() {
                by_value.entry(value.expose()).or_default().push((located, key));
            }
        }
        keys::pairs(judge, located);
        in_file(judge, located);
    }
    for twins in by_value.into_values().filter(|twins| twins.len() > 1) {
        let names: Vec<String> =
            twins.iter().map(|(located, key)| format!("{}/{key}", located.object.name)).collect();
        let message = format!("these have one value: {}", names.join(", "));
        judge.report(Code::SharedValue, twins[0].0.place.clone(), message, "generate a value for each");
    }
    judge.for_each(literals);
    config_maps(judge);
}

fn is_lease(secret: &SecretObject) -> bool {
    secret.annotations.get(STORE_PATH).is_some_and(|path| path.contains("/leases/"))
}

fn data_place(located: &Located<SecretObject>, key: &str) -> Place {
    let key = key.replace('~', "~0").replace('/', "~1");
    let [data, string_data] = ["data", "stringData"].map(|field| format!("/{field}/{key}"));
    located.at(if located.lines.contains_key(&string_data) { &string_data } else { &data })
}

fn of_value(judge: &mut Judge<'_>, located: &Located<SecretObject>, key: &str, value: &SecretValue) {
    let secret = &located.object;
    let bytes = value.expose();
    let place = data_place(located, key);
    let name = format!("key {key} of Secret {}", secret.name);
    if bytes.is_empty() {
        let severity = if is_named(judge, secret, key) { Severity::Error } else { Severity::Warning };
        judge.report_as(severity, Code::EmptyValue, place, format!("{name} is empty"), "write a value");
        return;
    }
    keys::one(judge, &place, &name, bytes);
    let Ok(whole) = std::str::from_utf8(bytes) else { return };
    let trimmed = whole.trim();
    let is_one_line = !trimmed.contains('\n');
    let is_file = key.rsplit_once('.').is_some_and(|(_, ending)| FILES.contains(&ending));
    let kind = credential(&secret.name, key);
    if is_one_line && whole.ends_with('\n') && !is_file && (kind.is_some() || is_named(judge, secret, key)) {
        let message = format!("{name} ends in a newline, which is part of the value");
        judge.report(Code::TrailingNewline, place.clone(), message, "write it with printf, not echo");
    }
    if is_one_line && is_encoded_twice(trimmed) {
        let message = format!("{name} is base64 of readable text: it was encoded twice");
        judge.report(Code::EncodedTwice, place.clone(), message, "use stringData, or encode once");
    }
    let Some(kind) = kind.filter(|_| is_one_line) else { return };
    strength(judge, place, &name, kind, trimmed, [&secret.name, key]);
}

fn strength(
    judge: &mut Judge<'_>,
    place: Place,
    name: &str,
    kind: Credential,
    value: &str,
    names: [&str; 2],
) {
    if is_default(value, names) {
        let message = format!("{name} is a default that everybody knows");
        judge.report(Code::DefaultValue, place, message, "generate one");
    } else if is_simple(value) {
        let message = format!("{name} repeats few characters, or counts");
        judge.report(Code::LowVariety, place, message, "generate one");
    } else if value.len() < kind.shortest() {
        let message =
            format!("{name} has {} bytes; a {} needs {}", value.len(), kind.word(), kind.shortest());
        judge.report(Code::ShortValue, place, message, "generate a longer one");
    }
}

/// Whether a pod names this key, or the whole Secret.
fn is_named(judge: &Judge<'_>, secret: &SecretObject, key: &str) -> bool {
    judge.subjects.iter().flat_map(|subject| references::of(judge, subject)).any(|reference| {
        reference.namespace == secret.namespace
            && reference.secret == secret.name
            && reference.key.is_none_or(|named| named == key)
    })
}

fn is_default(value: &str, names: [&str; 2]) -> bool {
    let value = value.to_lowercase();
    let is_its_name = names.iter().any(|name| value == name.to_lowercase() && value.len() > 3);
    is_its_name
        || DEFAULTS.contains(&value.as_str())
        || PLACEHOLDERS.iter().any(|placeholder| value.contains(placeholder))
        || value.starts_with("your-")
        || value.starts_with("your_")
        || (value.starts_with('<') && value.ends_with('>'))
        || (value.starts_with("{{") && value.ends_with("}}"))
}

/// Few characters again and again, or a sequence.
fn is_simple(value: &str) -> bool {
    let bytes = value.as_bytes();
    if bytes.len() < 4 {
        return false;
    }
    let mut distinct = bytes.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let steps = |step: i16| bytes.windows(2).all(|two| i16::from(two[1]) - i16::from(two[0]) == step);
    let period =
        (1..=bytes.len() / 3).find(|period| bytes.chunks(*period).all(|chunk| bytes.starts_with(chunk)));
    distinct.len() <= 2 || steps(1) || steps(-1) || period.is_some()
}

fn is_encoded_twice(value: &str) -> bool {
    let decoded = (value.len() >= 12).then(|| STANDARD.decode(value).ok()).flatten();
    let is_text = |text: &str| text.chars().all(|char| !char.is_control() || char.is_whitespace());
    decoded.is_some_and(|decoded| {
        let decoded = SecretValue::new(decoded);
        std::str::from_utf8(decoded.expose()).is_ok_and(is_text)
    })
}

/// A Secret that somebody keeps in a file, unless its values are encrypted there.
fn in_file(judge: &mut Judge<'_>, located: &Located<SecretObject>) {
    let holds = |value: &SecretValue| !value.expose().is_empty() && !value.expose().starts_with(b"ENC[");
    if located.place.file.is_some() && located.object.data.values().any(holds) {
        let message = format!("Secret {} stands in this file with its values", located.object.name);
        let advice = "let External Secrets, SOPS or a store bring them into the cluster";
        judge.report(Code::SecretInFile, located.place.clone(), message, advice);
    }
}

/// Secrets that stand in the pod itself.
fn literals(judge: &mut Judge<'_>, subject: &Subject<'_>) {
    for field in ["initContainers", "containers"] {
        for (index, container) in list(subject.pod, &format!("/spec/{field}")).iter().enumerate() {
            for (at, variable) in list(container, "/env").iter().enumerate() {
                let [name, value] = [text(variable, "/name"), text(variable, "/value")];
                let is_elsewhere = value.is_empty() || value.contains("$(") || value.starts_with('/');
                if !is_elsewhere && is_secret_variable(name) {
                    let place = subject.at(&format!("/spec/{field}/{index}/env/{at}"));
                    let message = format!(
                        "variable {name} of container {} has its value in the manifest",
                        text(container, "/name")
                    );
                    let advice = "put it into a Secret, and ask for it by kind=KUBERNETES";
                    judge.report(Code::LiteralSecret, place, message, advice);
                }
            }
        }
    }
}

fn config_maps(judge: &mut Judge<'_>) {
    for located in judge.world.config_maps.yes().map(Vec::as_slice).unwrap_or_default() {
        let name = text(&located.object, "/metadata/name");
        let data = located.object.get("data").and_then(Value::as_object);
        for (key, value) in data.into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().trim();
            let is_elsewhere = value.is_empty() || value.contains('\n') || value.starts_with(['/', '$']);
            if !is_elsewhere && credential("", key).is_some() {
                let place = located.at(&format!("/data/{}", key.replace('~', "~0").replace('/', "~1")));
                let message = format!("key {key} of ConfigMap {name} seems to be a secret");
                judge.report(Code::SecretInConfigMap, place, message, "move it into a Secret");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_simple_values_are_known_and_random_ones_are_not() {
        for value in ["changeme", "CHANGE_ME_NOW", "your-256-bit-secret", "<password>", "jwt-secret", "admin"]
        {
            assert!(is_default(value, ["jwt-secret", "secret-key"]), "{value}");
        }
        for value in ["aaaaaaaaaaaaaaaa", "abcdefghijklmnop", "9876543210", "abcabcabcabc", "0101010101"] {
            assert!(is_simple(value), "{value}");
        }
        for value in ["8ekD64eU9hDqA5kz", "correct horse battery staple", "k", "G7!x"] {
            assert!(!is_default(value, ["db", "password"]) && !is_simple(value), "{value}");
        }
    }

    #[test]
    fn what_is_encoded_twice_is_told_from_what_is_random() {
        for value in ["cGFzc3dvcmQtb2YtYXBw", "LS0tLS1CRUdJTiBQUklWQVRFIEtFWQ=="] {
            assert!(is_encoded_twice(value), "{value}");
        }
        for value in ["q6jz0Vt3mN8rUf2LwE5xYA==", "short", "not base64 at all", "deadbeefdeadbeefdeadbeef"] {
            assert!(!is_encoded_twice(value), "{value}");
        }
    }
}
