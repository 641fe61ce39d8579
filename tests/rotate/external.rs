//! ExternalSecrets and stores that embed a token, with the kinds of External Secrets Operator and without the operator.

use keystow::domain::SecretValue;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::json;

use super::fixture::{Cluster, WITHIN};
use crate::support::wait::until;

const KINDS: &str = include_str!("../data/check/crds.yaml");

fn resource(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("external-secrets.io", "v1", kind))
}

fn objects(namespace: &str) -> String {
    let store = json!({
        "apiVersion": "external-secrets.io/v1", "kind": "ClusterSecretStore",
        "metadata": {
            "name": format!("{namespace}-embeds"),
        },
        "spec": {"provider": {"webhook": {
            "url": "https://secrets.example/webhook?key={{ .remoteRef.key }}",
            "headers": {"Authorization": "Bearer stale", "Content-Type": "application/json"},
            "result": {"jsonPath": "$"},
        }}},
    });
    let logs_in = json!({
        "apiVersion": "external-secrets.io/v1", "kind": "SecretStore",
        "metadata": {"name": "logs-in", "namespace": namespace},
        "spec": {"provider": {"webhook": {
            "url": "https://secrets.example/webhook?key={{ .remoteRef.key }}",
            "headers": {"Authorization": "Bearer {{ .jwt.token }}"},
            "secrets": [{"name": "jwt", "secretRef": {"name": "eso", "key": "token"}}],
        }}},
    });
    let external = |name: &str, store: &str| {
        json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"secretStoreRef": {"kind": "SecretStore", "name": store}, "data": []},
        })
    };
    let list = [store, logs_in, external("reads", "logs-in"), external("other", "elsewhere")];
    list.map(|object| object.to_string()).join("\n---\n")
}

#[tokio::test]
async fn external_secrets_are_synced_and_embedded_tokens_replaced_when_the_secret_changes() {
    let Some(cluster) = Cluster::start("external").await else { return };
    let plane = cluster.plane;
    plane.kubectl(&["apply", "-f", "-"], KINDS).await.unwrap();
    let wait = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"];
    plane.kubectl(&wait, "").await.unwrap();
    let value = |text: &str| SecretValue::new(text.as_bytes().to_vec());
    cluster
        .create(
            "eso",
            &[("embedded-in", "external-embeds, external/absent")],
            &[("token", &value("first.token"))],
        )
        .await;
    plane.kubectl(&["apply", "-f", "-"], &objects("external")).await.unwrap();

    let secrets: Api<DynamicObject> =
        Api::namespaced_with(cluster.client.clone(), "external", &resource("ExternalSecret"));
    let stores: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &resource("ClusterSecretStore"));
    let header = async || {
        let store = stores.get("external-embeds").await.unwrap();
        store.data.pointer("/spec/provider/webhook/headers/Authorization").unwrap().clone()
    };
    let annotation = async |name: &str, key: &str| {
        let object = secrets.get(name).await.unwrap();
        object.metadata.annotations.unwrap_or_default().get(key).cloned()
    };
    let mut controller = cluster.controller("teller");
    let noted = until(WITHIN, async || annotation("reads", "rotate.bsycorp.com/seen").await);
    assert!(noted.await.is_some(), "{}", controller.log_text());
    let embedded = until(WITHIN, async || (header().await == "Bearer first.token").then_some(()));
    assert!(embedded.await.is_some(), "{}", controller.log_text());
    assert_eq!(annotation("reads", "force-sync").await, None, "nothing has changed yet");

    let change = Patch::Merge(json!({"stringData": {"token": "second.token"}}));
    cluster.secrets().patch("eso", &PatchParams::default(), &change).await.unwrap();
    let synced = until(WITHIN, async || annotation("reads", "force-sync").await).await;
    assert!(synced.is_some(), "{}", controller.log_text());
    let embedded = until(WITHIN, async || (header().await == "Bearer second.token").then_some(()));
    assert!(embedded.await.is_some(), "{}", controller.log_text());
    assert_eq!(annotation("other", "force-sync").await, None, "its store is another");
    let store = stores.get("external-embeds").await.unwrap();
    let headers = store.data.pointer("/spec/provider/webhook/headers").unwrap();
    assert_eq!(headers["Content-Type"], "application/json", "the other headers stay");
    let logs_in: Api<DynamicObject> =
        Api::namespaced_with(cluster.client.clone(), "external", &resource("SecretStore"));
    let logs_in = logs_in.get("logs-in").await.unwrap();
    let header_of_it = logs_in.data.pointer("/spec/provider/webhook/headers/Authorization").unwrap();
    assert_eq!(header_of_it, "Bearer {{ .jwt.token }}", "no Secret says that it is embedded there");
    assert!(!controller.log_text().contains("second.token"));

    let told = cluster.done(&["--once"]).await;
    assert!(!told.contains("is told"), "{told}");
    assert_eq!(annotation("reads", "force-sync").await, synced, "once a change");
    controller.terminate().await;
    assert_eq!(controller.exit_code().await, Some(0));
}
