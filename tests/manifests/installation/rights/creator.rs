//! The creator's account: pods of the whole cluster to look at, and Secrets where a RoleBinding says so.

use super::super::super::tools::shipped;
use super::super::Cluster;
use super::are_as_expected;

const ACCOUNT: &str = "--as=system:serviceaccount:keystow:keystow-creator";
/// A namespace that is bound as the examples' are.
const BOUND: &str = "bound-to-the-creator";

const IN_NAMESPACE: [&str; 4] = [
    "create leases.coordination.k8s.io",
    "get leases.coordination.k8s.io/keystow-creator",
    "update leases.coordination.k8s.io/keystow-creator",
    "patch leases.coordination.k8s.io/keystow-creator",
];

const EVERYWHERE: [&str; 5] =
    ["get pods", "list pods", "watch pods", "list namespaces", "create events.events.k8s.io"];

const IN_BOUND: [&str; 5] =
    ["get secrets", "list secrets", "create secrets", "patch secrets", "delete secrets"];

const NOT_IN_NAMESPACE: [&str; 9] = [
    "get secrets",
    "list secrets",
    "create secrets",
    "get secrets/keystow-webhook-tls",
    "get leases.coordination.k8s.io/keystow-webhook",
    "update leases.coordination.k8s.io/keystow-webhook",
    "delete leases.coordination.k8s.io/keystow-creator",
    "get configmaps",
    "create serviceaccounts/token",
];

const NOT_EVERYWHERE: [&str; 16] = [
    "get secrets",
    "list secrets",
    "watch secrets",
    "create secrets",
    "patch secrets",
    "delete secrets",
    "create leases.coordination.k8s.io",
    "create pods",
    "patch pods",
    "delete pods",
    "create pods/exec",
    "watch namespaces",
    "patch namespaces",
    "list mutatingwebhookconfigurations",
    "list events.events.k8s.io",
    "patch events.events.k8s.io",
];

const NOT_IN_BOUND: [&str; 5] =
    ["watch secrets", "update secrets", "deletecollection secrets", "get configmaps", "create rolebindings"];

/// Asks the API server about each, in a namespace that the creator may keep Secrets in and elsewhere.
pub(in super::super) async fn are_those_that_the_creator_needs(cluster: &Cluster) {
    cluster.plane.namespace(BOUND, &[], &[]).await.unwrap();
    let examples = std::fs::read_to_string(shipped("examples/creator-rights.yaml")).unwrap();
    let (binding, _) = examples.split_once("\n---\n").unwrap();
    let binding = binding.replace("namespace: demo", &format!("namespace: {BOUND}"));
    cluster.plane.kubectl(&["create", "--validate=strict", "-f", "-"], &binding).await.unwrap();
    let (inside, everywhere) = ("--namespace=keystow", "--all-namespaces");
    let bound = format!("--namespace={BOUND}");
    let rights = [
        (&IN_NAMESPACE[..], inside, "yes"),
        (&EVERYWHERE, everywhere, "yes"),
        (&IN_BOUND, bound.as_str(), "yes"),
        (&NOT_IN_NAMESPACE, inside, "no"),
        (&NOT_EVERYWHERE, everywhere, "no"),
        (&NOT_IN_BOUND, &bound, "no"),
    ];
    are_as_expected(cluster, ACCOUNT, &rights).await;
}
