//! Several replicas: one of them looks.

use super::*;

/// Makes a replica the leader, by the Lease.
async fn elect(cluster: &Cluster, name: &str) {
    let holder = json!({"spec": {"holderIdentity": name}}).to_string();
    let patch = ["patch", "lease", "keystow-webhook", "-n", cluster.test, "--type=merge", "-p", &holder];
    cluster.kubectl(&patch).await;
}

#[tokio::test]
async fn leaders_in_turn_tell_of_a_pod_once() {
    let Some(cluster) = Cluster::start("uninjected-leaders").await else { return };
    let one = cluster.replica("one").await;
    becomes_leader(&one, true).await;
    let other = cluster.replica("other").await;
    cluster.namespace("shop", &[]).await;
    cluster.create("shop", &asking("a")).await;
    cluster.send_pods_to(&one).await;
    cluster.label("shop", "inject.bsycorp.com/enabled=true").await;
    counts(&one, 1.0).await;
    let before = cluster.events_of(1).await;
    assert!(!leads(&other).await && missed(&other).await < 0.5);

    // The next one counts what the first one counted, which shows nothing any more.
    elect(&cluster, "other").await;
    becomes_leader(&other, true).await;
    counts(&other, 1.0).await;
    counts(&one, 0.0).await;
    // One that comes later is told of no sooner than the one that was there.
    cluster.label("shop", "inject.bsycorp.com/enabled-").await;
    counts(&other, 0.0).await;
    cluster.create("shop", &asking("b")).await;
    cluster.label("shop", "inject.bsycorp.com/enabled=true").await;
    counts(&other, 2.0).await;
    let after = cluster.events_of(2).await;
    assert_eq!(after[0], before[0]);
    assert_eq!(after[1].reporting_instance.as_deref(), Some("other"));

    // And back: it remembers nothing, and finds the Events.
    elect(&cluster, "one").await;
    becomes_leader(&one, true).await;
    counts(&one, 2.0).await;
    cluster.label("shop", "inject.bsycorp.com/enabled-").await;
    counts(&one, 0.0).await;
    cluster.create("shop", &asking("c")).await;
    cluster.label("shop", "inject.bsycorp.com/enabled=true").await;
    let last = cluster.events_of(3).await;
    assert_eq!(last[..2], after);
    let complaints = |replica: &Webhook| {
        replica.log().iter().filter(|line| line.to_string().contains("could not be written")).count()
    };
    assert_eq!((complaints(&one), complaints(&other)), (0, 0));
}

#[tokio::test]
async fn the_account_can_neither_write_nor_delete_a_pod() {
    let Some(cluster) = Cluster::start("uninjected-rights").await else { return };
    for verb in ["create", "update", "patch", "delete", "deletecollection", "get"] {
        let account = "--as=system:serviceaccount:keystow:keystow-webhook";
        let output =
            cluster.plane.kubectl_output(&["auth", "can-i", account, verb, "pods", "-A"], "").await.unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "no", "{verb}");
    }
}
