//! The operations of a plan. Leaf operations only: each adds something of ours, moves something of ours, or takes
//! away the one list that the API server fills again (`imagePullSecrets` of a changed account).

use json_patch::{AddOperation, MoveOperation, PatchOperation, RemoveOperation};
use jsonptr::PointerBuf;

use super::parts::Json;

/// One operation, and why it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    path: String,
    action: Action,
    /// What asked for it.
    pub reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Add(Json),
    Remove,
    Move { from: String },
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
    /// The variable of one template, by its name.
    TemplateEnv(String),
}

impl Change {
    /// Where in the pod something changes (RFC 6901).
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether something is taken away.
    pub fn removes(&self) -> bool {
        self.action == Action::Remove
    }

    /// About as many bytes as its JSON has: all of them, where nothing in its path is escaped.
    fn size(&self) -> usize {
        let value = match &self.action {
            Action::Add(value) => value.as_str().len(),
            Action::Remove => 0,
            Action::Move { from } => from.len(),
        };
        self.path.len() + value + r#"{"op":"remove","from":"","path":""},"#.len()
    }

    /// The operation (RFC 6902).
    pub fn operation(&self) -> PatchOperation {
        // Paths are made of field names, indices and escaped keys.
        let pointer = |path: &str| PointerBuf::parse(path).unwrap_or_default();
        let path = pointer(&self.path);
        match &self.action {
            Action::Add(value) => PatchOperation::Add(AddOperation { path, value: value.to_value() }),
            Action::Remove => PatchOperation::Remove(RemoveOperation { path }),
            Action::Move { from } => PatchOperation::Move(MoveOperation { from: pointer(from), path }),
        }
    }
}

/// The operations as a JSON Patch document: what serialising each [`Change::operation`] gives, without making them.
pub fn to_json_patch(changes: &[Change]) -> String {
    let mut text = String::with_capacity(changes.iter().map(Change::size).sum::<usize>() + 2);
    text.push('[');
    for (index, change) in changes.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        let path = Json::of(&change.path);
        let path = path.as_str();
        match &change.action {
            Action::Add(value) => {
                text.extend(["{\"op\":\"add\",\"path\":", path, ",\"value\":", value.as_str(), "}"]);
            }
            Action::Remove => text.extend(["{\"op\":\"remove\",\"path\":", path, "}"]),
            Action::Move { from } => {
                let from = Json::of(from);
                text.extend(["{\"op\":\"move\",\"from\":", from.as_str(), ",\"path\":", path, "}"]);
            }
        }
    }
    text.push(']');
    text
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
    fn field(self) -> &'static str {
        match self {
            Self::Containers => "containers",
            Self::InitContainers => "initContainers",
        }
    }
}

/// A list of the pod that gets elements appended: it is made with the first one where the pod has none.
#[derive(Debug)]
pub(super) struct Appender {
    list: List,
    exists: bool,
}

/// Which list.
#[derive(Debug, Clone, Copy)]
pub(super) enum List {
    /// `/spec/volumes`
    Volumes,
    /// `/spec/LIST/INDEX/FIELD`
    OfContainer(ContainerList, usize, &'static str),
}

impl Appender {
    pub(super) fn new(list: List, exists: bool) -> Self {
        Self { list, exists }
    }

    pub(super) fn push(&mut self, changes: &mut Changes, part: &Json, reason: Reason) {
        let mut path = match self.list {
            List::Volumes => "/spec/volumes".to_owned(),
            List::OfContainer(list, index, field) => format!("/spec/{}/{index}/{field}", list.field()),
        };
        if self.exists {
            path.push_str("/-");
            changes.add(path, part.clone(), reason);
        } else {
            self.exists = true;
            changes.add(path, part.in_list(), reason);
        }
    }
}

impl Changes {
    pub(super) fn add(&mut self, path: String, value: Json, reason: Reason) {
        self.0.push(Change { path, action: Action::Add(value), reason });
    }

    pub(super) fn remove(&mut self, path: String, reason: Reason) {
        self.0.push(Change { path, action: Action::Remove, reason });
    }

    pub(super) fn relocate(&mut self, from: String, path: String, reason: Reason) {
        self.0.push(Change { path, action: Action::Move { from }, reason });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_vec(self) -> Vec<Change> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_written_as_their_operations() {
        let mut changes = Changes::default();
        changes.add("/metadata/annotations/a~1b".to_owned(), Json::of(&"x\"y"), Reason::Status);
        changes.remove("/spec/imagePullSecrets".to_owned(), Reason::ServiceAccount);
        changes.relocate(
            "/spec/initContainers/1".to_owned(),
            "/spec/initContainers/0".to_owned(),
            Reason::Position,
        );
        Appender::new(List::Volumes, false).push(&mut changes, &Json::of(&[1, 2]), Reason::Fetch);
        let changes = changes.into_vec();
        let operations: Vec<_> = changes.iter().map(Change::operation).collect();
        let written: serde_json::Value = serde_json::from_str(&to_json_patch(&changes)).unwrap();
        assert_eq!(written, serde_json::to_value(operations).unwrap());
    }
}
