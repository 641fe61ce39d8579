//! Called again, on our own output as another webhook left it: nothing is there twice.

use serde_json::{Value, json};

use super::{Cluster, element, elements, kees_pod, mount, names, status};
use crate::support::mutator::{Mutator, Patch};
use crate::support::wait::until;
use crate::support::webhook::TEST_LABEL;

/// What a mesh does: a sidecar, an init container before all others, a label, and a variable in every container.
fn mesh(pod: &Value) -> Value {
    let mut operations = vec![
        json!({"op": "add", "path": "/metadata/labels", "value": {"mesh": "on"}}),
        json!({"op": "add", "path": "/spec/containers/-", "value": {"name": "proxy", "image": "proxy:1"}}),
    ];
    let variable = json!({"name": "MESH", "value": "on"});
    for (index, container) in elements(pod, "initContainers").iter().enumerate() {
        let at = format!("/spec/initContainers/{index}/env");
        let present = container["env"].is_array();
        let (path, value) =
            if present { (format!("{at}/-"), variable.clone()) } else { (at, json!([variable])) };
        operations.push(json!({"op": "add", "path": path, "value": value}));
    }
    let early = json!({"name": "early", "image": "proxy:1"});
    operations.push(match pod["spec"]["initContainers"].is_array() {
        true => json!({"op": "add", "path": "/spec/initContainers/0", "value": early}),
        false => json!({"op": "add", "path": "/spec/initContainers", "value": [early]}),
    });
    Value::Array(operations)
}

/// A change that is nothing to us.
fn label(_: &Value) -> Value {
    json!([{"op": "add", "path": "/metadata/labels", "value": {"mesh": "on"}}])
}

/// A webhook behind ours, whose configuration sorts after it, once it is in effect in the namespace.
async fn behind(cluster: &Cluster, patch: Patch) -> Mutator {
    let mutator = Mutator::start(patch).await;
    let configuration = mutator.configuration(&format!("zz-{}", cluster.test), TEST_LABEL, cluster.test);
    cluster.plane.kubectl(&["apply", "-f", "-"], &configuration.to_string()).await.unwrap();
    let in_effect = async || {
        let canary = cluster.canary();
        let pod = cluster.create(&canary, &kees_pod("canary")).await.unwrap();
        cluster.delete(&canary, "canary").await;
        (pod["metadata"]["labels"]["mesh"] == "on").then_some(())
    };
    until(super::IN_EFFECT_WITHIN, in_effect).await.expect("the other webhook was not in effect in time");
    mutator
}

/// Fails where a list has two elements of one name.
fn assert_once(list: &[Value]) {
    let names: Vec<&Value> = list.iter().map(|element| &element["name"]).collect();
    let mut once = names.clone();
    once.sort_by_key(ToString::to_string);
    once.dedup();
    assert_eq!(once.len(), names.len(), "{names:?}");
}

#[tokio::test]
async fn a_second_call_adds_nothing_twice_and_restores_the_order() {
    let Some(cluster) = Cluster::start("mesh").await else { return };
    cluster.opted_in("mesh").await;
    let mutator = behind(&cluster, mesh).await;
    let (ours, theirs) = (cluster.webhook.requests(None).await, mutator.calls());
    let mut manifest = kees_pod("app");
    let reference = "kind=KUBERNETES,secret=jwt-secret,key=secret-key,env=JWT_SECRET_KEY";
    manifest["metadata"]["annotations"]["secret.bsycorp.com/jwt"] = json!(reference);
    manifest["metadata"]["annotations"]["secret.bsycorp.com/tls"] =
        json!("kind=KUBERNETES,secret=tls,path=/etc/tls");
    let pod = cluster.create("mesh", &manifest).await.unwrap();
    assert_eq!(cluster.webhook.requests(None).await - ours, 2.0, "we are called again");
    assert_eq!(mutator.calls() - theirs, 1);

    assert_eq!(names(&pod, "initContainers"), ["keystow-init", "early"], "ours is first again");
    assert_eq!(names(&pod, "containers"), ["app", "proxy"]);
    assert_once(elements(&pod, "volumes"));
    let all = || elements(&pod, "containers").iter().chain(elements(&pod, "initContainers"));
    for container in all() {
        for list in ["env", "volumeMounts"] {
            let list = container[list].as_array().map(Vec::as_slice).unwrap_or_default();
            let paths: Vec<Value> =
                list.iter().map(|e| json!({"name": format!("{}{}", e["name"], e["mountPath"])})).collect();
            assert_once(&paths);
        }
    }
    // What came in between is theirs: no secret goes there.
    for (list, name) in [("containers", "proxy"), ("initContainers", "early")] {
        let late = element(&pod, list, name);
        assert_eq!(
            (mount(late, "keystow-secrets"), mount(late, "keystow-secret-tls")),
            (None, None),
            "{late}"
        );
        assert_eq!(late["env"], Value::Null, "{late}");
    }
    let app = element(&pod, "containers", "app");
    assert_eq!(mount(app, "keystow-secrets"), Some(("/secret", true)));
    assert_eq!(mount(app, "keystow-secret-tls"), Some(("/etc/tls", true)));
    assert_eq!(app["env"].as_array().unwrap().len(), 1, "{app}");
    let init = element(&pod, "initContainers", "keystow-init");
    assert!(init["env"].as_array().unwrap().contains(&json!({"name": "MESH", "value": "on"})), "{init}");
    assert_eq!(status(&pod)["containers"], json!(["app"]));
}

#[tokio::test]
async fn a_second_call_on_a_pod_that_is_right_changes_nothing() {
    let Some(cluster) = Cluster::start("label").await else { return };
    cluster.opted_in("label").await;
    let _mutator = behind(&cluster, label).await;
    let before =
        (cluster.webhook.requests(Some("injected")).await, cluster.webhook.requests(Some("unchanged")).await);
    let pod = cluster.create("label", &kees_pod("app")).await.unwrap();
    let after =
        (cluster.webhook.requests(Some("injected")).await, cluster.webhook.requests(Some("unchanged")).await);
    assert_eq!((after.0 - before.0, after.1 - before.1), (1.0, 1.0));
    assert_eq!(names(&pod, "initContainers"), ["keystow-init"]);
    assert_eq!(pod["metadata"]["labels"]["mesh"], "on");
    assert_once(elements(&pod, "volumes"));
}

/// Also where our init container goes last: behind what came in between.
#[tokio::test]
async fn a_pod_that_chose_its_containers_keeps_its_choice() {
    let Some(cluster) = Cluster::start("choice").await else { return };
    cluster.opted_in("choice").await;
    let _mutator = behind(&cluster, mesh).await;
    let mut manifest = kees_pod("app");
    manifest["metadata"]["annotations"]["inject.bsycorp.com/containers"] = json!("app");
    manifest["metadata"]["annotations"]["inject.bsycorp.com/init-position"] = json!("last");
    let pod = cluster.create("choice", &manifest).await.unwrap();
    assert_eq!(names(&pod, "initContainers"), ["early", "keystow-init"]);
    assert_eq!(mount(element(&pod, "containers", "proxy"), "keystow-secrets"), None);
    assert_eq!(mount(element(&pod, "containers", "app"), "keystow-secrets"), Some(("/secret", true)));
}
