//! Records that have only a pod's name.

use super::*;

#[tokio::test]
async fn a_pod_keeps_what_kees_gave_to_its_name() {
    let store = Arc::<Memory>::default();
    store.put("/env/leases/db.3", b"web-0");
    store.put("/env/leases/db.0", b"web-9");
    for surveys in [false, true] {
        let leases = leases(&store);
        if surveys {
            leases.survey().await.unwrap();
            assert_eq!(assign(&leases, &pod(0), 0..=9).await, Ok(3));
            assert_eq!(assign(&leases, &pod(1), 0..=9).await, Ok(1));
        } else {
            // Who did not look learns of an index when trying it.
            assert_eq!(assign(&leases, &pod(1), 0..=9).await, Ok(1));
        }
        assert_eq!(store.texts()["/env/leases/db.3"], "web-0");
    }
}

#[tokio::test]
async fn what_kees_gave_outside_the_range_is_told() {
    let store = Arc::<Memory>::default();
    store.put("/env/leases/db.30", b"web-0");
    let leases = leases(&store);
    leases.survey().await.unwrap();
    assert_eq!(assign(&leases, &pod(0), 0..=9).await, Err(wanted(db(), 0..=9).outside(30)));
    assert_eq!(store.texts().len(), 1);
}

#[tokio::test]
async fn a_namesake_gets_an_index_of_its_own() {
    let store = Arc::<Memory>::default();
    store.put("/env/leases/db.3", b"web-0");
    let namesake = Pod { namespace: "other".to_owned(), uid: uid(100), ..pod(0) };
    let first = leases(&store);
    first.survey().await.unwrap();
    assert_eq!(assign(&first, &pod(0), 0..=9).await, Ok(3));
    assert_eq!(assign(&first, &namesake, 0..=9).await, Ok(0));
    assert_eq!(assign(&first, &pod(0), 0..=9).await, Ok(3));
    // Who comes later knows it by the claim.
    let third = Pod { namespace: "third".to_owned(), uid: uid(200), ..pod(0) };
    let next = leases(&store);
    let survey = next.survey().await.unwrap();
    assert_eq!(survey.claimants, BTreeSet::from([uid(0)]));
    assert_eq!(assign(&next, &third, 0..=9).await, Ok(1));
    assert_eq!(assign(&next, &pod(0), 0..=9).await, Ok(3));
}

#[tokio::test]
async fn names_without_a_pod_are_released_where_a_pod_asks() {
    let store = Arc::<Memory>::default();
    for (path, name) in [("db.1", "web-1"), ("db.2", "web-2"), ("db2.1", "web-1")] {
        store.put(&format!("/env/leases/{path}"), name.as_bytes());
    }
    let leases = leases(&store);
    let survey = leases.survey().await.unwrap();
    assert_eq!(survey.named[&db()], BTreeSet::from(["web-1".to_owned(), "web-2".to_owned()]));
    assert_eq!((survey.named.len(), survey.holders.len()), (2, 0));
    store.fail("/env/leases/db.1", unavailable);
    let released = leases.release_named(&[db()], |name| name == "web-2").await;
    assert!(released.error.is_some() && released.series.is_empty());
    let released = leases.release_named(&[db()], |name| name == "web-2").await;
    assert_eq!(released, Released { series: BTreeSet::from([db()]), error: None });
    let left: Vec<String> = store.texts().into_keys().collect();
    assert_eq!(left, ["/env/leases/db.2", "/env/leases/db2.1"]);
    assert_eq!(assign(&leases, &pod(7), 1..=2).await, Ok(1));
}

#[tokio::test]
async fn what_a_pod_took_over_stays_for_its_name_when_it_goes() {
    let store = Arc::<Memory>::default();
    store.put("/env/leases/db.1", b"web-0");
    let leases = leases(&store);
    leases.survey().await.unwrap();
    assert_eq!(assign(&leases, &pod(0), 0..=9).await, Ok(1));
    assert_eq!(leases.release_named(&[db()], |_| false).await, Released::default());
    release(&leases, &pod(0)).await;
    let left: Vec<_> = store.texts().into_iter().collect();
    assert_eq!(left, [("/env/leases/db.1".to_owned(), "web-0".to_owned())]);
    // The next pod of that name has it, or it goes.
    let next = Pod { uid: uid(50), ..pod(0) };
    assert_eq!(assign(&leases, &next, 0..=9).await, Ok(1));
    release(&leases, &next).await;
    assert_eq!(leases.release_named(&[db()], |_| false).await.series, BTreeSet::from([db()]));
    assert!(store.texts().is_empty());
}
