//! Vault, which asks the API server who the pod is.

use serde_json::json;

use super::super::{Cluster, IMAGE};
use super::{ACCOUNT, HOST, PASSWORD, is_delivered, is_kept_from_the_application, is_renewed};
use crate::support::control_plane::ControlPlane;
use crate::support::servers::Vault;

const POLICY: &str = "path \"secret/data/veza/*\" { capabilities = [\"read\"] }";

/// The auth method, with an account of Vault's own that may ask the API server about tokens: one with Vault's audience
/// is none that the API server takes from a pod.
async fn enable_auth(vault: &Vault, plane: &ControlPlane, namespace: &str) {
    plane.service_account(namespace, "reviewer", &[]).await.unwrap();
    let account = format!("--serviceaccount={namespace}:reviewer");
    let binding =
        ["create", "clusterrolebinding", namespace, "--clusterrole=system:auth-delegator", &account];
    plane.kubectl(&binding, "").await.unwrap();
    let token = plane.kubectl(&["create", "token", "reviewer", "--namespace", namespace], "").await.unwrap();
    vault.write("sys/auth/kubernetes", &json!({"type": "kubernetes"})).await;
    let config = json!({
        "kubernetes_host": format!("https://127.0.0.1:{}", plane.port()),
        "kubernetes_ca_cert": plane.ca_pem(),
        "token_reviewer_jwt": token.trim(),
        "disable_local_ca_jwt": true,
    });
    vault.write("auth/kubernetes/config", &config).await;
}

#[tokio::test]
async fn secrets_of_vault_are_delivered_and_renewed() {
    let test = "store-vault";
    let Some(vault) = Vault::shared(test).await else { return };
    let address = vault.address();
    let auth = "{kubernetes: {role: veza, mount: kubernetes, audience: vault}}";
    let configuration = format!(
        "injection: {{image: '{IMAGE}'}}\nstores: {{team: {{vault: {{address: '{address}', mount: secret, auth: {auth}}}}}}}\n"
    );
    let Some(cluster) = Cluster::start_with(test, &configuration).await else { return };
    cluster.opted_in(test).await;
    cluster.plane.service_account(test, ACCOUNT, &[]).await.unwrap();
    enable_auth(vault, cluster.plane, test).await;
    vault.write("sys/policies/acl/veza", &json!({"policy": POLICY})).await;
    let role = json!({
        "bound_service_account_names": [ACCOUNT], "bound_service_account_namespaces": [test],
        "audience": "vault", "token_policies": ["veza"],
    });
    vault.write("auth/kubernetes/role/veza", &role).await;
    vault.write("secret/data/veza/db", &json!({"data": {"password": PASSWORD}})).await;
    vault.write("secret/data/veza/db.host", &json!({"data": {"value": HOST}})).await;

    let node = cluster.node();
    let running = is_delivered(&cluster, &node, test, "team").await;
    is_kept_from_the_application(&running, "vault").await;
    vault.write("secret/data/veza/db", &json!({"data": {"password": "changed"}})).await;
    is_renewed(&running).await;
}
