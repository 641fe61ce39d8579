//! Turns of pods on a store in memory.

use std::sync::Arc;

use super::*;
use crate::controller::create::stores::tests::in_memory;
use crate::controller::create::wish;
use crate::store::memory::Memory;

/// The wish of a pod with these annotations of `D`.
fn wish_of(annotations: &[(&str, &str)]) -> Wish {
    let settings = crate::config::read("").unwrap().offline();
    let annotations =
        annotations.iter().map(|(key, value)| (key.replace("D/", "bsycorp.com/"), (*value).to_owned()));
    let meta = kube::api::ObjectMeta {
        namespace: Some("shop".to_owned()),
        annotations: Some(annotations.collect()),
        ..Default::default()
    };
    wish::of(&settings, &meta).unwrap()
}

fn pod(uid: &str) -> Pod {
    Pod {
        uid: uid.into(),
        namespace: "shop".into(),
        name: format!("pod-{uid}").into(),
        returns: false,
        since: Instant::now(),
    }
}

/// A store in memory, and who works with it.
struct Bench {
    memory: Arc<Memory>,
    stores: Stores,
    maker: Maker,
}

impl Bench {
    fn new() -> Self {
        let memory = Arc::<Memory>::default();
        let stores = in_memory(&memory);
        Self { memory, stores, maker: Maker::new(2, 16) }
    }

    async fn serve(&self, wish: &Wish) -> Outcome {
        serve(&pod("0b8e5d1c-9f0e-4a55-8f3f-2a9c6b1d7e42"), wish, &self.stores, &self.maker).await
    }

    async fn read(&self, path: &str) -> Option<SecretValue> {
        let path = StoragePath::read(path).unwrap();
        let address = Address::value(path);
        let mut outcomes = crate::store::Store::get(&*self.memory, std::slice::from_ref(&address)).await;
        outcomes.remove(&address).unwrap().ok()
    }
}

const PASSWORD: (&str, &str) = ("secret.D/db_password", "kind=DYNAMIC,type=PASSWORD,size=128");
const EC: (&str, &str) = ("secret.D/tls_private", "kind=DYNAMIC,type=EC,size=256");
const LEASE: (&str, &str) = ("lease.D/snowflake", "kind=INDEX,rangeStart=3,rangeEnd=4");

#[tokio::test]
async fn what_is_absent_is_made_once() {
    let bench = Bench::new();
    let wish = wish_of(&[PASSWORD, EC]);
    let first = bench.serve(&wish).await;
    assert_eq!(first.waits, []);
    let created: Vec<&str> = first.created.iter().flatten().map(StoragePath::as_str).collect();
    assert_eq!(created, ["/db_password", "/tls_public", "/tls_private"]);
    let password = bench.read("/db_password").await.unwrap();
    assert_eq!(password.expose().len(), 16);
    assert!(bench.read("/tls_private").await.is_some() && bench.read("/tls_public").await.is_some());

    let calls = bench.memory.calls().len();
    let again = bench.serve(&wish).await;
    let told = again.created.len() + again.generations.len() + again.waits.len();
    assert_eq!((told, bench.memory.calls().len()), (0, calls), "the store was not asked again");
    assert_eq!(bench.read("/db_password").await, Some(password));
}

#[tokio::test]
async fn what_was_deleted_a_moment_ago_is_made_for_a_pod_that_came_after() {
    let bench = Bench::new();
    let wish = wish_of(&[PASSWORD]);
    let first = bench.serve(&wish).await;
    assert_eq!(first.again, None, "it was made for this pod");
    let before = bench.read("/db_password").await.unwrap();
    bench.memory.take("/db_password");
    let later = bench.serve(&wish).await;
    assert_eq!((later.created.len(), later.waits.len()), (0, 0), "it is there as far as is known");
    let again = later.again.expect("another turn");
    tokio::time::pause();
    tokio::time::sleep_until(again).await;
    let then = bench.serve(&wish).await;
    assert_eq!((then.created.len(), then.again), (1, None));
    assert_ne!(bench.read("/db_password").await.unwrap(), before);
}

#[tokio::test]
async fn a_pod_that_asks_for_much_has_several_turns() {
    let bench = Bench::new();
    let names: Vec<String> = (0..MOST_MADE + 3).map(|n| format!("secret.D/key-{n:02}")).collect();
    let annotations: Vec<_> =
        names.iter().map(|name| (name.as_str(), "kind=DYNAMIC,type=RANDOM,size=128")).collect();
    let wish = wish_of(&annotations);
    let first = bench.serve(&wish).await;
    assert_eq!((first.created.len(), first.waits.len(), first.again.is_some()), (MOST_MADE, 0, true));
    let second = bench.serve(&wish).await;
    assert_eq!((second.created.len(), second.waits.len(), second.again.is_some()), (3, 0, true));
}

#[tokio::test]
async fn what_was_there_before_stays() {
    let bench = Bench::new();
    bench.memory.put("/db_password", b"by hand");
    let outcome = bench.serve(&wish_of(&[PASSWORD])).await;
    assert_eq!(outcome.generations, [(SecretType::Password, Made::Present)]);
    assert_eq!(bench.read("/db_password").await.unwrap().expose(), b"by hand");
}

#[tokio::test]
async fn a_lone_half_is_told_and_never_completed() {
    let bench = Bench::new();
    bench.memory.put("/tls_public", b"a stranger");
    let outcome = bench.serve(&wish_of(&[EC, PASSWORD])).await;
    let [Wait { reason: Reason::Incomplete, note, .. }] = outcome.waits.as_slice() else {
        panic!("{:?}", outcome.waits)
    };
    assert!(
        note.contains("/tls_private is not in store cluster (kubernetes) while /tls_public is"),
        "{note}"
    );
    assert_eq!(bench.read("/tls_private").await, None);
    assert!(bench.read("/db_password").await.is_some(), "the rest is made all the same");
}

#[tokio::test]
async fn a_store_that_is_away_is_asked_once_and_then_left_alone() {
    let bench = Bench::new();
    let away =
        |path: String| StoreError::Unavailable { path, reason: "gone fishing".to_owned(), retry_after: None };
    bench.memory.fail("/db_password", away);
    bench.memory.fail("/tls_public", away);
    let wish = wish_of(&[PASSWORD, EC]);
    let outcome = bench.serve(&wish).await;
    let [Wait { reason: Reason::StoreUnavailable, note, until: Some(_), .. }] = outcome.waits.as_slice()
    else {
        panic!("{:?}", outcome.waits)
    };
    assert!(
        note.starts_with("waits for store cluster (kubernetes): ") && note.contains("gone fishing"),
        "{note}"
    );
    let calls = bench.memory.calls().len();
    let second = bench.serve(&wish).await;
    assert_eq!((second.waits[0].reason, bench.memory.calls().len()), (Reason::StoreUnavailable, calls));
}

#[tokio::test]
async fn a_denial_says_whose_right_is_missing() {
    let bench = Bench::new();
    bench.memory.fail("/db_password", |path| StoreError::Denied { path, reason: "no".to_owned() });
    let outcome = bench.serve(&wish_of(&[PASSWORD])).await;
    assert_eq!(outcome.waits[0].reason, Reason::StoreDenied);
    assert!(
        outcome.waits[0].note.ends_with("ClusterRole keystow-creator-secrets to it in namespace shop"),
        "{}",
        outcome.waits[0].note
    );
}

#[tokio::test]
async fn of_many_pods_with_one_wish_one_makes_it() {
    let bench = Bench::new();
    let wish = wish_of(&[EC]);
    let turns = (0..20).map(|_| bench.serve(&wish));
    let outcomes = futures::future::join_all(turns).await;
    let made = |which: Made| {
        outcomes.iter().flat_map(|outcome| &outcome.generations).filter(|(_, made)| *made == which).count()
    };
    assert_eq!((made(Made::Created), made(Made::Present), made(Made::LostRace)), (1, 19, 0));
}

#[tokio::test]
async fn whoever_waits_for_a_processor_holds_up_nobody_else() {
    let mut bench = Bench::new();
    // One key at once, and one turn that waits for it.
    bench.maker = Maker::new(1, 2);
    let rsa = |name| (name, "kind=DYNAMIC,type=RSA,size=2048");
    let first = wish_of(&[rsa("secret.D/a_private")]);
    let second = wish_of(&[rsa("secret.D/b_private"), PASSWORD, LEASE]);
    let (first, second) = tokio::join!(bench.serve(&first), bench.serve(&second));
    assert_eq!((first.created.len(), first.again), (1, None));
    assert_eq!((second.created.len(), second.assigned.len(), second.waits.len()), (1, 1, 0));
    assert!(second.again.is_some(), "the key is made in another turn");
}

#[tokio::test]
async fn indices_are_assigned_told_once_and_exhausted() {
    let bench = Bench::new();
    let wish = wish_of(&[LEASE]);
    let uids = [
        "0b8e5d1c-9f0e-4a55-8f3f-2a9c6b1d7e41",
        "0b8e5d1c-9f0e-4a55-8f3f-2a9c6b1d7e42",
        "0b8e5d1c-9f0e-4a55-8f3f-2a9c6b1d7e43",
    ];
    for (uid, index) in uids.iter().zip([3, 4]) {
        let outcome = serve(&pod(uid), &wish, &bench.stores, &bench.maker).await;
        assert_eq!(outcome.assigned, [(wish.leases[0].series.clone(), index)]);
        let again = serve(&pod(uid), &wish, &bench.stores, &bench.maker).await;
        assert_eq!((again.assigned.len(), again.waits.len()), (0, 0));
    }
    let none = serve(&pod(uids[2]), &wish, &bench.stores, &bench.maker).await;
    assert_eq!(none.waits[0].reason, Reason::LeaseExhausted);
    assert_eq!(none.waits[0].series.as_ref(), Some(&wish.leases[0].series));
    let released = release(&uids[0].into(), &bench.stores).await;
    assert_eq!((released.series, released.failure), (vec![wish.leases[0].series.clone()], None));
    let third = serve(&pod(uids[2]), &wish, &bench.stores, &bench.maker).await;
    assert_eq!(third.assigned[0].1, 3);
}
