//! `secret.D/NAME`: what one secret is, where it comes from and how it is delivered.
//!
//! The types allow only what can be served: a generated RSA secret *is* one half of a pair, a Kubernetes secret
//! has exactly one target. Sizes are in bits, as kees has them.

mod kubernetes;
mod stored;

pub(super) use stored::{read_local_value, read_recipe};

use super::name::{ContainerName, EnvName, FileMode, MountPath, RequestName, SecretKey, SecretName};
use super::parameters::{Findings, Parameters};
use super::path::StorageKey;
use super::problem::{Fault, Found};
use super::value::LocalValue;

/// One `secret.D/NAME` annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRequest {
    /// What follows the `/`.
    pub name: RequestName,
    /// The containers that receive it; `None` for all that the pod chose.
    pub containers: Option<Vec<ContainerName>>,
    /// Where it comes from and how it gets into the pod.
    pub delivery: Delivery,
}

/// How a secret gets into the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// By keystow's init container, from a store.
    Stored(StoredSecret),
    /// By the kubelet, from a Secret object; no init container.
    Kubernetes(KubernetesSecret),
}

/// The values of the `kind` parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// Generated once by the creator.
    Dynamic,
    /// Put into the store by somebody else.
    Reference,
    /// A Secret object of the pod's namespace.
    Kubernetes,
}

/// The values of the `type` parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretType {
    /// An RSA key pair.
    Rsa,
    /// An OpenPGP key pair and its password.
    Gpg,
    /// Random bytes.
    Random,
    /// A base62 password.
    Password,
    /// An ECDSA key pair.
    Ec,
    /// An Ed25519 key pair.
    Ed25519,
}

/// A secret that the init container fetches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSecret {
    /// Who makes the value.
    pub origin: Origin,
    /// The key in the store where it is not the request's name.
    pub storage_key: Option<StorageKey>,
    /// The value in local mode.
    pub local_value: Option<LocalValue>,
    /// The environment variable that also gets the value.
    pub env: Option<EnvName>,
    /// The mode of the secret's own file.
    pub mode: Option<FileMode>,
}

/// Who makes the value of a stored secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The creator, once.
    Dynamic(Generated),
    /// Somebody else.
    Reference {
        /// What the value is.
        kind: SecretType,
        /// Its size in bits, used in local mode only.
        size: Option<u16>,
    },
}

/// What the creator generates: the part of it that this request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Generated {
    /// A half of an RSA key pair.
    Rsa {
        /// The modulus.
        size: Modulus,
        /// Which half.
        half: KeyHalf,
    },
    /// A part of an OpenPGP key.
    Gpg {
        /// The modulus.
        size: Modulus,
        /// `user<email>`.
        user_id: String,
        /// Which part.
        part: GpgPart,
    },
    /// A half of an ECDSA key pair.
    Ec {
        /// The curve.
        curve: NamedCurve,
        /// Which half.
        half: KeyHalf,
    },
    /// A half of an Ed25519 key pair.
    Ed25519 {
        /// Which half.
        half: KeyHalf,
    },
    /// `size / 8` random bytes.
    Random {
        /// Bits, 1 to 8192.
        size: u16,
    },
    /// Random bytes that two parties share under two names (kees' `api-key…`).
    ApiKey {
        /// Bits, 1 to 8192.
        size: u16,
        /// Which party's copy.
        party: ApiKeyParty,
    },
    /// A password of `size / 8` characters.
    Password {
        /// Bits, 1 to 8192.
        size: u16,
    },
}

/// RSA modulus sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Modulus {
    /// 2048 bits.
    Bits2048,
    /// 3072 bits.
    Bits3072,
    /// 4096 bits.
    Bits4096,
}

/// NIST curves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NamedCurve {
    /// P-256.
    P256,
    /// P-384.
    P384,
}

/// The halves of a key pair, named by the request's field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyHalf {
    /// `NAME_public`.
    Public,
    /// `NAME_private`.
    Private,
}

/// The parts of an OpenPGP key, named by the request's field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GpgPart {
    /// `NAME_public`.
    Public,
    /// `NAME_private`.
    Private,
    /// `NAME_password`.
    Password,
}

/// The two names of an API key, given by the request's field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApiKeyParty {
    /// `NAME_consumer`.
    Consumer,
    /// `NAME_provider`.
    Provider,
}

/// A reference to a Secret object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesSecret {
    /// The Secret's name, in the pod's namespace.
    pub secret: SecretName,
    /// Whether the pod may start without it.
    pub optional: bool,
    /// Where it goes.
    pub target: KubernetesTarget,
}

/// Where a Secret object goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KubernetesTarget {
    /// One key into one environment variable (`env[].valueFrom.secretKeyRef`).
    Env {
        /// The key of the Secret.
        key: SecretKey,
        /// The variable.
        env: EnvName,
    },
    /// All keys into the environment (`envFrom[].secretRef`).
    EnvFrom {
        /// What is put before each key.
        prefix: Option<EnvName>,
    },
    /// Files in a directory (a `secret` volume).
    Path {
        /// The directory.
        path: MountPath,
        /// The only key to show; all without it.
        key: Option<SecretKey>,
        /// The files' mode.
        mode: FileMode,
    },
}

impl SecretType {
    const ALLOWED: &str = "RSA, GPG, RANDOM, PASSWORD, EC, ED25519";

    pub(super) fn read(text: &str) -> Option<Self> {
        Some(match text {
            "RSA" => Self::Rsa,
            "GPG" => Self::Gpg,
            "RANDOM" => Self::Random,
            "PASSWORD" => Self::Password,
            "EC" => Self::Ec,
            "ED25519" => Self::Ed25519,
            _ => return None,
        })
    }

    /// The word of the `type` parameter.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::Gpg => "GPG",
            Self::Random => "RANDOM",
            Self::Password => "PASSWORD",
            Self::Ec => "EC",
            Self::Ed25519 => "ED25519",
        }
    }

    /// The fields under which the parts of a generated value are stored; empty where it is one value.
    pub fn parts(self) -> &'static [&'static str] {
        match self {
            Self::Rsa | Self::Ec | Self::Ed25519 => &["public", "private"],
            Self::Gpg => &["public", "private", "password"],
            Self::Random | Self::Password => &[],
        }
    }

    /// Whether a name with this field stands for one of the parts, or there are none.
    pub(super) fn has_part(self, field: Option<&str>) -> bool {
        let parts = self.parts();
        parts.is_empty() || field.is_some_and(|field| parts.contains(&field))
    }
}

impl Generated {
    /// The type it is generated as.
    pub fn kind(&self) -> SecretType {
        match self {
            Self::Rsa { .. } => SecretType::Rsa,
            Self::Gpg { .. } => SecretType::Gpg,
            Self::Ec { .. } => SecretType::Ec,
            Self::Ed25519 { .. } => SecretType::Ed25519,
            Self::Random { .. } | Self::ApiKey { .. } => SecretType::Random,
            Self::Password { .. } => SecretType::Password,
        }
    }

    /// The size in bits.
    pub fn bits(&self) -> u16 {
        match self {
            Self::Rsa { size, .. } | Self::Gpg { size, .. } => size.bits(),
            Self::Ec { curve: NamedCurve::P256, .. } | Self::Ed25519 { .. } => 256,
            Self::Ec { curve: NamedCurve::P384, .. } => 384,
            Self::Random { size } | Self::ApiKey { size, .. } | Self::Password { size } => *size,
        }
    }

    /// Whether two requests for one place in the store mean one value: same type and size, and neither is a
    /// part of something with parts. The two names of an API key are one value.
    pub(super) fn is_one_value_with(&self, other: &Self) -> bool {
        self.kind().parts().is_empty() && self.agrees_with(other)
    }

    /// Whether two requests of one bare name can be parts of one generation.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        let user = |generated: &Self| match generated {
            Self::Gpg { user_id, .. } => Some(user_id.clone()),
            _ => None,
        };
        self.kind() == other.kind() && self.bits() == other.bits() && user(self) == user(other)
    }
}

impl Modulus {
    /// The size in bits.
    pub fn bits(self) -> u16 {
        match self {
            Self::Bits2048 => 2048,
            Self::Bits3072 => 3072,
            Self::Bits4096 => 4096,
        }
    }
}

impl Origin {
    /// What the value is.
    pub fn kind(&self) -> SecretType {
        match self {
            Self::Dynamic(generated) => generated.kind(),
            Self::Reference { kind, .. } => *kind,
        }
    }
}

impl SecretRequest {
    /// The secret's parameters where the init container delivers it.
    pub fn stored(&self) -> Option<&StoredSecret> {
        match &self.delivery {
            Delivery::Stored(stored) => Some(stored),
            Delivery::Kubernetes(_) => None,
        }
    }

    /// The environment variable that it sets.
    pub fn env(&self) -> Option<&EnvName> {
        match &self.delivery {
            Delivery::Stored(stored) => stored.env.as_ref(),
            Delivery::Kubernetes(KubernetesSecret { target: KubernetesTarget::Env { env, .. }, .. }) => {
                Some(env)
            }
            Delivery::Kubernetes(_) => None,
        }
    }

    /// Reads one annotation; what is wrong goes to `findings`.
    pub(super) fn read(
        name: RequestName,
        annotation: &str,
        value: &str,
        findings: &mut Findings,
    ) -> Option<Self> {
        let mut parameters = Parameters::split(annotation, value, findings);
        let kind = read_kind(&mut parameters);
        let containers = parameters.take("containers").map(|list| read_containers(list, &mut parameters));
        let delivery = match kind? {
            SecretKind::Kubernetes => KubernetesSecret::read(parameters).map(Delivery::Kubernetes),
            kind => StoredSecret::read(kind == SecretKind::Dynamic, &name, parameters).map(Delivery::Stored),
        };
        Some(Self { name, containers, delivery: delivery? })
    }
}

fn read_kind(parameters: &mut Parameters<'_, '_>) -> Option<SecretKind> {
    const ALLOWED: &str = "DYNAMIC, REFERENCE, KUBERNETES";
    let found = parameters.require("kind", "one of DYNAMIC, REFERENCE, KUBERNETES")?;
    parameters.check_one_of("kind", found, ALLOWED, |text| match text {
        "DYNAMIC" => Some(SecretKind::Dynamic),
        "REFERENCE" => Some(SecretKind::Reference),
        "KUBERNETES" => Some(SecretKind::Kubernetes),
        _ => None,
    })
}

/// `a|b`: names separated by `|`.
fn read_containers(list: &str, parameters: &mut Parameters<'_, '_>) -> Vec<ContainerName> {
    let mut names = Vec::new();
    for name in list.split('|').map(str::trim) {
        match ContainerName::new(name) {
            Ok(name) => names.push(name),
            Err(rule) => {
                let rule = format!("names `{}`, which {rule}", Found::new(name));
                let found = Found::new(list);
                parameters.problem(Fault::Invalid { parameter: "containers", found, rule });
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}
