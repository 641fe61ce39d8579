//! Who is told nothing although a Secret is not what it was, and who is told all the same although something is wrong.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use keystow::domain::SecretValue;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::fixture::{Cluster, WITHIN};
use super::restarts::{SEEN, by_key, workload};
use crate::support::wait::until;

fn value(text: &str) -> SecretValue {
    SecretValue::new(text.as_bytes().to_vec())
}

fn deployments(cluster: &Cluster) -> Api<Deployment> {
    Api::namespaced(cluster.client.clone(), cluster.namespace)
}

/// A cluster with the Secret `jwt` and Deployments of these names, of which it is noted that they read it.
async fn noted(test: &'static str, names: &[&str]) -> Option<Cluster> {
    let cluster = Cluster::start(test).await?;
    cluster.create("jwt", &[], &[("token", &value("first"))]).await;
    for name in names {
        create(&cluster, name).await;
    }
    cluster.done(&["--once"]).await;
    Some(cluster)
}

/// Makes a Deployment whose environment has the `token` of the Secret `jwt`.
async fn create(cluster: &Cluster, name: &str) {
    let object = serde_json::from_value(workload(name, &json!({}), &json!({}), by_key("token"))).unwrap();
    deployments(cluster).create(&PostParams::default(), &object).await.unwrap();
}

async fn change(cluster: &Cluster, secret: &str, data: serde_json::Value) {
    let patch = Patch::Merge(json!({ "stringData": data }));
    cluster.secrets().patch(secret, &PatchParams::default(), &patch).await.unwrap();
}

/// How often its spec was changed since it was made.
async fn restarts(cluster: &Cluster, name: &str) -> i64 {
    let metadata = deployments(cluster).get(name).await.unwrap().metadata;
    let is_noted = metadata.annotations.is_some_and(|annotations| annotations.contains_key(SEEN));
    // The API server counts what was noted too.
    metadata.generation.unwrap() - 1 - i64::from(is_noted)
}

#[tokio::test]
async fn a_secret_that_is_deleted_restarts_nobody_until_another_comes() {
    let Some(cluster) = noted("deleted", &["app"]).await else { return };
    cluster.secrets().delete("jwt", &DeleteParams::default()).await.unwrap();
    let gone = cluster.done(&["--once"]).await;
    cluster.create("jwt", &[], &[("token", &value("first"))]).await;
    let back = cluster.done(&["--once"]).await;
    assert!(!gone.contains("starts anew") && !back.contains("starts anew"), "{gone}{back}");
    cluster.secrets().delete("jwt", &DeleteParams::default()).await.unwrap();
    cluster.done(&["--once"]).await;
    cluster.create("jwt", &[], &[("token", &value("second"))]).await;
    let other = cluster.done(&["--once"]).await;
    assert!(other.contains("Deployment deleted/app starts anew, since deleted/jwt changed"), "{other}");
}

#[tokio::test]
async fn a_salt_that_is_lost_restarts_nobody() {
    let Some(cluster) = noted("lost-salt", &["app"]).await else { return };
    change(&cluster, "keystow-rotate", json!({"salt": "another salt, of as many bytes as one has"})).await;
    for flags in [&["--once", "--dry-run"][..], &["--once"]] {
        let told = cluster.done(flags).await;
        assert!(!told.contains("starts anew"), "{told}");
    }
    assert_eq!(restarts(&cluster, "app").await, 0);
}

#[tokio::test]
async fn a_workload_that_came_before_a_key_signs_is_told_of_it_by_the_next_run() {
    let Some(cluster) = Cluster::start("came-late").await else { return };
    let annotations = [
        ("type", "PASSWORD"),
        ("size", "256"),
        ("every", "90d"),
        ("publish", "1s"),
        ("overlap", "600s"),
        ("key", "token"),
    ];
    cluster.create("jwt", &annotations, &[("token", &value("first"))]).await;
    cluster.done(&["--secret", "jwt", "--force"]).await;
    let is_due = until(WITHIN, async || {
        cluster.done(&["--dry-run", "--secret", "jwt"]).await.contains("signs from now on").then_some(())
    });
    assert!(is_due.await.is_some(), "the next key signs");
    create(&cluster, "app").await;
    let told = cluster.done(&["--once"]).await;
    assert!(told.contains("Deployment came-late/app starts anew"), "{told}");
    assert_eq!(restarts(&cluster, "app").await, 1);
}

#[tokio::test]
async fn a_workload_that_cannot_be_restarted_holds_up_no_other() {
    let Some(cluster) = noted("held-up", &["a", "b", "c"]).await else { return };
    let policy = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: held-up}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: held-up}}
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [UPDATE], resources: [deployments]}
  validations:
  - {expression: "object.metadata.name != 'a'", message: "a stays as it is"}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: held-up}
spec: {policyName: held-up, validationActions: [Deny]}
"#;
    cluster.plane.kubectl(&["apply", "-f", "-"], policy).await.unwrap();
    let is_denied = until(Duration::from_secs(60), async || {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"is": "denied"}}}));
        deployments(&cluster).patch("a", &PatchParams::default().dry_run(), &patch).await.err().map(|_| ())
    });
    assert!(is_denied.await.is_some(), "the policy is in force");
    change(&cluster, "jwt", json!({"token": "second"})).await;
    let (code, told) = cluster.refused(&["--once"]).await;
    assert!(code == 65 && told.contains("a stays as it is"), "{code}: {told}");
    assert_eq!((restarts(&cluster, "b").await, restarts(&cluster, "c").await), (1, 1), "{told}");
    cluster.plane.kubectl(&["delete", "-f", "-"], policy).await.unwrap();
    let later = until(WITHIN, async || cluster.run(&["--once"]).await.status.success().then_some(()));
    assert!(later.await.is_some());
    assert_eq!(restarts(&cluster, "a").await, 1);
}
