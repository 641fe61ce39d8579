//! What annotations cannot say alone: whether the operator allows it, the cluster can do it, and the pod has the
//! containers and the room for it.

use super::containers::{self, Target};
use super::fetcher::STORE_TOKEN;
use super::permission::Refusal;
use super::plan::{DenialKind, Findings, Planner};
use super::settings::KubernetesVersion;
use crate::domain::{ContainerName, Delivery, Family, KubernetesTarget, LocalMode, RequestName};
use crate::handover::StoreSettings;

impl<'a> Planner<'a> {
    /// The store, if the operator's configuration allows what the pod asks of it.
    pub(super) fn check_allowed(&self, findings: &mut Findings<'_>) -> Option<&'a StoreSettings> {
        let (store, refusals) = self.settings.permit(self.namespace, self.requests);
        for Refusal { kind, family, key, message } in refusals {
            findings.fault_of(kind, family, &key, message);
        }
        store.map(|(_, settings)| settings)
    }

    /// Who asks for a lease where none can be held still gets an index if somebody puts one there by hand.
    pub(super) fn check_leases(&self, store: Option<&StoreSettings>, findings: &mut Findings<'_>) {
        let Some(store) = store.filter(|_| self.requests.storage.local_mode != LocalMode::Local) else {
            return;
        };
        if let Some(why) = store.cannot_hold_leases() {
            let message = format!("keystow assigns no index in a store of kind {}: {why}", store.kind());
            for lease in &self.requests.leases {
                findings.warn_of(Family::Lease, lease.name.as_str(), &message);
            }
        }
    }

    pub(super) fn check_supported(&self, findings: &mut Findings<'_>) {
        const UNSUPPORTED: DenialKind = DenialKind::Unsupported;
        if self.pod.is_windows() && self.requests.needs_init() {
            let message = "keystow's init container does not run on Windows: only kind=KUBERNETES secrets do";
            findings.fault(UNSUPPORTED, message.to_owned());
        }
        if self.settings.kubernetes < KubernetesVersion::FILE_KEY_REF {
            for (request, _) in self.requests.stored().filter(|(request, _)| request.env().is_some()) {
                let message = format!(
                    "env needs Kubernetes {} (fileKeyRef), and the cluster has {}: read the file instead",
                    KubernetesVersion::FILE_KEY_REF,
                    self.settings.kubernetes
                );
                findings.fault_of(UNSUPPORTED, Family::Secret, request.name.as_str(), message);
            }
            for variable in &self.requests.injection.template_envs {
                let message = format!(
                    "a variable needs Kubernetes {} (fileKeyRef), and the cluster has {}: read the file instead",
                    KubernetesVersion::FILE_KEY_REF,
                    self.settings.kubernetes
                );
                let key = format!("template-env.{}", variable.template);
                findings.fault_of(UNSUPPORTED, Family::Inject, &key, message);
            }
        }
    }

    pub(super) fn check_names(&self, all: &[Target<'_>], findings: &mut Findings<'_>) {
        const INVALID: DenialKind = DenialKind::InvalidAnnotation;
        let known = || all.iter().map(Target::name).collect::<Vec<_>>().join(", ");
        let chosen = self.requests.injection.containers.as_deref();
        for name in containers::unknown(all, chosen.unwrap_or_default()) {
            let message = format!("{name} is not one of the pod's containers: {}", known());
            findings.fault_of(INVALID, Family::Inject, "containers", message);
        }
        for request in &self.requests.secrets {
            let own = request.containers.as_deref().unwrap_or_default();
            for name in containers::unknown(all, own) {
                let message = format!("containers={name} is not one of the pod's containers: {}", known());
                findings.fault_of(INVALID, Family::Secret, request.name.as_str(), message);
            }
            let outside = chosen.and_then(|chosen| {
                let exists = |name: &&ContainerName| all.iter().any(|t| t.name() == name.as_str());
                own.iter().filter(exists).find(|name| !chosen.contains(name))
            });
            if let Some(name) = outside {
                let message =
                    format!("containers={name} is not among those of the pod's own containers annotation");
                findings.fault_of(INVALID, Family::Secret, request.name.as_str(), message);
            }
        }
    }

    /// Our init container has the pod's annotations and its token in directories of their own.
    fn check_directory(&self, findings: &mut Findings<'_>) {
        let taken = [self.settings.layout.annotations_directory(), STORE_TOKEN];
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let directory = self.directory();
        if let Some(taken) =
            taken.into_iter().find(|taken| within(directory, taken) || within(taken, directory))
        {
            let message =
                format!("{directory} does not go together with {taken}, which the init container needs");
            findings.fault_of(DenialKind::InvalidAnnotation, Family::Inject, "path", message);
        }
    }

    /// Read-only volumes cannot hold mount points: none of our directories may be in another.
    pub(super) fn check_paths(&self, findings: &mut Findings<'_>) {
        let mut paths: Vec<(&str, Option<&RequestName>)> = self
            .requests
            .secrets
            .iter()
            .filter_map(|request| match &request.delivery {
                Delivery::Kubernetes(secret) => match &secret.target {
                    KubernetesTarget::Path { path, .. } => Some((path.as_str(), Some(&request.name))),
                    KubernetesTarget::Env { .. } | KubernetesTarget::EnvFrom { .. } => None,
                },
                Delivery::Stored(_) => None,
            })
            .collect();
        if self.requests.needs_init() {
            self.check_directory(findings);
            paths.push((self.directory(), None));
        }
        // By segments, so that what is inside a directory follows it at once.
        paths.sort_by(|a, b| a.0.split('/').cmp(b.0.split('/')).then(a.1.cmp(&b.1)));
        let mut outer: Option<(&str, Option<&RequestName>)> = None;
        for (path, name) in paths {
            let Some((directory, owner)) = outer else {
                outer = Some((path, name));
                continue;
            };
            let inside = path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
            let same = path == directory && (name.is_none() != owner.is_none());
            if inside || same {
                let what = owner
                    .map_or("the directory of fetched files".to_owned(), |owner| format!("that of {owner}"));
                let message = format!("path={path} is in {directory}, {what}, which is mounted read-only");
                match name.or(owner) {
                    Some(name) => findings.fault_of(
                        DenialKind::InvalidAnnotation,
                        Family::Secret,
                        name.as_str(),
                        message,
                    ),
                    None => findings.fault(DenialKind::InvalidAnnotation, message),
                }
            } else {
                outer = Some((path, name));
            }
        }
    }
}
