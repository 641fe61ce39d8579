//! The store `vault`: a KV engine of HashiCorp Vault or of OpenBao, by the few calls that it takes.
//!
//! ```text
//! /veza/db_password ─▶ the key `password` of veza/db below the mount; without a field, and for leases, the key `value`
//!
//! version 2   get      GET data/PATH, each object once
//!             create   GET, then POST data/PATH with options.cas: 0 for a new object, else the version that was read
//!             replace  GET, then POST data/PATH with the other value, by cas; not in version 1
//!             delete   GET, then POST data/PATH without the key, by cas; the last one leaves an empty version, which is
//!                      then deleted (POST delete/PATH, that version alone)
//!             list     LIST metadata/FOLDER, folder by folder
//! version 1   the same without versions: GET, POST, DELETE and LIST of PATH
//! ```
//!
//! Atomicity, version 2: a check-and-set is written only over the very version that was read, so whatever is written in
//! between makes us look again: a group is created whole by exactly one creator, no key that somebody adds is lost, and
//! only a value that was the expected one at that moment is taken away. What deletes afterwards names the empty version
//! that we wrote, so a newer one survives it. Versions before that stay until the engine drops them (`max_versions`).
//!
//! Atomicity, version 1: there is no check-and-set. A group is one object, so its halves never mix, and what is said to
//! be stored was read back. But of two creators at the same instant the last one to write wins, after the other was told
//! that it did; and what somebody writes between our look and our write is lost. Use version 2 for what the creator makes.
//!
//! What is deleted in version 2 stays listed until its metadata are deleted: to leave it out would cost a request each.
//!
//! Identity: [`session`]. Answers and redirects: [`wire`].

mod list;
mod object;
mod place;
mod replace;
mod session;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use futures::{StreamExt as _, stream};
use reqwest::header::HeaderValue;
use reqwest::{StatusCode, Url};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use self::object::{Object, State, outcome, present};
use self::place::Place;
use self::session::{Identity, Session, Token};
use self::wire::{Answer, Call, Http, Missing, Trouble};
use super::{
    Address, Answer as Boxed, Created, Deleted, OpenError, Outcomes, Replaced, Store, StoreError,
    Surroundings, http, whole_group,
};
use crate::domain::{SecretValue, StoragePath};
use crate::handover::VaultSettings;

/// Requests at once.
const AT_ONCE: usize = 16;
/// How often an object is looked at that others keep writing to.
const LOOKS: usize = 16;
/// What every storage of Vault takes: Consul's 512 KiB, less what encryption adds.
const LONGEST_OBJECT: usize = 500 << 10;

/// A KV engine.
struct Vault {
    http: Http,
    session: Session,
    mount: String,
    version: Version,
}

/// Of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// One call of the trait: it logs in again at most once.
struct Operation<'v> {
    vault: &'v Vault,
    token: Token,
    other: OnceCell<Result<Option<Token>, Trouble>>,
}

/// What came of a write.
enum Written {
    Done,
    /// Somebody else has written since we looked.
    Late,
}

/// Opens the store. Nothing is contacted yet.
pub(super) fn open(
    settings: &VaultSettings,
    surroundings: &Surroundings,
) -> Result<Arc<dyn Store>, OpenError> {
    let unusable = |reason: String| OpenError::Unusable { kind: "vault", reason };
    let roots = settings.ca_certificate.as_deref().map_or(http::Roots::System, http::Roots::Pem);
    let client = http::client(roots, http::Proxies::Used).map_err(|e| unusable(e.to_string()))?;
    let address = Url::parse(&settings.address).ok().filter(Url::has_host);
    let address = address.ok_or_else(|| unusable("its address is no URL".to_owned()))?;
    let namespace = settings.namespace.as_deref().map(str::parse::<HeaderValue>).transpose();
    let namespace = namespace.map_err(|_| unusable("its namespace is no name".to_owned()))?;
    let identity = Identity::of(&settings.auth, surroundings.token_file.as_deref()).ok_or_else(|| {
        unusable(
            "KEYSTOW_TOKEN_FILE is not set; it names the token of the service account to log in with"
                .to_owned(),
        )
    })?;
    Ok(Arc::new(Vault {
        http: Http { client, address, namespace },
        session: Session::new(identity),
        mount: settings.mount.clone(),
        version: if settings.kv_version == 1 { Version::One } else { Version::Two },
    }))
}

impl Vault {
    async fn operation(&self) -> Result<Operation<'_>, Trouble> {
        let token = self.session.token(&self.http).await?;
        Ok(Operation { vault: self, token, other: OnceCell::new() })
    }

    /// As policies name it. `part` is for version 2.
    fn path(&self, part: &str, object: &str) -> String {
        let parts = match self.version {
            Version::One => [self.mount.as_str(), "", object],
            Version::Two => [self.mount.as_str(), part, object],
        };
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
    }

    async fn get_all(&self, addresses: &[Address]) -> Outcomes {
        let mut outcomes = Outcomes::new();
        let mut places = Vec::new();
        for address in addresses {
            match Place::of(address) {
                Ok(place) => places.push((address, place)),
                Err(trouble) => drop(outcomes.insert(address.clone(), Err(trouble.at(&address.path)))),
            }
        }
        if places.is_empty() {
            return outcomes;
        }
        let operation = match self.operation().await {
            Ok(operation) => operation,
            Err(trouble) => {
                let all = places.iter().map(|(at, _)| ((*at).clone(), Err(trouble.clone().at(&at.path))));
                outcomes.extend(all);
                return outcomes;
            }
        };
        let objects: BTreeSet<String> = places.iter().map(|(_, place)| place.object.clone()).collect();
        let operation = &operation;
        let states: BTreeMap<String, Result<State, Trouble>> = stream::iter(objects)
            .map(|object| async move {
                let state = operation.look(&object).await;
                (object, state)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        for (address, place) in places {
            let sought = || format!("key {} of {}", place.key, self.path("data", &place.object));
            let found = match &states[&place.object] {
                Ok(state) => outcome(state, &address.path, &place.key, sought),
                Err(trouble) => Err(trouble.clone().at(&address.path)),
            };
            outcomes.insert(address.clone(), found);
        }
        outcomes
    }

    async fn create_group(&self, group: &[(Address, SecretValue)]) -> Result<Created, StoreError> {
        let Some((first, _)) = group.first() else {
            return Err(StoreError::invalid("an empty group", "it has no value"));
        };
        let path = &first.path;
        let (object, keys) = Place::of_group(group).map_err(|trouble| trouble.at(path))?;
        let size: usize = group.iter().map(|(_, value)| value.expose().len()).sum();
        if size > LONGEST_OBJECT {
            return Err(too_long(path));
        }
        let added: Vec<(&str, &SecretValue)> =
            keys.iter().map(String::as_str).zip(group.iter().map(|(_, value)| value)).collect();
        let operation = self.operation().await.map_err(|trouble| trouble.at(path))?;
        let mut has_written = false;
        for _ in 0..LOOKS {
            let state = operation.look(&object).await.map_err(|trouble| trouble.at(path))?;
            if let Some(stored) = self.stored(&state, &object, group, &keys)? {
                let is_ours = has_written && stored.iter().eq(group.iter().map(|(_, value)| value));
                return Ok(if is_ours { Created::Ours } else { Created::Theirs(stored) });
            }
            let content = state.with(&added);
            if content.expose().len() > LONGEST_OBJECT {
                return Err(too_long(path));
            }
            match operation.write(&object, &content, state.version()).await {
                Ok(Written::Done) if self.version == Version::Two => return Ok(Created::Ours),
                // Version 1 says nothing of who else has written: it is read back.
                Ok(written) => has_written = matches!(written, Written::Done),
                Err(trouble) => return Err(trouble.at(path)),
            }
        }
        Err(StoreError::unavailable(path, "others keep writing to the same object"))
    }

    /// The group's values where all are there, nothing where none is.
    fn stored(
        &self,
        state: &State,
        object: &str,
        group: &[(Address, SecretValue)],
        keys: &[String],
    ) -> Result<Option<Vec<SecretValue>>, StoreError> {
        whole_group(group.iter().zip(keys).map(|((address, _), key)| {
            let sought = || format!("key {key} of {}", self.path("data", object));
            outcome(state, &address.path, key, sought)
        }))
    }

    async fn delete_one(&self, address: &Address, expected: &SecretValue) -> Result<Deleted, Trouble> {
        let Place { object, key } = Place::of(address)?;
        let operation = self.operation().await?;
        for _ in 0..LOOKS {
            let State::There(found) = operation.look(&object).await? else { return Ok(Deleted::Gone) };
            match present(&found, &key) {
                None => return Ok(Deleted::Gone),
                Some(Ok(value)) if value == *expected => {}
                // What is no value of ours cannot be the expected one.
                Some(_) => return Ok(Deleted::Changed),
            }
            if let Written::Done = operation.take(&object, &found, &key).await? {
                return Ok(Deleted::Gone);
            }
        }
        Err(Trouble::unavailable("others keep writing to the same object"))
    }
}

fn too_long(path: &StoragePath) -> StoreError {
    StoreError::invalid(
        path,
        format!(
            "its object in Vault would be longer than {} KiB, which not every storage of Vault takes",
            LONGEST_OBJECT >> 10
        ),
    )
}

impl Operation<'_> {
    /// Asks, and once more with another token where the first one is refused: Vault does not tell whether it is over
    /// or may not.
    async fn send(&self, call: &Call) -> Result<Answer, Trouble> {
        let Vault { http, session, .. } = self.vault;
        let token = match self.other.get() {
            Some(Ok(Some(other))) => other,
            _ => &self.token,
        };
        let answer = http.send(call, Some(&token.header), token.header.as_bytes()).await?;
        if answer.status != StatusCode::FORBIDDEN || token.header != self.token.header {
            return Ok(answer);
        }
        let other = self.other.get_or_init(|| session.after(&self.token, http)).await;
        match other.clone()? {
            None => Ok(answer),
            Some(other) => http.send(call, Some(&other.header), other.header.as_bytes()).await,
        }
    }

    /// Reads an object.
    async fn look(&self, object: &str) -> Result<State, Trouble> {
        let call = Call::get(self.vault.path("data", object));
        let answer = self.send(&call).await?;
        if answer.status == StatusCode::OK {
            let status = answer.status;
            let read = Object::read(answer.body, self.vault.version);
            return read.map(State::There).ok_or_else(|| wire::not_vault(status));
        }
        Ok(match answer.missing(&call)? {
            Missing::Absent => State::Absent,
            Missing::Deleted(version) => State::Deleted(version),
        })
    }

    /// Writes an object, in version 2 only over this version of it.
    async fn write(&self, object: &str, content: &SecretValue, over: u64) -> Result<Written, Trouble> {
        let body = match self.vault.version {
            Version::One => Zeroizing::new(content.expose().to_vec()),
            Version::Two => {
                let (before, after) = (format!("{{\"options\":{{\"cas\":{over}}},\"data\":"), "}");
                let length = before.len() + content.expose().len() + after.len();
                let mut body = Zeroizing::new(Vec::with_capacity(length));
                body.extend_from_slice(before.as_bytes());
                body.extend_from_slice(content.expose());
                body.extend_from_slice(after.as_bytes());
                body
            }
        };
        let call = Call::post(self.vault.path("data", object), body, "\"create\", \"update\"");
        let answer = self.send(&call).await?;
        match answer.status {
            status if status.is_success() => Ok(Written::Done),
            StatusCode::BAD_REQUEST if answer.says("did not match the current version") => Ok(Written::Late),
            StatusCode::NOT_FOUND => {
                Err(answer.missing(&call).err().unwrap_or_else(|| answer.trouble(&call)))
            }
            _ => Err(answer.trouble(&call)),
        }
    }

    /// Takes a key out of an object that was read, and the object away with its last one.
    async fn take(&self, object: &str, found: &Object, key: &str) -> Result<Written, Trouble> {
        let (content, is_last) = found.without(key);
        let version = self.vault.version;
        if is_last && version == Version::One {
            let call = Call::delete(self.vault.path("data", object));
            return self.done(&call).await.map(|()| Written::Done);
        }
        let written = self.write(object, &content, found.version).await?;
        if is_last && matches!(written, Written::Done) {
            let body = format!("{{\"versions\":[{}]}}", found.version + 1).into_bytes();
            let call = Call::post(self.vault.path("delete", object), Zeroizing::new(body), "\"update\"");
            self.done(&call).await?;
        }
        Ok(written)
    }

    async fn done(&self, call: &Call) -> Result<(), Trouble> {
        let answer = self.send(call).await?;
        if answer.status.is_success() { Ok(()) } else { Err(answer.trouble(call)) }
    }
}

impl Store for Vault {
    fn get<'a>(&'a self, addresses: &'a [Address]) -> Boxed<'a, Outcomes> {
        Box::pin(self.get_all(addresses))
    }

    fn create<'a>(&'a self, group: &'a [(Address, SecretValue)]) -> Boxed<'a, Result<Created, StoreError>> {
        Box::pin(self.create_group(group))
    }

    fn delete<'a>(
        &'a self,
        address: &'a Address,
        expected: &'a SecretValue,
    ) -> Boxed<'a, Result<Deleted, StoreError>> {
        Box::pin(async move {
            self.delete_one(address, expected).await.map_err(|trouble| trouble.at(&address.path))
        })
    }

    fn replace<'a>(
        &'a self,
        address: &'a Address,
        expected: &'a SecretValue,
        value: &'a SecretValue,
    ) -> Boxed<'a, Result<Replaced, StoreError>> {
        Box::pin(self.replace_one(address, expected, value))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Boxed<'a, Result<Vec<StoragePath>, StoreError>> {
        Box::pin(async move {
            let operation = self.operation().await.map_err(|trouble| trouble.at(prefix))?;
            operation.list(prefix).await.map_err(|trouble| trouble.at(prefix))
        })
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.http.address.as_str();
        f.debug_struct("Vault").field("address", &address).field("mount", &self.mount).finish_non_exhaustive()
    }
}
