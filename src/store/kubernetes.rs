//! The store `kubernetes`: Secret objects in the pod's own namespace.
//!
//! ```text
//! /veza/db_password  ─▶ key `password` of the Secret veza--db      (object_name of the path without the field)
//! /veza/db           ─▶ key `value` of the Secret veza--db         and so are leases, by their whole path
//! ```
//!
//! | method | calls |
//! |---|---|
//! | get | GET of each Secret once, 16 at a time: a Role needs `get` of these names and nothing else |
//! | create | GET; POST where there is no Secret, else a merge patch that adds the keys |
//! | replace | GET; a merge patch that sets the key |
//! | delete | GET; DELETE where it is the last key, else a merge patch that takes the key away |
//! | list | pages of metadata, by label; values do not travel |
//!
//! Invariants: a group is in one Secret and comes in one write, so both halves are there or none; what was read is
//! written only as long as it is what was read (`resourceVersion`, and the `uid` of what is deleted), so of many
//! creators one wins and the others are told its values. What a Secret holds besides is not touched, and nothing that
//! people made gets labels. A path is told from another by the annotation, and found by the name. A new Secret with the
//! holder of an index is owned by that pod, so that the cluster's garbage collector deletes it after the pod, also while
//! no creator runs.
//!
//! Deliberately absent: proxies, since the API server is in the cluster; watching, since an init container reads once.

mod calls;
mod object;
mod whole;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::{StreamExt as _, stream};
use kube::Config;

use self::calls::{Api, Failure, Line};
use self::object::{Found, Owner, Place};
use super::{
    Address, Answer, Created, Deleted, OpenError, Outcomes, Replaced, Store, StoreError, Surroundings,
    whole_group,
};
use crate::domain::{SecretValue, StoragePath};

pub use self::whole::{Changes, SecretObject, Written};

/// Requests at once.
const AT_ONCE: usize = 16;
/// How often somebody else may have written in between.
const ATTEMPTS: usize = 8;
/// What a Secret holds, all keys together, in bytes.
const LONGEST: usize = 1 << 20;
/// What a list begins anew for, when its pages have expired on the way.
const LISTS: usize = 3;

/// Secret objects of one namespace.
#[derive(Debug)]
struct Secrets {
    api: Api,
}

/// An API server, for as many namespaces as are asked of it: all share its connections, and the token that is read anew
/// when the old one is no longer taken. Clones are the same connection.
#[derive(Debug, Clone)]
pub struct Connection(Arc<Line>);

impl Connection {
    /// With the credentials of `config`. Nothing is contacted yet.
    ///
    /// # Errors
    ///
    /// When the credentials cannot be used.
    pub fn new(config: Config) -> Result<Self, OpenError> {
        let line = Line::new(config).map_err(|_| {
            unusable(
                "the credentials of the API server cannot be used; check the mounted service-account token, or KUBECONFIG",
            )
        })?;
        Ok(Self(Arc::new(line)))
    }

    /// The Secret objects of a namespace.
    ///
    /// # Errors
    ///
    /// When the namespace cannot be one.
    pub fn namespace(&self, namespace: &str) -> Result<Arc<dyn Store>, OpenError> {
        let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if namespace.is_empty() || !namespace.bytes().all(is_label) {
            return Err(unusable("POD_NAMESPACE is no name of a namespace; the webhook sets it"));
        }
        Ok(Arc::new(Secrets { api: Api::new(Arc::clone(&self.0), namespace) }))
    }
}

/// Opens it with the credentials of the pod, or with those that `KUBECONFIG` names.
pub(super) async fn open(surroundings: &Surroundings) -> Result<Arc<dyn Store>, OpenError> {
    let config = Config::infer().await.map_err(|_| {
        unusable("no API server is known: let the pod have its service-account token, or set KUBECONFIG")
    })?;
    let namespace = surroundings.namespace.as_ref().unwrap_or(&config.default_namespace).clone();
    Connection::new(config)?.namespace(&namespace)
}

fn unusable(reason: &str) -> OpenError {
    OpenError::Unusable { kind: "kubernetes", reason: reason.to_owned() }
}

/// A group, and the one Secret that it is in.
struct Group<'g> {
    secret: String,
    object: StoragePath,
    keys: Vec<(&'g StoragePath, &'g str, &'g SecretValue)>,
}

impl<'g> Group<'g> {
    fn of(group: &'g [(Address, SecretValue)]) -> Result<Self, StoreError> {
        let mut whole: Option<Self> = None;
        for (address, value) in group {
            let Place { secret, object, key } = Place::of(address)?;
            let key = (&address.path, key, value);
            match &mut whole {
                None => whole = Some(Self { secret, object, keys: vec![key] }),
                Some(whole) if whole.secret == secret => whole.keys.push(key),
                Some(_) => {
                    let reason = "values that belong together are stored in one Secret here, so their paths must be alike \
                                  up to the last `_`; give them storageKeys such as db_private and db_public";
                    return Err(StoreError::invalid(&address.path, reason));
                }
            }
        }
        whole.ok_or_else(|| StoreError::invalid("an empty group", "it has no value"))
    }

    /// Refuses what a Secret cannot hold beside these many bytes.
    fn fits(&self, beside: usize) -> Result<(), StoreError> {
        let size: usize = self.keys.iter().map(|(_, _, value)| value.expose().len()).sum();
        if size + beside <= LONGEST {
            return Ok(());
        }
        let reason = format!(
            "the Secret {} would be longer than {LONGEST} bytes, which is what one holds",
            self.secret
        );
        Err(StoreError::invalid(self.keys[0].0, reason))
    }

    fn data(&self) -> Vec<(&'g str, &'g SecretValue)> {
        self.keys.iter().map(|(_, key, value)| (*key, *value)).collect()
    }

    /// The failure of writing it. What an admission plugin says may show what it refuses.
    fn refused(&self, failure: Failure) -> StoreError {
        failure.without(self.keys.iter().map(|(_, _, value)| *value)).at(self.keys[0].0)
    }

    /// The group's values where all are there, nothing where none is.
    fn stored(&self, found: &Found, namespace: &str) -> Result<Option<Vec<SecretValue>>, StoreError> {
        whole_group(self.keys.iter().map(|(path, key, _)| {
            found.value(key).cloned().ok_or_else(|| absent(path, key, &self.secret, namespace))
        }))
    }
}

/// There is no such key, or no Secret that could have it.
fn absent(path: &StoragePath, key: &str, secret: &str, namespace: &str) -> StoreError {
    StoreError::not_found(path, format!("key {key} of Secret {secret} in namespace {namespace}"))
}

fn overtaken(path: &StoragePath) -> StoreError {
    StoreError::unavailable(path, "others keep writing to the same Secret")
}

impl Secrets {
    async fn get_all(&self, addresses: &[Address]) -> Outcomes {
        let mut outcomes = Outcomes::with_capacity(addresses.len());
        let mut secrets: BTreeMap<String, Vec<(&Address, &str)>> = BTreeMap::new();
        for address in addresses {
            match Place::of(address) {
                Ok(place) => secrets.entry(place.secret).or_default().push((address, place.key)),
                Err(error) => drop(outcomes.insert(address.clone(), Err(error))),
            }
        }
        let read = |name: String| async { (self.api.get(&name).await, name) };
        let names: Vec<String> = secrets.keys().cloned().collect();
        let found: HashMap<String, _> = stream::iter(names)
            .map(read)
            .buffer_unordered(AT_ONCE)
            .map(|(found, name)| (name, found))
            .collect()
            .await;
        for (name, found) in &found {
            for (address, key) in &secrets[name] {
                let path = &address.path;
                let none = || absent(path, key, name, self.api.namespace());
                let outcome = match found {
                    Ok(found) => found.value(key).cloned().ok_or_else(none),
                    Err(Failure::Absent) => Err(none()),
                    Err(failure) => Err(failure.clone().at(path)),
                };
                outcomes.insert((*address).clone(), outcome);
            }
        }
        outcomes
    }

    async fn create_group(&self, group: &[(Address, SecretValue)]) -> Result<Created, StoreError> {
        let here = self.api.namespace();
        let owner = group.first().and_then(|(address, value)| Owner::of(address, value, here));
        let group = Group::of(group)?;
        group.fits(0)?;
        let first = group.keys[0].0;
        for _ in 0..ATTEMPTS {
            let written = match self.api.get(&group.secret).await {
                Err(Failure::Absent) => {
                    let new = object::new(&group.secret, &group.object, &group.data(), owner.as_ref());
                    self.api.create(&new).await
                }
                Err(failure) => return Err(failure.at(first)),
                Ok(found) => {
                    if let Some(theirs) = group.stored(&found, self.api.namespace())? {
                        return Ok(Created::Theirs(theirs));
                    }
                    if found.is_going() {
                        return Err(StoreError::unavailable(first, "the Secret is being deleted"));
                    }
                    group.fits(found.size())?;
                    self.api.patch(&group.secret, &object::with(&found, &group.data())).await
                }
            };
            match written {
                Ok(()) => return Ok(Created::Ours),
                // Somebody else came or went in between: what is there now decides.
                Err(Failure::Conflict | Failure::Absent) => {}
                Err(failure) => return Err(group.refused(failure)),
            }
        }
        Err(overtaken(first))
    }

    async fn delete_one(&self, address: &Address, expected: &SecretValue) -> Result<Deleted, StoreError> {
        let Place { secret, key, .. } = Place::of(address)?;
        for _ in 0..ATTEMPTS {
            let found = match self.api.get(&secret).await {
                Err(Failure::Absent) => return Ok(Deleted::Gone),
                Err(failure) => return Err(failure.at(&address.path)),
                Ok(found) => found,
            };
            let deleted = match found.value(key) {
                None => return Ok(Deleted::Gone),
                Some(value) if value != expected => return Ok(Deleted::Changed),
                Some(_) if found.has_one_key() => {
                    self.api.delete(&secret, &object::preconditions(&found)).await
                }
                Some(_) => self.api.patch(&secret, &object::without(&found, key)).await,
            };
            match deleted {
                Ok(()) => return Ok(Deleted::Gone),
                Err(Failure::Conflict | Failure::Absent) => {}
                Err(failure) => return Err(failure.at(&address.path)),
            }
        }
        Err(overtaken(&address.path))
    }

    async fn replace_one(
        &self,
        address: &Address,
        expected: &SecretValue,
        value: &SecretValue,
    ) -> Result<Replaced, StoreError> {
        let group = [(address.clone(), value.clone())];
        let group = Group::of(&group)?;
        let (path, key, _) = group.keys[0];
        for _ in 0..ATTEMPTS {
            let found = match self.api.get(&group.secret).await {
                Err(Failure::Absent) => return Ok(Replaced::Changed),
                Err(failure) => return Err(failure.at(path)),
                Ok(found) => found,
            };
            if found.value(key) != Some(expected) {
                return Ok(Replaced::Changed);
            }
            group.fits(found.size() - expected.expose().len())?;
            match self.api.patch(&group.secret, &object::with(&found, &group.data())).await {
                Ok(()) => return Ok(Replaced::Done),
                // Somebody else wrote in between, perhaps another key.
                Err(Failure::Conflict | Failure::Absent) => {}
                Err(failure) => return Err(group.refused(failure)),
            }
        }
        Err(overtaken(path))
    }

    async fn list_all(&self, prefix: &str) -> Result<Vec<StoragePath>, StoreError> {
        for _ in 0..LISTS {
            match self.pages().await {
                Ok(mut paths) => {
                    paths.retain(|path| path.as_str().starts_with(prefix));
                    return Ok(paths);
                }
                Err(Failure::Expired) => {}
                Err(failure) => return Err(failure.at(prefix)),
            }
        }
        Err(StoreError::unavailable(prefix, "the pages of the list expire faster than they can be read"))
    }

    /// The paths of all Secrets that keystow made here.
    async fn pages(&self) -> Result<Vec<StoragePath>, Failure> {
        let mut paths = Vec::new();
        let mut next = String::new();
        loop {
            let page = self.api.list(object::SELECTOR, &next).await?;
            paths.extend(page.paths());
            match page.next() {
                None => return Ok(paths),
                Some(token) => next = token.to_owned(),
            }
        }
    }
}

impl Store for Secrets {
    fn get<'a>(&'a self, addresses: &'a [Address]) -> Answer<'a, Outcomes> {
        Box::pin(self.get_all(addresses))
    }

    fn create<'a>(&'a self, group: &'a [(Address, SecretValue)]) -> Answer<'a, Result<Created, StoreError>> {
        Box::pin(self.create_group(group))
    }

    fn delete<'a>(
        &'a self,
        address: &'a Address,
        expected: &'a SecretValue,
    ) -> Answer<'a, Result<Deleted, StoreError>> {
        Box::pin(self.delete_one(address, expected))
    }

    fn replace<'a>(
        &'a self,
        address: &'a Address,
        expected: &'a SecretValue,
        value: &'a SecretValue,
    ) -> Answer<'a, Result<Replaced, StoreError>> {
        Box::pin(self.replace_one(address, expected, value))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Result<Vec<StoragePath>, StoreError>> {
        Box::pin(self.list_all(prefix))
    }
}
