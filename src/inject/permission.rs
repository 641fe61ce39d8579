//! Whether the operator's configuration lets a pod have what it asks for: its store, its storage prefix, local values.
//!
//! The webhook refuses by it, and the creator makes nothing against it: a pod may be older than a rule, or have come where
//! no webhook was asked.

use super::plan::DenialKind;
use super::settings::{NamePattern, Settings};
use crate::domain::{Family, LocalMode, Requests, StoragePrefix, StoreName};
use crate::handover::{self, StoreSettings};

/// What is not permitted, and by which annotation it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whether it is the annotation that is wrong, or the configuration that does not allow it.
    pub kind: DenialKind,
    /// The annotation's family.
    pub family: Family,
    /// The rest of its key.
    pub key: String,
    /// What is wrong.
    pub message: String,
}

impl Settings {
    /// The store of a pod of this namespace, where there is such a store, and every reason why the pod cannot have what it
    /// asks for.
    pub fn permit(
        &self,
        namespace: &str,
        requests: &Requests,
    ) -> (Option<(&StoreName, &StoreSettings)>, Vec<Refusal>) {
        let mut refusals = Vec::new();
        let wanted = requests.injection.store.as_ref();
        let store = self.stores.find(wanted);
        if let (None, Some(wanted)) = (store, wanted) {
            let message = format!("{wanted} is not one of the configured stores: {}", self.stores.names());
            refusals.push(Refusal::of(DenialKind::InvalidAnnotation, Family::Inject, "store", message));
        }
        let kind = store.map(|(_, settings)| settings);
        self.local_values(namespace, requests, kind, &mut refusals);
        self.prefix(namespace, requests, kind, &mut refusals);
        (store, refusals)
    }

    fn local_values(
        &self,
        namespace: &str,
        requests: &Requests,
        store: Option<&StoreSettings>,
        refusals: &mut Vec<Refusal>,
    ) {
        let mode = requests.storage.local_mode;
        if mode != LocalMode::Remote && !any_matches(&self.local_mode.namespaces, namespace) {
            let message = format!(
                "{} gives predictable values, which the configuration (localMode.namespaces) does not allow in namespace {namespace}",
                mode.word(),
            );
            refusals.push(Refusal::of(DenialKind::NotAllowed, Family::Init, "local-mode", message));
        }
        if mode != LocalMode::Local && matches!(store, Some(StoreSettings::Local(_))) {
            let underivable = requests.underivable().into_iter();
            refusals.extend(underivable.map(|(family, name, why)| {
                Refusal::of(DenialKind::InvalidAnnotation, family, name.as_str(), why.to_owned())
            }));
        }
        let is_local = mode == LocalMode::Local || matches!(store, Some(StoreSettings::Local(_)));
        if is_local && !handover::IS_GPG_CARRIED {
            const WHY: &str = "local values need a localModeValue in base64 here: the init container of this build derives no GPG keys";
            let names = requests.derived_gpg();
            refusals.extend(names.map(|name| {
                Refusal::of(DenialKind::InvalidAnnotation, Family::Secret, name.as_str(), WHY.to_owned())
            }));
        }
    }

    fn prefix(
        &self,
        namespace: &str,
        requests: &Requests,
        store: Option<&StoreSettings>,
        refusals: &mut Vec<Refusal>,
    ) {
        let by_path = !matches!(store, Some(StoreSettings::Local(_) | StoreSettings::Kubernetes(_)));
        let named = requests.storage.prefix.as_ref();
        if self.prefixes.is_empty() || !requests.needs_init() || !(by_path || named.is_some()) {
            return;
        }
        let root = StoragePrefix::ROOT;
        let prefix = named.unwrap_or(&root);
        let mut rules = self.prefixes.iter().filter(|rule| any_matches(&rule.namespaces, namespace));
        if !rules.any(|rule| rule.allow.iter().any(|allowed| prefix.is_within(allowed))) {
            let message =
                format!("the configuration (prefixes) does not allow {prefix} in namespace {namespace}");
            refusals.push(Refusal::of(DenialKind::NotAllowed, Family::Init, "storage-prefix", message));
        }
    }
}

impl Refusal {
    fn of(kind: DenialKind, family: Family, key: &str, message: String) -> Self {
        Self { kind, family, key: key.to_owned(), message }
    }
}

fn any_matches(patterns: &[NamePattern], namespace: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(namespace))
}
