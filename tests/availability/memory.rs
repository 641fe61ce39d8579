//! What replicas have in memory while pods come and go.

use kube::api::{DeleteParams, PostParams};
use tokio::task::JoinSet;

use super::cluster::{Cluster, pod};
use super::support::balancer::Balancer;
use super::support::measured::measured;

const PODS: usize = 5000;
/// After so many, everything that is allocated once has been.
const WARM: usize = 1500;
const CLIENTS: usize = 4;
/// What may come on top from then on, in KiB: what an allocator keeps in one more place, not what grows with pods.
const SLACK: u64 = 3 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_flat_while_five_thousand_pods_come_and_go() {
    let Some(cluster) = Cluster::start("memory").await else { return };
    let flags = ["--self-managed", "--find-uninjected"];
    let replicas = [
        cluster.installation.replica("one", &flags).await,
        cluster.installation.replica("two", &flags).await,
    ];
    let mut balancer = Balancer::start(&[]).await;
    replicas.iter().for_each(|replica| balancer.add((replica.address(), replica.admin()), false));
    cluster.installation.apply_configuration(balancer.address()).await;
    for replica in &replicas {
        replica.becomes_ready().await;
    }
    cluster.injects().await;

    let resident = || replicas.iter().map(|replica| replica.resident()).max().unwrap();
    let mut samples = vec![(0, resident())];
    let mut done = 0;
    while done < PODS {
        let step = 500;
        let clients: JoinSet<()> = (0..CLIENTS)
            .map(|client| {
                let pods = cluster.pods();
                let mine = (done..done + step).filter(move |index| index % CLIENTS == client);
                async move {
                    for index in mine {
                        let name = format!("pod-{index}");
                        pods.create(&PostParams::default(), &pod(&name)).await.unwrap();
                        let now = DeleteParams::default().grace_period(0);
                        pods.delete(&name, &now).await.unwrap();
                    }
                }
            })
            .collect();
        clients.join_all().await;
        done += step;
        samples.push((done, resident()));
    }
    measured(format_args!("memory of a replica, (pods that came and went, KiB): {samples:?}"));
    let peak = |range: std::ops::RangeInclusive<usize>| {
        let within = samples.iter().filter(|(pods, _)| range.contains(pods));
        within.map(|(_, resident)| *resident).max().unwrap()
    };
    let (warm, end) = (peak(0..=WARM), peak(WARM..=PODS));
    assert!(end <= warm + SLACK, "{warm} KiB after {WARM} pods, then {end} KiB: {samples:?}");
}
