//! The namespace, and the webhook that is to be asked about its pods.

use std::collections::BTreeMap;

use serde_json::Value;
use x509_parser::pem::Pem;

use super::code::Code;
use super::finding::Place;
use super::judge::{Judge, list, text, title};
use super::world::Known;

pub(super) fn rules(judge: &mut Judge<'_>) {
    if !judge.world.is_live || !judge.subjects.iter().any(super::judge::Subject::is_asking) {
        return;
    }
    let enabled = judge.settings.domain.enabled_key();
    let namespace = judge.world.namespace.clone();
    let mut labels = None;
    if let Known::Yes(object) = &judge.world.namespace_object {
        let found: BTreeMap<String, String> = object
            .pointer("/metadata/labels")
            .and_then(|labels| serde_json::from_value(labels.clone()).ok())
            .unwrap_or_default();
        if found.get(&enabled).map(String::as_str) == Some("true") {
            labels = Some(found);
        } else {
            judge.report(
                Code::NotOptedIn,
                Place::of(format!("Namespace {namespace}")),
                format!("pods ask for secrets, and the namespace has no label {enabled}=true"),
                format!("kubectl label namespace {namespace} {enabled}=true, then create its pods anew"),
            );
        }
    }
    let Known::Yes(webhooks) = &judge.world.webhooks else { return };
    if webhooks.is_empty() {
        judge.report(
            Code::NoWebhook,
            Place::of(format!("Namespace {namespace}")),
            "no MutatingWebhookConfiguration calls keystow",
            "install keystow, or apply its configuration again",
        );
    }
    for configuration in webhooks {
        webhook(judge, configuration, labels.as_ref());
    }
    endpoints(judge);
}

fn webhook(judge: &mut Judge<'_>, configuration: &Value, labels: Option<&BTreeMap<String, String>>) {
    let place = Place::of(title("MutatingWebhookConfiguration", configuration));
    for webhook in list(configuration, "/webhooks") {
        let name = text(webhook, "/name");
        if let Some(why) = untrusted(text(webhook, "/clientConfig/caBundle"), judge.world.now) {
            judge.report(
                Code::NoCaBundle,
                place.clone(),
                format!("the caBundle of {name} {why}"),
                "let keystow write it (--self-managed), or have cert-manager inject it",
            );
        }
        if text(webhook, "/failurePolicy") == "Ignore" {
            let message =
                format!("{name} has failurePolicy Ignore: pods start without secrets while it is away");
            judge.report(Code::FailsOpen, place.clone(), message, "set failurePolicy: Fail");
        }
        let creates_pods = list(webhook, "/rules").iter().any(|rule| {
            let has = |at: &str, wanted: &str| list(rule, at).iter().any(|one| one == wanted || one == "*");
            has("/operations", "CREATE") && has("/resources", "pods")
        });
        let is_selected = labels.is_none_or(|labels| {
            webhook.get("namespaceSelector").is_none_or(|selector| matches(selector, labels))
        });
        if !creates_pods || !is_selected {
            let what = if creates_pods {
                "selects other namespaces than this"
            } else {
                "has no rule for the creation of pods"
            };
            let advice = "compare it with webhook-config/base/mutatingwebhookconfiguration.yaml";
            judge.report(Code::NotReached, place.clone(), format!("{name} {what}"), advice);
        }
    }
}

/// Why API servers trust nobody by this bundle.
fn untrusted(bundle: &str, now: i64) -> Option<String> {
    use base64::Engine as _;
    if bundle.is_empty() {
        return Some("is empty".to_owned());
    }
    let pem = base64::engine::general_purpose::STANDARD.decode(bundle).unwrap_or_default();
    let certificates: Vec<Pem> = Pem::iter_from_buffer(&pem).flatten().collect();
    let ends =
        certificates.iter().filter_map(|pem| Some(pem.parse_x509().ok()?.validity().not_after.timestamp()));
    match ends.max() {
        None => Some("is no certificate in PEM".to_owned()),
        Some(end) if end < now => Some("has expired".to_owned()),
        Some(_) => None,
    }
}

/// Whether a label selector selects what has these labels.
fn matches(selector: &Value, labels: &BTreeMap<String, String>) -> bool {
    let exact = selector.get("matchLabels").and_then(Value::as_object);
    let has_all =
        exact.into_iter().flatten().all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str());
    has_all
        && list(selector, "/matchExpressions").iter().all(|expression| {
            let label = labels.get(text(expression, "/key"));
            let is_listed =
                label.is_some_and(|label| list(expression, "/values").iter().any(|value| value == label));
            match text(expression, "/operator") {
                "In" => is_listed,
                "NotIn" => !is_listed,
                "Exists" => label.is_some(),
                "DoesNotExist" => label.is_none(),
                _ => true,
            }
        })
}

fn endpoints(judge: &mut Judge<'_>) {
    let Known::Yes(slices) = &judge.world.endpoints else { return };
    let is_ready = |endpoint: &&Value| endpoint.pointer("/conditions/ready") != Some(&Value::Bool(false));
    let ready = slices.iter().flat_map(|slice| list(slice, "/endpoints")).filter(is_ready).count();
    let namespace = judge.world.keystow_namespace.as_deref().unwrap_or_default();
    let place = Place::of(format!("Namespace {namespace}"));
    if ready == 0 {
        judge.report(
            Code::NobodyAnswers,
            place,
            "the webhook's Service has no ready endpoint: annotated pods are refused",
            format!("kubectl -n {namespace} get pods, and describe those that are not ready"),
        );
    } else if ready == 1 && judge.options.production {
        let advice = "run two replicas on different nodes";
        judge.report(Code::OneReplica, place, "one replica alone answers for the webhook", advice);
    }
}
