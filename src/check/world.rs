//! What was seen: objects as Kubernetes writes them, and Secrets as a type.
//!
//! Objects other than Secrets are values: a check looks at few of their fields, and of many kinds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::finding::Place;
use crate::domain::SecretValue;

/// Something that could be looked at, or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Known<T> {
    /// This is what is there.
    Yes(T),
    /// It could not be looked at: why, in the API server's words.
    No(String),
    /// Nobody looks at it: files say nothing about it.
    #[default]
    Unasked,
}

impl<T> Known<T> {
    /// What is there, if that is known.
    pub fn yes(&self) -> Option<&T> {
        match self {
            Self::Yes(some) => Some(some),
            Self::No(_) | Self::Unasked => None,
        }
    }
}

/// An object and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// Where.
    pub place: Place,
    /// The lines of its keys, by where they are in the object (RFC 6901); empty of what is in no file.
    pub lines: BTreeMap<String, u64>,
    /// The object.
    pub object: T,
}

impl<T> Located<T> {
    /// An object of a live cluster.
    pub fn live(title: impl Into<String>, object: T) -> Self {
        Self { place: Place::of(title), lines: BTreeMap::new(), object }
    }

    /// The place of a key in it, or of the nearest key above.
    pub fn at(&self, pointer: &str) -> Place {
        let mut at = pointer;
        loop {
            if let Some(line) = self.lines.get(at) {
                return Place { line: Some(*line), ..self.place.clone() };
            }
            match at.rfind('/') {
                Some(end) => at = &at[..end],
                None => return self.place.clone(),
            }
        }
    }
}

/// A Secret object. Values are wiped, and shown by nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretObject {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `type`
    pub kind: String,
    /// `metadata.labels`
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`
    pub annotations: BTreeMap<String, String>,
    /// When its data were last written, as `managedFields` have it, or else when it was created: seconds since 1970.
    pub written: Option<i64>,
    /// `data`, decoded, with `stringData` over it.
    pub data: BTreeMap<String, SecretValue>,
}

/// All that was seen.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The namespace that is checked, or that of objects in files which name none.
    pub namespace: String,
    /// Now, in seconds since 1970.
    pub now: i64,
    /// Whether this is a live namespace: what is not in it is missing. What is not in files may be elsewhere.
    pub is_live: bool,
    /// What was found by reading files.
    pub unreadable: Vec<super::finding::Finding>,
    /// Objects that make pods, and pods that nobody made.
    pub workloads: Vec<Located<Value>>,
    /// All pods of the namespace, with their status.
    pub pods: Known<Vec<Value>>,
    /// Secrets.
    pub secrets: Known<Vec<Located<SecretObject>>>,
    /// ConfigMaps.
    pub config_maps: Known<Vec<Located<Value>>>,
    /// ServiceAccounts.
    pub service_accounts: Known<Vec<Value>>,
    /// The Namespace object.
    pub namespace_object: Known<Value>,
    /// Events of the type Warning.
    pub events: Known<Vec<Value>>,
    /// MutatingWebhookConfigurations that call keystow.
    pub webhooks: Known<Vec<Value>>,
    /// The namespace of the Service that these call.
    pub keystow_namespace: Option<String>,
    /// EndpointSlices of that Service.
    pub endpoints: Known<Vec<Value>>,
    /// Leases of keystow's namespace.
    pub leases: Known<Vec<Value>>,
    /// ExternalSecrets of the namespace.
    pub external_secrets: Known<Vec<Located<Value>>>,
    /// SecretStores of the namespace and ClusterSecretStores.
    pub secret_stores: Known<Vec<Located<Value>>>,
    /// Pods that are API servers.
    pub api_servers: Known<Vec<Value>>,
    /// Why the operator's configuration is not known, where it is not.
    pub configuration: Known<()>,
}

/// Something to ask the API server: may this account do that?
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// The namespace of the account.
    pub account_namespace: String,
    /// The name of the account.
    pub account: String,
    /// `get`, of Secrets.
    pub verb: &'static str,
    /// One Secret, or all of them.
    pub name: Option<String>,
    /// The namespace of the Secrets.
    pub namespace: String,
}

/// What the API server said.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// What it was asked, and whether it is allowed.
    pub answered: BTreeMap<Question, bool>,
    /// Why other questions are open, in the API server's words.
    pub refused: BTreeSet<String>,
}

impl Answers {
    /// Whether it is allowed; `None` where nobody said.
    pub fn of(&self, question: &Question) -> Option<bool> {
        self.answered.get(question).copied()
    }
}
