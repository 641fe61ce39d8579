//! What the operator decided about injection: the meant, validated form of the configuration file.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::{AnnotationDomain, Layout, StoreName};
use crate::handover::{StoreSettings, variable};

/// Everything that planning needs besides the pod.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The domain of the annotations.
    pub domain: AnnotationDomain,
    /// Names and places in the pod.
    pub layout: Layout,
    /// The cluster's version.
    pub kubernetes: KubernetesVersion,
    /// The image of our containers.
    pub image: String,
    /// Their resources, as Kubernetes writes them.
    pub resources: Value,
    /// The volume of the files.
    pub volume: Volume,
    /// How they get to the store.
    pub fetching: Fetching,
    /// The stores.
    pub stores: Stores,
    /// Which namespaces may name which storage prefix; empty: any.
    pub prefixes: Vec<PrefixRule>,
    /// Where predictable local values are allowed; empty: nowhere.
    pub local_mode: LocalModeRule,
}

/// The minor version of Kubernetes 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KubernetesVersion(pub u16);

/// `emptyDir` of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// `Memory`, or empty for the node's disk.
    pub medium: String,
    /// A quantity.
    pub size_limit: String,
}

/// What the init container is told besides its store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetching {
    /// `HTTPS_PROXY`, without credentials: it is in the pod's manifest.
    pub https_proxy: Option<String>,
    /// `HTTP_PROXY`.
    pub http_proxy: Option<String>,
    /// `NO_PROXY`.
    pub no_proxy: Option<String>,
    /// How long to wait for what is not there yet, as a Go duration.
    pub deadline: Option<String>,
}

impl Fetching {
    /// The variables that tell it.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, String)> {
        let variables = [
            ("HTTPS_PROXY", &self.https_proxy),
            ("HTTP_PROXY", &self.http_proxy),
            ("NO_PROXY", &self.no_proxy),
            (variable::DEADLINE, &self.deadline),
        ];
        variables.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)))
    }
}

/// The stores that a pod may read from.
#[derive(Debug, Clone)]
pub struct Stores {
    default: StoreName,
    by_name: BTreeMap<StoreName, StoreSettings>,
}

/// Names with `*` for any characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(String);

/// Which storage prefixes some namespaces may name.
#[derive(Debug, Clone)]
pub struct PrefixRule {
    /// The namespaces.
    pub namespaces: Vec<NamePattern>,
    /// What a storage prefix must be, or be below.
    pub allow: Vec<String>,
}

/// Where predictable local values are allowed.
#[derive(Debug, Clone, Default)]
pub struct LocalModeRule {
    /// The namespaces.
    pub namespaces: Vec<NamePattern>,
}

impl KubernetesVersion {
    /// The first version that has `fileKeyRef` without a feature gate.
    pub const FILE_KEY_REF: Self = Self(35);
}

impl std::fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

impl Stores {
    /// The stores by name; `None` where `default` is not one of them.
    pub fn new(default: StoreName, by_name: BTreeMap<StoreName, StoreSettings>) -> Option<Self> {
        by_name.contains_key(&default).then_some(Self { default, by_name })
    }

    /// The store of a pod that names this one, or none.
    pub fn find(&self, name: Option<&StoreName>) -> Option<(&StoreName, &StoreSettings)> {
        self.by_name.get_key_value(name.unwrap_or(&self.default))
    }

    /// The store of pods that name none.
    pub fn default_name(&self) -> &StoreName {
        &self.default
    }

    /// All stores, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&StoreName, &StoreSettings)> {
        self.by_name.iter()
    }

    pub(super) fn names(&self) -> String {
        self.by_name.keys().map(StoreName::as_str).collect::<Vec<_>>().join(", ")
    }
}

impl NamePattern {
    /// A pattern such as `veza-*`; `None` where no namespace's name (RFC 1123 label) could be of it.
    pub fn new(pattern: &str) -> Option<Self> {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'*');
        let possible = !pattern.is_empty()
            && pattern.bytes().all(inner)
            && pattern.bytes().filter(|b| *b != b'*').count() <= 63
            && !pattern.starts_with('-')
            && !pattern.ends_with('-');
        possible.then(|| Self(pattern.to_owned()))
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `name` is of the pattern.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|start| name.strip_prefix(start)) else { return false };
        let Some(end) = self.0.contains('*').then(|| parts.next_back().unwrap_or_default()) else {
            return rest.is_empty();
        };
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("veza-*", "veza-production", true),
            ("veza-*", "veza-", true),
            ("veza-*", "veza", false),
            ("*", "anything", true),
            ("dev", "dev", true),
            ("dev", "dev2", false),
            ("*-dev", "a-dev", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxc", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(NamePattern::new(pattern).unwrap().matches(name), expected, "{pattern} {name}");
        }
        for impossible in ["", "Dev", "dev_*", "-dev", "dev-", "dev.*", "dev-?", "a b"] {
            assert_eq!(NamePattern::new(impossible), None, "{impossible}");
        }
    }
}
