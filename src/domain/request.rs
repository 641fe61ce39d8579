//! All requests of a pod, and the one parser that makes them.
//!
//! Order: opt-out, controls, then every request on its own, then what they must have in common. Nothing stops at
//! the first problem. The result does not depend on the order in which annotations come.

mod agreement;

use super::annotation::{AnnotationDomain, Family};
use super::lease::LeaseRequest;
use super::name::{InvalidText, RequestName};
use super::options::{Injection, Storage};
use super::parameters::Findings;
use super::path::{StorageKey, StoragePath, StoragePrefix};
use super::problem::{Fault, Problem, Rejection, Warning};
use super::resource::ResourceRequest;
use super::secret::{SecretRequest, SecretType, StoredSecret};

/// What a pod asks for. Each list is sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requests {
    /// `secret.D/…`
    pub secrets: Vec<SecretRequest>,
    /// `resource.D/…`
    pub resources: Vec<ResourceRequest>,
    /// `lease.D/…`
    pub leases: Vec<LeaseRequest>,
    /// `init.D/…`
    pub storage: Storage,
    /// `inject.D/…`
    pub injection: Injection,
}

/// The annotations of a pod, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// `inject.D/enabled: "false"`.
    OptedOut,
    /// What is asked for, perhaps nothing, and what is odd about it.
    Requests(Box<Requests>, Vec<Warning>),
}

/// The parser of annotations.
#[derive(Debug, Clone, Copy)]
pub struct Grammar<'a> {
    /// The domain of the keys.
    pub domain: &'a AnnotationDomain,
    /// File names that the layout takes in the mount directory, which no resource, lease or template may have.
    pub taken_files: &'a [&'a str],
}

/// Kubernetes `validation.TotalAnnotationSizeLimitB`. Checked first, so that no work is done for what cannot be.
const LARGEST: usize = 256 << 10;

impl Requests {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        !self.needs_init() && self.secrets.is_empty() && self.injection.service_account.is_none()
    }

    /// Whether the init container has something to fetch or to write.
    pub fn needs_init(&self) -> bool {
        self.stored().next().is_some()
            || !self.resources.is_empty()
            || !self.leases.is_empty()
            || !self.injection.templates.is_empty()
    }

    /// The secrets that the init container fetches.
    pub fn stored(&self) -> impl Iterator<Item = (&SecretRequest, &StoredSecret)> {
        self.secrets.iter().filter_map(|request| request.stored().map(|stored| (request, stored)))
    }

    /// What has no predictable local value, and why: it can be served by a real store only.
    pub fn underivable(&self) -> Vec<(Family, &RequestName, &'static str)> {
        let resources =
            self.resources.iter().filter(|resource| resource.local_value.is_none()).map(|resource| {
                (
                    Family::Resource,
                    &resource.name,
                    "local values need a localModeValue in base64 here: nothing can be derived",
                )
            });
        let secrets = self.derived().filter(|(name, kind)| !kind.has_part(name.field()));
        let secrets = secrets.map(|(name, kind)| {
            let why = match kind {
                SecretType::Gpg => {
                    "local values need a localModeValue in base64 here, or a name that ends in _public, _private or _password"
                }
                _ => {
                    "local values need a localModeValue in base64 here, or a name that ends in _public or _private"
                }
            };
            (Family::Secret, name, why)
        });
        resources.chain(secrets).collect()
    }

    /// The parts of OpenPGP keys whose local value has to be derived, which not every build can.
    pub fn derived_gpg(&self) -> impl Iterator<Item = &RequestName> {
        let parts =
            self.derived().filter(|(name, kind)| *kind == SecretType::Gpg && kind.has_part(name.field()));
        parts.map(|(name, _)| name)
    }

    /// What local mode has to derive.
    fn derived(&self) -> impl Iterator<Item = (&RequestName, SecretType)> {
        let without_value = self.stored().filter(|(_, stored)| stored.local_value.is_none());
        without_value.map(|(request, stored)| (&request.name, stored.origin.kind()))
    }

    /// Where a stored secret lives.
    pub fn secret_path(&self, name: &RequestName, stored: &StoredSecret) -> StoragePath {
        self.below_prefix(stored.storage_key.as_ref().map_or(name.as_str(), StorageKey::as_str))
    }

    /// Where a resource lives.
    pub fn resource_path(&self, resource: &ResourceRequest) -> StoragePath {
        self.below_prefix(resource.key())
    }

    pub(super) fn below_prefix(&self, key: &str) -> StoragePath {
        self.storage.prefix.as_ref().unwrap_or(&StoragePrefix::ROOT).join(key)
    }
}

impl Grammar<'_> {
    /// Reads the annotations of one pod.
    pub fn parse<'p>(
        &self,
        annotations: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Result<Parsed, Rejection> {
        let mut ours: Vec<(Family, &str, &str)> = annotations
            .into_iter()
            .filter_map(|(key, value)| self.domain.classify(key).map(|(family, name)| (family, name, value)))
            .collect();
        if ours
            .iter()
            .any(|(family, key, value)| *family == Family::Inject && Injection::is_opted_out(key, value))
        {
            return Ok(Parsed::OptedOut);
        }
        let size: usize = ours.iter().map(|(_, key, value)| key.len() + value.len()).sum();
        if size > LARGEST {
            let annotation = format!("{} annotations of keystow", ours.len());
            let fault = Fault::Conflict(format!(
                "{size} bytes; Kubernetes allows {LARGEST} for all annotations of a pod"
            ));
            return Err(Rejection {
                problems: vec![Problem { annotation, fault }],
                warnings: Vec::new(),
                readable: Box::default(),
            });
        }
        ours.sort_unstable();
        let mut requests = Requests::default();
        let mut findings = Findings::default();
        for (family, name, value) in ours {
            self.read(family, name, value, &mut requests, &mut findings);
        }
        agreement::check(self, &requests, &mut findings);
        findings.problems.sort_by(|a, b| a.annotation.cmp(&b.annotation));
        if findings.problems.is_empty() {
            Ok(Parsed::Requests(Box::new(requests), findings.warnings))
        } else {
            Err(Rejection {
                problems: findings.problems,
                warnings: findings.warnings,
                readable: Box::new(requests),
            })
        }
    }

    fn read(
        &self,
        family: Family,
        name: &str,
        value: &str,
        requests: &mut Requests,
        findings: &mut Findings,
    ) {
        match family {
            Family::Init => return requests.storage.read(self.domain, name, value, findings),
            Family::Inject => return requests.injection.read(self.domain, name, value, findings),
            Family::Lease | Family::Resource | Family::Secret => {}
        }
        let annotation = self.domain.key(family, name);
        let name = match RequestName::new(name) {
            Ok(name) => name,
            Err(InvalidText(rule)) => return findings.problem(&annotation, Fault::Name(rule)),
        };
        match family {
            Family::Lease => requests.leases.extend(LeaseRequest::read(name, &annotation, value, findings)),
            Family::Resource => {
                requests.resources.push(ResourceRequest::read(name, &annotation, value, findings));
            }
            _ => requests.secrets.extend(SecretRequest::read(name, &annotation, value, findings)),
        }
    }
}

#[cfg(test)]
mod tests;
