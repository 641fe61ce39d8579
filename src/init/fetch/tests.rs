//! Fetching against a store in memory, with the clock of the tests.

use std::time::Duration;

use super::*;
use crate::domain::{Grammar, Parsed};
use crate::store::memory::Memory;

fn requests(annotations: &[(&str, &str)]) -> Arc<Requests> {
    let domain = AnnotationDomain::default();
    let grammar = Grammar { domain: &domain, taken_files: &[] };
    match grammar.parse(annotations.iter().copied()).unwrap() {
        Parsed::Requests(requests, _) => Arc::from(requests),
        Parsed::OptedOut => panic!("opted out"),
    }
}

fn pod() -> Arc<Requests> {
    requests(&[
        ("init.bsycorp.com/storage-prefix", "/env"),
        ("secret.bsycorp.com/db", "kind=REFERENCE,type=PASSWORD,size=128"),
        ("secret.bsycorp.com/token", "kind=REFERENCE,type=RANDOM,size=128,storageKey=shared"),
        ("resource.bsycorp.com/host", ""),
    ])
}

async fn fetch_for(requests: &Arc<Requests>, source: &Source) -> Result<Fetched, FetchError> {
    let waiting = Waiting::new(Duration::from_secs(30), Box::new(|| 1.0));
    fetch(requests, &AnnotationDomain::default(), source, Some(&web(None)), waiting).await
}

fn web(uid: Option<&str>) -> Pod {
    Pod { name: "web-0".to_owned(), uid: uid.map(str::to_owned) }
}

/// The index of `node` for the pod web-0 of this UID, and how many addresses each call to the store asked for.
async fn index_of(memory: Memory, uid: Option<&str>) -> (Result<i32, Reason>, Vec<usize>) {
    let requests = requests(&[("lease.bsycorp.com/node", "kind=INDEX,rangeStart=0,rangeEnd=9")]);
    let (memory, source) = remote(memory);
    let waiting = Waiting::new(Duration::from_secs(1), Box::new(|| 1.0));
    let fetched = fetch(&requests, &AnnotationDomain::default(), &source, Some(&web(uid)), waiting).await;
    let index = fetched.map(|fetched| fetched.leases[0].1).map_err(|error| error.failures[0].reason.clone());
    (index, memory.calls())
}

fn remote(memory: Memory) -> (Arc<Memory>, Source) {
    let memory = Arc::new(memory);
    (Arc::clone(&memory), Source::Remote(memory))
}

fn unavailable(path: String) -> StoreError {
    StoreError::Unavailable {
        path,
        reason: "throttled".to_owned(),
        retry_after: Some(Duration::from_secs(3)),
    }
}

fn denied(path: String) -> StoreError {
    StoreError::Denied { path, reason: "no policy".to_owned() }
}

fn reasons(error: &FetchError) -> Vec<(String, Reason)> {
    error.failures.iter().map(|failure| (failure.annotation.clone(), failure.reason.clone())).collect()
}

#[tokio::test(start_paused = true)]
async fn everything_is_asked_for_in_one_call() {
    let (memory, source) =
        remote(Memory::with(&[("/env/db", b"1"), ("/env/shared", b"2"), ("/env/host", b"3")]));
    let fetched = fetch_for(&pod(), &source).await.unwrap();
    let values: Vec<_> =
        fetched.secrets.iter().map(|secret| (secret.name.as_str(), secret.value.expose())).collect();
    assert_eq!(values, [("db", b"1".as_slice()), ("token", b"2")]);
    assert_eq!(fetched.resources[0].1.expose(), b"3");
    assert_eq!(memory.calls(), [3]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_later_is_waited_for_and_the_rest_not_asked_again() {
    let (memory, source) = remote(Memory::with(&[("/env/db", b"1"), ("/env/host", b"3")]));
    let late = Arc::clone(&memory);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(10)).await;
        late.put("/env/shared", b"2");
    });
    fetch_for(&pod(), &source).await.unwrap();
    assert_eq!(memory.calls(), [3, 1, 1, 1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_store_is_asked_again_after_its_time() {
    let (memory, source) =
        remote(Memory::with(&[("/env/db", b"1"), ("/env/shared", b"2"), ("/env/host", b"3")]));
    memory.fail("/env/db", unavailable);
    let start = tokio::time::Instant::now();
    fetch_for(&pod(), &source).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_names_everything_that_is_missing() {
    let (_, source) = remote(Memory::with(&[("/env/db", b"1")]));
    let start = tokio::time::Instant::now();
    let error = fetch_for(&pod(), &source).await.unwrap_err();
    assert!(start.elapsed() <= Duration::from_secs(30));
    let names: Vec<_> = error.failures.iter().map(|failure| failure.annotation.as_str()).collect();
    assert_eq!(names, ["secret.bsycorp.com/token", "resource.bsycorp.com/host"]);
    assert!(
        error.to_string().starts_with("2 of 3 values are missing:\n- secret.bsycorp.com/token: /env/shared")
    );
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_told_at_once_with_all_else_that_is_missing() {
    let (memory, source) = remote(Memory::with(&[("/env/db", b"1")]));
    memory.fail("/env/host", denied);
    let start = tokio::time::Instant::now();
    let error = fetch_for(&pod(), &source).await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::ZERO);
    let [(_, first), (_, second)] = reasons(&error).try_into().unwrap();
    assert!(matches!(first, Reason::Store(StoreError::NotFound { .. })));
    assert!(matches!(second, Reason::Store(StoreError::Denied { .. })));
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_in_the_store_is_told_at_once() {
    let (memory, source) = remote(Memory::with(&[("/env/shared", b"2"), ("/env/host", b"3")]));
    memory.fail("/env/db", |path| StoreError::Invalid { path, reason: "is not base64".to_owned() });
    let error = fetch_for(&pod(), &source).await.unwrap_err();
    assert_eq!(error.failures.len(), 1);
    assert!(matches!(error.failures[0].reason, Reason::Store(StoreError::Invalid { .. })));
}

#[tokio::test(start_paused = true)]
async fn local_values_stand_in_for_what_is_absent_and_for_nothing_else() {
    let source = |memory: Memory| Source::RemoteThenLocal(Arc::new(memory), Arc::default());
    let present = |memory: &Memory| {
        memory.put("/env/shared", b"2");
        memory.put("/env/host", b"3");
    };
    let memory = Memory::default();
    present(&memory);
    let start = tokio::time::Instant::now();
    let fetched = fetch_for(&pod(), &source(memory)).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(fetched.secrets[0].value.expose().len(), 16);
    assert_eq!(fetched.secrets[1].value.expose(), b"2");

    let memory = Memory::default();
    present(&memory);
    memory.fail("/env/db", denied);
    let error = fetch_for(&pod(), &source(memory)).await.unwrap_err();
    assert!(matches!(error.failures[0].reason, Reason::Store(StoreError::Denied { .. })));

    // Throttled at first and absent later: only the later answer counts.
    let memory = Memory::default();
    present(&memory);
    for _ in 0..20 {
        memory.fail("/env/db", unavailable);
    }
    let error = fetch_for(&pod(), &source(memory)).await.unwrap_err();
    assert!(matches!(error.failures[0].reason, Reason::Store(StoreError::Unavailable { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_the_index_that_our_pod_holds() {
    let requests = requests(&[(
        "lease.bsycorp.com/node",
        "kind=INDEX,storageKeyPrefix=snowflake,rangeStart=0,rangeEnd=2000",
    )]);
    let (memory, source) = remote(Memory::with(&[
        ("/leases/snowflake.3", b"web-1"),
        ("/leases/snowflake.1500", b"web-0"),
        ("/leases/snowflake2.7", b"web-0"),
    ]));
    let fetched = fetch_for(&requests, &source).await.unwrap();
    assert_eq!(fetched.leases[0].1, 1500);
    assert_eq!(memory.calls(), [100, 1000, 901]);
}

#[tokio::test(start_paused = true)]
async fn what_the_creator_claimed_for_the_pod_is_looked_at_first() {
    let records: [(&str, &[u8]); 3] = [
        ("/leases/node.2", b"other/web-0/1111/c1"),
        ("/leases/node.5", b"veza/web-0/8d4a/c1"),
        ("/leases/node.of-8d4a", b"5@c1"),
    ];
    assert_eq!(index_of(Memory::with(&records), Some("8d4a")).await, (Ok(5), vec![1, 1]));
    // Without a claim, or the right to see it, the whole range is looked at.
    assert_eq!(index_of(Memory::with(&records[..2]), Some("8d4a")).await, (Ok(5), vec![1, 10]));
    let memory = Memory::with(&records);
    memory.fail("/leases/node.of-8d4a", denied);
    assert_eq!(index_of(memory, Some("8d4a")).await, (Ok(5), vec![1, 10]));
    // Kees' manifests tell no UID, so the name decides.
    assert_eq!(index_of(Memory::with(&records), None).await, (Ok(2), vec![10]));
    // A namesake's index is not ours, and kees' record of our name is.
    let (found, _) = index_of(Memory::with(&records[..1]), Some("8d4a")).await;
    assert!(matches!(found, Err(Reason::NoIndex { .. })), "{found:?}");
    let kees = Memory::with(&[records[0], ("/leases/node.7", b"web-0")]);
    assert_eq!(index_of(kees, Some("8d4a")).await.0, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn a_claim_alone_is_no_index() {
    let claim: (&str, &[u8]) = ("/leases/node.of-8d4a", b"5@c1");
    let (found, calls) = index_of(Memory::with(&[claim]), Some("8d4a")).await;
    assert!(matches!(found, Err(Reason::NoIndex { .. })), "{found:?}");
    assert!(calls.iter().all(|addresses| *addresses == 1), "it is at work on this one: {calls:?}");
    // Where another pod has the index by now, the claim is out of date.
    let memory = Memory::with(&[
        claim,
        ("/leases/node.5", b"veza/web-1/1111/c1"),
        ("/leases/node.6", b"veza/web-0/8d4a/c1"),
    ]);
    assert_eq!(index_of(memory, Some("8d4a")).await, (Ok(6), vec![1, 1, 10]));
    // One of a range that the annotation had before says nothing.
    for text in [b"50".as_slice(), b"hunter2"] {
        let memory =
            Memory::with(&[("/leases/node.of-8d4a", text), ("/leases/node.6", b"veza/web-0/8d4a/c1")]);
        assert_eq!(index_of(memory, Some("8d4a")).await, (Ok(6), vec![1, 10]));
    }
    let memory = Memory::with(&[claim, ("/leases/node.5", b"veza/web-0/8d4a/c1")]);
    memory.fail("/leases/node.of-8d4a", unavailable);
    let (found, _) = index_of(memory, Some("8d4a")).await;
    assert!(matches!(found, Err(Reason::Store(StoreError::Unavailable { .. }))), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_assigned_is_missing() {
    let requests = requests(&[("lease.bsycorp.com/node", "kind=INDEX,rangeStart=1,rangeEnd=3")]);
    let (_, source) = remote(Memory::with(&[("/leases/node.1", b"web-1")]));
    let error = fetch_for(&requests, &source).await.unwrap_err();
    let reason = Reason::NoIndex { series: "node".to_owned(), pod: "web-0".to_owned() };
    assert_eq!(reasons(&error), [("lease.bsycorp.com/node".to_owned(), reason)]);
    // An index that could not be looked at may be ours.
    let (memory, source) = remote(Memory::default());
    memory.fail("/leases/node.2", denied);
    let error = fetch_for(&requests, &source).await.unwrap_err();
    assert!(matches!(error.failures[0].reason, Reason::Store(StoreError::Denied { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_lease_needs_the_pods_name() {
    let requests = requests(&[("lease.bsycorp.com/node", "kind=INDEX,rangeStart=1,rangeEnd=3")]);
    for source in [Source::Local(Arc::default()), Source::Remote(Arc::<Memory>::default())] {
        let waiting = Waiting::new(Duration::from_secs(30), Box::new(|| 1.0));
        let error = fetch(&requests, &AnnotationDomain::default(), &source, None, waiting).await.unwrap_err();
        assert_eq!(error.failures[0].reason, Reason::NoPodName);
    }
}

#[tokio::test]
async fn local_mode_needs_no_store() {
    let requests = requests(&[
        ("init.bsycorp.com/storage-prefix", "/env"),
        ("init.bsycorp.com/local-mode", "true"),
        ("secret.bsycorp.com/app.service.blah", "kind=DYNAMIC,type=PASSWORD,size=128"),
        ("resource.bsycorp.com/app.db.main.url", "localModeValue=dmFsdWU="),
        ("lease.bsycorp.com/node", "kind=INDEX,rangeStart=1,rangeEnd=3"),
    ]);
    let fetched = fetch_for(&requests, &Source::Local(Arc::default())).await.unwrap();
    assert_eq!(fetched.secrets[0].value.expose(), b"8ekD64eU9hDqA5kz");
    assert_eq!(fetched.resources[0].1.expose(), b"value");
    assert_eq!(fetched.leases[0].1, 539);
}

#[tokio::test]
async fn what_cannot_be_derived_is_named() {
    let requests = requests(&[("secret.bsycorp.com/key", "kind=REFERENCE,type=GPG")]);
    let error = fetch_for(&requests, &Source::Local(Arc::default())).await.unwrap_err();
    assert_eq!(error.failures[0].reason, Reason::Local(Underivable::Half));
}
