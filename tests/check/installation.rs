//! Faults of the installation, one after the other: each is the only finding in a namespace that is healthy otherwise.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::{Checked, Cluster, check};

const CONFIGURATION: &str = "mutatingwebhookconfiguration";

/// Every one of them; at the end the webhook configuration is gone.
pub(crate) async fn has_faults(cluster: &Cluster, checker: &Path) {
    webhook(cluster, checker).await;
    endpoints(cluster, checker).await;
    creator(cluster, checker).await;
    api_server(cluster, checker).await;
    let directory = TempDir::new().unwrap();
    stores(checker, &directory.path().join("config.yaml")).await;
    cluster.kubectl(&["delete", CONFIGURATION, "inject-keystow"]).await;
    // Without it nobody knows where keystow is, so its configuration has to be given.
    let config = directory.path().join("config.yaml");
    fs::write(&config, "stores: {default: cluster, cluster: {kubernetes: {}}}").unwrap();
    only(checker, &["--config", config.to_str().unwrap()], "KS102").await;
}

async fn webhook(cluster: &Cluster, checker: &Path) {
    let patch_of = |op: &str, path: &str, value: &Value| {
        json!([{"op": op, "path": format!("/webhooks/0/{path}"), "value": value}]).to_string()
    };
    let ca = cluster
        .kubectl(&[
            "get",
            CONFIGURATION,
            "inject-keystow",
            "-o",
            "jsonpath={.webhooks[0].clientConfig.caBundle}",
        ])
        .await;
    let selector = json!({"matchLabels": {"inject.bsycorp.com/enabled": "true"}});
    for (code, patch, back) in [
        (
            "KS103",
            patch_of("remove", "clientConfig/caBundle", &json!(null)),
            patch_of("add", "clientConfig/caBundle", &json!(ca)),
        ),
        (
            "KS105",
            patch_of("replace", "failurePolicy", &json!("Ignore")),
            patch_of("replace", "failurePolicy", &json!("Fail")),
        ),
        (
            "KS106",
            patch_of("replace", "namespaceSelector", &json!({"matchLabels": {"other": "yes"}})),
            patch_of("replace", "namespaceSelector", &selector),
        ),
        (
            "KS106",
            patch_of("replace", "rules/0/operations", &json!(["UPDATE"])),
            patch_of("replace", "rules/0/operations", &json!(["CREATE"])),
        ),
    ] {
        let change = |patch: String| async move {
            cluster.kubectl(&["patch", CONFIGURATION, "inject-keystow", "--type=json", "-p", &patch]).await
        };
        change(patch).await;
        only(checker, &[], code).await;
        change(back).await;
    }
    let label =
        |value: &'static str| async move { cluster.kubectl(&["label", "namespace", "demo", value]).await };
    label("inject.bsycorp.com/enabled-").await;
    only(checker, &[], "KS101").await;
    label("inject.bsycorp.com/enabled=true").await;
}

async fn endpoints(cluster: &Cluster, checker: &Path) {
    let set = |ready: [bool; 2]| async move {
        let ready = ready.map(|ready| json!({"addresses": ["10.1.0.1"], "conditions": {"ready": ready}}));
        let patch = json!({"endpoints": ready}).to_string();
        cluster
            .kubectl(&[
                "-n",
                "keystow",
                "patch",
                "endpointslice",
                "keystow-webhook-1",
                "--type=merge",
                "-p",
                &patch,
            ])
            .await;
    };
    set([false, false]).await;
    only(checker, &[], "KS104").await;
    set([true, false]).await;
    let found = codes(&check(checker, &["-n", "demo", "--format", "json", "--production"]).await);
    assert!(["KS107", "KS901", "KS902"].iter().all(|code| found.contains(*code)), "{found:?}");
    set([true, true]).await;
}

async fn creator(cluster: &Cluster, checker: &Path) {
    cluster.kubectl(&["-n", "keystow", "delete", "lease", "keystow-creator"]).await;
    only(checker, &[], "KS603").await;
    cluster.renew_lease().await;
    cluster.kubectl(&["-n", "demo", "delete", "rolebinding", "keystow-creator-secrets"]).await;
    only(checker, &[], "KS604").await;
    let rights = fs::read_to_string("webhook-config/examples/creator-rights.yaml").unwrap();
    cluster.apply(rights.split("---").next().unwrap()).await;
}

/// What the operator's configuration and the account's annotations say together.
async fn stores(checker: &Path, config: &Path) {
    let file = config.to_str().unwrap();
    fs::write(
        config,
        "stores: {default: a, a: {dynamodb: {table: shop-secrets, region: eu-west-1, audience: sts.amazonaws.com}}}",
    )
    .unwrap();
    only(checker, &["--config", file], "KS507").await;
    fs::write(
        config,
        "stores: {default: a, a: {ssm: {region: eu-west-1, audience: a, roleArn: 'arn:aws:iam::123456789012:role/shop'}}}",
    )
    .unwrap();
    only(checker, &["--config", file], "KS211").await;
    fs::write(config, "stores: {default: a, a: {kubernetes: {}}}\nlocalMode: {namespaces: [faulty]}")
        .unwrap();
    let production = ["-n", "faulty", "--format", "json", "--production", "--config", file];
    let found = codes(&check(checker, &production).await);
    assert!(["KS903", "KS905"].iter().all(|code| found.contains(*code)), "{found:?}");
}

async fn api_server(cluster: &Cluster, checker: &Path) {
    let server = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "kube-apiserver-1", "namespace": "kube-system", "labels": {"component": "kube-apiserver"}},
        "spec": {"automountServiceAccountToken": false, "containers": [{"name": "a", "image": "a:1", "command": ["kube-apiserver", "--secure-port=6443"]}]}});
    cluster.plane.service_account("kube-system", "default", &[]).await.unwrap();
    cluster.apply(&server.to_string()).await;
    let checked = check(checker, &["-n", "demo", "--format", "json", "--production"]).await;
    assert!(
        checked.found().contains(&("KS901".to_owned(), "Pod kube-system/kube-apiserver-1".to_owned())),
        "{}",
        checked.out
    );
}

/// The codes of what was found.
pub(crate) fn codes(checked: &Checked) -> BTreeSet<String> {
    checked.found().into_iter().map(|(code, _)| code).collect()
}

/// This code is found, and no other.
async fn only(checker: &Path, more: &[&str], code: &str) {
    let arguments = [&["-n", "demo", "--format", "json"], more].concat();
    let checked = check(checker, &arguments).await;
    assert!(
        codes(&checked) == [code.to_owned()].into() && checked.code == Some(65),
        "{code}: {} {}",
        checked.err,
        checked.out
    );
}
