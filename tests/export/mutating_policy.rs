//! Exported MutatingAdmissionPolicies on a real API server: a pod becomes what the webhook makes of it, and pods that are
//! another's stay as they are.
//!
//! The webhook is the real one, called by the same API server.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{export, exported, refused};
use crate::support::control_plane::{self, ControlPlane};
use crate::support::wait::until;
use crate::support::webhook::{TEST_LABEL, Webhook, apply_configuration};

/// Where pods are injected by the webhook; by policies they are in namespaces of their own, so that none is of two.
const WEBHOOKED: &str = "cel-webhook";

/// Pods whose injection has every kind of change: of each file its pod, with the configuration that goes with it.
fn pods() -> Vec<(String, Value, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/inject");
    let mut names: Vec<String> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".patch.json").map(str::to_owned))
        .collect();
    names.sort();
    let read = |name: &str, kind: &str| fs::read_to_string(directory.join(format!("{name}.{kind}"))).ok();
    let pod = |name: String| {
        let pod: Value = serde_saphyr::from_str(&read(&name, "pod.yaml").unwrap()).unwrap();
        // Rules that are about namespaces are about those of this test.
        let config = read(&name, "config.yaml").unwrap_or_default();
        let config = config.replace("[demo]", "['cel-*']").replace("[d*]", "['cel-*']");
        (name, pod, config)
    };
    // A pod that was injected before is no manifest that somebody writes, and the shipped configuration is of one domain.
    let all = names.into_iter().filter(|name| name != "other-domain").map(pod);
    all.filter(|(_, pod, _)| !is_injected(pod)).collect()
}

/// The pod as its author writes it, in this namespace.
fn written(mut pod: Value, name: &str, namespace: &str) -> Value {
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!(name);
    pod["metadata"]["namespace"] = json!(namespace);
    for field in ["managedFields", "uid", "resourceVersion", "creationTimestamp", "ownerReferences"] {
        pod["metadata"].as_object_mut().unwrap().remove(field);
    }
    pod
}

/// What is stored, without what each object has of its own.
fn comparable(mut pod: Value) -> Value {
    let metadata = pod["metadata"].as_object_mut().unwrap();
    metadata.retain(|key, _| matches!(key.as_str(), "annotations" | "labels"));
    pod.as_object_mut().unwrap().remove("status");
    // Each pod's token has a volume of a name of its own.
    let text = pod.to_string();
    let random = text.split("kube-api-access-").nth(1).map(|rest| rest[..5].to_owned());
    match random {
        Some(random) => serde_json::from_str(&text.replace(&random, "xxxxx")).unwrap(),
        None => pod,
    }
}

async fn create(plane: &ControlPlane, pod: &Value, dry: bool) -> Result<Value, String> {
    let mut arguments = vec!["create", "-f", "-", "-o", "json"];
    arguments.extend(dry.then_some("--dry-run=server"));
    let output = plane.kubectl_output(&arguments, &pod.to_string()).await.unwrap();
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

fn is_injected(pod: &Value) -> bool {
    let annotations = pod["metadata"]["annotations"].as_object();
    annotations
        .is_some_and(|all| all.keys().any(|key| key.starts_with("inject.") && key.ends_with("/status")))
}

/// A namespace with the accounts that pods name.
async fn namespace(plane: &ControlPlane, name: &str) {
    let labels = [("inject.bsycorp.com/enabled", "true"), (TEST_LABEL, name)];
    plane.namespace(name, &labels, &["default-pull"]).await.unwrap();
    for account in ["app", "envoy-gateway", "mine", "reader", "shop", "user-rpc", "veza"] {
        plane.service_account(name, account, &["account-pull"]).await.unwrap();
    }
}

/// What of each pod, by its number, the policies make: an answer of the API server.
async fn by_policies(plane: &ControlPlane, pods: &[(String, Value, String)]) -> Vec<Result<Value, String>> {
    let directory = TempDir::new().unwrap();
    let mut here = Vec::new();
    for (number, (name, pod, config)) in pods.iter().enumerate() {
        let own = format!("cel-{number}");
        namespace(plane, &own).await;
        let pod = written(pod.clone(), "pod", &own);
        let [file, config_file] =
            [("pod.yaml", pod.to_string()), ("config.yaml", config.clone())].map(|(name, text)| {
                let path = directory.path().join(name);
                fs::write(&path, text).unwrap();
                path.display().to_string()
            });
        let (policies, _) = exported(&["mutating-admission-policy", "-f", &file, "--config", &config_file]);
        assert!(policies.contains("STARTS WITHOUT ITS SECRETS"));
        let applied = plane.kubectl(&["apply", "-f", "-"], &policies).await;
        applied.unwrap_or_else(|error| panic!("{name}: {error}\n{policies}"));
        here.push(pod);
    }
    let mut outcomes = Vec::new();
    for pod in here {
        // A policy takes effect a moment after it was stored.
        let outcome = until(Duration::from_secs(30), async || match create(plane, &pod, true).await {
            Ok(pod) => is_injected(&pod).then_some(Ok(pod)),
            Err(error) => Some(Err(error)),
        });
        outcomes.push(outcome.await.unwrap_or_else(|| Err("no policy took effect".to_owned())));
    }
    outcomes
}

/// What of each pod, by its number, the webhook makes.
async fn by_webhook(plane: &ControlPlane, pods: &[(String, Value, String)]) -> Vec<Result<Value, String>> {
    namespace(plane, WEBHOOKED).await;
    let mut configs: Vec<&String> = pods.iter().map(|(_, _, config)| config).collect();
    configs.sort();
    configs.dedup();
    let mut outcomes: Vec<Result<Value, String>> = pods.iter().map(|_| Err("not asked".to_owned())).collect();
    for config in configs {
        let webhook = Webhook::start(env!("CARGO_BIN_EXE_keystow"), config, &[]).await;
        apply_configuration(plane, "", WEBHOOKED, webhook.address(), Some(&webhook.ca_pem())).await;
        for (number, (_, pod, own)) in pods.iter().enumerate().filter(|(_, (_, _, own))| own == config) {
            assert_eq!(own, config);
            let pod = written(pod.clone(), "pod", WEBHOOKED);
            let outcome = until(Duration::from_secs(30), async || match create(plane, &pod, true).await {
                Ok(pod) => is_injected(&pod).then_some(Ok(pod)),
                // The webhook of the configuration before may still be asked, and is gone.
                Err(error) => (!error.contains("failed calling webhook")).then_some(Err(error)),
            });
            outcomes[number] = outcome.await.unwrap_or_else(|| Err("the webhook was not asked".to_owned()));
        }
    }
    outcomes
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_makes_of_a_pod_what_the_webhook_makes_of_it() {
    let test = "the_policy_makes_of_a_pod_what_the_webhook_makes_of_it";
    if control_plane::shared_or_skip(test).await.is_none() {
        return;
    }
    let plane = ControlPlane::start().await.unwrap();
    let pods = pods();
    let by_policy = by_policies(&plane, &pods).await;
    let by_webhook = by_webhook(&plane, &pods).await;
    let mut compared = 0;
    let mut failures = Vec::new();
    for ((name, _, _), outcomes) in pods.iter().zip(by_policy.into_iter().zip(by_webhook)) {
        match outcomes {
            (Ok(by_policy), Ok(by_webhook)) => {
                compared += 1;
                let [one, other] = [by_webhook, by_policy].map(|pod| format!("{:#}", comparable(pod)));
                if one != other {
                    let difference = similar::TextDiff::from_lines(&one, &other).unified_diff().to_string();
                    failures.push(format!("{name}: {difference}"));
                }
            }
            (by_policy, by_webhook) => {
                let told = [by_policy.err(), by_webhook.err()];
                failures.push(format!("{name}: by policy and by webhook: {told:?}"));
            }
        }
    }
    println!("measured {compared} of {} pods alike by policy and by webhook", pods.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(compared >= 35, "{compared} pods were compared");
}

const TWO: &str = "\
kind: Deployment
metadata: {name: one, namespace: cel-two}
spec:
  template:
    metadata: {annotations: {secret.bsycorp.com/a: 'kind=KUBERNETES,secret=a,key=k,env=A'}}
    spec: {containers: [{name: app, image: 'app:1'}, {name: side, image: 'side:1'}]}
---
kind: CronJob
metadata: {name: two, namespace: cel-two}
spec:
  jobTemplate:
    spec:
      template:
        metadata: {annotations: {secret.bsycorp.com/b: 'kind=KUBERNETES,secret=b,key=k,env=B'}}
        spec: {containers: [{name: app, image: 'app:1'}], restartPolicy: Never}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_of_its_own_pods_and_of_no_others() {
    let test = "a_policy_is_of_its_own_pods_and_of_no_others";
    let Some(plane) = control_plane::shared_or_skip(test).await else { return };
    for namespace in ["cel-two", "cel-other"] {
        plane.namespace(namespace, &[], &[]).await.unwrap();
    }
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("two.yaml");
    fs::write(&file, TWO).unwrap();
    let (policies, _) = exported(&["mutating-admission-policy", "-f", file.to_str().unwrap()]);
    let (again, _) = exported(&["mutating-admission-policy", "-f", directory.path().to_str().unwrap()]);
    assert_eq!(policies, again);
    for name in ["keystow.cel-two.deployment.one", "keystow.cel-two.cronjob.two"] {
        assert_eq!(policies.matches(&format!("name: {name}\n")).count(), 2, "{policies}");
    }
    plane.kubectl(&["apply", "-f", "-"], &policies).await.unwrap();
    let pod = |namespace: &str, annotations: &[(&str, &str)], containers: &[&str]| {
        let annotations: serde_json::Map<String, Value> =
            annotations.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let containers: Vec<Value> =
            containers.iter().map(|name| json!({"name": name, "image": "app:1"})).collect();
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": namespace, "annotations": annotations}, "spec": {"containers": containers}})
    };
    let one = ("secret.bsycorp.com/a", "kind=KUBERNETES,secret=a,key=k,env=A");
    let two = ("secret.bsycorp.com/b", "kind=KUBERNETES,secret=b,key=k,env=B");
    let variables = |pod: &Value| -> Vec<String> {
        let containers = pod["spec"]["containers"].as_array().unwrap().iter();
        let env = containers.flat_map(|container| container["env"].as_array().cloned().unwrap_or_default());
        env.map(|variable| variable["name"].as_str().unwrap().to_owned()).collect()
    };
    let first = pod("cel-two", &[one], &["app", "side"]);
    let in_effect = until(Duration::from_secs(30), async || {
        let created = create(plane, &first, true).await.unwrap();
        (variables(&created) == ["A", "A"]).then_some(())
    });
    in_effect.await.expect("the policy in effect");
    for (other, expected) in [
        (pod("cel-two", &[two], &["app"]), vec!["B"]),
        (pod("cel-two", &[one], &["app"]), vec![]),
        (pod("cel-two", &[one], &["side", "app"]), vec![]),
        (pod("cel-two", &[one, two], &["app", "side"]), vec![]),
        (
            pod(
                "cel-two",
                &[("secret.bsycorp.com/a", "kind=KUBERNETES,secret=other,key=k,env=A")],
                &["app", "side"],
            ),
            vec![],
        ),
        (pod("cel-two", &[one, ("example.com/mine", "yes")], &["app", "side"]), vec!["A", "A"]),
        (pod("cel-two", &[one, ("inject.bsycorp.com/enabled", "false")], &["app", "side"]), vec![]),
        (pod("cel-other", &[one], &["app", "side"]), vec![]),
        (pod("cel-two", &[], &["app", "side"]), vec![]),
    ] {
        let created = create(plane, &other, true).await.unwrap();
        assert_eq!(variables(&created), expected, "{other}");
    }
}

#[test]
fn a_pod_that_the_webhook_would_refuse_has_no_policy() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("pod.yaml");
    fs::write(&file, "kind: Pod\nmetadata: {name: a, annotations: {secret.bsycorp.com/a: kind=X}}\nspec: {containers: []}\n").unwrap();
    let (code, told) = refused(&["mutating-admission-policy", "-f", file.to_str().unwrap()]);
    assert!(code == Some(65) && told.contains("kind=X is not one of"), "{told}");
    fs::write(&file, "kind: Pod\nmetadata: {name: a}\n").unwrap();
    let (code, told) = refused(&["mutating-admission-policy", "-f", file.to_str().unwrap()]);
    assert!(code == Some(65) && told.contains("no pod in these files asks"), "{told}");
}

/// The names of the policies that these manifests give.
fn names_of(manifests: &str) -> Result<Vec<String>, (Option<i32>, String)> {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("jobs.yaml");
    fs::write(&file, manifests).unwrap();
    let arguments = ["mutating-admission-policy", "-f", file.to_str().unwrap()];
    let output = export(&arguments);
    if !output.status.success() {
        return Err((output.status.code(), String::from_utf8(output.stderr).unwrap()));
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let policies: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let of_policies = policies.iter().filter(|policy| policy["kind"] == "MutatingAdmissionPolicy");
    Ok(of_policies.map(|policy| policy["metadata"]["name"].as_str().unwrap().to_owned()).collect())
}

#[test]
fn two_workloads_have_two_policies_whatever_they_are_called() {
    let job_of = |metadata: &str, secret: &str, container: &str| {
        format!(
            "kind: Job\nmetadata: {{{metadata}}}\nspec:\n  template:\n    metadata: {{annotations: {{secret.bsycorp.com/{secret}: 'kind=REFERENCE,type=PASSWORD'}}}}\n    spec: {{containers: [{{name: {container}, image: a}}]}}\n"
        )
    };
    let job = |metadata: &str, secret: &str| job_of(metadata, secret, "a");
    let generated = "generateName: migrate-";
    let long = "x".repeat(250);
    for (one, other) in
        [(generated.to_owned(), generated.to_owned()), (format!("name: {long}a"), format!("name: {long}b"))]
    {
        let names = names_of(&format!("{}---\n{}", job(&one, "a"), job(&other, "b"))).unwrap();
        assert!(names.len() == 2 && names[0] != names[1], "{names:?}");
        assert!(
            names.iter().all(|name| name.len() <= 253 && !name.contains("-.") && !name.contains(".-")),
            "{names:?}"
        );
    }
    let containers =
        names_of(&format!("{}---\n{}", job_of(generated, "a", "a"), job_of(generated, "a", "b"))).unwrap();
    assert!(containers.len() == 2 && containers[0] != containers[1], "{containers:?}");
    // Twice the same is one.
    let same = names_of(&format!("{}---\n{}", job(generated, "a"), job(generated, "a")));
    assert_eq!(same.unwrap().len(), 1);
}

#[test]
fn a_name_that_kubernetes_does_not_take_is_refused() {
    for name in ["ä".repeat(200), "A".to_owned(), "''".to_owned()] {
        let pod = format!(
            "kind: Pod\nmetadata: {{name: {name}, annotations: {{secret.bsycorp.com/a: 'kind=REFERENCE,type=PASSWORD'}}}}\nspec: {{containers: [{{name: a, image: a}}]}}\n"
        );
        let (code, told) = names_of(&pod).unwrap_err();
        assert!(code == Some(65) && told.contains("is no name of an object in Kubernetes"), "{name}: {told}");
    }
}
