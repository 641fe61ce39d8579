//! The chart: what `helm template` prints, applied; and a release from installation to uninstallation.

use serde_json::json;

use super::super::objects::Objects;
use super::super::tools::{Helm, shipped};
use super::kustomize::ca_bundle;
use super::{CONFIGURATION, Cluster};

const PROVIDER: &str = r#"config.provider={"keys": "default/signing", "audience": "keystow", "callers": [{"subject": "external-secrets"}]}"#;

const RESTRICTED: (&str, &str) = ("pod-security.kubernetes.io/enforce", "restricted");

#[tokio::test]
async fn what_helm_template_prints_is_accepted_and_works() {
    let test = "what_helm_template_prints_is_accepted_and_works";
    let Some(helm) = Helm::or_skip(test) else { return };
    let Some(cluster) = Cluster::start(test, "by-template").await else { return };
    cluster.plane.namespace(cluster.namespace, &[RESTRICTED], &[]).await.unwrap();
    // Another domain, kees' layout and one more condition, so that the API server sees these too.
    let own =
        r#"webhook.matchConditions=[{"name": "own", "expression": "!has(object.metadata.ownerReferences)"}]"#;
    // And the creator, in stores that it has tokens for.
    let stores = r#"config.stores.prod={"dynamodb": {"table": "secrets", "audience": "sts.amazonaws.com"}}"#;
    let creator = ["creator.enabled=true", r#"creator.secretNamespaces=["default"]"#, stores];
    let domain = [r#"config.annotationDomain="example.com""#, r#"config.layout="kees""#, own];
    // And the rotation and the provider, of keys in another namespace.
    let others = ["rotate.enabled=true", "rotate.clusterStores=true", "provider.enabled=true", PROVIDER];
    let values = [&domain[..], &creator, &others].concat();
    let manifest = helm.manifest(&values, cluster.namespace);
    let objects = Objects::read(&manifest);
    let said = cluster.plane.kubectl(&["apply", "--validate=strict", "-f", "-"], &manifest).await.unwrap();
    assert_eq!(said.lines().filter(|line| line.ends_with(" created")).count(), objects.0.len(), "{said}");

    for deployment in ["keystow-webhook", "keystow-creator", "keystow-rotate", "keystow-provider"] {
        cluster.admits_a_pod_of(&objects, deployment).await;
    }
    cluster.injects(&objects).await;

    cluster.plane.kubectl(&["delete", CONFIGURATION], "").await.unwrap();
    cluster.plane.kubectl(&["delete", "--ignore-not-found", "-f", "-"], &manifest).await.unwrap();
    cluster.nothing_is_left().await;
}

/// Runs helm against the cluster.
fn run(helm: &Helm, cluster: &Cluster, arguments: &[&str]) -> (String, String) {
    let kubeconfig = cluster.plane.kubeconfig().to_str().unwrap();
    let more = ["--kubeconfig", kubeconfig, "--namespace", cluster.namespace];
    helm.run(&[arguments, &more].concat())
}

#[tokio::test]
async fn a_release_is_installed_upgraded_and_uninstalled() {
    let test = "a_release_is_installed_upgraded_and_uninstalled";
    let Some(helm) = Helm::or_skip(test) else { return };
    let Some(cluster) = Cluster::start(test, "by-helm").await else { return };
    let chart = shipped("chart");
    let chart = chart.to_str().unwrap();
    let (notes, _) = run(&helm, &cluster, &["install", "any-name", chart, "--create-namespace"]);
    assert!(notes.contains("kubectl label namespace NAME inject.bsycorp.com/enabled=true"), "{notes}");
    assert!(cluster.has_configuration().await);

    // An upgrade rolls the pods for a changed file, and leaves the caBundle to whoever wrote it.
    let template =
        ["get", "deployment", "keystow-webhook", "-o", "jsonpath={.spec.template.metadata.annotations}"];
    let before = cluster.in_namespace(&template).await;
    let bundle = ca_bundle(&cluster);
    cluster.write_ca_bundle("inject.bsycorp.com", &bundle).await;
    let values = ["--set", "config.layout=kees", "--set", "webhook.failurePolicy=Ignore"];
    run(&helm, &cluster, &[&["upgrade", "any-name", chart][..], &values].concat());
    assert_ne!(cluster.in_namespace(&template).await, before);
    let webhook = &cluster.configuration().await["webhooks"][0];
    assert_eq!(
        (&webhook["failurePolicy"], &webhook["clientConfig"]["caBundle"]),
        (&"Ignore".into(), &bundle.as_str().into())
    );
    // Where files come from elsewhere, the rights to make them go.
    let rights = "clusterrole/keystow-webhook-certificates";
    assert!(!cluster.kubectl(&["get", rights, "-o", "name"]).await.is_empty());
    run(&helm, &cluster, &["upgrade", "any-name", chart, "--set", "certificate.mode=existingSecret"]);
    assert_eq!(cluster.kubectl(&["get", rights, "--ignore-not-found", "-o", "name"]).await, "");
    assert_eq!(cluster.configuration().await["webhooks"][0]["clientConfig"]["caBundle"], bundle);
    // A second release would have the same objects, and is refused.
    let kubeconfig = cluster.plane.kubeconfig().to_str().unwrap();
    let second =
        helm.output(&["install", "second", chart, "--kubeconfig", kubeconfig, "--namespace", "default"]);
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(
        !second.status.success() && said.contains("cannot be imported into the current release"),
        "{said}"
    );

    // The configuration goes before the Service and the pods, whatever order Helm has for kinds.
    let (_, said) = run(&helm, &cluster, &["uninstall", "any-name", "--debug"]);
    let deleted: Vec<&str> = said.lines().filter(|line| line.contains("Starting delete for")).collect();
    assert!(deleted[0].contains("\"inject-keystow\" MutatingWebhookConfiguration"), "{said}");
    assert!(deleted.iter().any(|line| line.contains("\"keystow-webhook\" Service")), "{said}");
    cluster.nothing_is_left().await;
    let left = cluster
        .in_namespace(&["get", "all,configmaps,secrets,roles,rolebindings,networkpolicies", "-o", "name"])
        .await;
    assert_eq!(left, "");

    // Helm had an empty configuration in its place for a moment: a leader that still runs cannot fill it.
    let empty = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "inject-keystow"}, "webhooks": [],
    });
    cluster.plane.kubectl(&["create", "-f", "-"], &empty.to_string()).await.unwrap();
    let refused =
        cluster.try_to_write_ca_bundle("inject.bsycorp.com", &bundle).await.unwrap_err().to_string();
    assert!(refused.contains("webhooks[0].sideEffects: Required value"), "{refused}");
    cluster.kubectl(&["delete", CONFIGURATION]).await;
}
