//! `lease.D/NAME`: an index that no other live pod holds, and how a store keeps who holds it.
//!
//! | record | path | value |
//! |---|---|---|
//! | index | `<prefix>/leases/<series>.<index>` | the holder: `NAMESPACE/NAME/UID/CLUSTER`; kees: the pod's name alone |
//! | claim | `<prefix>/leases/<series>.of-<uid>` | the index that this pod is to have: `INDEX@CLUSTER` |
//!
//! `CLUSTER` is the UID of the namespace `kube-system`, which stands for a cluster as long as that exists: a pod that one
//! cluster does not know may live in another one that shares the store.
//!
//! Kees' programs look for what ends in `.` and digits, so they pass over claims.

use std::fmt;
use std::ops::RangeInclusive;

use super::name::{InvalidText, RequestName};
use super::parameters::{Findings, Parameters};
use super::path::{StorageKey, StoragePath};
use super::reference;
use super::request::Requests;
use super::value::SecretValue;

/// The init container finds its pod's index by looking at them, a thousand at once.
const MOST_INDICES: u32 = 100_000;

/// One `lease.D/NAME` annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// What follows the `/`.
    pub name: RequestName,
    /// Where the indices are counted: `<prefix>/leases/<storageKeyPrefix>.<index>`; the bare name without it.
    pub storage_key_prefix: Option<StorageKey>,
    /// The indices, both ends included; never empty.
    pub range: RangeInclusive<i32>,
}

impl LeaseRequest {
    pub(super) fn read(
        name: RequestName,
        annotation: &str,
        value: &str,
        findings: &mut Findings,
    ) -> Option<Self> {
        const WHOLE: &str = "a whole number";
        let mut parameters = Parameters::split(annotation, value, findings);
        let kind = parameters.require("kind", "INDEX").and_then(|found| {
            parameters.check_one_of("kind", found, "INDEX", |text| (text == "INDEX").then_some(()))
        });
        let storage_key_prefix = parameters.take_as("storageKeyPrefix", StorageKey::new);
        let mut bound = |key| {
            let found = parameters.require(key, WHOLE)?;
            parameters.check(key, found, |text| text.parse::<i32>().map_err(|_| InvalidText(WHOLE)))
        };
        let (start, end) = (bound("rangeStart"), bound("rangeEnd"));
        if let (Some(start), Some(end)) = (start, end)
            && start > end
        {
            parameters.conflict(format!("rangeStart={start} is greater than rangeEnd={end}"));
            parameters.finish(&[]);
            return None;
        }
        if let (Some(start), Some(end)) = (start, end)
            && start.abs_diff(end) >= MOST_INDICES
        {
            parameters.conflict(format!(
                "rangeStart={start} to rangeEnd={end} are more than {MOST_INDICES} indices, each of which is looked at"
            ));
            parameters.finish(&[]);
            return None;
        }
        parameters.finish(&reference::names(&reference::LEASE));
        kind?;
        Some(Self { name, storage_key_prefix, range: start?..=end? })
    }

    /// What the indices are counted under.
    pub fn series(&self) -> &str {
        self.storage_key_prefix.as_ref().map_or(self.name.bare(), StorageKey::as_str)
    }
}

impl Requests {
    /// Where the index of a lease lies.
    pub fn lease_path(&self, lease: &LeaseRequest, index: i32) -> StoragePath {
        self.lease_series(lease).index(index)
    }

    /// What the indices of a lease are counted under.
    pub fn lease_series(&self, lease: &LeaseRequest) -> LeaseSeries {
        LeaseSeries(self.below_prefix(&format!("{LEASES}/{}", lease.series())))
    }
}

const LEASES: &str = "leases";
const CLAIM: &str = "of-";

/// What indices are counted under: `<prefix>/leases/<series>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseSeries(StoragePath);

/// What lies at a path below `leases/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LeaseRecord {
    /// The holder of an index.
    Index(LeaseSeries, i32),
    /// The index of a pod.
    Claim(LeaseSeries, String),
}

impl LeaseSeries {
    /// Where the holder of an index lies.
    pub fn index(&self, index: i32) -> StoragePath {
        self.0.with_suffix(&format!(".{index}"))
    }

    /// Where the index of the pod with this UID lies.
    pub fn claim(&self, uid: &str) -> StoragePath {
        self.0.with_suffix(&format!(".{CLAIM}{uid}"))
    }

    /// The path without an index.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for LeaseSeries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl LeaseRecord {
    /// Reads a path that a store lists; `None` where it cannot be of a lease. Two series of which one begins with the
    /// other (`db`, `db2`, `db.7`) are told apart: an index is what follows the last dot, and has one way to be written.
    pub fn read(path: &StoragePath) -> Option<Self> {
        let text = path.as_str();
        let (series, last) = text.rsplit_once('.')?;
        let (_, below) = series.split_once("/leases/")?;
        if below.is_empty() {
            return None;
        }
        let series = LeaseSeries(StoragePath::read(series)?);
        if let Some(uid) = last.strip_prefix(CLAIM) {
            return (!uid.is_empty()).then(|| Self::Claim(series, uid.to_owned()));
        }
        let index: i32 = last.parse().ok()?;
        (index.to_string() == last).then_some(Self::Index(series, index))
    }
}

/// Who holds an index.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LeaseHolder {
    /// A pod, by its UID; namespace and name are for people.
    Pod {
        /// `metadata.namespace`
        namespace: String,
        /// `metadata.name`
        name: String,
        /// `metadata.uid`
        uid: String,
        /// The cluster in which it lives.
        cluster: String,
    },
    /// A pod of this name, as kees writes it.
    Named(String),
}

impl LeaseHolder {
    /// Reads what a store has; `None` where it can be no holder.
    pub fn read(value: &SecretValue) -> Option<Self> {
        let text = std::str::from_utf8(value.expose()).ok()?;
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            [name] if !name.is_empty() => Some(Self::Named((*name).to_owned())),
            [namespace, name, uid, cluster] if parts.iter().all(|part| !part.is_empty()) => Some(Self::Pod {
                namespace: (*namespace).to_owned(),
                name: (*name).to_owned(),
                uid: (*uid).to_owned(),
                cluster: (*cluster).to_owned(),
            }),
            _ => None,
        }
    }

    /// What a store keeps.
    pub fn to_value(&self) -> SecretValue {
        SecretValue::new(self.to_string().into_bytes())
    }

    /// Whether the pod of this name, and of this UID where that is known, is the holder.
    pub fn is(&self, pod: &str, known_uid: Option<&str>) -> bool {
        match self {
            Self::Pod { name, uid, .. } => known_uid.map_or(name == pod, |known| uid == known),
            Self::Named(name) => name == pod,
        }
    }
}

impl fmt::Display for LeaseHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod { namespace, name, uid, cluster } => write!(f, "{namespace}/{name}/{uid}/{cluster}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// The index that a pod is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseClaim {
    /// The index.
    pub index: i32,
    /// The cluster in which the pod lives.
    pub cluster: String,
}

impl LeaseClaim {
    /// Reads what a store has; `None` where it can be no claim.
    pub fn read(value: &SecretValue) -> Option<Self> {
        let (number, cluster) = std::str::from_utf8(value.expose()).ok()?.split_once('@')?;
        let index: i32 = number.parse().ok()?;
        let is_one = index.to_string() == number && !cluster.is_empty();
        is_one.then(|| Self { index, cluster: cluster.to_owned() })
    }

    /// What a store keeps.
    pub fn to_value(&self) -> SecretValue {
        SecretValue::new(format!("{}@{}", self.index, self.cluster).into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::StoragePrefix;

    #[test]
    fn claims_are_read_back() {
        for index in [0, -7, i32::MAX] {
            let claim = LeaseClaim { index, cluster: "c1".to_owned() };
            assert_eq!(LeaseClaim::read(&claim.to_value()), Some(claim));
        }
        for wrong in ["", "7", "7@", "@c1", "07@c1", "x@c1"] {
            assert_eq!(LeaseClaim::read(&SecretValue::new(wrong.into())), None, "{wrong}");
        }
    }

    fn record(path: &str) -> Option<LeaseRecord> {
        LeaseRecord::read(&StoragePath::read(path).unwrap())
    }

    #[test]
    fn records_are_read_back_and_series_that_begin_alike_are_two() {
        for series in ["db", "db2", "db.7", "a/b", "db.of-x"] {
            let series = LeaseSeries(StoragePrefix::new("/veza").unwrap().join(&format!("leases/{series}")));
            for index in [0, 7, 70, -3, i32::MIN, i32::MAX] {
                let path = series.index(index);
                assert_eq!(
                    LeaseRecord::read(&path),
                    Some(LeaseRecord::Index(series.clone(), index)),
                    "{path}"
                );
            }
            let claim = series.claim("8d4a-1");
            assert_eq!(
                LeaseRecord::read(&claim),
                Some(LeaseRecord::Claim(series.clone(), "8d4a-1".to_owned()))
            );
        }
    }

    #[test]
    fn what_has_another_form_is_no_record() {
        for path in [
            "/a.7",
            "/leases/db",
            "/leases/db.x",
            "/leases/db.07",
            "/leases/db.+7",
            "/leases/.7",
            "/leases/db.of-",
            "/leases.7",
        ] {
            assert_eq!(record(path), None, "{path}");
        }
    }

    #[test]
    fn holders_are_known_by_uid_and_those_of_kees_by_name() {
        let holder = LeaseHolder::Pod {
            namespace: "veza".into(),
            name: "web-0".into(),
            uid: "8d4a".into(),
            cluster: "c1".into(),
        };
        assert_eq!(holder.to_value().expose(), b"veza/web-0/8d4a/c1");
        assert_eq!(LeaseHolder::read(&holder.to_value()), Some(holder.clone()));
        assert!(holder.is("web-0", Some("8d4a")) && holder.is("web-0", None));
        assert!(!holder.is("web-0", Some("other")) && !holder.is("web-1", None));
        let named = LeaseHolder::Named("web-0".into());
        assert_eq!(LeaseHolder::read(&named.to_value()), Some(named.clone()));
        assert!(named.is("web-0", Some("8d4a")) && !named.is("web-1", Some("8d4a")));
        for wrong in ["", "a/b", "a/b/c", "a/b/c/d/e", "a//c/d"] {
            assert_eq!(LeaseHolder::read(&SecretValue::new(wrong.into())), None, "{wrong}");
        }
    }
}
