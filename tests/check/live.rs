//! `keystow check -n` on a real control plane: every seeded fault is found, a healthy namespace has none, nothing is
//! written, and who may not look is told so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::{Checked, Cluster, check};
use crate::installation::{self, codes};
use crate::seeds;
use crate::support::programs;
use crate::support::wait::until;

fn data(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/check").join(name)).unwrap()
}

/// Secrets with keys that no file should have.
async fn keys(cluster: &Cluster) {
    let pair = || rcgen::KeyPair::generate().unwrap();
    let certificate = |pair: &rcgen::KeyPair, expires: i32| {
        let mut parameters = rcgen::CertificateParams::new(vec!["app.example".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(expires, 1, 1);
        parameters.self_signed(pair).unwrap().pem()
    };
    let (one, other) = (pair(), pair());
    let weak = tokio::process::Command::new("openssl").args(["genrsa", "1024"]).output().await.unwrap();
    let secret = |name: &str, data: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "faulty"}, "stringData": data});
    for object in [
        secret("halves", json!({"tls.key": one.serialize_pem(), "tls.crt": certificate(&other, 2099)})),
        secret("expired", json!({"tls.key": one.serialize_pem(), "tls.crt": certificate(&one, 2021)})),
        secret("weak-rsa", json!({"key.pem": String::from_utf8(weak.stdout).unwrap()})),
        secret("sound", json!({"tls.key": one.serialize_pem(), "tls.crt": certificate(&one, 2099)})),
    ] {
        cluster.apply(&object.to_string()).await;
    }
}

async fn seeded(cluster: &Cluster) {
    cluster.apply(&data("faulty.yaml")).await;
    keys(cluster).await;
    for workload in seeds::workloads() {
        cluster.apply(&workload.to_string()).await;
    }
    for (kind, name, status) in seeds::statuses() {
        cluster.set_status(kind, "faulty", name, &status).await;
    }
}

/// The healthy namespace, its pod injected as the webhook would.
async fn healthy(cluster: &Cluster) {
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("config.yaml");
    fs::write(&config, "stores: {default: cluster, cluster: {kubernetes: {}}}").unwrap();
    let all = data("healthy.yaml");
    let deployment = all.split("---\n").find(|document| document.contains("kind: Deployment")).unwrap();
    let deployment: Value = serde_saphyr::from_str(deployment).unwrap();
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": deployment["spec"]["template"]["metadata"], "spec": deployment["spec"]["template"]["spec"]});
    pod["metadata"]["name"] = json!("shop-1");
    pod["metadata"]["namespace"] = json!("demo");
    let file = directory.path().join("pod.yaml");
    fs::write(&file, pod.to_string()).unwrap();
    cluster.apply(&all).await;
    let injected = tokio::process::Command::new(env!("CARGO_BIN_EXE_keystow"))
        .args(["inject", "--config", config.to_str().unwrap(), "-f", file.to_str().unwrap()])
        .output()
        .await
        .unwrap();
    cluster.apply(&String::from_utf8(injected.stdout).unwrap()).await;
    let (rights, _) = exported(directory.path(), &deployment).await;
    cluster.apply(&rights).await;
    let ready = json!({"conditions": [{"type": "Ready", "status": "True", "reason": "Valid"}], "refreshTime": "2099-01-01T00:00:00Z"});
    cluster.set_status("clustersecretstore", "", "vault", &ready).await;
    cluster.set_status("externalsecret", "demo", "jwt-secret", &ready).await;
    cluster.set_status("pod", "demo", "shop-1", &json!({"phase": "Running"})).await;
}

/// The rights that keystow exports for a workload.
async fn exported(directory: &Path, deployment: &Value) -> (String, String) {
    let file = directory.join("deployment.yaml");
    fs::write(&file, deployment.to_string()).unwrap();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_keystow"))
        .args(["export", "rbac", "-f", file.to_str().unwrap()])
        .output()
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

/// Every object of these kinds with its version.
async fn versions(cluster: &Cluster) -> BTreeSet<String> {
    let kinds = "pods,secrets,configmaps,serviceaccounts,events,deployments,statefulsets,leases,roles,rolebindings,externalsecrets,secretstores,endpointslices,mutatingwebhookconfigurations,namespaces";
    let path = "{range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name}={.metadata.resourceVersion}{\"\\n\"}{end}";
    let output = format!("jsonpath={path}");
    let text = cluster.kubectl(&["get", kinds, "--all-namespaces", "-o", &output]).await;
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
fn assert_nothing_found(checked: &Checked, what: &str) {
    assert!(checked.code == Some(0) && checked.found().is_empty(), "{what}: {} {}", checked.err, checked.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_seeded_fault_is_found_and_a_healthy_namespace_has_none() {
    let test = "every_seeded_fault_is_found_and_a_healthy_namespace_has_none";
    if !programs::has(test, "openssl", "openssl") {
        return;
    }
    let Some(cluster) = Cluster::start(test).await else { return };
    healthy(&cluster).await;
    seeded(&cluster).await;
    cluster.install().await;
    let checker = cluster.checker().await;

    let before = versions(&cluster).await;
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let workloads =
        seeds::WORKLOADS.iter().map(|(name, _, _, code)| (format!("Deployment faulty/{name}"), *code));
    let objects = seeds::OBJECTS.iter().map(|(object, code)| ((*object).to_owned(), *code));
    let seeds: Vec<(String, &str)> = workloads.chain(objects).collect();
    for (object, code) in &seeds {
        expected.entry((*code).to_owned()).or_default().insert(object.clone());
    }
    let count = seeds.len();
    let codes = expected.len();
    let json = ["-n", "faulty", "--format", "json", "--max-age", "1s"];
    // Some faults are of age: a second has to pass.
    let missed = until(Duration::from_secs(30), async || {
        let checked = check(&checker, &json).await;
        assert_eq!(checked.code, Some(65), "{}", checked.err);
        let found = checked.found();
        let is_missed =
            |(object, code): &&(String, &str)| !found.contains(&((*code).to_owned(), object.clone()));
        let missed: Vec<String> =
            seeds.iter().filter(is_missed).map(|(object, code)| format!("{code} {object}")).collect();
        missed.is_empty().then_some(())
    });
    if missed.await.is_none() {
        let found = check(&checker, &json).await.found();
        let missed: Vec<_> = seeds
            .iter()
            .filter(|(object, code)| !found.contains(&((*code).to_owned(), object.clone())))
            .collect();
        panic!("not found: {missed:?}");
    }
    println!("measured {count} seeded faults of {codes} codes: all found");

    let json = ["-n", "demo", "--format", "json"];
    assert_nothing_found(&check(&checker, &json).await, "healthy");
    let text = check(&checker, &["-n", "demo"]).await;
    assert!(text.code == Some(0) && text.out.starts_with("ok: nothing found in "), "{text:?}");
    assert_eq!(versions(&cluster).await, before, "a check wrote something");
    no_value_is_shown(&checker).await;
    installation::has_faults(&cluster, &checker).await;
    who_may_not_look_is_told(&cluster).await;
}

async fn no_value_is_shown(checker: &Path) {
    for format in ["text", "json", "sarif"] {
        let checked =
            check(checker, &["-n", "faulty", "--format", format, "--max-age", "1s", "--production"]).await;
        for value in ["changeme", "Zk3w9Q", "abababab", "same-value", "pV9zq2Lr8Xw0", "BEGIN"] {
            assert!(!checked.out.contains(value) && !checked.err.contains(value), "{format} shows {value}");
        }
    }
}

async fn who_may_not_look_is_told(cluster: &Cluster) {
    cluster.plane.service_account("demo", "stranger", &[]).await.unwrap();
    let stranger = cluster.kubeconfig_of("demo", "stranger").await;
    let checked = check(&stranger, &["-n", "demo"]).await;
    assert!(checked.code == Some(77) && checked.err.contains("checker-rights.yaml"), "{checked:?}");
    // Pods alone: the rest is told as not seen, and nothing is made up.
    cluster
        .kubectl(&["create", "clusterrole", "sees-pods", "--verb=list", "--resource=pods,deployments"])
        .await;
    cluster
        .kubectl(&[
            "-n",
            "faulty",
            "create",
            "rolebinding",
            "sees-pods",
            "--clusterrole=sees-pods",
            "--serviceaccount=demo:stranger",
        ])
        .await;
    let checked = check(&stranger, &["-n", "faulty", "--format", "json"]).await;
    let codes = codes(&checked);
    assert!(codes.contains("KS001") && codes.contains("KS201") && codes.contains("KS303"), "{codes:?}");
    let made_up: Vec<_> = codes
        .iter()
        .filter(|code| {
            code.starts_with("KS4") && *code != "KS414" || code.starts_with("KS6") && *code != "KS605"
        })
        .collect();
    assert!(made_up.is_empty(), "{made_up:?}");
    let nowhere = check(&stranger, &["-n", "nowhere"]).await;
    assert!(nowhere.code == Some(77) || nowhere.code == Some(65), "{nowhere:?}");
}

#[tokio::test]
async fn an_api_server_that_is_away_is_told() {
    let directory = TempDir::new().unwrap();
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "it", "user": {"token": "t"}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    });
    let path = directory.path().join("kubeconfig");
    fs::write(&path, kubeconfig.to_string()).unwrap();
    let checked = check(&path, &["-n", "demo"]).await;
    assert!(checked.code == Some(69) && checked.err.contains("does not answer"), "{checked:?}");
    let checked = check(&path, &["-n", "demo", "--context", "other"]).await;
    assert!(checked.code == Some(64) && checked.err.contains("--context"), "{checked:?}");
    let checked = check(&directory.path().join("none"), &["-n", "demo"]).await;
    assert!(checked.code == Some(64) && checked.err.contains("KUBECONFIG"), "{checked:?}");
}
