//! A thousand pods for a thousand indices, while creators are ended and killed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::fixture::{Cluster, SECRETS, WITHIN, holders, leads};
use crate::support::creator::Creator;
use crate::support::measured::measured;
use crate::support::wait::until;

const PODS: usize = 1000;
const FLAGS: &[&str] = &["--resync=5s"];
const SERIES: &str = "/a/leases/shard";

/// Where it happens.
struct Ground {
    cluster: Cluster,
    namespace: String,
}

impl Ground {
    async fn held(&self) -> BTreeMap<i32, String> {
        holders(&self.cluster.secrets(&self.namespace).await, SERIES)
    }

    /// Waits until so many indices are held.
    async fn hold(&self, count: usize, leader: &Creator) -> BTreeMap<i32, String> {
        let all = until(WITHIN, async || Some(self.held().await).filter(|held| held.len() >= count)).await;
        let Some(all) = all else {
            panic!("{} of {count} are held: {}", self.held().await.len(), leader.log_text())
        };
        all
    }

    /// Three times the one of two replicas that leads is ended in the midst of the work, in order but for one time, when it
    /// cannot give the Lease back. Yields the two that are left.
    async fn restart(&self) -> [Creator; 2] {
        let mut leader = self.cluster.leader("r0", FLAGS, &[]).await;
        let mut other = self.cluster.creators.replica("r1", FLAGS, &[]).await;
        for (restart, share) in [PODS / 8, PODS / 3, PODS / 2].into_iter().enumerate() {
            self.hold(share, &leader).await;
            let how = if restart == 1 { "SIGKILL" } else { "SIGTERM" };
            if restart == 1 {
                leader.kill().await;
            } else {
                end(&mut leader).await;
            }
            let ended = Instant::now();
            leads(&other).await;
            let took = ended.elapsed().as_secs_f64();
            measured(format_args!("creator: the other replica leads {took:.1} s after the end by {how}"));
            let next = self.cluster.creators.replica(&format!("r{}", restart + 2), FLAGS, &[]).await;
            leader = std::mem::replace(&mut other, next);
        }
        [leader, other]
    }
}

async fn end(creator: &mut Creator) {
    creator.terminate().await;
    assert_eq!(creator.exit_code().await, Some(0), "{}", creator.log_text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_pods_have_a_thousand_indices_through_restarts_and_all_come_back() {
    let Some(cluster) = Cluster::alone("indices", SECRETS).await else { return };
    let namespace = cluster.namespace("pods").await;
    let lease = format!("kind=INDEX,rangeStart=0,rangeEnd={}", PODS - 1);
    let annotations = [("init/storage-prefix", "/a"), ("lease/shard", &*lease)];
    let pods: Vec<_> = (0..PODS).map(|number| cluster.pod(&format!("p{number}"), &annotations)).collect();
    let ground = Ground { cluster, namespace };
    let Ground { cluster, namespace } = &ground;

    let began = Instant::now();
    let (uids, creators) = tokio::join!(cluster.create_all(namespace, pods), ground.restart());
    let all = ground.hold(PODS, &creators[0]).await;
    measured(format_args!(
        "creator: {PODS} pods have {PODS} indices after {:.1} s, through three restarts",
        began.elapsed().as_secs_f64()
    ));
    assert_eq!(all.keys().copied().collect::<Vec<_>>(), (0..1000).collect::<Vec<_>>());
    let holding: BTreeSet<&String> = all.values().collect();
    assert_eq!(holding, uids.keys().collect(), "a bijection");

    // Half of them go while nobody looks.
    let names: Vec<&String> = uids.values().collect();
    let (seen, unseen) = names.split_at(PODS / 2);
    for mut creator in creators {
        end(&mut creator).await;
    }
    cluster.delete_all(namespace, unseen.iter().copied()).await;
    assert_eq!(ground.held().await.len(), PODS, "nobody releases what nobody looks at");
    let began = Instant::now();
    let last = cluster.leader("last", FLAGS, &[]).await;
    cluster.delete_all(namespace, seen.iter().copied()).await;
    // Records and claims: no Secret is left.
    let empty = until(WITHIN, async || cluster.secrets(namespace).await.is_empty().then_some(())).await;
    if empty.is_none() {
        panic!("{:?}: {}", cluster.secrets(namespace).await.keys(), last.log_text());
    }
    measured(format_args!(
        "creator: {PODS} indices are free again {:.1} s after a creator was started",
        began.elapsed().as_secs_f64()
    ));
    assert!((last.counted("leases_released_total", &[]).await - PODS as f64).abs() < 0.5);
}
