//! Reading the whole store: who holds what, including what changed while no creator ran.
//!
//! Invariant: what is at an index and has not the form of a holder is never taken for one, and a UID has the form that
//! the API server gives it: at such a path may lie a secret, and who is thought gone is deleted.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::{Findings, Ledger};
use super::series::Occupant;
use super::{Leases, Pod};
use crate::domain::{
    LeaseClaim, LeaseHolder, LeaseRecord, LeaseSeries, SecretValue, StoragePath, is_dns_subdomain,
};
use crate::store::{Address, StoreError};

/// Addresses of a call to the store.
const BATCH: usize = 1000;

/// Whom a survey found, by all that is known when it ends.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Pods that hold an index by a record in full form: release those that are gone.
    pub holders: BTreeSet<Pod>,
    /// UIDs of pods that have something else: a claim alone, a record in kees' form that they took over, or one that is
    /// gone without our doing. Release those that are gone.
    pub claimants: BTreeSet<String>,
    /// Names of pods in kees' form that no pod has taken over, by series: see [`Leases::release_named`].
    pub named: BTreeMap<LeaseSeries, BTreeSet<String>>,
    /// What could not be read. Indices among these count as taken.
    pub unreadable: Vec<StoreError>,
}

/// Ends the reading of a survey, also where its caller gave it up.
struct Reading<'l>(&'l Leases);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.ledger().end();
    }
}

impl Leases {
    /// Reads the store and learns what it has. What assignments and releases of this creator did meanwhile stays
    /// known, so that all of them can go on. One survey runs at a time. Ask again for every pod that waits afterwards:
    /// others may have released something.
    ///
    /// # Errors
    ///
    /// When the store is away, or does not let the creator list. Nothing has changed then.
    pub async fn survey(&self) -> Result<Survey, StoreError> {
        let _turn = self.surveying.lock().await;
        self.ledger().begin();
        let _reading = Reading(self);
        let mut survey = Survey::default();
        let findings = self.read(&mut survey.unreadable).await?;
        let mut ledger = self.ledger();
        ledger.apply(findings, |series| self.is_surveyed(series));
        ledger.tell(&mut survey);
        Ok(survey)
    }

    fn is_surveyed(&self, series: &LeaseSeries) -> bool {
        self.scope.iter().any(|prefix| series.as_str().starts_with(prefix.as_str()))
    }

    async fn read(&self, unreadable: &mut Vec<StoreError>) -> Result<Findings, StoreError> {
        let mut paths: Vec<StoragePath> = Vec::new();
        for prefix in &self.scope {
            let listed = self.store.list(prefix).await?;
            paths.extend(listed.into_iter().filter(|path| LeaseRecord::read(path).is_some()));
        }
        paths.sort_unstable();
        paths.dedup();
        let mut findings = Findings::default();
        for paths in paths.chunks(BATCH) {
            let addresses: Vec<Address> = paths.iter().cloned().map(Address::lease).collect();
            let mut outcomes = self.store.get(&addresses).await;
            for address in addresses {
                let Some(record) = LeaseRecord::read(&address.path) else { continue };
                let value = match outcomes
                    .remove(&address)
                    .unwrap_or_else(|| Err(StoreError::unmentioned(&address.path)))
                {
                    Ok(value) => Some(value),
                    Err(StoreError::NotFound { .. }) => continue,
                    Err(error @ StoreError::Unavailable { .. }) => return Err(error),
                    Err(error @ (StoreError::Denied { .. } | StoreError::Invalid { .. })) => {
                        unreadable.push(error);
                        None
                    }
                };
                findings.add(record, value.as_ref(), &self.cluster);
            }
        }
        Ok(findings)
    }
}

impl Findings {
    fn add(&mut self, record: LeaseRecord, value: Option<&SecretValue>, cluster: &str) {
        match record {
            LeaseRecord::Index(series, index) => {
                let occupant = value.map_or(Occupant::Unknown, |value| Occupant::read(value, cluster));
                self.series.entry(series).or_default().occupants.insert(index, occupant);
            }
            LeaseRecord::Claim(series, uid) => {
                let claim = value.and_then(LeaseClaim::read).filter(|claim| claim.cluster == cluster);
                if let (true, Some(claim)) = (is_uid(&uid), claim) {
                    self.series.entry(series).or_default().claims.insert(uid, claim.index);
                }
            }
        }
    }
}

impl Ledger {
    fn tell(&self, survey: &mut Survey) {
        for (series, known) in self.all() {
            survey.claimants.extend(known.claimants().map(str::to_owned));
            for (_, occupant) in known.occupants() {
                match occupant {
                    Occupant::Pod(LeaseHolder::Pod { namespace, name, uid, .. }) => {
                        let (namespace, name, uid) = (namespace.clone(), name.clone(), uid.clone());
                        survey.holders.insert(Pod { namespace, name, uid });
                    }
                    Occupant::Named { name, adopter: None } => {
                        survey.named.entry(series.clone()).or_default().insert(name.clone());
                    }
                    // Who took it over claims it: its UID is told with the claimants.
                    Occupant::Named { adopter: Some(uid), .. } => {
                        survey.claimants.insert(uid.clone());
                    }
                    Occupant::Pod(LeaseHolder::Named(_)) | Occupant::Unknown => {}
                }
            }
        }
    }
}

impl Occupant {
    /// What a value says of who is at an index. A pod of another cluster is nobody that could be asked about here.
    pub(super) fn read(value: &SecretValue, here: &str) -> Self {
        match LeaseHolder::read(value) {
            Some(LeaseHolder::Named(name)) if is_dns_subdomain(&name) => Self::Named { name, adopter: None },
            Some(LeaseHolder::Pod { namespace, name, uid, cluster })
                if is_dns_subdomain(&namespace)
                    && is_dns_subdomain(&name)
                    && is_uid(&uid)
                    && cluster == here =>
            {
                Self::Pod(LeaseHolder::Pod { namespace, name, uid, cluster })
            }
            _ => Self::Unknown,
        }
    }
}

/// The form of `metadata.uid`: a UUID (RFC 9562).
fn is_uid(text: &str) -> bool {
    let is_part = |part: &str, length| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
    };
    let parts: Vec<&str> = text.split('-').collect();
    let lengths = [8, 4, 4, 4, 12];
    parts.len() == lengths.len() && parts.iter().zip(lengths).all(|(part, length)| is_part(part, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_creator_can_have_written_is_a_holder() {
        let read = |text: &str| Occupant::read(&SecretValue::new(text.as_bytes().to_vec()), "here");
        let uid = "0b8e5d1c-9f0e-4a55-8f3f-2a9c6b1d7e42";
        assert!(matches!(read(&format!("veza/web-0/{uid}/here")), Occupant::Pod(_)));
        assert!(matches!(read("web-0"), Occupant::Named { .. }));
        for secret in [
            "",
            "hunter2!",
            "aHVudGVyMg==",
            "postgres/app/secret",
            "veza/web-0/8d4a/here",
            "Veza/web-0/0b8e5d1c-9f0e-4a55-8f3f-2a9c6b1d7e42/here",
            "veza//0b8e5d1c-9f0e-4a55-8f3f-2a9c6b1d7e42/here",
            "veza/web-0/0b8e5d1c-9f0e-4a55-8f3f-2a9c6b1d7e42/elsewhere",
            "-web",
        ] {
            assert_eq!(read(secret), Occupant::Unknown, "{secret}");
        }
    }
}
