//! The rights of the accounts of the webhook and of the creator: all that they need, and none that would be missed only by
//! a thief.

mod creator;

use super::Cluster;

pub(super) use creator::are_those_that_the_creator_needs;

const ACCOUNT: &str = "--as=system:serviceaccount:keystow:keystow-webhook";

/// `VERB RESOURCE[/NAME]` in keystow's namespace.
const IN_NAMESPACE: [&str; 13] = [
    "create secrets",
    "get secrets/keystow-webhook-tls",
    "list secrets/keystow-webhook-tls",
    "watch secrets/keystow-webhook-tls",
    "update secrets/keystow-webhook-tls",
    "patch secrets/keystow-webhook-tls",
    "create leases.coordination.k8s.io",
    "get leases.coordination.k8s.io/keystow-webhook",
    "update leases.coordination.k8s.io/keystow-webhook",
    "patch leases.coordination.k8s.io/keystow-webhook",
    "create events.events.k8s.io",
    "patch events.events.k8s.io",
    "list pods",
];

/// The same in all namespaces, and outside of them.
const EVERYWHERE: [&str; 9] = [
    "get mutatingwebhookconfigurations/inject-keystow",
    "list mutatingwebhookconfigurations/inject-keystow",
    "watch mutatingwebhookconfigurations/inject-keystow",
    "patch mutatingwebhookconfigurations/inject-keystow",
    "list pods",
    "watch pods",
    "list namespaces",
    "watch namespaces",
    "create events.events.k8s.io",
];

const NOT_IN_NAMESPACE: [&str; 14] = [
    "get secrets",
    "list secrets",
    "watch secrets",
    "get secrets/keystow-tls",
    "update secrets/other",
    "delete secrets/keystow-webhook-tls",
    "get leases.coordination.k8s.io",
    "update leases.coordination.k8s.io/other",
    "update leases.coordination.k8s.io/keystow-creator",
    "delete leases.coordination.k8s.io/keystow-webhook",
    "create pods",
    "get configmaps",
    "create serviceaccounts/token",
    "update roles",
];

const NOT_EVERYWHERE: [&str; 19] = [
    "get secrets",
    "list secrets",
    "create secrets",
    "get secrets/keystow-webhook-tls",
    "create leases.coordination.k8s.io",
    "get pods",
    "create pods",
    "delete pods",
    "patch pods",
    "create pods/exec",
    "patch namespaces",
    // It would bring back what was deleted.
    "create mutatingwebhookconfigurations",
    "list mutatingwebhookconfigurations",
    "update mutatingwebhookconfigurations/inject-keystow",
    "delete mutatingwebhookconfigurations/inject-keystow",
    "patch mutatingwebhookconfigurations/istio-sidecar-injector",
    "patch validatingwebhookconfigurations/inject-keystow",
    "list events.events.k8s.io",
    "patch events.events.k8s.io",
];

/// Asks the API server about each.
pub(super) async fn are_those_that_are_needed(cluster: &Cluster) {
    let (inside, everywhere) = ("--namespace=keystow", "--all-namespaces");
    let rights = [
        (&IN_NAMESPACE[..], inside, "yes"),
        (&EVERYWHERE, everywhere, "yes"),
        (&NOT_IN_NAMESPACE, inside, "no"),
        (&NOT_EVERYWHERE, everywhere, "no"),
    ];
    are_as_expected(cluster, ACCOUNT, &rights).await;
    a_list_of_one_name_is_allowed(cluster).await;
}

async fn are_as_expected(cluster: &Cluster, account: &str, rights: &[(&[&str], &str, &str)]) {
    let mut wrong = Vec::new();
    for (rights, place, expected) in rights {
        for right in *rights {
            let answer = can(cluster, account, right, place).await;
            if answer != *expected {
                wrong.push(format!("{right} {place}: {answer}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn can(cluster: &Cluster, account: &str, right: &str, place: &str) -> String {
    let words = right.split(' ');
    let arguments: Vec<&str> = ["auth", "can-i", account].into_iter().chain(words).chain([place]).collect();
    // It fails where the answer is no.
    let output = cluster.plane.kubectl_output(&arguments, "").await.unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Watching one object by its name is a list with a field selector, and that is what the rule allows.
async fn a_list_of_one_name_is_allowed(cluster: &Cluster) {
    let list = |resource: &'static str, selector: &'static str| async move {
        let arguments = ["get", resource, "--namespace=keystow", ACCOUNT, selector];
        cluster.plane.kubectl(&arguments, "").await
    };
    for (resource, name, other) in [
        (
            "secrets",
            "--field-selector=metadata.name=keystow-webhook-tls",
            "--field-selector=metadata.name=other",
        ),
        (
            "mutatingwebhookconfigurations",
            "--field-selector=metadata.name=inject-keystow",
            "--field-selector=metadata.name=other",
        ),
    ] {
        list(resource, name).await.unwrap();
        for selector in [other, "--field-selector=metadata.name!=other"] {
            let refused = list(resource, selector).await.unwrap_err().to_string();
            assert!(refused.contains("Forbidden"), "{resource} {selector}: {refused}");
        }
    }
}
