//! The whole way, a store each: annotations → webhook → pod → service-account token → store → files, variables, and a
//! change while the application runs.
//!
//! Invariant: values are put into the stores without the code under test, and the identity is what the documents say:
//! a Role by name, a role of AWS that web identity assumes, a role of Vault's Kubernetes auth.

mod aws;
mod vault;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{BOUND, Cluster, element, mount, pod, pod_with};
use crate::support::node::{ClusterSource, Node, NodeError, RunningPod};
use crate::support::wait::until;

const ACCOUNT: &str = "veza";
const PASSWORD: &str = "p@ss/w\u{f6}rd";
const HOST: &str = "db.example";

/// A pod that asks for a secret, a resource, and what a template makes of both, and renews them each second.
fn manifest(store: &str) -> Value {
    let url = "postgres://app:{{ secret['db_password'] | urlencode }}@{{ resource['db.host'] }}/app";
    let mut manifest = pod_with(
        "web-0",
        &json!({
            "init.bsycorp.com/storage-prefix": "/veza",
            "secret.bsycorp.com/db_password": "kind=REFERENCE,type=PASSWORD,env=DB_PASSWORD",
            "resource.bsycorp.com/db.host": "",
            "inject.bsycorp.com/template.url": url,
            "inject.bsycorp.com/template-env.url": "DATABASE_URL",
            "inject.bsycorp.com/store": store,
            "inject.bsycorp.com/service-account": ACCOUNT,
            "inject.bsycorp.com/refresh": "1s",
        }),
    );
    manifest["spec"]["securityContext"] =
        json!({"runAsUser": 1000, "runAsGroup": 1000, "runAsNonRoot": true});
    manifest
}

/// Runs the pod, and holds all of it against what the application must see.
async fn is_delivered<'n>(
    cluster: &Cluster,
    node: &'n Node<ClusterSource>,
    namespace: &str,
    store: &str,
) -> RunningPod<'n, ClusterSource> {
    let stored = cluster.create(namespace, &manifest(store)).await.unwrap();
    let running = node.run(pod(&stored)).await.unwrap_or_else(|error| panic!("{store}: {error}"));
    let view = running.view("app").await.unwrap();
    for (path, text) in [
        ("/secret/secret", "db_password=p@ss/w\\u00F6rd\n"),
        ("/secret/resources", "db.host=db.example\n"),
        ("/secret/db.host", HOST),
        ("/secret/url", "postgres://app:p%40ss%2Fw%C3%B6rd@db.example/app"),
    ] {
        let file = &view.files[Path::new(path)];
        assert_eq!((file.text().as_str(), file.mode, file.uid), (text, 0o400, 1000), "{path}");
    }
    for (name, value) in
        [("DB_PASSWORD", PASSWORD), ("DATABASE_URL", "postgres://app:p%40ss%2Fw%C3%B6rd@db.example/app")]
    {
        assert_eq!(view.env.get(name).map(String::as_str), Some(value), "{name}");
    }
    let read =
        running.exec("app", &["sh", "-c", "cat /secret/url; echo; echo $DATABASE_URL; id -u"]).await.unwrap();
    let url = "postgres://app:p%40ss%2Fw%C3%B6rd@db.example/app";
    assert_eq!(read.stdout, format!("{url}\n{url}\n1000\n"), "{}", read.stderr);
    for log in [&running.init("keystow-init").unwrap().stderr, &running.sidecar_log("keystow-refresh")] {
        assert!(!log.contains(PASSWORD), "{log}");
    }
    running
}

/// The token with the store's audience is the init container's and the sidecar's, and nobody else's.
async fn is_kept_from_the_application(running: &RunningPod<'_, ClusterSource>, audience: &str) {
    let volume = running.volume("keystow-token").expect("the volume of the token");
    let token = std::fs::read_to_string(volume.join("token")).unwrap();
    let claims = token.split('.').nth(1).expect("a JWT");
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["aud"], json!([audience]));
    let pod = serde_json::to_value(running.pod()).unwrap();
    for (list, name, has) in [
        ("initContainers", "keystow-init", true),
        ("initContainers", "keystow-refresh", true),
        ("containers", "app", false),
    ] {
        assert_eq!(mount(element(&pod, list, name), "keystow-token").is_some(), has, "{name}");
    }
    let view = running.view("app").await.unwrap();
    assert!(
        view.files.values().all(|file| file.text() != token)
            && !view.env.values().any(|value| *value == token)
    );
    let looked = running.exec("app", &["sh", "-c", "! ls /var/run/secrets/keystow"]).await.unwrap();
    assert_eq!(looked.code, Some(0), "{}", looked.stdout);
}

/// What changed in the store is in the files of the application that runs.
async fn is_renewed(running: &RunningPod<'_, ClusterSource>) {
    let wanted = "db_password=changed\npostgres://app:changed@db.example/app";
    let renewed = until(BOUND, async || {
        let read = running.exec("app", &["cat", "/secret/secret", "/secret/url"]).await.unwrap();
        (read.stdout == wanted).then_some(())
    });
    let log = || running.sidecar_log("keystow-refresh");
    renewed.await.unwrap_or_else(|| panic!("the change is not there: {}", log()));
    assert!(running.sidecar("keystow-refresh").unwrap().all_running());
}

#[tokio::test]
async fn secrets_of_kubernetes_are_delivered_and_renewed() {
    let configuration = "injection: {image: 'keystow:test'}\nstores: {cluster: {kubernetes: {}}}\n";
    let Some(cluster) = Cluster::start_with("store-kubernetes", configuration).await else { return };
    let namespace = "store-kubernetes";
    cluster.opted_in(namespace).await;
    cluster.plane.service_account(namespace, ACCOUNT, &[]).await.unwrap();
    let kubectl = async |arguments: &[&str]| {
        cluster.plane.kubectl(&[&["--namespace", namespace], arguments].concat(), "").await.unwrap()
    };
    let password = format!("--from-literal=password={PASSWORD}");
    kubectl(&["create", "secret", "generic", "veza--db", &password]).await;
    kubectl(&["create", "secret", "generic", "veza--db.host", "--from-literal=value=db.example"]).await;
    let names = ["--resource-name=veza--db", "--resource-name=veza--db.host"];
    kubectl(&[&["create", "role", ACCOUNT, "--verb=get", "--resource=secrets"], &names[..]].concat()).await;

    // Without the right the pod waits for nothing, and says what to grant.
    let node = cluster.node();
    let mut refused = manifest("cluster");
    refused["metadata"]["name"] = json!("refused");
    let stored = cluster.create(namespace, &refused).await.unwrap();
    let Err(NodeError::InitFailed { finished, .. }) = node.run(pod(&stored)).await else {
        panic!("no failure")
    };
    assert_eq!(finished.code, Some(77), "{}", finished.stderr);
    let said = &finished.termination_message;
    for words in
        ["secret.bsycorp.com/db_password", "resource.bsycorp.com/db.host", "resourceNames [veza--db]"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }

    let subject = format!("--serviceaccount={namespace}:{ACCOUNT}");
    kubectl(&["create", "rolebinding", ACCOUNT, "--role", ACCOUNT, &subject]).await;
    let running = is_delivered(&cluster, &node, namespace, "cluster").await;
    assert!(running.volume("keystow-token").is_none(), "the store needs no token of its own");
    let patch = json!({"stringData": {"password": "changed"}}).to_string();
    kubectl(&["patch", "secret", "veza--db", "--type=merge", "--patch", &patch]).await;
    is_renewed(&running).await;
}
