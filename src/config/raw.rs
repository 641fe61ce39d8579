//! Raw types: what the file can say. Shapes and names of fields are right, nothing else is known yet.
//!
//! [`raw!`] declares a section once: its fields, their keys, and so what is known where an unknown key is met. Reading
//! never stops: what has the wrong shape is told, and stands as [`Field::Wrong`] so that nobody tells it again.

use super::report::{Place, Report};
use crate::domain::nearest;
use crate::yaml::{Entry, Node, Tree};

/// A field of a section.
#[derive(Debug)]
pub(super) enum Field<T> {
    /// It is not there; this is where it would be.
    Absent(Place),
    /// It is there, and of the wrong shape, which has been told.
    Wrong,
    /// It is there.
    Given(Place, T),
}

/// What can be read from YAML without stopping.
pub(super) trait Raw: Sized {
    fn read(place: Place, tree: Tree, report: &mut Report) -> Option<Self>;
}

macro_rules! raw {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty = $key:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name {
            $(pub(super) $field: Field<$type>,)*
        }

        impl Raw for $name {
            fn read(at: Place, tree: Tree, report: &mut Report) -> Option<Self> {
                let mut section = Section::open(&at, tree, &[$($key),*], report)?;
                Some(Self { $($field: section.take($key, report),)* })
            }
        }
    )*};
}

raw! {
    /// The file.
    RawFile {
        annotation_domain: String = "annotationDomain",
        layout: String = "layout",
        kubernetes_version: String = "kubernetesVersion",
        injection: RawInjection = "injection",
        stores: RawMap<Node> = "stores",
        prefixes: Vec<Option<RawPrefixRule>> = "prefixes",
        local_mode: RawLocalMode = "localMode",
        creator: RawCreator = "creator",
        provider: RawProvider = "provider",
    }
    /// How pods are injected.
    RawInjection {
        image: String = "image",
        resources: RawResources = "resources",
        volume: RawVolume = "volume",
        proxy: RawProxy = "proxy",
        deadline: String = "deadline",
    }
    /// Kubernetes `ResourceRequirements`.
    RawResources {
        requests: RawMap<Amount> = "requests",
        limits: RawMap<Amount> = "limits",
    }
    /// `emptyDir`.
    RawVolume {
        medium: String = "medium",
        size_limit: Amount = "sizeLimit",
    }
    /// The names of OpenShift's `Proxy`.
    RawProxy {
        https_proxy: String = "httpsProxy",
        http_proxy: String = "httpProxy",
        no_proxy: String = "noProxy",
    }
    /// Who may name which storage prefix.
    RawPrefixRule {
        namespaces: Vec<Option<Listed>> = "namespaces",
        allow: Vec<Option<Listed>> = "allow",
    }
    /// Where local values are allowed.
    RawLocalMode {
        namespaces: Vec<Option<Listed>> = "namespaces",
    }
    /// What is the creator's alone.
    RawCreator {
        identities: RawMap<String> = "identities",
    }
    /// What External Secrets is served.
    RawProvider {
        keys: String = "keys",
        audience: String = "audience",
        leeway: String = "leeway",
        store: String = "store",
        callers: Vec<Option<RawCaller>> = "callers",
        rate: RawRate = "rate",
    }
    /// Who may read and write which paths.
    RawCaller {
        subject: String = "subject",
        read: Vec<Option<Listed>> = "read",
        write: Vec<Option<Listed>> = "write",
    }
    /// How much each caller may.
    RawRate {
        per_second: Amount = "perSecond",
        burst: Amount = "burst",
    }
    /// `dynamodb`.
    RawDynamoDb {
        table: String = "table",
        region: String = "region",
        audience: String = "audience",
        role_arn: String = "roleArn",
        endpoint: String = "endpoint",
    }
    /// `secretsmanager` and `ssm`.
    RawAws {
        region: String = "region",
        audience: String = "audience",
        role_arn: String = "roleArn",
        endpoint: String = "endpoint",
    }
    /// `vault`.
    RawVault {
        address: String = "address",
        mount: String = "mount",
        kv_version: Amount = "kvVersion",
        namespace: String = "namespace",
        ca_certificate: String = "caCertificate",
        auth: RawVaultAuth = "auth",
    }
    /// How to log in to Vault.
    RawVaultAuth {
        kubernetes: RawVaultLogin = "kubernetes",
        jwt: RawVaultLogin = "jwt",
        token_file: String = "tokenFile",
    }
    /// A login with a service-account token.
    RawVaultLogin {
        role: String = "role",
        mount: String = "mount",
        audience: String = "audience",
    }
    /// `gcp`.
    RawGcp {
        project: String = "project",
        audience: String = "audience",
        service_account: String = "serviceAccount",
        endpoint: String = "endpoint",
    }
    /// `azure`.
    RawAzure {
        vault_url: String = "vaultUrl",
        tenant_id: String = "tenantId",
        client_id: String = "clientId",
        audience: String = "audience",
    }
}

/// A store: its kind, and what that needs.
#[derive(Debug)]
pub(super) enum RawStore {
    Local,
    Kubernetes,
    DynamoDb(RawDynamoDb),
    SecretsManager(RawAws),
    Ssm(RawAws),
    Vault(Box<RawVault>),
    Gcp(RawGcp),
    Azure(RawAzure),
}

/// The kinds of stores, by their words.
const KINDS: [&str; 8] =
    ["local", "kubernetes", "dynamodb", "secretsmanager", "ssm", "vault", "gcp", "azure"];

/// A map with names that the operator chooses.
#[derive(Debug)]
pub(super) struct RawMap<T>(pub(super) Vec<(String, Place, Option<T>)>);

/// Text or a number: what Kubernetes takes for amounts.
#[derive(Debug)]
pub(super) struct Amount(pub(super) String);

/// Text in a list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) at: Place,
    pub(super) text: String,
}

/// A map whose keys are known.
struct Section {
    at: Place,
    entries: Vec<Entry>,
}

impl Section {
    fn open(at: &Place, tree: Tree, known: &[&str], report: &mut Report) -> Option<Self> {
        let entries = entries(at, tree, report)?;
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let hint = match nearest(&entry.key, known) {
                Some(near) => format!("is not a field; did you mean {near}?"),
                None if known.is_empty() => "is not a field; nothing can be set here: write {}".to_owned(),
                None => format!("is not a field; known here: {}", known.join(", ")),
            };
            report.add(&at.child(&entry.key, entry.line), hint);
        }
        Some(Self { at: at.clone(), entries })
    }

    fn take<T: Raw>(&mut self, key: &str, report: &mut Report) -> Field<T> {
        match self.entries.iter().position(|entry| entry.key == key) {
            Some(at) => {
                let Entry { line, node, .. } = self.entries.swap_remove(at);
                let place = self.at.child(key, line);
                match node.tree {
                    Tree::Null => Field::Absent(place),
                    tree => T::read(place.clone(), tree, report)
                        .map_or(Field::Wrong, |value| Field::Given(place, value)),
                }
            }
            None => Field::Absent(self.at.child(key, self.at.line)),
        }
    }
}

/// The entries of a map, of each key the first.
fn entries(at: &Place, tree: Tree, report: &mut Report) -> Option<Vec<Entry>> {
    let entries = match tree {
        Tree::Map(entries) => entries,
        Tree::Null => Vec::new(),
        other => {
            report.add(at, format!("is {}, not a map", other.word()));
            return None;
        }
    };
    let mut first: Vec<Entry> = Vec::new();
    for entry in entries {
        match first.iter().find(|before| before.key == entry.key) {
            Some(before) => {
                let message = format!("is given twice, first in line {}; remove one", before.line);
                report.add(&at.child(&entry.key, entry.line), message);
            }
            None => first.push(entry),
        }
    }
    Some(first)
}

impl<T> Field<T> {
    /// What is there, with its place; else what takes its stead, at the place where it would be. `None` where it has been
    /// told already.
    pub(super) fn or(self, default: impl FnOnce() -> T) -> Option<(Place, T)> {
        match self {
            Self::Absent(place) => Some((place, default())),
            Self::Wrong => None,
            Self::Given(place, value) => Some((place, value)),
        }
    }

    /// What is there; it is told where it is not.
    pub(super) fn required(self, why: &str, report: &mut Report) -> Option<(Place, T)> {
        match self {
            Self::Absent(place) => {
                report.add(&place, format!("is missing: {why}"));
                None
            }
            Self::Wrong => None,
            Self::Given(place, value) => Some((place, value)),
        }
    }

    /// What is there, if anything is: `Some(None)` where it may be left out and is.
    pub(super) fn optional(self) -> Option<Option<(Place, T)>> {
        match self {
            Self::Absent(_) => Some(None),
            Self::Wrong => None,
            Self::Given(place, value) => Some(Some((place, value))),
        }
    }
}

impl Raw for Node {
    fn read(place: Place, tree: Tree, _report: &mut Report) -> Option<Self> {
        Some(Self { line: place.line, tree })
    }
}

impl Raw for RawStore {
    fn read(place: Place, tree: Tree, report: &mut Report) -> Option<Self> {
        let count = match &tree {
            Tree::Map(entries) => entries.len(),
            _ => 0,
        };
        let entries = entries(&place, tree, report)?;
        let Ok([Entry { key, line, node }]) = <[Entry; 1]>::try_from(entries) else {
            let kinds = KINDS.join(", ");
            report.add(
                &place,
                format!("has {count} kinds: a store has one of {kinds}, such as {{kubernetes: {{}}}}"),
            );
            return None;
        };
        let (at, tree) = (place.child(&key, line), node.tree);
        match key.as_str() {
            "local" => Section::open(&at, tree, &[], report).map(|_| Self::Local),
            "kubernetes" => Section::open(&at, tree, &[], report).map(|_| Self::Kubernetes),
            "dynamodb" => Raw::read(at, tree, report).map(Self::DynamoDb),
            "secretsmanager" => Raw::read(at, tree, report).map(Self::SecretsManager),
            "ssm" => Raw::read(at, tree, report).map(Self::Ssm),
            "vault" => RawVault::read(at, tree, report).map(Box::new).map(Self::Vault),
            "gcp" => Raw::read(at, tree, report).map(Self::Gcp),
            "azure" => Raw::read(at, tree, report).map(Self::Azure),
            other => {
                let hint = match nearest(other, &KINDS) {
                    Some(near) => format!("is not a kind of store; did you mean {near}?"),
                    None => format!("is not a kind of store; known here: {}", KINDS.join(", ")),
                };
                report.add(&at, hint);
                None
            }
        }
    }
}

impl Raw for String {
    fn read(place: Place, tree: Tree, report: &mut Report) -> Option<Self> {
        match tree {
            Tree::Text(text) => Some(text),
            Tree::Number(number) => {
                report.add(&place, format!("{number} is a number here: write it in quotes"));
                None
            }
            Tree::Bool => {
                report.add(&place, "is a boolean here: write it in quotes".to_owned());
                None
            }
            other => {
                report.add(&place, format!("is {}, not text", other.word()));
                None
            }
        }
    }
}

impl Raw for Amount {
    fn read(place: Place, tree: Tree, report: &mut Report) -> Option<Self> {
        match tree {
            Tree::Text(text) | Tree::Number(text) => Some(Self(text)),
            other => {
                report.add(&place, format!("is {}, not a number or text", other.word()));
                None
            }
        }
    }
}

impl Raw for Listed {
    fn read(place: Place, tree: Tree, report: &mut Report) -> Option<Self> {
        let text = String::read(place.clone(), tree, report)?;
        Some(Self { at: place, text })
    }
}

impl<T: Raw> Raw for RawMap<T> {
    fn read(place: Place, tree: Tree, report: &mut Report) -> Option<Self> {
        let entries = entries(&place, tree, report)?.into_iter();
        let read = entries.map(|Entry { key, line, node }| {
            let at = place.child(&key, line);
            let value = T::read(at.clone(), node.tree, report);
            (key, at, value)
        });
        Some(Self(read.collect()))
    }
}

impl<T: Raw> Raw for Vec<Option<T>> {
    fn read(place: Place, tree: Tree, report: &mut Report) -> Option<Self> {
        match tree {
            Tree::List(nodes) => {
                let nodes = nodes.into_iter().enumerate();
                let read = nodes.map(|(index, node)| {
                    T::read(place.child(&index.to_string(), node.line), node.tree, report)
                });
                Some(read.collect())
            }
            other => {
                report.add(&place, format!("is {}, not a list", other.word()));
                None
            }
        }
    }
}
