//! What pods ask for, as types that cannot be wrong.
//!
//! ```text
//! annotations ─▶ annotation (whose is this key?) ─▶ parameters (k=v,k=v) ─▶ secret | resource | lease | options
//!             ─▶ request (cross-checks) ─▶ Requests, warnings   or   every problem at once
//! ```
//!
//! Every program of keystow reads annotations through [`Grammar::parse`] and through nothing else, so what is
//! admitted is what is understood. Deliberately absent: Kubernetes clients, JSON, files, clocks, randomness,
//! the environment.

mod annotation;
mod duration;
mod generation;
mod hex;
mod image;
mod layout;
mod lease;
mod name;
mod options;
mod parameters;
mod path;
mod problem;
mod quantity;
pub mod reference;
mod request;
mod resource;
mod rotation;
mod secret;
mod suggest;
mod token_request;
mod value;

pub use annotation::{AnnotationDomain, Family, InvalidDomain};
pub use duration::{InvalidDuration, parse_duration};
pub use generation::{Generation, Part, Recipe, Unplaced};
pub use hex::hex;
pub use image::ImageReference;
pub use layout::Layout;
pub use lease::{LeaseClaim, LeaseHolder, LeaseRecord, LeaseRequest, LeaseSeries};
pub use name::{
    ContainerName, EnvName, FileMode, InvalidText, MountPath, RequestName, SecretKey, SecretName,
    ServiceAccountName, StoreName, is_dns_subdomain,
};
pub use options::{
    Encoding, Format, Formats, InitPosition, Injection, LocalMode, SHORTEST_REFRESH, Storage, Template,
    TemplateEnv,
};
pub use parameters::LOCAL_MODE_VALUE;
pub use path::{StorageKey, StoragePath, StoragePrefix};
pub use problem::{Fault, Found, Problem, Rejection, Warning};
pub use quantity::{InvalidQuantity, Quantity};
pub use request::{Grammar, Parsed, Requests};
pub use resource::ResourceRequest;
pub use rotation::{Agreement, Rotation};
pub use secret::{
    ApiKeyParty, Delivery, Generated, GpgPart, KeyHalf, KubernetesSecret, KubernetesTarget, Modulus,
    NamedCurve, Origin, SecretKind, SecretRequest, SecretType, StoredSecret,
};
pub use suggest::nearest;
pub use token_request::TokenRequest;
pub use value::{LocalValue, SecretValue};
