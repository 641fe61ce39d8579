//! What an identity has to read in a store of paths: the sum of what all its pods ask for.
//!
//! The init container asks for each of these and for no other:
//!
//! | request | `dynamodb` | `vault`, `kubernetes` | stores of one value an object |
//! |---|---|---|---|
//! | value | its path | the object of its place | the object of its path, or of the path without its field, or both |
//! | lease | every index of the range, and the claim of the pod | the same | no leases |

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{Generated, LeaseSeries, Origin, Requests, SecretType, StoragePath, StoredSecret};
use crate::workload::Asking;

/// More indices than these are granted by a pattern: policies have a size, and who holds an index is no secret.
const MOST_INDICES: usize = 1000;

/// What is to be read.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Grants {
    /// Secrets and resources, and who put them there.
    pub(super) values: BTreeMap<StoragePath, Written>,
    /// Leases.
    pub(super) leases: BTreeMap<LeaseSeries, Indices>,
}

/// Who writes a value, which decides on the object it lies in where an object holds one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Written {
    /// The creator, by itself.
    Alone,
    /// The creator, with other parts of one group.
    InGroup,
    /// Somebody else, who may have chosen either.
    BySomebody,
}

/// The indices of a series that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Indices {
    /// These.
    Few(BTreeSet<i32>),
    /// So many that they are not named one by one.
    Many,
}

impl Grants {
    /// The sum of these requests.
    pub(super) fn of<'a, 's: 'a>(asking: impl IntoIterator<Item = &'a Asking<'s>>) -> Self {
        let mut grants = Self::default();
        for asking in asking {
            grants.add(&asking.requests);
        }
        grants
    }

    fn add(&mut self, requests: &Requests) {
        for (request, stored) in requests.stored() {
            self.value(requests.secret_path(&request.name, stored), written(stored));
        }
        for resource in &requests.resources {
            self.value(requests.resource_path(resource), Written::BySomebody);
        }
        for lease in &requests.leases {
            let count = lease.range.end().abs_diff(*lease.range.start()) as usize;
            let asked = || lease.range.clone();
            let indices =
                self.leases.entry(requests.lease_series(lease)).or_insert(Indices::Few(BTreeSet::new()));
            match indices {
                Indices::Few(few) if count < MOST_INDICES && few.len() + count < MOST_INDICES => {
                    few.extend(asked());
                }
                _ => *indices = Indices::Many,
            }
        }
    }

    fn value(&mut self, path: StoragePath, written: Written) {
        let entry = self.values.entry(path).or_insert(written);
        // Two who do not agree: it may lie in either.
        if *entry != written {
            *entry = Written::BySomebody;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.leases.is_empty()
    }

    /// The objects that may hold these values where an object holds one value ([`crate::store`], `flat`).
    pub(super) fn flat_objects(&self) -> BTreeSet<StoragePath> {
        let mut objects = BTreeSet::new();
        for (path, written) in &self.values {
            let group = path.split_field().map(|(object, _)| object);
            if *written != Written::InGroup || group.is_none() {
                objects.insert(path.clone());
            }
            if *written != Written::Alone {
                objects.extend(group);
            }
        }
        objects
    }
}

fn written(stored: &StoredSecret) -> Written {
    match &stored.origin {
        Origin::Reference { .. } => Written::BySomebody,
        Origin::Dynamic(Generated::ApiKey { .. }) => Written::InGroup,
        Origin::Dynamic(_) => match stored.origin.kind() {
            SecretType::Random | SecretType::Password => Written::Alone,
            SecretType::Rsa | SecretType::Gpg | SecretType::Ec | SecretType::Ed25519 => Written::InGroup,
        },
    }
}
