//! The operations of a plan. Leaf operations only: each adds something of ours, moves something of ours, or takes
//! away the one list that the API server fills again (`imagePullSecrets` of a changed account).

use std::fmt;

use json_patch::{AddOperation, MoveOperation, PatchOperation, RemoveOperation};
use jsonptr::PointerBuf;
use serde_json::Value;

/// One operation, and why it is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The JSON Patch operation (RFC 6902).
    pub operation: PatchOperation,
    /// What asked for it.
    pub reason: Reason,
}

/// What asked for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The note of what was done.
    Status,
    /// Secrets, resources or leases that our init container fetches.
    Fetch,
    /// `inject.D/refresh`.
    Refresh,
    /// `inject.D/init-position`.
    Position,
    /// `inject.D/service-account`.
    ServiceAccount,
    /// One secret, by name.
    Secret(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status => f.write_str("keystow's note of what it did"),
            Self::Fetch => f.write_str("what the init container fetches"),
            Self::Refresh => f.write_str("inject/refresh: what keeps the files current"),
            Self::Position => f.write_str("inject/init-position"),
            Self::ServiceAccount => f.write_str("inject/service-account"),
            Self::Secret(name) => write!(f, "secret/{name}"),
        }
    }
}

/// Collects the operations of one plan.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<Change>);

/// The two lists of containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContainerList {
    Containers,
    InitContainers,
}

impl ContainerList {
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::Containers => "containers",
            Self::InitContainers => "initContainers",
        }
    }
}

/// A list of the pod that gets elements appended: it is made with the first one where the pod has none.
#[derive(Debug)]
pub(super) struct Appender {
    list: PointerBuf,
    exists: bool,
}

impl Appender {
    pub(super) fn new(list: PointerBuf, exists: bool) -> Self {
        Self { list, exists }
    }

    pub(super) fn push(&mut self, changes: &mut Changes, value: Value, reason: Reason) {
        if self.exists {
            changes.add(self.list.with_trailing_token("-"), value, reason);
        } else {
            self.exists = true;
            changes.add(self.list.clone(), Value::Array(vec![value]), reason);
        }
    }
}

impl Changes {
    pub(super) fn add(&mut self, path: PointerBuf, value: Value, reason: Reason) {
        self.0.push(Change { operation: PatchOperation::Add(AddOperation { path, value }), reason });
    }

    pub(super) fn remove(&mut self, path: PointerBuf, reason: Reason) {
        self.0.push(Change { operation: PatchOperation::Remove(RemoveOperation { path }), reason });
    }

    pub(super) fn relocate(&mut self, from: PointerBuf, path: PointerBuf, reason: Reason) {
        self.0.push(Change { operation: PatchOperation::Move(MoveOperation { from, path }), reason });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_vec(self) -> Vec<Change> {
        self.0
    }
}

/// `/spec/FIELD`
pub(super) fn spec(field: &str) -> PointerBuf {
    PointerBuf::from_tokens(["spec", field])
}

/// `/spec/LIST/INDEX/FIELD`
pub(super) fn of_container(list: ContainerList, index: usize, field: &str) -> PointerBuf {
    PointerBuf::from_tokens(["spec", list.field(), &index.to_string(), field])
}
