//! Which pods are found, and what is said of them.

use serde_json::json;

use super::*;

#[tokio::test]
async fn pods_that_were_missed_are_counted_and_told_of() {
    let Some(cluster) = Cluster::start("uninjected-found").await else { return };
    // The webhook is away, and its pods start without it.
    cluster.namespace("shop", &[OPT_IN]).await;
    cluster.send_pods_nowhere().await;
    let (uid, _) = cluster.create("shop", &asking("missed")).await;
    let replica = cluster.replica("a").await;
    counts(&replica, 1.0).await;
    let events = cluster.events_of(1).await;
    let (event, regarding) = (&events[0], events[0].regarding.as_ref().unwrap());
    assert_eq!(regarding.uid.as_deref(), Some(uid.as_str()));
    assert_eq!(
        (event.metadata.namespace.as_deref(), event.type_.as_deref()),
        (Some("uninjected-found-shop"), Some("Warning"))
    );
    assert_eq!(event.reporting_instance.as_deref(), Some("a"));
    assert!(event.note.as_deref().unwrap().contains("was not injected"), "{event:?}");

    // Pods are injected again: those do not count, and neither do those that ask for nothing.
    cluster.send_pods_to(&replica).await;
    assert!(cluster.create("shop", &asking("injected")).await.1);
    for (name, annotations) in [
        ("plain", json!({})),
        ("opted-out", json!({"secret.bsycorp.com/x": "kind=NONE", "inject.bsycorp.com/enabled": "false"})),
        ("asks-for-nothing", json!({"inject.bsycorp.com/enabled": "true"})),
    ] {
        assert!(!cluster.create("shop", &pod(name, &annotations)).await.1);
    }
    // A label that comes late. Its pod comes after those above, so they have been seen by then.
    cluster.namespace("late", &[]).await;
    let owned = json!({"metadata": {"ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6f", "uid": "1", "controller": true},
    ]}});
    let mut late = serde_json::to_value(asking("late")).unwrap();
    json_patch::merge(&mut late, &owned);
    cluster.create("late", &serde_json::from_value(late).unwrap()).await;
    let wrong = pod("wrong", &json!({"secret.bsycorp.com/x": "kind=NONSENSE"}));
    cluster.create("late", &wrong).await;
    assert!((missed(&replica).await - 1.0).abs() < 0.5);
    cluster.label("late", "inject.bsycorp.com/enabled=true").await;
    counts(&replica, 3.0).await;
    let events = cluster.events_of(3).await;
    let note = |event: &Event| event.note.clone().unwrap();
    assert!(note(&events[0]).contains("ReplicaSet web-6f"), "{events:?}");
    assert!(note(&events[2]).contains("will be refused until its annotations are corrected"), "{events:?}");
    // They say of no condition that it is unknown: those that are shipped are not.
    assert!(events.iter().all(|event| !note(event).contains("matchCondition")), "{events:?}");

    // Pods that go, and pods that end.
    cluster.delete("shop", "missed").await;
    counts(&replica, 2.0).await;
    cluster.end("late", "late").await;
    counts(&replica, 1.0).await;
    cluster.delete("late", "wrong").await;
    counts(&replica, 0.0).await;
    assert_eq!(cluster.events().await.len(), 3);
    assert!(failures(&replica).await < 0.5, "{:#?}", replica.log());
}

#[tokio::test]
async fn a_scope_that_changes_is_followed() {
    let Some(cluster) = Cluster::start("uninjected-scope").await else { return };
    let replica = cluster.replica("a").await;
    becomes_leader(&replica, true).await;
    // Before there is a configuration, nobody opted in.
    cluster.namespace("shop", &[OPT_IN, ("tier", "one")]).await;
    cluster.namespace("bank", &[OPT_IN, ("tier", "two")]).await;
    for (namespace, name) in [("shop", "one"), ("bank", "two"), ("bank", "three")] {
        cluster.create(namespace, &asking(name)).await;
    }
    cluster.send_pods_to(&replica).await;
    counts(&replica, 3.0).await;
    let select = |path: &str, value: &str| json!([{"op": "add", "path": format!("/webhooks/0/{path}"), "value": {"tier": value}}]);
    cluster.patch_configuration(&select("namespaceSelector/matchLabels", "two")).await;
    counts(&replica, 2.0).await;
    cluster.label("bank", "tier=three").await;
    counts(&replica, 0.0).await;
    cluster.label("bank", "tier=two").await;
    counts(&replica, 2.0).await;
    // What the operator says of pods: their labels are looked at, CEL is named.
    let own = json!([{"op": "add", "path": "/webhooks/0/matchConditions/-", "value": {"name": "own", "expression": "true"}}]);
    cluster.patch_configuration(&own).await;
    cluster.patch_configuration(&select("objectSelector/matchLabels", "two")).await;
    counts(&replica, 0.0).await;
    cluster.kubectl(&["label", "pod", "three", "-n", &cluster.named("bank"), "tier=two"]).await;
    counts(&replica, 1.0).await;
    let names_it = |line: &Value| line.to_string().contains("\"own\"");
    assert!(replica.log().iter().any(names_it), "{:#?}", replica.log());

    // A namespace that goes and comes again is another one.
    cluster.delete("bank", "two").await;
    cluster.delete("bank", "three").await;
    cluster.delete_namespace("bank").await;
    counts(&replica, 0.0).await;
    cluster.namespace("bank", &[]).await;
    let mut labelled = asking("two");
    labelled.metadata.labels = Some([("tier".to_owned(), "two".to_owned())].into());
    cluster.create("bank", &labelled).await;
    cluster.label("bank", "tier=two").await;
    cluster.label("bank", "inject.bsycorp.com/enabled=true").await;
    counts(&replica, 1.0).await;

    // Without a configuration nobody opted in.
    cluster.delete_configuration().await;
    counts(&replica, 0.0).await;
}
