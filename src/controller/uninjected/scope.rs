//! Which namespaces and pods the webhook configuration has API servers ask about.
//!
//! Selectors are those of the API, read by the client library: all of `matchLabels` and `matchExpressions` must hold, an
//! empty selector matches everything, and `NotIn` holds where the label is missing. The conditions that keystow ships
//! (`matchConditions`) say of a pod what [`super::judge`] says; any others are CEL, which nobody evaluates here. They are
//! named, so that an operator who wrote them can tell why a pod is reported.

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::core::{Selector, SelectorExt as _};

/// The conditions that are shipped.
const SHIPPED: [&str; 3] = ["has-keystow-annotations", "not-opted-out", "not-a-mirror-pod"];

/// Some webhooks of one configuration: a bit for each, by its place. A configuration of keystow's has one; those after
/// the 64th are not looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Webhooks(u64);

impl Webhooks {
    /// Whether there is none.
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether one is in both.
    pub(super) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl FromIterator<bool> for Webhooks {
    fn from_iter<I: IntoIterator<Item = bool>>(matches: I) -> Self {
        let bits = (0..u64::BITS).zip(matches);
        Self(bits.fold(0, |bits, (place, matches)| bits | (u64::from(matches) << place)))
    }
}

/// What a configuration says about where it applies. Other changes of it leave this as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scope {
    webhooks: Vec<Selectors>,
    /// The names of conditions that nobody evaluates here.
    pub(super) conditions: Vec<String>,
}

/// Where one webhook applies.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Selectors {
    namespace: Selector,
    object: Selector,
}

impl Scope {
    pub(super) fn of(configuration: &MutatingWebhookConfiguration) -> Self {
        let webhooks = configuration.webhooks.as_deref().unwrap_or_default();
        let conditions = webhooks.iter().flat_map(|webhook| webhook.match_conditions.iter().flatten());
        let mut conditions: Vec<_> = conditions
            .map(|condition| &condition.name)
            .filter(|name| !SHIPPED.contains(&name.as_str()))
            .cloned()
            .collect();
        conditions.sort_unstable();
        conditions.dedup();
        Self { webhooks: webhooks.iter().filter_map(Selectors::of).collect(), conditions }
    }

    /// The webhooks that a namespace opted into.
    pub(super) fn of_namespace(&self, namespace: &ObjectMeta) -> Webhooks {
        self.matching(namespace, |webhook| &webhook.namespace)
    }

    /// The webhooks that a pod is for, wherever it is.
    pub(super) fn of_pod(&self, pod: &ObjectMeta) -> Webhooks {
        self.matching(pod, |webhook| &webhook.object)
    }

    fn matching(&self, object: &ObjectMeta, selector: impl Fn(&Selectors) -> &Selector) -> Webhooks {
        let none = BTreeMap::new();
        let labels = object.labels.as_ref().unwrap_or(&none);
        self.webhooks.iter().map(|webhook| selector(webhook).matches(labels)).collect()
    }
}

impl Selectors {
    /// Nothing where a selector has an operator that is not known: the API server admits none.
    fn of(webhook: &MutatingWebhook) -> Option<Self> {
        let read = |selector: &Option<LabelSelector>| selector.clone().unwrap_or_default().try_into().ok();
        Some(Self { namespace: read(&webhook.namespace_selector)?, object: read(&webhook.object_selector)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// A selector, labels, and whether it selects them.
    type Case<'a> = (&'a Value, &'a [(&'a str, &'a str)], bool);

    fn scope(webhooks: &Value) -> Scope {
        let mut webhooks = webhooks.clone();
        for webhook in webhooks.as_array_mut().unwrap() {
            webhook["name"] = json!("a.example.com");
            (webhook["admissionReviewVersions"], webhook["sideEffects"]) = (json!(["v1"]), json!("None"));
            webhook["clientConfig"] = json!({});
        }
        Scope::of(&serde_json::from_value(json!({"metadata": {"name": "x"}, "webhooks": webhooks})).unwrap())
    }

    fn with_labels(labels: &[(&str, &str)]) -> ObjectMeta {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        ObjectMeta { labels: Some(labels.collect()), ..ObjectMeta::default() }
    }

    #[test]
    fn a_selector_selects_as_the_api_does() {
        let on = json!({"matchLabels": {"on": "yes"}});
        let both = json!({"matchLabels": {"on": "yes"}, "matchExpressions": [
            {"key": "name", "operator": "NotIn", "values": ["system", "own"]},
        ]});
        let expression = |operator: &str, values: &[&str]| {
            let values = (!values.is_empty()).then_some(values);
            json!({"matchExpressions": [{"key": "tier", "operator": operator, "values": values}]})
        };
        let is_in = expression("In", &["a", "b"]);
        let not_in = expression("NotIn", &["a", "b"]);
        let table: &[Case<'_>] = &[
            (&json!({}), &[], true),
            (&json!(null), &[("any", "thing")], true),
            (&on, &[("on", "yes"), ("other", "x")], true),
            (&on, &[("on", "no")], false),
            (&on, &[], false),
            (&both, &[("on", "yes"), ("name", "app")], true),
            (&both, &[("on", "yes")], true),
            (&both, &[("on", "yes"), ("name", "own")], false),
            (&both, &[("name", "app")], false),
            (&is_in, &[("tier", "b")], true),
            (&is_in, &[("tier", "c")], false),
            (&is_in, &[], false),
            (&not_in, &[("tier", "b")], false),
            (&not_in, &[("tier", "")], true),
            (&not_in, &[], true),
            (&expression("Exists", &[]), &[("tier", "")], true),
            (&expression("Exists", &[]), &[], false),
            (&expression("DoesNotExist", &[]), &[("tier", "a")], false),
            (&expression("DoesNotExist", &[]), &[], true),
            // The API server would not admit it.
            (&expression("Gt", &["1"]), &[("tier", "2")], false),
        ];
        for (selector, labels, expected) in table {
            let scope = scope(&json!([{"namespaceSelector": selector}]));
            let matches = !scope.of_namespace(&with_labels(labels)).is_empty();
            assert_eq!(matches, *expected, "{selector} {labels:?}");
        }
    }

    #[test]
    fn namespace_and_pod_must_match_the_same_webhook() {
        let scope = scope(&json!([
            {"namespaceSelector": {"matchLabels": {"ns": "1"}}, "objectSelector": {"matchLabels": {"pod": "1"}}},
            {"namespaceSelector": {"matchLabels": {"ns": "2"}}, "objectSelector": {"matchLabels": {"pod": "2"}}},
        ]));
        let asks = |namespace, pod| {
            let namespace = scope.of_namespace(&with_labels(&[("ns", namespace)]));
            namespace.meets(scope.of_pod(&with_labels(&[("pod", pod)])))
        };
        assert_eq!(
            [asks("1", "1"), asks("2", "2"), asks("1", "2"), asks("2", "1"), asks("3", "1")],
            [true, true, false, false, false]
        );
        assert!(scope.of_pod(&ObjectMeta::default()).is_empty());
    }

    #[test]
    fn only_what_decides_where_it_applies_is_part_of_it() {
        let condition = |name| json!({"name": name, "expression": "true"});
        let shipped: Vec<_> = SHIPPED.iter().map(|name| condition(*name)).collect();
        let before = scope(&json!([{"matchConditions": shipped}]));
        assert_eq!(before, scope(&json!([{"failurePolicy": "Ignore"}])));
        assert_eq!(before.conditions, [""; 0]);
        let own = scope(&json!([{"matchConditions": [condition("own"), condition("not-opted-out")]}]));
        assert_eq!(own.conditions, ["own"]);
        assert_eq!(scope(&json!([])).of_namespace(&ObjectMeta::default()), Webhooks::default());
    }

    proptest! {
        #[test]
        fn an_operator_and_its_opposite_never_agree(
            label in proptest::option::of("[ab]"),
            values in proptest::collection::vec("[abc]", 1..3),
        ) {
            let labels: Vec<(&str, &str)> = label.iter().map(|value| ("key", value.as_str())).collect();
            let object = with_labels(&labels);
            let selects = |operator: &str, values: Option<&[String]>| {
                let expression = json!({"key": "key", "operator": operator, "values": values});
                let scope = scope(&json!([{"objectSelector": {"matchExpressions": [expression]}}]));
                !scope.of_pod(&object).is_empty()
            };
            prop_assert_ne!(selects("In", Some(&values)), selects("NotIn", Some(&values)));
            prop_assert_ne!(selects("Exists", None), selects("DoesNotExist", None));
            prop_assert!(!selects("In", Some(&values)) || selects("Exists", None));
        }

        #[test]
        fn webhooks_meet_where_a_place_is_in_both(
            one in proptest::collection::vec(any::<bool>(), 0..70),
            other in proptest::collection::vec(any::<bool>(), 0..70),
        ) {
            let expected = one.iter().zip(&other).take(64).any(|(one, other)| *one && *other);
            let (one, other): (Webhooks, Webhooks) = (one.into_iter().collect(), other.into_iter().collect());
            prop_assert_eq!(one.meets(other), expected);
            prop_assert_eq!(other.meets(one), expected);
        }
    }
}
