//! What people are told beside their objects: what became of the keys of a Secret and why they do not turn over; what was
//! restarted, and why.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;

use super::turn::Change;
use crate::cluster::{ApiError, Cluster, REPORTER};
use crate::controller::event::{Regarding, Said, about};
use crate::telemetry::chain;

/// How long one may take.
const WITHIN: Duration = Duration::from_secs(5);

/// What is said of a change.
pub(super) fn said(change: &Change) -> Said {
    let reason = match change {
        Change::Adopted => "KeysAdopted",
        Change::Published { .. } => "KeyPublished",
        Change::Signs { .. } => "KeySigns",
        Change::Retired { .. } => "KeyRetired",
        Change::Revoked { .. } => "KeyRevoked",
    };
    Said { type_: "Normal", reason, action: "RotateKeys", note: change.to_string() }
}

/// What is said of a consumer that was told that these Secrets changed.
pub(super) fn told(changed: &[String]) -> Said {
    let note =
        format!("restarted, since it reads its environment from {}, which changed", changed.join(", "));
    Said { type_: "Normal", reason: "SecretChanged", action: "RestartPods", note }
}

/// What is said where nothing could be done.
pub(super) fn failed(reason: &str) -> Said {
    let note = format!("the keys of this Secret do not turn over: {reason}");
    Said { type_: "Warning", reason: "RotationFailed", action: "RotateKeys", note }
}

/// Writes an Event beside an object: one for what it says and `what` it is about, whoever writes it. It is in the log too, so
/// one that cannot be written is no failure.
pub(super) async fn tell(cluster: &Cluster, regarding: Regarding<'_>, said: Said, what: &str) {
    let Regarding { kind, namespace, name, uid, .. } = regarding;
    let mut hasher = DefaultHasher::new();
    (said.reason, &said.note, what).hash(&mut hasher);
    let event_name = format!("keystow-{uid}-{:016x}", hasher.finish());
    let event = about(regarding, event_name, said, cluster.replica(), MicroTime(Timestamp::now()));
    let events: Api<Event> = Api::namespaced(cluster.client().clone(), namespace);
    let parameters = PostParams { field_manager: Some(REPORTER.to_owned()), ..PostParams::default() };
    let reason = match tokio::time::timeout(WITHIN, events.create(&parameters, &event)).await {
        Ok(Ok(_)) => return,
        Ok(Err(error)) => match ApiError::from(error) {
            // It says so already.
            error if error.is_conflict() => return,
            error => chain(&error),
        },
        Err(_) => "the API server did not answer in time".to_owned(),
    };
    tracing::warn!(kind, namespace, name, reason, "an Event could not be written");
}
