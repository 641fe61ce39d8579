//! Events beside objects, as `kubectl describe` shows them.
//!
//! Invariant: the name is the caller's and follows from what the Event says, so there is one of it, whichever leader writes
//! it, for as long as the API server keeps it (an hour, unless configured otherwise).

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::ObjectMeta;

use crate::cluster::{LONGEST_NOTE, REPORTER};

/// The object that an Event is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Regarding<'a> {
    pub(super) api_version: &'a str,
    pub(super) kind: &'a str,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) uid: &'a str,
}

impl<'a> Regarding<'a> {
    /// A pod.
    pub(super) fn pod(namespace: &'a str, name: &'a str, uid: &'a str) -> Self {
        Self { api_version: "v1", kind: "Pod", namespace, name, uid }
    }
}

/// What an Event says.
#[derive(Debug, Clone)]
pub(super) struct Said {
    /// `Normal` or `Warning`.
    pub(super) type_: &'static str,
    /// In CamelCase.
    pub(super) reason: &'static str,
    /// In CamelCase.
    pub(super) action: &'static str,
    /// Sentences. What is longer than the API takes is cut.
    pub(super) note: String,
}

/// The Event of this name about an object, by this replica.
pub(super) fn about(object: Regarding<'_>, name: String, said: Said, replica: &str, now: MicroTime) -> Event {
    let Said { type_, reason, action, mut note } = said;
    note.truncate(note.floor_char_boundary(LONGEST_NOTE));
    let namespace = Some(object.namespace.to_owned());
    Event {
        metadata: ObjectMeta { name: Some(name), namespace: namespace.clone(), ..ObjectMeta::default() },
        type_: Some(type_.to_owned()),
        reason: Some(reason.to_owned()),
        action: Some(action.to_owned()),
        note: Some(note),
        regarding: Some(ObjectReference {
            api_version: Some(object.api_version.to_owned()),
            kind: Some(object.kind.to_owned()),
            name: Some(object.name.to_owned()),
            namespace,
            uid: Some(object.uid.to_owned()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(REPORTER.to_owned()),
        reporting_instance: Some(replica.to_owned()),
        event_time: Some(now),
        ..Event::default()
    }
}
