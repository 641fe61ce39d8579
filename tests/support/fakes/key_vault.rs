//! Azure Key Vault's secrets, from its REST reference (7.4).
//!
//! A delete and a purge take a moment, in which the name is being deleted; a list comes in pages of 25, with links that
//! lead to another host, as behind a proxy; versions are listed in no order; times are whole seconds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{ALLOWED, Asked, Fake, STRANGER, Told, now};

const LONGEST: usize = 25_600;
const PAGE: usize = 25;
/// How long the vault takes to delete, and to purge.
const MOMENT: Duration = Duration::from_millis(700);
/// Where its ids and links lead.
const VAULT: &str = "https://example.vault.azure.net";

/// A running vault.
pub(crate) struct KeyVault {
    fake: Fake,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    secrets: BTreeMap<String, Vec<Version>>,
    /// With when each is deleted, or purged: then there is nothing in it.
    deleted: BTreeMap<String, (Instant, Vec<Version>)>,
    made: u64,
    is_protected: bool,
    sets: Vec<String>,
}

#[derive(Clone)]
struct Version {
    id: String,
    value: String,
    content_type: Value,
    tags: Value,
    created: i64,
    is_enabled: bool,
}

impl KeyVault {
    pub(crate) async fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let fake = Fake::serve(move |asked| shared.lock().expect("no panic").answer(asked)).await;
        Self { fake, state }
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.fake.address()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    /// Sets a secret, as people do; the version.
    #[allow(clippy::needless_pass_by_value, reason = "callers write it down in place")]
    pub(crate) fn set(&self, name: &str, value: &str, tags: Value) -> String {
        self.state().set(name, &json!({ "value": value, "tags": tags }), now())
    }

    /// As [`KeyVault::set`], some seconds ago.
    pub(crate) fn set_before(&self, name: &str, value: &str, seconds: i64) -> String {
        self.state().set(name, &json!({ "value": value }), now() - seconds)
    }

    /// Disables the current version.
    pub(crate) fn disable(&self, name: &str) {
        self.state().secrets.get_mut(name).expect("it").last_mut().expect("a version").is_enabled = false;
    }

    /// Deletes a secret, as people do. It is over at once.
    pub(crate) fn delete(&self, name: &str) {
        let mut state = self.state();
        let versions = state.secrets.remove(name).expect("it");
        state.deleted.insert(name.to_owned(), (Instant::now(), versions));
    }

    /// From now on nothing is purged.
    pub(crate) fn protect(&self) {
        self.state().is_protected = true;
    }

    pub(crate) fn is_deleted(&self, name: &str) -> bool {
        self.state().deleted.contains_key(name)
    }

    pub(crate) fn tags(&self, name: &str) -> Value {
        self.state().secrets[name].last().expect("a version").tags.clone()
    }

    pub(crate) fn content_type(&self, name: &str) -> Value {
        self.state().secrets[name].last().expect("a version").content_type.clone()
    }

    /// How many versions of a secret have been set.
    pub(crate) fn sets(&self, name: &str) -> usize {
        self.state().sets.iter().filter(|set| *set == name).count()
    }

    /// The names of the secrets.
    pub(crate) fn names(&self) -> Vec<String> {
        self.state().secrets.keys().cloned().collect()
    }
}

fn refuse(status: u16, code: &str, inner: Option<&str>) -> Told {
    let inner = inner.map(|code| json!({ "code": code }));
    (status, json!({ "error": { "code": code, "message": "No.", "innererror": inner } }))
}

fn not_found() -> Told {
    refuse(404, "SecretNotFound", None)
}

fn bad() -> Told {
    refuse(400, "BadParameter", None)
}

fn are_tags(tags: &Value) -> bool {
    let is_tag = |(name, value): (&String, &Value)| {
        name.len() <= 256 && value.as_str().is_some_and(|value| value.len() <= 256)
    };
    tags.is_null() || tags.as_object().is_some_and(|tags| tags.len() <= 15 && tags.iter().all(is_tag))
}

impl Version {
    fn shown(&self, name: &str, with: &[&str]) -> Value {
        let mut shown = json!({
            "id": format!("{VAULT}/secrets/{name}"), "tags": self.tags, "contentType": self.content_type,
            "attributes": {
                "enabled": self.is_enabled, "created": self.created, "updated": self.created,
                "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90,
            },
        });
        for what in with {
            match *what {
                "version" => shown["id"] = format!("{VAULT}/secrets/{name}/{}", self.id).into(),
                "value" => shown["value"] = self.value.clone().into(),
                "recovery" => shown["recoveryId"] = format!("{VAULT}/deletedsecrets/{name}").into(),
                other => panic!("{other}"),
            }
        }
        shown
    }
}

impl State {
    fn answer(&mut self, asked: &Asked) -> Told {
        match asked.bearer.as_deref() {
            Some(ALLOWED) => {}
            Some(STRANGER) => return refuse(403, "Forbidden", Some("ForbiddenByRbac")),
            _ => return refuse(401, "Unauthorized", None),
        }
        if asked.query("api-version") != Some("7.4") {
            return bad();
        }
        let over = Instant::now();
        self.deleted.retain(|_, (until, versions)| !(versions.is_empty() && *until <= over));
        let path = asked.path.to_ascii_lowercase();
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if segments.get(1).is_some_and(|name| !(1..=127).contains(&name.len()) || !name.bytes().all(inner)) {
            return bad();
        }
        match (asked.method.as_str(), &segments[..]) {
            ("GET", ["secrets"]) => self.list(asked),
            ("GET", ["secrets", name, "versions"]) => self.versions(name, asked),
            ("GET", ["secrets", name]) => self.get(name),
            ("PUT", ["secrets", name]) => self.put(name, &asked.json()),
            ("PATCH", ["secrets", name, version]) => self.patch(name, version, &asked.json()),
            ("DELETE", ["secrets", name]) => self.delete(name),
            ("DELETE", ["deletedsecrets", name]) => self.purge(name),
            ("POST", ["deletedsecrets", name, "recover"]) => self.recover(name),
            _ => refuse(404, "ResourceNotFound", None),
        }
    }

    fn set(&mut self, name: &str, body: &Value, created: i64) -> String {
        self.made += 1;
        // Versions do not grow.
        let id =
            format!("{:032x}", u128::from(self.made).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
        let version = Version {
            id: id.clone(),
            value: body["value"].as_str().expect("text").to_owned(),
            content_type: body["contentType"].clone(),
            tags: if body["tags"].is_null() { json!({}) } else { body["tags"].clone() },
            created,
            is_enabled: true,
        };
        self.secrets.entry(name.to_owned()).or_default().push(version);
        self.sets.push(name.to_owned());
        id
    }

    fn put(&mut self, name: &str, body: &Value) -> Told {
        match self.deleted.get(name) {
            Some((until, versions)) if versions.is_empty() || *until > Instant::now() => {
                return refuse(409, "Conflict", Some("ObjectIsBeingDeleted"));
            }
            Some(_) => return refuse(409, "Conflict", Some("ObjectIsDeletedButRecoverable")),
            None => {}
        }
        let fits = body["value"].as_str().is_some_and(|value| value.len() <= LONGEST);
        if !fits || !are_tags(&body["tags"]) {
            return bad();
        }
        self.set(name, body, now());
        self.get(name)
    }

    fn get(&self, name: &str) -> Told {
        match self.secrets.get(name).and_then(|versions| versions.last()) {
            None => not_found(),
            Some(version) if !version.is_enabled => refuse(403, "Forbidden", Some("SecretDisabled")),
            Some(version) => (200, version.shown(name, &["version", "value"])),
        }
    }

    fn patch(&mut self, name: &str, id: &str, body: &Value) -> Told {
        let mut versions = self.secrets.get_mut(name).into_iter().flatten();
        let Some(version) = versions.find(|version| version.id == id) else { return not_found() };
        if let Some(is_enabled) = body["attributes"]["enabled"].as_bool() {
            version.is_enabled = is_enabled;
        }
        (200, version.shown(name, &["version"]))
    }

    fn delete(&mut self, name: &str) -> Told {
        let Some(versions) = self.secrets.remove(name) else { return not_found() };
        let shown = versions.last().expect("a version").shown(name, &["version", "recovery"]);
        self.deleted.insert(name.to_owned(), (Instant::now() + MOMENT, versions));
        (200, shown)
    }

    fn purge(&mut self, name: &str) -> Told {
        match self.deleted.get_mut(name) {
            None => not_found(),
            Some(_) if self.is_protected => refuse(403, "Forbidden", Some("ForbiddenByPolicy")),
            Some((until, _)) if *until > Instant::now() => {
                refuse(409, "Conflict", Some("ObjectIsBeingDeleted"))
            }
            Some((until, versions)) => {
                versions.clear();
                *until = Instant::now() + MOMENT;
                (204, Value::Null)
            }
        }
    }

    fn recover(&mut self, name: &str) -> Told {
        match self.deleted.get(name) {
            None => not_found(),
            Some((until, versions)) if *until > Instant::now() || versions.is_empty() => {
                refuse(409, "Conflict", Some("ObjectIsBeingDeleted"))
            }
            Some(_) => {
                let (_, versions) = self.deleted.remove(name).expect("it");
                let shown = versions.last().expect("a version").shown(name, &["version"]);
                self.secrets.insert(name.to_owned(), versions);
                (200, shown)
            }
        }
    }

    fn list(&self, asked: &Asked) -> Told {
        let shown =
            self.secrets.iter().map(|(name, versions)| versions.last().expect("a version").shown(name, &[]));
        page(asked, &shown.collect::<Vec<_>>())
    }

    fn versions(&self, name: &str, asked: &Asked) -> Told {
        let Some(versions) = self.secrets.get(name) else { return not_found() };
        let mut versions: Vec<&Version> = versions.iter().collect();
        versions.sort_by(|a, b| a.id.cmp(&b.id));
        let shown = versions.iter().map(|version| version.shown(name, &["version"]));
        page(asked, &shown.collect::<Vec<_>>())
    }
}

fn page(asked: &Asked, items: &[Value]) -> Told {
    let size = asked.query("maxresults").map_or(Ok(PAGE), str::parse::<usize>);
    let from = asked.query("$skiptoken").map_or(Ok(0), str::parse::<usize>);
    let (Ok(size @ 1..=PAGE), Ok(from)) = (size, from) else { return bad() };
    let until = (from + size).min(items.len());
    let link = |from: usize| {
        format!("{VAULT}:443{}?api-version=7.4&$skiptoken={from}&maxresults={size}", asked.path)
    };
    let next = (until < items.len()).then(|| link(until));
    (200, json!({ "value": items[from.min(until)..until], "nextLink": next }))
}
