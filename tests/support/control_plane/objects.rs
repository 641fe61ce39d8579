//! The objects that controllers would have made, and webhook configurations turned to loopback.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::Api;
use kube::api::PostParams;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{ControlPlane, ControlPlaneError};

impl ControlPlane {
    /// Creates a namespace with what its controllers would add: the `default` service account, with
    /// `image_pull_secrets`, and the ConfigMap `kube-root-ca.crt`, which every pod's token volume needs.
    pub(crate) async fn namespace(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        image_pull_secrets: &[&str],
    ) -> Result<(), ControlPlaneError> {
        let client = self.client().await?;
        let labels: serde_json::Map<String, Value> =
            labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let namespace: Namespace = object(json!({"metadata": {"name": name, "labels": labels}}))?;
        Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        let root_ca: ConfigMap = object(json!({
            "metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": self.ca_pem()},
        }))?;
        Api::namespaced(client, name).create(&PostParams::default(), &root_ca).await?;
        self.service_account(name, "default", image_pull_secrets).await
    }

    /// Creates a service account.
    pub(crate) async fn service_account(
        &self,
        namespace: &str,
        name: &str,
        image_pull_secrets: &[&str],
    ) -> Result<(), ControlPlaneError> {
        let secrets: Vec<Value> = image_pull_secrets.iter().map(|secret| json!({"name": secret})).collect();
        let account: ServiceAccount =
            object(json!({"metadata": {"name": name}, "imagePullSecrets": secrets}))?;
        let api = Api::namespaced(self.client().await?, namespace);
        api.create(&PostParams::default(), &account).await?;
        Ok(())
    }
}

fn object<T: DeserializeOwned>(value: Value) -> Result<T, ControlPlaneError> {
    serde_json::from_value(value).map_err(|error| ControlPlaneError::Configuration(error.to_string()))
}

/// Turns the webhooks of a `MutatingWebhookConfiguration` or `ValidatingWebhookConfiguration` from the Service that
/// they name to `address` (`https://127.0.0.1:PORT`), keeping the Service's path, and makes them trust `ca_pem`.
/// All else stays as it is written.
pub(crate) fn at_address(configuration: &mut Value, address: &str, ca_pem: &str) {
    let webhooks = configuration.get_mut("webhooks").and_then(Value::as_array_mut);
    for webhook in webhooks.into_iter().flatten() {
        let path = webhook.pointer("/clientConfig/service/path").and_then(Value::as_str).unwrap_or_default();
        let url = format!("{address}{path}");
        webhook["clientConfig"] = json!({"url": url, "caBundle": STANDARD.encode(ca_pem)});
    }
}
