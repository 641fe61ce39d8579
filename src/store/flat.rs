//! Stores whose objects hold one value each, and whose services do nothing to two objects at once.
//!
//! ```text
//! get     /veza/db_password  ─▶ the object /veza/db_password, or else the field `password` of the JSON in /veza/db
//! create  one value          ─▶ the object of its own path
//!         several            ─▶ one object with JSON, {"private": …, "public": …}: so both halves are there or none
//! ```
//!
//! Invariants: an object is created only if there is none of its name, by the service itself; a group is in one
//! object; where both forms are there, the object of the whole path wins.
//!
//! Deliberately absent: adding fields to an object that is there, and taking one of several away. These services
//! cannot do it without losing what somebody else writes at the same time, so it is refused, with the way out.

use std::collections::HashMap;
use std::fmt;
#[cfg(any(feature = "azure", feature = "gcp"))]
use std::future::Future;

#[cfg(any(feature = "azure", feature = "gcp"))]
use futures::{StreamExt as _, stream};

use super::{Address, Answer, Created, Deleted, Entry, Outcomes, Store, StoreError, json, whole_group};
use crate::domain::{SecretValue, StoragePath};

/// Calls at once, of services that have no batches.
#[cfg(any(feature = "azure", feature = "gcp"))]
const AT_ONCE: usize = 16;

/// An object as it was read.
#[derive(Debug, Clone)]
pub(super) struct Object {
    /// What it holds, after the service's own encoding.
    pub(super) content: SecretValue,
    /// What was read, in the service's terms, so that only this is deleted where it can say so.
    pub(super) version: String,
}

/// What became of each object.
pub(super) type Objects = HashMap<StoragePath, Result<Object, StoreError>>;

/// What a service does to single objects.
pub(super) trait Service: fmt::Debug + Send + Sync {
    /// Refuses a name that the service cannot have. Only names that pass are asked for, or created.
    fn check(&self, _name: &StoragePath) -> Result<(), StoreError> {
        Ok(())
    }

    /// Reads each of these, in as few calls as the service allows. None is named twice.
    fn read<'a>(&'a self, names: &'a [StoragePath]) -> Answer<'a, Objects>;

    /// Creates an object if there is none of that name; whether it did.
    fn create<'a>(
        &'a self,
        name: &'a StoragePath,
        content: &'a SecretValue,
    ) -> Answer<'a, Result<bool, StoreError>>;

    /// Deletes an object that was read, if the service can tell, only while it is the one that was read.
    fn delete<'a>(
        &'a self,
        name: &'a StoragePath,
        version: &'a str,
    ) -> Answer<'a, Result<Deleted, StoreError>>;

    /// Lists the objects whose path begins with the prefix.
    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Result<Vec<StoragePath>, StoreError>>;
}

/// Reads each of these by a call of its own: what services do that have no batches.
#[cfg(any(feature = "azure", feature = "gcp"))]
pub(super) async fn read_each<'a, F>(names: &'a [StoragePath], read: impl Fn(&'a StoragePath) -> F) -> Objects
where
    F: Future<Output = Result<Object, StoreError>>,
{
    let call = |name: &'a StoragePath| {
        let object = read(name);
        async move { (name.clone(), object.await) }
    };
    // Nothing is asked before it is waited for.
    let calls: Vec<_> = names.iter().map(call).collect();
    stream::iter(calls).buffer_unordered(AT_ONCE).collect().await
}

/// A store of such a service.
#[derive(Debug)]
pub(super) struct Flat<S>(pub(super) S);

/// Where a value lies.
enum Found<'o> {
    /// In an object of its own.
    Whole(&'o Object),
    /// In a field of an object.
    Field { name: StoragePath, object: &'o Object, value: SecretValue, is_alone: bool },
}

/// The object and field that an address means besides the object of its own path.
fn field(address: &Address) -> Option<(StoragePath, &str)> {
    match address.entry {
        Entry::Value => address.path.split_field(),
        Entry::Lease => None,
    }
}

fn names<'a>(addresses: impl Iterator<Item = &'a Address>) -> Vec<StoragePath> {
    let both = |address: &'a Address| {
        [Some(address.path.clone()), field(address).map(|(name, _)| name)].into_iter().flatten()
    };
    let mut names: Vec<StoragePath> = addresses.flat_map(both).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn find<'o>(objects: &'o Objects, address: &Address) -> Result<Found<'o>, StoreError> {
    let answer = |name: &StoragePath| {
        let silence = || StoreError::unmentioned(name);
        objects.get(name).map_or_else(|| Err(silence()), |answer| answer.as_ref().map_err(Clone::clone))
    };
    let own = match answer(&address.path) {
        Ok(object) => return Ok(Found::Whole(object)),
        Err(error) => error,
    };
    // Somebody who may not read the whole path may still read the object with the field.
    let (StoreError::NotFound { .. } | StoreError::Denied { .. }, Some((name, field))) =
        (&own, field(address))
    else {
        return Err(own);
    };
    let object = match (answer(&name), &own) {
        (Ok(object), _) => object,
        (Err(StoreError::NotFound { .. }), _) => return Err(own),
        (Err(StoreError::Denied { path, reason }), StoreError::NotFound { sought, .. }) => {
            // Who is granted the whole path alone waits for it; that it is absent is more than we know.
            let reason = format!("there is no {sought}; {path}, where it may be too, is denied: {reason}");
            return Err(StoreError::unavailable(&address.path, reason));
        }
        (Err(error), StoreError::NotFound { .. }) => return Err(error.of(&address.path)),
        (Err(_), _) => return Err(own),
    };
    let Some(mut fields) = json::fields(object.content.expose()) else {
        // Text that only looks like JSON may well have the field: it is not known to be absent.
        return Err(match object.content.expose().trim_ascii_start().first() {
            Some(b'{') => {
                StoreError::invalid(&address.path, format!("{name} holds JSON that cannot be read; mend it"))
            }
            _ => own,
        });
    };
    match fields.remove(field).map(json::scalar) {
        Some(Ok(value)) => Ok(Found::Field { name, object, value, is_alone: fields.is_empty() }),
        Some(Err(reason)) => Err(StoreError::invalid(&address.path, reason)),
        None => Err(own),
    }
}

impl Found<'_> {
    fn value(&self) -> &SecretValue {
        match self {
            Self::Whole(object) => &object.content,
            Self::Field { value, .. } => value,
        }
    }
}

/// The object that a group is stored as.
fn object_of(group: &[(Address, SecretValue)]) -> Result<(StoragePath, SecretValue), StoreError> {
    if let [(address, value)] = group {
        return Ok((address.path.clone(), value.clone()));
    }
    let mut name = None;
    let mut fields = Vec::with_capacity(group.len());
    for (address, value) in group {
        let fits = |(of, _): &(StoragePath, &str)| name.as_ref().is_none_or(|name| name == of);
        let Some((of, field)) = field(address).filter(fits) else {
            let reason = "values that belong together are stored in one object here, so their paths must be alike up to \
                          the last `_`; give them storageKeys such as db_private and db_public";
            return Err(StoreError::invalid(&address.path, reason));
        };
        name = Some(of);
        fields.push((field, value));
    }
    let Some(name) = name else { return Err(StoreError::invalid("an empty group", "it has no value")) };
    Ok((name, json::write(&json::Fields::new(), &fields)))
}

impl<S: Service> Flat<S> {
    /// What lies where these addresses may mean.
    async fn objects(&self, addresses: impl Iterator<Item = &Address>) -> Objects {
        let (mut objects, mut valid) = (Objects::new(), Vec::new());
        for name in names(addresses) {
            match self.0.check(&name) {
                Ok(()) => valid.push(name),
                Err(error) => drop(objects.insert(name, Err(error))),
            }
        }
        objects.extend(self.0.read(&valid).await);
        objects
    }

    /// The group's values where all are there, nothing where none is.
    async fn stored(&self, group: &[(Address, SecretValue)]) -> Result<Option<Vec<SecretValue>>, StoreError> {
        let objects = self.objects(group.iter().map(|(address, _)| address)).await;
        whole_group(
            group.iter().map(|(address, _)| find(&objects, address).map(|found| found.value().clone())),
        )
    }

    async fn create_group(&self, group: &[(Address, SecretValue)]) -> Result<Created, StoreError> {
        let (name, content) = object_of(group)?;
        if let Some(theirs) = self.stored(group).await? {
            return Ok(Created::Theirs(theirs));
        }
        if self.0.create(&name, &content).await? {
            return Ok(Created::Ours);
        }
        if let Some(theirs) = self.stored(group).await? {
            return Ok(Created::Theirs(theirs));
        }
        // There is an object, and our values are not in it: somebody else's, or one that is on its way.
        Err(match self.0.read(std::slice::from_ref(&name)).await.remove(&name) {
            Some(Ok(_)) => StoreError::invalid(
                &name,
                "it is there without these values, and they cannot be added to it safely; add them yourself, or choose another storageKey",
            ),
            Some(Err(error)) if !matches!(error, StoreError::NotFound { .. }) => error,
            _ => StoreError::unavailable(&name, "somebody else is creating it"),
        })
    }
}

impl<S: Service> Store for Flat<S> {
    fn get<'a>(&'a self, addresses: &'a [Address]) -> Answer<'a, Outcomes> {
        Box::pin(async move {
            let objects = self.objects(addresses.iter()).await;
            let outcome = |address: &Address| find(&objects, address).map(|found| found.value().clone());
            addresses.iter().map(|address| (address.clone(), outcome(address))).collect()
        })
    }

    fn create<'a>(&'a self, group: &'a [(Address, SecretValue)]) -> Answer<'a, Result<Created, StoreError>> {
        Box::pin(self.create_group(group))
    }

    fn delete<'a>(
        &'a self,
        address: &'a Address,
        expected: &'a SecretValue,
    ) -> Answer<'a, Result<Deleted, StoreError>> {
        Box::pin(async move {
            let objects = self.objects(std::iter::once(address)).await;
            match find(&objects, address) {
                Err(StoreError::NotFound { .. }) => Ok(Deleted::Gone),
                Err(error) => Err(error),
                Ok(found) if found.value() != expected => Ok(Deleted::Changed),
                Ok(Found::Whole(object)) => self.0.delete(&address.path, &object.version).await,
                Ok(Found::Field { name, object, is_alone: true, .. }) => {
                    self.0.delete(&name, &object.version).await
                }
                Ok(Found::Field { name, .. }) => Err(StoreError::invalid(
                    &address.path,
                    format!(
                        "it shares {name} with other fields, and cannot be taken out of it safely; delete that as a whole"
                    ),
                )),
            }
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Result<Vec<StoragePath>, StoreError>> {
        self.0.list(prefix)
    }
}

#[cfg(test)]
mod tests;
