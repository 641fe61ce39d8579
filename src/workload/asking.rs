//! What the pods of a workload ask for, and as whom: what the exporter and the check go by.

use serde_json::Value;

use super::Workload;
use crate::domain::{Grammar, Parsed, Requests, ServiceAccountName, Warning};
use crate::handover::StoreSettings;
use crate::inject::Settings;

/// The account of pods that name none.
const DEFAULT_ACCOUNT: &str = "default";

/// What the pods of one workload ask for.
#[derive(Debug, Clone)]
pub struct Asking<'s> {
    /// Who asks.
    pub workload: Workload,
    /// The service account that they run as.
    pub account: String,
    /// What they ask for; never nothing.
    pub requests: Requests,
    /// The store that they read from; `None` where the annotation names one that is not configured.
    pub store: Option<&'s StoreSettings>,
    /// What is odd.
    pub warnings: Vec<Warning>,
    /// The keys of all annotations, in the order of the file.
    pub keys: Vec<String>,
}

/// Annotations that cannot be understood: every problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{workload}: {}", problems.join("; "))]
pub struct UnreadableRequests {
    /// Whose annotations.
    pub workload: Workload,
    /// What is wrong with them.
    pub problems: Vec<String>,
}

impl<'s> Asking<'s> {
    /// Reads the annotations of a workload's pods; `None` where they ask for nothing, or opted out.
    ///
    /// # Errors
    ///
    /// Every annotation that the webhook would refuse.
    pub fn read(
        workload: &Workload,
        object: &Value,
        settings: &'s Settings,
    ) -> Result<Option<Self>, UnreadableRequests> {
        let pod = object.pointer(workload.pod_at).unwrap_or(&Value::Null);
        let unreadable = |problems| UnreadableRequests { workload: workload.clone(), problems };
        let annotations = pod.pointer("/metadata/annotations").and_then(Value::as_object);
        let mut texts = Vec::new();
        let mut problems = Vec::new();
        for (key, value) in annotations.into_iter().flatten() {
            match value.as_str() {
                Some(text) => texts.push((key.as_str(), text)),
                None if settings.domain.classify(key).is_some() => {
                    problems.push(format!("annotation {key} is not a string; put its value in quotes"));
                }
                None => {}
            }
        }
        let grammar = Grammar { domain: &settings.domain, taken_files: settings.layout.taken_files() };
        let (requests, warnings) = match grammar.parse(texts) {
            Ok(Parsed::OptedOut) => return Ok(None),
            Ok(Parsed::Requests(..)) if !problems.is_empty() => return Err(unreadable(problems)),
            Ok(Parsed::Requests(requests, _)) if requests.is_empty() => return Ok(None),
            Ok(Parsed::Requests(requests, warnings)) => (*requests, warnings),
            Err(rejection) => {
                problems.extend(rejection.problems.iter().map(ToString::to_string));
                return Err(unreadable(problems));
            }
        };
        let account = account_of(pod, &requests);
        let store = settings.stores.find(requests.injection.store.as_ref()).map(|(_, store)| store);
        let keys = annotations.into_iter().flatten().map(|(key, _)| key.clone()).collect();
        Ok(Some(Self { workload: workload.clone(), account, requests, store, warnings, keys }))
    }
}

/// As the webhook decides: what the pod has chosen stays.
fn account_of(pod: &Value, requests: &Requests) -> String {
    let chosen = ["serviceAccountName", "serviceAccount"]
        .iter()
        .find_map(|field| pod.get("spec")?.get(field)?.as_str())
        .filter(|name| !name.is_empty() && *name != DEFAULT_ACCOUNT);
    let wanted = requests.injection.service_account.as_ref().map(ServiceAccountName::as_str);
    chosen.or(wanted).unwrap_or(DEFAULT_ACCOUNT).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asking(pod: &Value) -> Result<Option<String>, String> {
        let settings = crate::config::read("").unwrap().offline();
        let workload = Workload::of(pod, "demo").unwrap();
        let asking = Asking::read(&workload, pod, &settings).map_err(|error| error.to_string())?;
        Ok(asking.map(|asking| asking.account))
    }

    fn pod(annotations: &Value, spec: &Value) -> Value {
        json!({"kind": "Pod", "metadata": {"name": "a", "annotations": annotations}, "spec": spec})
    }

    #[test]
    fn the_account_is_the_one_that_the_pod_will_run_as() {
        let annotations = json!({"inject.bsycorp.com/service-account": "app"});
        for (spec, account) in [
            (json!({}), "app"),
            (json!({"serviceAccountName": "default"}), "app"),
            (json!({"serviceAccount": "own"}), "own"),
        ] {
            assert_eq!(asking(&pod(&annotations, &spec)), Ok(Some(account.to_owned())), "{spec}");
        }
        let plain = json!({"secret.bsycorp.com/db": "kind=REFERENCE,type=PASSWORD"});
        assert_eq!(asking(&pod(&plain, &json!({}))), Ok(Some("default".to_owned())));
    }

    #[test]
    fn who_asks_for_nothing_is_nobody_and_every_mistake_is_told() {
        assert_eq!(asking(&pod(&json!({"a": "b"}), &json!({}))), Ok(None));
        let opted_out = json!({"inject.bsycorp.com/enabled": "false", "secret.bsycorp.com/a": "x"});
        assert_eq!(asking(&pod(&opted_out, &json!({}))), Ok(None));
        let wrong = json!({"secret.bsycorp.com/a": "kind=X", "secret.bsycorp.com/b": 7});
        let told = asking(&pod(&wrong, &json!({}))).unwrap_err();
        assert!(told.contains("/b is not a string") && told.contains("kind=X is not one of"), "{told}");
    }
}
