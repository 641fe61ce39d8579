//! The two objects in the API server: the Secret, and the MutatingWebhookConfiguration with the `caBundle`.
//!
//! Invariants: the Secret is written only as it was read (its `resourceVersion` is sent back); of the configuration
//! nothing but each webhook's `caBundle` is written, by server-side apply under a field manager of its own, and only
//! onto the version that was read. Whoever comes second is told so and looks again, leader or not.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use zeroize::Zeroize as _;

use super::bundle::Bundle;
use super::material::{Data, Material};
use crate::cluster::Cluster;

/// Who owns the `caBundle`, in `metadata.managedFields`.
const FIELD_MANAGER: &str = "keystow-certificates";

/// Reads and writes both.
#[derive(Clone)]
pub(super) struct Objects {
    pub(super) secrets: Api<Secret>,
    pub(super) configurations: Api<MutatingWebhookConfiguration>,
    pub(super) secret: String,
    pub(super) configuration: String,
}

impl Objects {
    pub(super) fn new(cluster: &Cluster, secret: &str) -> Self {
        Self {
            secrets: Api::namespaced(cluster.client().clone(), cluster.namespace()),
            configurations: Api::all(cluster.client().clone()),
            secret: secret.to_owned(),
            configuration: cluster.configuration().to_owned(),
        }
    }

    /// Writes `material` over the Secret as it was `found`.
    pub(super) async fn store(&self, found: Option<Secret>, material: &Material) -> Result<(), kube::Error> {
        let is_new = found.is_none();
        let mut secret = found.unwrap_or_else(|| self.empty_secret());
        material.write(secret.data.get_or_insert_default());
        let written = if is_new {
            self.secrets.create(&PostParams::default(), &secret).await
        } else {
            self.secrets.replace(&self.secret, &PostParams::default(), &secret).await
        };
        wipe(secret);
        written.map(wipe)
    }

    fn empty_secret(&self) -> Secret {
        let labels = [("app.kubernetes.io/name", "keystow"), ("app.kubernetes.io/component", "webhook")];
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Secret {
            metadata: ObjectMeta {
                name: Some(self.secret.clone()),
                labels: Some(labels.map(owned).into()),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            ..Secret::default()
        }
    }

    /// Writes the `caBundle` of every webhook of the configuration as it was `found`.
    pub(super) async fn publish(
        &self,
        found: &MutatingWebhookConfiguration,
        bundle: &Bundle,
    ) -> Result<(), kube::Error> {
        let bundle = ByteString(bundle.to_pem().into_bytes());
        let names = found.webhooks.iter().flatten().map(|webhook| &webhook.name);
        let webhooks: Vec<_> =
            names.map(|name| json!({"name": name, "clientConfig": {"caBundle": bundle}})).collect();
        let patch = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": self.configuration, "resourceVersion": found.metadata.resource_version},
            "webhooks": webhooks,
        });
        // Forced: somebody else may have owned the caBundle when certificates came from elsewhere.
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        self.configurations.patch(&self.configuration, &parameters, &Patch::Apply(patch)).await.map(drop)
    }
}

/// The `caBundle`s of a configuration: what every one of its webhooks trusts. None where it has no webhook.
pub(super) fn bundle_of(configuration: &MutatingWebhookConfiguration) -> Option<Bundle> {
    let webhooks = configuration.webhooks.as_deref().unwrap_or_default();
    let mut bundles = webhooks.iter().map(|webhook| {
        let text = webhook.client_config.ca_bundle.as_ref().map_or(&[][..], |text| &text.0);
        Bundle::from_pem(text)
    });
    let first = bundles.next()?;
    Some(
        bundles.fold(first, |common, other| common.iter().filter(|ca| other.contains(ca)).cloned().collect()),
    )
}

/// Takes the data out of a Secret, so that [`wipe_data`] can follow.
pub(super) fn data_of(secret: &mut Secret) -> Data {
    secret.data.take().unwrap_or_default()
}

/// Overwrites the values: keys do not stay in memory that is given back.
pub(super) fn wipe_data(data: &mut BTreeMap<String, ByteString>) {
    data.values_mut().for_each(|value| value.0.zeroize());
}

fn wipe(mut secret: Secret) {
    wipe_data(&mut data_of(&mut secret));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(bundles: &[&str]) -> MutatingWebhookConfiguration {
        let webhook = |bundle: &&str| {
            json!({
                "name": "a.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "clientConfig": {"caBundle": ByteString(bundle.as_bytes().to_vec())},
            })
        };
        let webhooks: Vec<_> = bundles.iter().map(webhook).collect();
        serde_json::from_value(json!({"metadata": {"name": "x"}, "webhooks": webhooks})).unwrap()
    }

    #[test]
    fn what_all_webhooks_trust_is_what_counts() {
        let ca = || {
            let lifetime = std::time::Duration::from_secs(3600);
            super::super::issue::authority(lifetime, std::time::SystemTime::now()).unwrap().ca
        };
        let (one, other) = (ca(), ca());
        let both = one.pem() + &other.pem();
        assert_eq!(bundle_of(&configuration(&[])), None);
        assert_eq!(bundle_of(&configuration(&[""])), Some(Bundle::default()));
        assert_eq!(bundle_of(&configuration(&[&both, &other.pem()])), Some([other].into_iter().collect()));
    }
}
