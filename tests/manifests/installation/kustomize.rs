//! `kubectl apply -k webhook-config/base`, as it is.

use super::super::objects::Objects;
use super::super::tools::{kubectl_or_skip, kustomize, shipped};
use super::{CONFIGURATION, Cluster, rights};

#[tokio::test]
async fn the_base_is_accepted_works_and_is_taken_away() {
    let test = "the_base_is_accepted_works_and_is_taken_away";
    let Some(cluster) = Cluster::start(test, "keystow").await else { return };
    let Some(kubectl) = kubectl_or_skip(test) else { return };
    let objects: Objects = kustomize(&kubectl, "base");
    let base = shipped("base");
    let apply = ["apply", "--validate=strict", "-k", base.to_str().unwrap()];
    let said = cluster.kubectl(&apply).await;
    assert_eq!(said.lines().filter(|line| line.ends_with(" created")).count(), objects.0.len(), "{said}");
    // The caBundle is of whoever made the certificate, and stays when the same is applied again.
    cluster.write_ca_bundle("inject.bsycorp.com", &ca_bundle(&cluster)).await;
    let before = cluster.configuration().await;
    let said = cluster.kubectl(&apply).await;
    assert!(said.lines().all(|line| line.ends_with(" unchanged") || line.ends_with(" configured")), "{said}");
    assert_eq!(cluster.configuration().await["webhooks"], before["webhooks"]);
    // As Flux applies: by the server, and whatever is in the way.
    cluster.kubectl(&[&apply[..], &["--server-side", "--force-conflicts"]].concat()).await;
    assert_eq!(cluster.configuration().await["webhooks"], before["webhooks"]);

    // The overlay is accepted over it.
    let overlay = shipped("cert-manager");
    let overlay = ["apply", "--dry-run=server", "--validate=strict", "-k", overlay.to_str().unwrap()];
    let said = cluster.kubectl(&overlay).await;
    assert!(said.contains("deployment.apps/keystow-webhook configured (server dry run)"), "{said}");

    rights::are_those_that_are_needed(&cluster).await;
    // The creator beside it, with the same configuration file.
    let both = shipped("with-creator");
    let said = cluster.kubectl(&["apply", "--validate=strict", "-k", both.to_str().unwrap()]).await;
    assert!(said.contains("deployment.apps/keystow-creator created"), "{said}");
    let file = said.lines().find(|line| line.contains("/keystow-config")).expect("the configuration file");
    assert!(!file.ends_with(" created"), "{file}");
    rights::are_those_that_the_creator_needs(&cluster).await;
    cluster.admits_a_pod_of(&kustomize(&kubectl, "with-creator"), "keystow-creator").await;

    cluster.admits_a_pod_of(&objects, "keystow-webhook").await;
    cluster.injects(&objects).await;

    // As webhook-config/README.md says: the configuration first. Nobody here would end the namespace.
    cluster.kubectl(&["delete", CONFIGURATION]).await;
    let delete = ["delete", "--ignore-not-found", "--wait=false", "-k", both.to_str().unwrap()];
    cluster.kubectl(&delete).await;
    cluster.nothing_is_left().await;
}

/// A CA, as a caBundle has it.
pub(super) fn ca_bundle(cluster: &Cluster) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(cluster.plane.ca_pem())
}
