//! Manifests: YAML or JSON documents in, injected YAML out, by the same plan that the webhook makes.
//!
//! Documents that hold no pod, and pods that ask for nothing, are handed on byte for byte. In an injected document
//! data and order are kept; comments are not, since YAML libraries do not keep them.

use std::fmt;

use json_patch::PatchOperation;
use serde_json::Value;

use super::changes::Change;
use super::plan::{Denial, Plan, Verdict, plan};
use super::pod::{Pod, UnreadablePod};
use super::settings::Settings;
use crate::domain::Warning;
use crate::workload::{self, Workload};
use crate::yaml::{self, Duplicates};

/// One document of a manifest, after planning. `Debug` leaves out what its author wrote.
pub struct Document<'m> {
    /// The document as it was, without its `---`.
    pub source: &'m str,
    /// What was injected; empty where nothing was.
    pub injected: Vec<Injected>,
    /// The document as it is now, where something was injected.
    pub result: Option<Value>,
}

/// What was injected into one object. `Debug` leaves the object out.
pub struct Injected {
    /// `Deployment demo/user-rpc`.
    pub object: String,
    /// The object before.
    pub before: Value,
    /// The object after.
    pub after: Value,
    /// What was changed, with paths below the pod or the pod template.
    pub changes: Vec<Change>,
    /// What is odd.
    pub warnings: Vec<Warning>,
}

impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("injected", &self.injected).finish_non_exhaustive()
    }
}

impl fmt::Debug for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Injected")
            .field("object", &self.object)
            .field("changes", &self.changes)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// Why a manifest cannot be injected.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A document is neither YAML nor JSON.
    #[error("document {number} (line {line}) is not YAML: {reason}")]
    Syntax {
        /// Counted from 1.
        number: usize,
        /// The document's first line, counted from 1.
        line: usize,
        /// The parser's words.
        reason: String,
    },
    /// An object looks like a workload but has no pod where there should be one.
    #[error("{object}: {source}")]
    Unreadable {
        /// `Deployment demo/user-rpc`.
        object: String,
        /// The reader's words.
        source: UnreadablePod,
    },
    /// An object is refused, as the webhook would refuse its pods.
    #[error("{object}: {denial}")]
    Denied {
        /// `Deployment demo/user-rpc`.
        object: String,
        /// Every reason.
        denial: Denial,
    },
    /// A plan that does not fit the object that it was made for.
    #[error("{object}: the plan does not apply: {source}; please report this")]
    Patch {
        /// `Deployment demo/user-rpc`.
        object: String,
        /// The patch library's words.
        source: json_patch::PatchError,
    },
}

/// Plans every document of `text`. `namespace` is that of objects which name none. All errors are found, not the
/// first alone.
pub fn inject<'m>(
    text: &'m str,
    namespace: &str,
    settings: &Settings,
) -> Result<Vec<Document<'m>>, Vec<ManifestError>> {
    let mut errors = Vec::new();
    let mut documents = Vec::new();
    for (number, yaml::Document { line, text: source }) in yaml::documents(text).into_iter().enumerate() {
        let value = match workload::parse(source, Duplicates::Refused) {
            Ok(value) => value,
            Err(reason) => {
                errors.push(ManifestError::Syntax { number: number + 1, line, reason });
                continue;
            }
        };
        let mut result = value;
        let mut injected = Vec::new();
        inject_object(&mut result, namespace, settings, &mut injected, &mut errors);
        let changed = injected.iter().any(|object: &Injected| !object.changes.is_empty());
        documents.push(Document { source, injected, result: changed.then_some(result) });
    }
    if errors.is_empty() { Ok(documents) } else { Err(errors) }
}

/// The text of all documents: those that were injected anew, the others as they were.
pub fn render(documents: &[Document<'_>]) -> Result<String, String> {
    let mut text = String::new();
    for document in documents {
        if !text.is_empty() {
            text.push_str("---\n");
        }
        match &document.result {
            Some(value) => text.push_str(&yaml::to_yaml(value)?),
            None => text.push_str(document.source),
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
    }
    Ok(text)
}

fn inject_object(
    object: &mut Value,
    namespace: &str,
    settings: &Settings,
    injected: &mut Vec<Injected>,
    errors: &mut Vec<ManifestError>,
) {
    if let Some(items) = workload::items_mut(object) {
        for item in items {
            inject_object(item, namespace, settings, injected, errors);
        }
        return;
    }
    let Some(workload) = Workload::of(object, namespace) else { return };
    let (title, pointer) = (workload.to_string(), workload.pod_at);
    if workload.has_template() && asks_for_something(object, settings) {
        // Nobody means that: an object's own annotations do not reach its pods.
        let message = workload.misplaced_annotations();
        let warnings = vec![Warning::new(&title, &message)];
        injected.push(Injected {
            object: title.clone(),
            before: Value::Null,
            after: Value::Null,
            changes: Vec::new(),
            warnings,
        });
    }
    let before = object.clone();
    let Some(pod) = object.pointer_mut(pointer) else { return };
    match inject_pod(pod, &workload.namespace, settings, &title) {
        Ok(Some(Plan { changes, warnings, .. })) => {
            injected.push(Injected { object: title, before, after: object.clone(), changes, warnings });
        }
        Ok(None) => {}
        Err(error) => errors.push(error),
    }
}

fn asks_for_something(object: &Value, settings: &Settings) -> bool {
    let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
    annotations
        .is_some_and(|annotations| annotations.keys().any(|key| settings.domain.classify(key).is_some()))
}

fn inject_pod(
    pod: &mut Value,
    namespace: &str,
    settings: &Settings,
    title: &str,
) -> Result<Option<Plan>, ManifestError> {
    let json = pod.to_string();
    let view = Pod::from_json(json.as_bytes())
        .map_err(|source| ManifestError::Unreadable { object: title.to_owned(), source })?;
    match plan(&view, namespace, settings) {
        Ok(Verdict::Skip(_)) => Ok(None),
        Ok(Verdict::Inject(plan)) => {
            let operations: Vec<PatchOperation> = plan.changes.iter().map(Change::operation).collect();
            json_patch::patch(pod, &operations)
                .map_err(|source| ManifestError::Patch { object: title.to_owned(), source })?;
            Ok(Some(plan))
        }
        Err(denial) => Err(ManifestError::Denied { object: title.to_owned(), denial }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_in_the_wrong_place_or_form_are_told() {
        let settings = crate::config::read("").unwrap().offline();
        let misplaced = "kind: Deployment\nmetadata: {name: d, annotations: {secret.bsycorp.com/x: y}}\nspec: {template: {}}";
        let documents = inject(misplaced, "demo", &settings).unwrap();
        assert!(documents[0].result.is_none());
        assert!(documents[0].injected[0].warnings[0].as_str().contains("below /spec/template/metadata"));
        let boolean = "kind: Pod\nmetadata: {annotations: {inject.bsycorp.com/enabled: false}}";
        let errors = inject(boolean, "demo", &settings).unwrap_err();
        assert!(
            errors[0]
                .to_string()
                .contains("annotation inject.bsycorp.com/enabled is not a string; put its value in quotes")
        );
    }
}
