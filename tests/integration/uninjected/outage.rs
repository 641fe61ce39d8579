//! The API server goes and comes again.

use super::*;

#[tokio::test]
async fn an_api_server_that_was_restarted_leaves_no_ghosts() {
    let Some(cluster) = Cluster::alone("uninjected-outage").await else { return };
    let replica = cluster.replica("a").await;
    cluster.namespace("shop", &[]).await;
    for name in ["a", "b"] {
        cluster.create("shop", &asking(name)).await;
    }
    cluster.send_pods_to(&replica).await;
    cluster.label("shop", "inject.bsycorp.com/enabled=true").await;
    counts(&replica, 2.0).await;
    cluster.events_of(2).await;

    cluster.plane.restart_api_server().await.unwrap();
    // While the watches may still be away.
    cluster.label("shop", "inject.bsycorp.com/enabled-").await;
    for name in ["a", "b"] {
        cluster.delete("shop", name).await;
    }
    for name in ["c", "d", "e"] {
        cluster.create("shop", &asking(name)).await;
    }
    cluster.label("shop", "inject.bsycorp.com/enabled=true").await;
    counts(&replica, 3.0).await;
    let names: Vec<_> =
        cluster.events_of(5).await.into_iter().map(|event| event.regarding.unwrap().name).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e"].map(|name| Some(name.to_owned())));
    assert!(failures(&replica).await > 0.5, "a watch that broke off was not counted");
    cluster.delete("shop", "d").await;
    counts(&replica, 2.0).await;
}
