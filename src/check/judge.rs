//! What all rules share: the subjects that they look at, and how they report.

use serde_json::Value;

use super::Options;
use super::code::Code;
use super::finding::{Finding, Place, Severity};
use super::world::{Answers, Located, SecretObject, World};
use crate::inject::Settings;
use crate::workload::{Asking, UnreadableRequests, Workload};

/// An object that makes pods, with what it asks for.
pub(super) struct Subject<'w> {
    pub(super) located: &'w Located<Value>,
    pub(super) workload: Workload,
    pub(super) pod: &'w Value,
    pub(super) asking: Result<Option<Asking<'w>>, UnreadableRequests>,
}

/// The judge of one world.
pub(super) struct Judge<'w> {
    pub(super) world: &'w World,
    pub(super) answers: &'w Answers,
    pub(super) settings: &'w Settings,
    pub(super) options: &'w Options,
    pub(super) subjects: Vec<Subject<'w>>,
    pub(super) findings: Vec<Finding>,
}

pub(super) fn subjects<'w>(world: &'w World, settings: &'w Settings) -> Vec<Subject<'w>> {
    let subject = |located: &'w Located<Value>| {
        let workload = Workload::of(&located.object, &world.namespace)?;
        let pod = located.object.pointer(workload.pod_at)?;
        let asking = Asking::read(&workload, &located.object, settings);
        Some(Subject { located, workload, pod, asking })
    };
    world.workloads.iter().filter_map(subject).collect()
}

impl<'w> Subject<'w> {
    /// What it asks for, where that can be understood.
    pub(super) fn asked(&self) -> Option<&Asking<'w>> {
        self.asking.as_ref().ok()?.as_ref()
    }

    /// Whether it asks for something, perhaps in words that nobody understands.
    pub(super) fn is_asking(&self) -> bool {
        !matches!(self.asking, Ok(None))
    }

    /// The place of something below the pod.
    pub(super) fn at(&self, pointer: &str) -> Place {
        self.located.at(&format!("{}{pointer}", self.workload.pod_at))
    }

    /// The place of an annotation of the pod.
    pub(super) fn annotation(&self, key: &str) -> Place {
        self.at(&format!("/metadata/annotations/{}", key.replace('~', "~0").replace('/', "~1")))
    }

    /// The place of the annotation that a message begins with.
    pub(super) fn annotation_of(&self, message: &str) -> Place {
        let annotations = self.pod.pointer("/metadata/annotations").and_then(Value::as_object);
        let mut keys = annotations.into_iter().flatten().map(|(key, _)| key);
        let bare = message.strip_prefix("annotation ").unwrap_or(message);
        let key =
            keys.find(|key| bare.strip_prefix(key.as_str()).is_some_and(|rest| rest.starts_with([':', ' '])));
        key.map_or_else(|| self.at("/metadata/annotations"), |key| self.annotation(key))
    }

    /// The account that its pods run as.
    pub(super) fn account(&self) -> &str {
        match self.asked() {
            Some(asking) => &asking.account,
            None => ["serviceAccountName", "serviceAccount"]
                .iter()
                .find_map(|field| self.pod.get("spec")?.get(field)?.as_str())
                .filter(|name| !name.is_empty())
                .unwrap_or("default"),
        }
    }
}

impl<'w> Judge<'w> {
    pub(super) fn report(
        &mut self,
        code: Code,
        place: Place,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.report_as(code.severity(), code, place, message, advice);
    }

    pub(super) fn report_as(
        &mut self,
        severity: Severity,
        code: Code,
        place: Place,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.findings.push(Finding { place, code, severity, message: message.into(), advice: advice.into() });
    }

    /// A Secret that was seen.
    pub(super) fn secret(&self, namespace: &str, name: &str) -> Option<&'w Located<SecretObject>> {
        let secrets = self.world.secrets.yes()?;
        secrets.iter().find(|secret| secret.object.namespace == namespace && secret.object.name == name)
    }

    /// Runs a rule for each subject.
    pub(super) fn for_each(&mut self, rule: impl Fn(&mut Self, &Subject<'w>)) {
        let subjects = std::mem::take(&mut self.subjects);
        for subject in &subjects {
            rule(self, subject);
        }
        self.subjects = subjects;
    }
}

/// The text at a pointer; empty where there is none.
pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The list at a pointer; empty where there is none.
pub(super) fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `KIND NAMESPACE/NAME` of an object that a list has, which does not say its own kind.
pub(super) fn title(kind: &str, object: &Value) -> String {
    let [namespace, name, generated] =
        ["/metadata/namespace", "/metadata/name", "/metadata/generateName"].map(|at| text(object, at));
    let name = if name.is_empty() { generated } else { name };
    if namespace.is_empty() { format!("{kind} {name}") } else { format!("{kind} {namespace}/{name}") }
}

/// The condition of this type.
pub(super) fn condition<'v>(object: &'v Value, kind: &str) -> Option<&'v Value> {
    list(object, "/status/conditions").iter().find(|condition| text(condition, "/type") == kind)
}
