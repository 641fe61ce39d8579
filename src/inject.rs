//! From a pod and its requests to the patch that serves them. Pure: no clock, no randomness, no I/O.
//!
//! ```text
//! pod (borrowed view) ─▶ plan (what must be there, what is in the way) ─▶ changes (leaf operations, each with its reason)
//! ```
//!
//! Invariants, each held by a property test: the patch applies; planning again on its result yields nothing;
//! taking our parts away again gives the original; no operation touches a field that is not ours.
//!
//! Deliberately absent: any user object in typed form. Kubernetes types drop fields that they do not know, so
//! what is not ours is looked at through borrowed views and never written again.

mod changes;
mod checks;
mod containers;
mod fetcher;
pub mod manifest;
mod parts;
mod permission;
mod plan;
mod pod;
mod references;
mod settings;
mod status;
mod templates;
mod views;

pub use changes::{Change, Reason, to_json_patch};
pub use fetcher::KEES_INIT_CONTAINER;
pub use permission::Refusal;
pub use plan::{Denial, DenialKind, Plan, Skipped, Verdict, plan};
pub use pod::{MIRROR_ANNOTATION, Pod, UnreadablePod};
pub use settings::{
    Fetching, KubernetesVersion, LocalModeRule, NamePattern, PrefixRule, Settings, Stores, Volume,
};
