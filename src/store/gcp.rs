//! Google Cloud Secret Manager: a secret of the project for each object, its latest version the content.
//!
//! ```text
//! /veza/production/db_main ─▶ projects/P/secrets/veza--production--db_main ─▶ versions/latest
//! get     versions.access                                one call an object, 16 at once
//! create  secrets.create (the claim), secrets.addVersion by who created it; others wait for that version
//! delete  secrets.get, versions.access, secrets.delete with the etag
//! list    secrets.list, to the last page
//! ```
//!
//! The path is kept in an annotation of the secret; a secret that people made under a name that can be read back needs
//! none. Identity: [`identity`]. An endpoint of plain HTTP is an emulator: nobody logs in there, so no token is ever
//! sent in the clear.
//!
//! **Atomicity.** `secrets.create` succeeds once, so of many creators one adds the first version, at most
//! [`claim::HOLDS`] after its claim; the others wait for [`claim::PATIENCE`], and then are told to ask again. A claim without a
//! version after [`claim::STALE`], by Google's clock, is taken over by a conditional update of the secret (its etag), which
//! succeeds once; so is a secret without versions that people made, at once. What is left: a request for a version that
//! reaches Google more than half a minute after its sender gave it up can add a second version. A delete is conditional
//! on the secret, so one that was deleted and made again meanwhile stays; but Google's etag of a secret does not count
//! its versions, so a version that somebody else adds between the last look and the delete, milliseconds, goes with it.
//!
//! Deliberately absent: Google's own client. It prints values where `GOOGLE_CLOUD_RUST_LOGGING` is set, since it traces
//! every answer with its payload; its exchange of tokens has no time bound and quotes answers in errors; it keeps values
//! in memory that is not wiped; and it brings a second set of telemetry. The server's filter for lists: it finds parts
//! of names, not paths, and would hide what people made. Replication other than automatic.

mod claim;
mod identity;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use self::claim::Claim;
use self::identity::Google;
use super::flat::{Object, Objects, Service, read_each};
use super::rest::{self, Call, Client, Proxies, Reply, Right, Session, Text, fits};
use super::{Answer, Deleted, StoreError, Surroundings};
use crate::domain::{SecretValue, StoragePath};
use crate::handover::{GCP, GcpSettings, object_name, path_of};

const ENDPOINT: &str = "https://secretmanager.googleapis.com";
/// Google's own limit of a version, in bytes.
const LONGEST: usize = 65_536;
const PAGE: &str = "1000";
/// The annotation with the path.
const PATH: &str = "keystow.path";

const ACCESS: Right = ("secretmanager.versions.access", "roles/secretmanager.secretAccessor");
const GET: Right = ("secretmanager.secrets.get", "roles/secretmanager.viewer");
const LIST: Right = ("secretmanager.secrets.list", "roles/secretmanager.viewer");
const ADD: Right = ("secretmanager.versions.add", "roles/secretmanager.secretVersionAdder");
const CREATE: Right = ("secretmanager.secrets.create", "roles/secretmanager.admin");
const UPDATE: Right = ("secretmanager.secrets.update", "roles/secretmanager.admin");
const DELETE: Right = ("secretmanager.secrets.delete", "roles/secretmanager.admin");

/// The secrets of a project.
#[derive(Debug)]
pub(super) struct SecretManager {
    session: Session<Google>,
    /// `…/v1/projects/P/secrets`.
    secrets: Url,
    /// `projects/P/secrets`, for people.
    shown: String,
    /// Marks contents, by a key of this process, so that one is told from another without keeping it.
    marks: RandomState,
}

#[derive(Deserialize)]
struct Secret {
    name: String,
    #[serde(default)]
    etag: String,
    #[serde(default, rename = "createTime")]
    create_time: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Accessed {
    name: String,
    payload: Payload<Text>,
}

#[derive(Serialize, Deserialize)]
struct Payload<T> {
    data: T,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Page {
    secrets: Vec<Secret>,
    next_page_token: String,
}

/// What Google says of a refusal: words alone.
struct Refusal {
    status: String,
    words: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answered {
    error: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    status: String,
    details: Vec<serde_json::Map<String, serde_json::Value>>,
}

impl SecretManager {
    /// The reason where it cannot be opened.
    pub(super) fn open(settings: &GcpSettings, surroundings: &Surroundings) -> Result<Self, String> {
        let endpoint = settings.endpoint.as_deref().unwrap_or(ENDPOINT);
        let mut secrets = Url::parse(endpoint).map_err(|_| format!("`{endpoint}` is not an address"))?;
        let project = settings.project.as_str();
        secrets
            .path_segments_mut()
            .map_err(|()| format!("`{endpoint}` is not an address"))?
            .pop_if_empty()
            .extend(["v1", "projects", project, "secrets"]);
        let client = Client::new(surroundings, Proxies::Used)?;
        let identity = match secrets.scheme() {
            "https" => Some(Google::new(settings, surroundings, &client)?),
            _ => None,
        };
        Ok(Self {
            session: Session::new(client, identity),
            secrets,
            shown: format!("projects/{project}/secrets"),
            marks: RandomState::new(),
        })
    }

    /// The address of something of a secret: `""`, `:addVersion`, `/versions/latest:access`.
    fn url(&self, path: &StoragePath, of: &str) -> Url {
        let mut url = self.secrets.clone();
        url.set_path(&format!("{}/{}{of}", self.secrets.path(), object_name(path.as_str(), GCP)));
        url
    }

    fn name(&self, path: &StoragePath) -> String {
        format!("{}/{}", self.shown, object_name(path.as_str(), GCP))
    }

    /// Why Google did not do it. `permission` is what it takes, `role` what has it.
    fn refused(&self, reply: &Reply, path: &StoragePath, (permission, role): Right) -> StoreError {
        let Refusal { status, words } = Refusal::of(reply);
        let name = self.name(path);
        match (reply.status, status.as_str()) {
            (StatusCode::NOT_FOUND, "NOT_FOUND") => {
                StoreError::not_found(path, format!("an enabled version of {name}"))
            }
            (StatusCode::UNAUTHORIZED, _) => {
                StoreError::denied(path, "the endpoint is plain HTTP, where nobody logs in; give it https://")
            }
            (StatusCode::FORBIDDEN, _) => {
                let reason = format!("{words}: {permission} on {name} is not granted; {role} has it");
                StoreError::denied(path, reason)
            }
            (StatusCode::CONFLICT, _) => StoreError::unavailable(path, format!("{name} is being changed")),
            (StatusCode::BAD_REQUEST, "FAILED_PRECONDITION") if permission == ACCESS.0 => {
                StoreError::invalid(
                    path,
                    format!(
                        "the latest version of {name} is disabled or destroyed; enable it, or add another"
                    ),
                )
            }
            (StatusCode::BAD_REQUEST, _) => {
                StoreError::invalid(path, format!("Google refuses {name} with {words}"))
            }
            (other, _) => {
                let (host, status) = (self.secrets.host_str().unwrap_or_default(), other.as_u16());
                let reason =
                    format!("{host} answers {status}, and not in Google's words; is the endpoint right?");
                StoreError::unavailable(path, reason)
            }
        }
    }

    async fn call(&self, path: &StoragePath, call: &Call) -> Result<Reply, StoreError> {
        self.session.call(call).await.map_err(|trouble| trouble.of(path))
    }

    async fn access(&self, path: &StoragePath) -> Result<Object, StoreError> {
        let reply = self.call(path, &Call::get(self.url(path, "/versions/latest:access"))).await?;
        if reply.status != StatusCode::OK {
            return Err(self.refused(&reply, path, ACCESS));
        }
        let Accessed { name, payload } = reply.read().map_err(|trouble| trouble.of(path))?;
        let content = STANDARD
            .decode(payload.data.0.as_bytes())
            .map(SecretValue::new)
            .map_err(|_| StoreError::unavailable(path, "the answer is not the base64 that it should be"))?;
        let number = name.rsplit('/').next().unwrap_or_default();
        // Numbers begin anew where a secret is deleted and made again.
        let version = format!("{number} {:x}", self.marks.hash_one(content.expose()));
        Ok(Object { content, version })
    }

    /// The secret, without its versions, and when Google said so.
    async fn secret(&self, path: &StoragePath) -> Result<(Secret, Option<i64>), StoreError> {
        let reply = self.call(path, &Call::get(self.url(path, ""))).await?;
        match reply.status {
            StatusCode::OK => Ok((reply.read().map_err(|trouble| trouble.of(path))?, reply.date)),
            _ => Err(self.refused(&reply, path, GET)),
        }
    }

    /// Whether it was deleted, as it is with this etag.
    async fn delete_secret(&self, path: &StoragePath, etag: &str) -> Result<Deleted, StoreError> {
        let mut url = self.url(path, "");
        url.query_pairs_mut().append_pair("etag", etag);
        let reply = self.call(path, &Call::new(Method::DELETE, url)).await?;
        if reply.status == StatusCode::OK {
            return Ok(Deleted::Gone);
        }
        if Refusal::of(&reply).is_changed() {
            return Ok(Deleted::Changed);
        }
        match self.refused(&reply, path, DELETE) {
            StoreError::NotFound { .. } => Ok(Deleted::Gone),
            error => Err(error),
        }
    }

    async fn page(&self, prefix: &str, token: &str) -> Result<Page, StoreError> {
        let mut url = self.secrets.clone();
        url.query_pairs_mut().append_pair("pageSize", PAGE).append_pair("pageToken", token);
        let reply = self.session.call(&Call::get(url)).await.map_err(|trouble| trouble.of(prefix))?;
        match (reply.status, Refusal::of(&reply)) {
            (StatusCode::OK, _) => reply.read().map_err(|trouble| trouble.of(prefix)),
            (StatusCode::FORBIDDEN, Refusal { words, .. }) => {
                let (permission, role) = LIST;
                let reason = format!("{words}: {permission} on {} is not granted; {role} has it", self.shown);
                Err(StoreError::denied(prefix, reason))
            }
            (other, Refusal { words, .. }) => {
                let reason = format!("Google answers {} {words} to a list of {}", other.as_u16(), self.shown);
                Err(StoreError::unavailable(prefix, reason))
            }
        }
    }
}

/// The path of a secret: what its annotation says, or else its name where that can be read back.
fn path(secret: &Secret) -> Option<StoragePath> {
    let id = secret.name.rsplit('/').next()?;
    path_of(id, secret.annotations.get(PATH).cloned(), GCP)
}

impl Refusal {
    fn of(reply: &Reply) -> Self {
        let Status { status, details } = reply.read::<Answered>().unwrap_or_default().error;
        let reasons = details.iter().filter_map(|detail| detail.get("reason")?.as_str());
        let words: Vec<&str> = [status.as_str()].into_iter().chain(reasons).filter_map(rest::word).collect();
        let words = if words.is_empty() { reply.status.as_u16().to_string() } else { words.join(" ") };
        Self { status, words }
    }

    /// Whether the etag was that of something else.
    fn is_changed(&self) -> bool {
        matches!(self.status.as_str(), "FAILED_PRECONDITION" | "ABORTED")
    }
}

impl Service for SecretManager {
    fn read<'a>(&'a self, names: &'a [StoragePath]) -> Answer<'a, Objects> {
        Box::pin(read_each(names, |name| self.access(name)))
    }

    fn create<'a>(
        &'a self,
        name: &'a StoragePath,
        content: &'a SecretValue,
    ) -> Answer<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            fits(name, content.expose().len(), LONGEST)?;
            let since = Instant::now();
            let Claim::Ours(etag) = self.claim(name).await? else { return Ok(false) };
            let added = self.add_version(name, content, since).await;
            if let (Err(StoreError::Denied { .. } | StoreError::Invalid { .. }), Some(etag)) = (&added, &etag)
            {
                // Nobody is to wait for it. What becomes of this is told by the error that led here.
                let _ = self.delete_secret(name, etag).await;
            }
            added.map(|()| true)
        })
    }

    fn delete<'a>(
        &'a self,
        name: &'a StoragePath,
        version: &'a str,
    ) -> Answer<'a, Result<Deleted, StoreError>> {
        Box::pin(async move {
            // In this order: what is made anew after the etag was read has another.
            let etag = match self.secret(name).await {
                Ok((secret, _)) => secret.etag,
                Err(StoreError::NotFound { .. }) => return Ok(Deleted::Gone),
                Err(error) => return Err(error),
            };
            match self.access(name).await {
                Ok(object) if object.version != version => Ok(Deleted::Changed),
                Ok(_) => self.delete_secret(name, &etag).await,
                Err(StoreError::NotFound { .. }) => Ok(Deleted::Gone),
                Err(error) => Err(error),
            }
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Result<Vec<StoragePath>, StoreError>> {
        Box::pin(async move {
            let (mut paths, mut token) = (Vec::new(), String::new());
            loop {
                let page = self.page(prefix, &token).await?;
                let of_page = page.secrets.iter().filter_map(path);
                paths.extend(of_page.filter(|path| path.as_str().starts_with(prefix)));
                token = page.next_page_token;
                if token.is_empty() {
                    return Ok(paths);
                }
            }
        })
    }
}
