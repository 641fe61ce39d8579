//! Google Cloud Secret Manager, from its REST reference (v1).
//!
//! An etag is of a secret alone: a version that is added leaves it as it is, which is what the reference says. Lists come
//! in pages of 250 at most, though a client may ask for more; names have the project's number, not its id.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{ALLOWED, Asked, Fake, STRANGER, Told, now};

pub(crate) const PROJECT: &str = "example-project";
const NUMBER: &str = "123456789012";
const LONGEST: usize = 65_536;
const PAGE: usize = 250;

/// A running Secret Manager.
pub(crate) struct SecretManager {
    fake: Fake,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    secrets: BTreeMap<String, Secret>,
    etags: u64,
}

struct Secret {
    etag: u64,
    created: i64,
    annotations: Value,
    versions: Vec<Version>,
}

struct Version {
    data: Vec<u8>,
    is_enabled: bool,
}

impl SecretManager {
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

    /// Makes a secret without versions, as people and creators do, of some age in seconds.
    pub(crate) fn make(&self, id: &str, annotations: Value, age: i64) {
        let mut state = self.state();
        let etag = state.next_etag();
        let secret = Secret { etag, created: now() - age, annotations, versions: Vec::new() };
        state.secrets.insert(id.to_owned(), secret);
    }

    /// Adds a version, as people do.
    pub(crate) fn add(&self, id: &str, data: &[u8]) {
        let version = Version { data: data.to_vec(), is_enabled: true };
        self.state().secrets.get_mut(id).expect("the secret").versions.push(version);
    }

    /// Disables the latest version.
    pub(crate) fn disable(&self, id: &str) {
        let mut state = self.state();
        let versions = &mut state.secrets.get_mut(id).expect("the secret").versions;
        versions.last_mut().expect("a version").is_enabled = false;
    }

    pub(crate) fn delete(&self, id: &str) {
        self.state().secrets.remove(id).expect("the secret");
    }

    /// How many versions there are; `None` where there is no such secret.
    pub(crate) fn versions(&self, id: &str) -> Option<usize> {
        self.state().secrets.get(id).map(|secret| secret.versions.len())
    }

    pub(crate) fn annotations(&self, id: &str) -> Value {
        self.state().secrets[id].annotations.clone()
    }
}

fn refuse(code: u16, status: &str) -> Told {
    let details = json!([{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "MADE_BY_HAND" }]);
    (code, json!({ "error": { "code": code, "status": status, "message": "No.", "details": details } }))
}

fn not_found() -> Told {
    refuse(404, "NOT_FOUND")
}

fn invalid() -> Told {
    refuse(400, "INVALID_ARGUMENT")
}

/// Letters, digits and some marks between them; 16 KiB in all.
fn are_annotations(annotations: &Value) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let Some(map) = annotations.as_object() else { return annotations.is_null() };
    let is_key = |key: &String| {
        (1..=63).contains(&key.len())
            && key.bytes().all(inner)
            && !key.starts_with(['-', '_', '.'])
            && !key.ends_with(['-', '_', '.'])
    };
    let size: usize =
        map.iter().map(|(key, value)| key.len() + value.as_str().map_or(1 << 20, str::len)).sum();
    map.keys().all(is_key) && size <= 16 << 10
}

impl State {
    fn next_etag(&mut self) -> u64 {
        self.etags += 1;
        self.etags
    }

    fn answer(&mut self, asked: &Asked) -> Told {
        match asked.bearer.as_deref() {
            Some(ALLOWED) => {}
            Some(STRANGER) => return refuse(403, "PERMISSION_DENIED"),
            _ => return refuse(401, "UNAUTHENTICATED"),
        }
        let Some(rest) = asked.path.strip_prefix(&format!("/v1/projects/{PROJECT}/secrets")) else {
            return refuse(403, "PERMISSION_DENIED");
        };
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        match (asked.method.as_str(), rest) {
            ("POST", "") => return self.create(asked),
            ("GET", "") => return self.list(asked),
            _ => {}
        }
        if let ("GET", Some(id)) = (asked.method.as_str(), rest.strip_suffix("/versions/latest:access")) {
            return self.access(id);
        }
        if let ("POST", Some(id)) = (asked.method.as_str(), rest.strip_suffix(":addVersion")) {
            return self.add(id, &asked.json());
        }
        match asked.method.as_str() {
            "GET" => self.secrets.get(rest).map_or_else(not_found, |secret| (200, secret.shown(rest))),
            "PATCH" => self.patch(rest, asked),
            "DELETE" => self.delete(rest, asked),
            _ => not_found(),
        }
    }

    fn create(&mut self, asked: &Asked) -> Told {
        let body = asked.json();
        let Some(id) = asked.query("secretId") else { return invalid() };
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let is_id = id.len() <= 255 && id.bytes().all(inner);
        if !is_id || !body["replication"]["automatic"].is_object() || !are_annotations(&body["annotations"]) {
            return invalid();
        }
        if self.secrets.contains_key(id) {
            return refuse(409, "ALREADY_EXISTS");
        }
        let annotations = body["annotations"].clone();
        let secret = Secret { etag: self.next_etag(), created: now(), annotations, versions: Vec::new() };
        let shown = secret.shown(id);
        self.secrets.insert(id.to_owned(), secret);
        (200, shown)
    }

    fn add(&mut self, id: &str, body: &Value) -> Told {
        let data = body["payload"]["data"].as_str().and_then(|data| STANDARD.decode(data).ok());
        let Some(data) = data.filter(|data| (1..=LONGEST).contains(&data.len())) else { return invalid() };
        let Some(secret) = self.secrets.get_mut(id) else { return not_found() };
        secret.versions.push(Version { data, is_enabled: true });
        let number = secret.versions.len();
        (
            200,
            json!({ "name": format!("projects/{NUMBER}/secrets/{id}/versions/{number}"), "state": "ENABLED" }),
        )
    }

    fn access(&self, id: &str) -> Told {
        let Some(secret) = self.secrets.get(id) else { return not_found() };
        let Some(latest) = secret.versions.last() else { return not_found() };
        if !latest.is_enabled {
            return refuse(400, "FAILED_PRECONDITION");
        }
        let name = format!("projects/{NUMBER}/secrets/{id}/versions/{}", secret.versions.len());
        (200, json!({ "name": name, "payload": { "data": STANDARD.encode(&latest.data) } }))
    }

    fn patch(&mut self, id: &str, asked: &Asked) -> Told {
        let etag = self.next_etag();
        let body = asked.json();
        let Some(secret) = self.secrets.get_mut(id) else { return not_found() };
        if asked.query("updateMask") != Some("annotations") || !are_annotations(&body["annotations"]) {
            return invalid();
        }
        if body["etag"].as_str().is_some_and(|etag| etag != secret.etag()) {
            return refuse(400, "FAILED_PRECONDITION");
        }
        (secret.etag, secret.annotations) = (etag, body["annotations"].clone());
        (200, secret.shown(id))
    }

    fn delete(&mut self, id: &str, asked: &Asked) -> Told {
        let Some(secret) = self.secrets.get(id) else { return not_found() };
        if asked.query("etag").is_some_and(|etag| etag != secret.etag()) {
            return refuse(400, "FAILED_PRECONDITION");
        }
        self.secrets.remove(id);
        (200, json!({}))
    }

    fn list(&self, asked: &Asked) -> Told {
        let size = asked.query("pageSize").map_or(Ok(PAGE), str::parse);
        let after = asked.query("pageToken").map(|token| token.strip_prefix("after ").map(str::to_owned));
        let (Ok(size @ 1..=25_000), Some(after)) = (size, after.map_or(Some(String::new()), |after| after))
        else {
            return invalid();
        };
        let mut rest = self.secrets.iter().filter(|(id, _)| **id > after);
        let page: Vec<_> = rest.by_ref().take(size.min(PAGE)).collect();
        let last = page.last().map_or("", |(id, _)| id.as_str());
        let next = rest.next().map_or(String::new(), |_| format!("after {last}"));
        let shown: Vec<Value> = page.iter().map(|(id, secret)| secret.shown(id)).collect();
        if shown.is_empty() {
            return (200, json!({}));
        }
        (200, json!({ "secrets": shown, "nextPageToken": next, "totalSize": self.secrets.len() }))
    }
}

impl Secret {
    /// With its quotes.
    fn etag(&self) -> String {
        format!("\"{:x}\"", self.etag)
    }

    fn shown(&self, id: &str) -> Value {
        let mut shown = json!({
            "name": format!("projects/{NUMBER}/secrets/{id}"), "replication": { "automatic": {} },
            "createTime": rfc3339(self.created), "etag": self.etag(),
        });
        // What is empty is left out.
        if self.annotations.as_object().is_some_and(|annotations| !annotations.is_empty()) {
            shown["annotations"] = self.annotations.clone();
        }
        shown
    }
}

/// `2026-01-31T01:02:03.000000000Z`.
fn rfc3339(seconds: i64) -> String {
    let time = time_of(seconds);
    format!("{}T{:02}:{:02}:{:02}.000000000Z", time.0, time.1, time.2, time.3)
}

/// The date, the hour, the minute and the second.
fn time_of(seconds: i64) -> (String, i64, i64, i64) {
    let (mut days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let mut year = 1970;
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    while days >= 365 + i64::from(is_leap(year)) {
        days -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + i64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (format!("{year}-{month:02}-{:02}", days + 1), of_day / 3600, of_day / 60 % 60, of_day % 60)
}
