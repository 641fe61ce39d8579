//! Azure Key Vault: a secret for each object, its current version the content.
//!
//! ```text
//! /veza/production/db-main ─▶ secrets/veza--production--db-main
//! get     get                                    one call an object, 16 at once
//! create  [`claim`]; then get and set
//! delete  get, delete, purge; recover where it was another version
//! list    list, to the last page
//! ```
//!
//! Values are text, so bytes are kept as [`text`] has it; `contentType` says which it is. The path is kept in tags; a
//! secret that people made under a name that can be read back needs none. Identity: [`identity`].
//!
//! **Atomicity.** Key Vault sets a secret whether it is there or not. Creators therefore agree on one of them before
//! anything is written ([`claim`]), which takes about two seconds; only that one sets the secret, once it has seen that
//! it is not there, so nobody ever reads a value that is not the creator's. What is left: it holds among creators of
//! this kind, not against a person who sets the secret in the same second; it holds as long as the vault's own clocks
//! differ by less than a second; and a request that reaches the vault more than half a minute after its sender gave it up
//! is a second version. Each creation leaves one disabled version in a secret of claims, `keystow-claims-…`.
//!
//! A delete cannot be conditional either, but it says which version it deleted: where that is another one than was
//! expected, the secret is recovered, and was away for some seconds. A deleted secret blocks its name until it is purged.
//! Without the right to purge, or in a vault with purge protection, it stays deleted until the vault's retention ends, and
//! a creation says so. What a person deleted is never purged here.
//!
//! Deliberately absent: Azure's own clients. They keep values in memory that is not wiped, read the token file only every
//! ten minutes, and end the process where there is no TLS provider of the whole process. An address of plain HTTP: the
//! token would be sent in the clear.

mod answer;
mod claim;
mod identity;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use reqwest::Url;
use serde::Serialize;

use self::answer::{Answered, Error, Got, Item, Listed, tags, version_of};
use self::identity::Azure;
use super::flat::{Object, Objects, Service, read_each};
use super::rest::{self, Call, Client, Proxies, Reply, Right, Session, fits};
use super::{Answer, Deleted, StoreError, Surroundings, text};
use crate::domain::{SecretValue, StoragePath};
use crate::handover::{AZURE, AzureSettings, object_name};

const API: (&str, &str) = ("api-version", "7.4");
/// Key Vault's own limit of a value, in bytes.
const LONGEST: usize = 25_600;
const PAGE: (&str, &str) = ("maxresults", "25");
/// How long a creator waits for another, and a delete for the vault to be done with it.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(500);

const GET: Right = ("get", "Key Vault Secrets User");
const SET: Right = ("set", "Key Vault Secrets Officer");
const LIST: Right = ("list", "Key Vault Secrets User");
const DELETE: Right = ("delete", "Key Vault Secrets Officer");
const RECOVER: Right = ("recover", "Key Vault Secrets Officer");
const PURGE: Right = ("purge", "Key Vault Secrets Officer");

/// The secrets of a vault.
#[derive(Debug)]
pub(super) struct KeyVault {
    session: Session<Azure>,
    vault: Url,
}

impl KeyVault {
    /// The reason where it cannot be opened.
    pub(super) fn open(settings: &AzureSettings, surroundings: &Surroundings) -> Result<Self, String> {
        let text = settings.vault_url.as_str();
        let vault = Url::parse(text).map_err(|_| format!("`{text}` is not an address"))?;
        if vault.scheme() != "https" {
            return Err(format!("vaultUrl is {text}, and must begin with https://"));
        }
        let client = Client::new(surroundings, Proxies::Used)?;
        let identity = Azure::new(settings, surroundings, &client, &vault)?;
        Ok(Self { session: Session::new(client, Some(identity)), vault })
    }

    fn host(&self) -> &str {
        self.vault.host_str().unwrap_or_default()
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.vault.clone();
        url.set_path(&format!("/{}", segments.join("/")));
        url.query_pairs_mut().append_pair(API.0, API.1);
        url
    }

    fn url_of(&self, path: &StoragePath) -> Url {
        self.url(&["secrets", &object_name(path.as_str(), AZURE)])
    }

    /// Why Key Vault did not do it.
    fn refused(&self, reply: &Reply, of: &str, (permission, role): Right) -> StoreError {
        let Error { code, innererror } = reply.read::<Answered>().unwrap_or_default().error;
        let inner = innererror.map(|inner| inner.code).unwrap_or_default();
        let words: Vec<&str> = [&code, &inner].into_iter().filter_map(|text| rest::word(text)).collect();
        let (words, host) = (words.join(" "), self.host());
        let name = object_name(of, AZURE);
        match (reply.status, code.as_str(), inner.as_str()) {
            (StatusCode::NOT_FOUND, "SecretNotFound", _) => match StoragePath::read(of) {
                Some(path) => StoreError::not_found(&path, format!("the secret {name} of the vault {host}")),
                None => StoreError::unavailable(of, "it is not there"),
            },
            (StatusCode::FORBIDDEN, _, "SecretDisabled") => {
                let reason = format!(
                    "the current version of the secret {name} of the vault {host} is disabled; enable it"
                );
                StoreError::invalid(of, reason)
            }
            (StatusCode::FORBIDDEN, ..) => {
                let reason = format!(
                    "{words}: the vault {host} does not grant {permission} of secrets, which the role {role} has"
                );
                StoreError::denied(of, reason)
            }
            (StatusCode::CONFLICT, _, "ObjectIsDeletedButRecoverable") => {
                let reason = format!(
                    "the vault {host} keeps a deleted secret of the name {name}; recover it, purge it, or choose another \
                     storageKey"
                );
                StoreError::invalid(of, reason)
            }
            (StatusCode::CONFLICT, ..) => {
                StoreError::unavailable(of, format!("{words}: {name} is being changed"))
            }
            (StatusCode::BAD_REQUEST, ..) => {
                StoreError::invalid(of, format!("the vault {host} refuses the secret {name} with {words}"))
            }
            (other, ..) => {
                let status = other.as_u16();
                let reason =
                    format!("{host} answers {status}, and not in Key Vault's words; is vaultUrl right?");
                StoreError::unavailable(of, reason)
            }
        }
    }

    async fn call(&self, of: impl ToString, call: &Call) -> Result<Reply, StoreError> {
        self.session.call(call).await.map_err(|trouble| trouble.of(of))
    }

    async fn current(&self, path: &StoragePath) -> Result<Object, StoreError> {
        let reply = self.call(path, &Call::get(self.url_of(path))).await?;
        if reply.status != StatusCode::OK {
            return Err(self.refused(&reply, path.as_str(), GET));
        }
        let Got { id, value } = reply.read().map_err(|trouble| trouble.of(path))?;
        let content = text::decode(&value.0).map_err(|reason| StoreError::invalid(path, reason))?;
        Ok(Object { content, version: version_of(&id).unwrap_or_default().to_owned() })
    }

    async fn set(&self, path: &StoragePath, content: &str, is_text: bool) -> Result<(), StoreError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Set<'a> {
            value: &'a str,
            content_type: &'a str,
            tags: BTreeMap<String, String>,
        }
        let content_type = if is_text { "text/plain; charset=utf-8" } else { "application/octet-stream" };
        let set = Set { value: content, content_type, tags: tags(path.as_str()) };
        // A control character takes six bytes in JSON.
        let call = Call::new(Method::PUT, self.url_of(path)).with_json(&set, 6 * content.len() + 8192);
        let reply = self.call(path, &call).await?;
        if reply.status == StatusCode::OK { Ok(()) } else { Err(self.refused(&reply, path.as_str(), SET)) }
    }

    /// Sets a secret if the claim is the first one and the secret is not there; whether it did.
    async fn set_by_claim(
        &self,
        path: &StoragePath,
        content: &SecretValue,
        claim: &claim::Claim,
    ) -> Result<bool, StoreError> {
        let encoded = text::encode(content);
        let is_text = encoded.as_bytes() == content.expose();
        while claim.since.elapsed() < claim::HOLDS {
            let is_first = self.is_first(path, claim).await?;
            match self.current(path).await {
                Ok(_) => return Ok(false),
                Err(StoreError::NotFound { .. }) if is_first && claim.since.elapsed() < claim::HOLDS => {
                    return self.set(path, &encoded, is_text).await.map(|()| true);
                }
                Err(StoreError::NotFound { .. }) if is_first => break,
                Err(StoreError::NotFound { .. }) => tokio::time::sleep(POLL).await,
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::unavailable(path, "somebody else is creating it"))
    }

    /// The first request of a list.
    fn first(&self, segments: &[&str]) -> Call {
        let mut url = self.url(segments);
        url.query_pairs_mut().append_pair(PAGE.0, PAGE.1);
        Call::get(url)
    }

    /// The request after a page. It goes to the vault, wherever the link leads.
    fn next(&self, page: &Listed) -> Option<Call> {
        let link = Url::parse(page.next_link.as_deref()?).ok()?;
        let mut url = self.vault.clone();
        url.set_path(link.path());
        url.set_query(link.query());
        Some(Call::get(url))
    }

    /// A page, and when the vault said so.
    async fn page(&self, of: &str, call: &Call) -> Result<(Listed, Option<i64>), StoreError> {
        let reply = self.call(of, call).await?;
        match reply.status {
            StatusCode::OK => Ok((reply.read().map_err(|trouble| trouble.of(of))?, reply.date)),
            _ => Err(self.refused(&reply, of, LIST)),
        }
    }

    /// Does something to a deleted secret as soon as the vault lets it; the last answer.
    async fn of_deleted(&self, path: &StoragePath, method: Method, verb: &str) -> Result<Reply, StoreError> {
        let name = object_name(path.as_str(), AZURE);
        let url = self.url(&[["deletedsecrets", &name, verb].join("/").trim_end_matches('/')]);
        let since = Instant::now();
        loop {
            let reply = self.call(path, &Call::new(method.clone(), url.clone())).await?;
            // It is still being deleted.
            let is_early = matches!(reply.status, StatusCode::NOT_FOUND | StatusCode::CONFLICT);
            if !is_early || since.elapsed() > PATIENCE {
                return Ok(reply);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn recover(&self, path: &StoragePath) -> Result<Deleted, StoreError> {
        let reply = self.of_deleted(path, Method::POST, "recover").await?;
        match reply.status {
            StatusCode::OK => Ok(Deleted::Changed),
            _ => Err(self.refused(&reply, path.as_str(), RECOVER)),
        }
    }

    /// Frees the name. Who may not do that has deleted it all the same.
    async fn purge(&self, path: &StoragePath) -> Result<Deleted, StoreError> {
        let reply = self.of_deleted(path, Method::DELETE, "").await?;
        match reply.status {
            StatusCode::BAD_REQUEST => Err(self.refused(&reply, path.as_str(), PURGE)),
            _ => Ok(Deleted::Gone),
        }
    }
}

impl Service for KeyVault {
    fn read<'a>(&'a self, names: &'a [StoragePath]) -> Answer<'a, Objects> {
        Box::pin(read_each(names, |name| self.current(name)))
    }

    fn create<'a>(
        &'a self,
        name: &'a StoragePath,
        content: &'a SecretValue,
    ) -> Answer<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            fits(name, text::encode(content).len(), LONGEST)?;
            let claim = self.stake(name).await?;
            let created = self.set_by_claim(name, content, &claim).await;
            self.withdraw(name, &claim).await;
            created
        })
    }

    fn delete<'a>(
        &'a self,
        name: &'a StoragePath,
        version: &'a str,
    ) -> Answer<'a, Result<Deleted, StoreError>> {
        Box::pin(async move {
            match self.current(name).await {
                Ok(object) if object.version != version => return Ok(Deleted::Changed),
                Ok(_) => {}
                Err(StoreError::NotFound { .. }) => return Ok(Deleted::Gone),
                Err(error) => return Err(error),
            }
            let reply = self.call(name, &Call::new(Method::DELETE, self.url_of(name))).await?;
            if reply.status != StatusCode::OK {
                return match self.refused(&reply, name.as_str(), DELETE) {
                    StoreError::NotFound { .. } => Ok(Deleted::Gone),
                    error => Err(error),
                };
            }
            let deleted: Item = reply.read().map_err(|trouble| trouble.of(name))?;
            match deleted.version() {
                Some(other) if other != version => self.recover(name).await,
                _ if deleted.recovery_id.is_none() => Ok(Deleted::Gone),
                _ => self.purge(name).await,
            }
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Result<Vec<StoragePath>, StoreError>> {
        Box::pin(async move {
            let mut paths = Vec::new();
            let mut next = Some(self.first(&["secrets"]));
            while let Some(call) = next {
                let (page, _) = self.page(prefix, &call).await?;
                let of_page = page.value.iter().filter_map(Item::path);
                paths.extend(of_page.filter(|path| path.as_str().starts_with(prefix)));
                next = self.next(&page);
            }
            Ok(paths)
        })
    }
}

#[cfg(test)]
mod tests;
