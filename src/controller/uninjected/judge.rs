//! Whether a pod was missed, by its metadata alone: the order and the answers of [`crate::inject::plan`], as far as they
//! do not depend on what the pod consists of.
//!
//! A pod that asks for something and does not bear the webhook's note was missed. None of those: copies of static pods,
//! pods that opted out, pods whose annotations ask for nothing, pods that were prepared for kees, and pods on their way
//! out. Pods that ended are not seen at all ([`super`] does not watch them).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::domain::{AnnotationDomain, Grammar, Layout, Parsed};
use crate::inject::{KEES_INIT_CONTAINER, MIRROR_ANNOTATION};

/// Reads the annotations of pods as the webhook does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judge {
    /// The domain of the keys.
    pub domain: AnnotationDomain,
    /// Decides on which file names are taken.
    pub layout: Layout,
}

/// What is known of a pod that was missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missed {
    /// The webhook would have refused it for its annotations.
    pub(super) is_refused: bool,
}

impl Judge {
    /// Nothing where the pod was not missed, or is none of our business.
    pub(super) fn judge(&self, pod: &ObjectMeta) -> Option<Missed> {
        let annotations = pod.annotations.as_ref()?;
        if pod.deletion_timestamp.is_some()
            || annotations.contains_key(MIRROR_ANNOTATION)
            || annotations.contains_key(&self.domain.status_key())
        {
            return None;
        }
        let grammar = Grammar { domain: &self.domain, taken_files: self.layout.taken_files() };
        let is_refused = match grammar.parse(annotations.iter().map(|(k, v)| (k.as_str(), v.as_str()))) {
            Ok(Parsed::OptedOut) => return None,
            Ok(Parsed::Requests(requests, _)) if requests.is_empty() => return None,
            Ok(Parsed::Requests(..)) => false,
            Err(_) => true,
        };
        (!is_prepared_for_kees(pod)).then_some(Missed { is_refused })
    }
}

/// Whether somebody wrote kees' init container into the pod. Its containers are not in its metadata, but who wrote them
/// is.
fn is_prepared_for_kees(pod: &ObjectMeta) -> bool {
    let container = format!("k:{{\"name\":\"{KEES_INIT_CONTAINER}\"}}");
    let mut fields = pod.managed_fields.iter().flatten().filter_map(|manager| manager.fields_v1.as_ref());
    fields.any(|fields| fields.0["f:spec"]["f:initContainers"].get(&container).is_some())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::option;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::Family;

    fn judge() -> Judge {
        Judge { domain: AnnotationDomain::default(), layout: Layout::default() }
    }

    fn judged(metadata: &Value) -> Option<bool> {
        let metadata: ObjectMeta = serde_json::from_value(metadata.clone()).unwrap();
        judge().judge(&metadata).map(|missed| missed.is_refused)
    }

    fn annotated(annotations: &Value) -> Option<bool> {
        judged(&json!({"name": "x", "annotations": annotations}))
    }

    const ASKS: (&str, &str) = ("secret.bsycorp.com/db", "kind=REFERENCE,type=PASSWORD");

    #[test]
    fn a_pod_that_asks_and_has_no_note_was_missed() {
        assert_eq!(annotated(&json!({(ASKS.0): ASKS.1})), Some(false));
        assert_eq!(annotated(&json!({"inject.bsycorp.com/service-account": "reader"})), Some(false));
        assert_eq!(annotated(&json!({"secret.bsycorp.com/db": "kind=NONSENSE"})), Some(true));
    }

    #[test]
    fn what_the_webhook_would_leave_alone_was_not_missed() {
        let with = |key: &str, value: &str| json!({(ASKS.0): ASKS.1, (key): value});
        for other in [
            json!({}),
            json!({"example.com/db": "kind=REFERENCE"}),
            json!({"secret.bsycorp.com.evil/db": "kind=REFERENCE,type=PASSWORD"}),
            json!({"inject.bsycorp.com/enabled": "true"}),
            with("inject.bsycorp.com/enabled", "false"),
            with("kubernetes.io/config.mirror", "00"),
            with("inject.bsycorp.com/status", "{}"),
        ] {
            assert_eq!(annotated(&other), None, "{other}");
        }
        assert_eq!(judged(&json!({"name": "x"})), None);
        let going = json!({"annotations": {(ASKS.0): ASKS.1}, "deletionTimestamp": "2026-01-01T00:00:00Z"});
        assert_eq!(judged(&going), None);
    }

    #[test]
    fn a_pod_that_was_prepared_for_kees_was_not_missed() {
        let of = |container: &str| {
            let fields =
                json!({"f:spec": {"f:initContainers": {(format!(r#"k:{{"name":"{container}"}}"#)): {}}}});
            let managers =
                json!([{"manager": "kubelet", "fieldsV1": {"f:status": {}}}, {"fieldsV1": fields}, {}]);
            judged(&json!({"annotations": {(ASKS.0): ASKS.1}, "managedFields": managers}))
        };
        assert_eq!(of("bsycorp-init"), None);
        assert_eq!(of("migrate"), Some(false));
    }

    proptest! {
        /// The webhook's own plan is the measure: whatever it would skip was not missed, whatever it would change or refuse
        /// was.
        #[test]
        fn the_judgement_is_the_webhooks(annotations in annotations(), account in option::of(Just("reader"))) {
            let pod = json!({
                "metadata": {"name": "x", "annotations": annotations},
                "spec": {"containers": [{"name": "app", "image": "app:1"}], "serviceAccountName": account},
            });
            let text = pod.to_string();
            let settings = crate::config::read("injection: {image: 'keystow:test'}").unwrap().offline();
            let parsed = crate::inject::Pod::from_json(text.as_bytes()).unwrap();
            let planned = crate::inject::plan(&parsed, "default", &settings);
            let would_do = match &planned {
                Ok(crate::inject::Verdict::Skip(_)) => None,
                Ok(crate::inject::Verdict::Inject(plan)) if plan.changes.is_empty() => None,
                Ok(_) => Some(false),
                Err(denial) => Some(denial.kind == crate::inject::DenialKind::InvalidAnnotation),
            };
            let metadata: ObjectMeta = serde_json::from_value(pod["metadata"].clone()).unwrap();
            let missed = judge().judge(&metadata).map(|missed| missed.is_refused);
            prop_assert_eq!(missed, would_do, "{:?}", planned);
        }

        #[test]
        fn a_note_settles_it(annotations in annotations(), note in ".{0,20}") {
            let mut annotations = annotations;
            annotations.insert(AnnotationDomain::default().status_key(), note);
            let metadata = ObjectMeta { annotations: Some(annotations), ..ObjectMeta::default() };
            prop_assert_eq!(judge().judge(&metadata), None);
        }
    }

    /// Annotations of ours, right and wrong ones, and of others.
    fn annotations() -> impl Strategy<Value = BTreeMap<String, String>> {
        let domain = AnnotationDomain::default();
        let key = |family: Family, name: &str| domain.key(family, name);
        let pairs = vec![
            (key(Family::Secret, "db"), "kind=REFERENCE,type=PASSWORD"),
            (key(Family::Secret, "tls"), "kind=DYNAMIC,type=NOTHING"),
            (key(Family::Resource, "url"), ""),
            (key(Family::Resource, "a b"), ""),
            (key(Family::Lease, "node"), "quantity=3"),
            (key(Family::Init, "storage-prefix"), "/shop"),
            (key(Family::Inject, "enabled"), "false"),
            (key(Family::Inject, "enabled"), "true"),
            (key(Family::Inject, "service-account"), "reader"),
            (key(Family::Inject, "format"), "files"),
            ("kubernetes.io/config.mirror".to_owned(), "00"),
            ("example.com/owner".to_owned(), "team"),
        ];
        let owned: Vec<_> = pairs.into_iter().map(|(key, value)| (key, value.to_owned())).collect();
        proptest::sample::subsequence(owned, 0..6).prop_map(|pairs| pairs.into_iter().collect())
    }
}
