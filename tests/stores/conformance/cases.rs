//! The cases, each over any [`Subject`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use keystow::domain::{SecretValue, StoragePath, StoragePrefix};
use keystow::store::{Address, Created, Deleted, Replaced, Store, StoreError};

use super::{Asker, Subject, address, get, path, sorted, value};
use crate::support::wait::until;

pub(crate) use super::leases::{
    creators_give_each_pod_an_index_and_take_it_back, only_the_very_holder_is_released,
};

/// Requests at once.
const AT_ONCE: usize = 16;
const CREATORS: usize = 50;
/// Pages of every service are smaller.
const ENTRIES: usize = 2_500;
const KIB: usize = 1024;
/// How long may pass until somebody is served.
pub(super) const BOUND: Duration = Duration::from_secs(60);

/// Creates a value at each path.
pub(super) async fn create_all(store: &Arc<dyn Store>, paths: &[StoragePath]) {
    stream::iter(paths)
        .for_each_concurrent(AT_ONCE, |path| async move {
            let group = [(Address::value(path.clone()), value("1"))];
            assert_eq!(store.create(&group).await, Ok(Created::Ours), "{path}");
        })
        .await;
}

pub(crate) async fn values_are_read_and_what_is_absent_is_told(subject: &impl Subject) {
    let case = "read";
    let store = subject.open(Asker::Allowed).await;
    let keys = ["db", "db.main", "token_consumer", "user-name"];
    let addresses: Vec<Address> = keys.iter().map(|key| address(case, key)).collect();
    for address in &addresses {
        let group = [(address.clone(), value(address.path.as_str()))];
        assert_eq!(store.create(&group).await, Ok(Created::Ours), "{address:?}");
    }
    let absent = [address(case, "absent"), address(case, "absent_private"), address(case, "db_private")];
    let asked: Vec<Address> = addresses.iter().chain(&absent).cloned().collect();
    let outcomes = store.get(&asked).await;
    assert_eq!(outcomes.len(), asked.len());
    for address in &addresses {
        assert_eq!(outcomes[address], Ok(value(address.path.as_str())));
    }
    for address in &absent {
        let Err(StoreError::NotFound { path, sought }) = &outcomes[address] else {
            panic!("{address:?}: {:?}", outcomes[address])
        };
        assert_eq!(*path, address.path);
        assert!(!sought.is_empty());
    }
    assert!(store.get(&[]).await.is_empty());
}

pub(crate) async fn every_byte_is_kept(subject: &impl Subject) {
    let case = "bytes";
    let store = subject.open(Asker::Allowed).await;
    let values: [&[u8]; 7] = [
        b"text",
        &std::array::from_fn::<u8, 256, _>(|byte| u8::try_from(byte).unwrap()),
        b"line\r\nline\n\n",
        "\u{e9}\u{1f511} \"quoted\" 'single' \\ ${x} $(y) {{ z }}".as_bytes(),
        b"data:application/octet-stream;base64,AAAA",
        b"{\"private\":\"1\"}",
        b" ",
    ];
    for (index, bytes) in values.iter().enumerate() {
        let single = address(case, &format!("single{index}"));
        assert_eq!(store.create(&[(single.clone(), value(bytes))]).await, Ok(Created::Ours), "{index}");
        assert_eq!(get(&store, &single).await, Ok(value(bytes)), "{index}");
        let pair = [
            (address(case, &format!("pair{index}_private")), value(bytes)),
            (address(case, &format!("pair{index}_public")), value("other")),
        ];
        assert_eq!(store.create(&pair).await, Ok(Created::Ours), "{index}");
        assert_eq!(get(&store, &pair[0].0).await, Ok(value(bytes)), "{index}");
    }
}

pub(crate) async fn large_values_are_kept_or_refused(subject: &impl Subject) {
    let case = "large";
    let store = subject.open(Asker::Allowed).await;
    let longest = subject.limits().longest_value;
    // Stores of text hold bytes in base64: that is 60 KiB.
    for (key, byte, size) in [("some", b'a', 4 * KIB), ("text", b'a', 64 * KIB), ("bytes", 0xFF, 45 * KIB)] {
        let (at, content) = (address(case, key), value(vec![byte; size]));
        let created = store.create(&[(at.clone(), content.clone())]).await;
        if size <= longest {
            assert_eq!(created, Ok(Created::Ours), "{key}");
            assert_eq!(get(&store, &at).await, Ok(content), "{key}");
        } else {
            let Err(StoreError::Invalid { reason, .. }) = created else { panic!("{key}: {created:?}") };
            assert!(reason.contains("longer than"), "{reason}");
            assert!(matches!(get(&store, &at).await, Err(StoreError::NotFound { .. })), "{key}");
        }
    }
}

pub(crate) async fn hostile_names_are_kept_apart_or_refused(subject: &impl Subject) {
    let store = subject.open(Asker::Allowed).await;
    let long = "l".repeat(300);
    let names = [
        "/hostile/a/b",
        "/hostile/a-b",
        "/hostile/a--b",
        "/hostile/a.b",
        "/hostile/A/b",
        "/hostile/a b",
        "/hostile/a%2Fb",
        "/hostile/a%b",
        "/hostile/\u{e9}",
        "/hostile/e\u{301}",
        "/hostile/a'b\"",
        "/hostile/a#b?c=d&e",
        "/hostile/$(id)",
        "/hostile/a\\b",
        "/hostile/a;b",
        "/hostile/a+b",
        "/hostile/-",
        "/hostile/a_b_c",
        "/hostile/a-b//",
        "hostile/a/b",
        "/hostile//a/b",
        "/hostile/*",
        "/hostile/a:b@c,d",
        long.as_str(),
    ];
    let mut kept = Vec::new();
    for name in names {
        let at = Address::value(StoragePrefix::new(name).unwrap().join("key"));
        match store.create(&[(at.clone(), value(name))]).await {
            Ok(Created::Ours) => kept.push((at, name)),
            Err(StoreError::Invalid { .. }) => {
                let read = get(&store, &at).await;
                assert!(matches!(read, Err(StoreError::Invalid { .. })), "{name}: {read:?}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    assert!(kept.len() >= 4, "{kept:?}");
    for (at, name) in &kept {
        assert_eq!(get(&store, at).await, Ok(value(name)));
    }
    let listed = store.list("/hostile/").await.unwrap();
    let listed = sorted(&listed);
    for (at, _) in kept.iter().filter(|(at, _)| at.path.as_str().starts_with("/hostile/")) {
        assert!(listed.contains(at.path.as_str()), "{at:?} is not in {listed:?}");
    }
}

/// Both halves carry who made them, so a mixed pair is seen.
pub(crate) async fn fifty_creators_of_a_pair_agree(subject: &impl Subject) {
    let case = "pair";
    let (private, public) = (address(case, "key_private"), address(case, "key_public"));
    let mut stores = Vec::new();
    for _ in 0..5 {
        stores.push(subject.open(Asker::Allowed).await);
    }
    let creations = (0..CREATORS).map(|creator| {
        let store = Arc::clone(&stores[creator % stores.len()]);
        let group = [
            (private.clone(), value(format!("{creator} private"))),
            (public.clone(), value(format!("{creator} public"))),
        ];
        tokio::spawn(async move {
            // Who meets a creation at work is told to ask again.
            let told = until_created(&store, &group).await;
            (creator, told)
        })
    });
    let mut told = Vec::new();
    for creation in creations.collect::<Vec<_>>() {
        told.push(creation.await.unwrap());
    }
    let ours = told.iter().filter(|(_, created)| *created == Created::Ours).count();
    if subject.limits().has_one_creator {
        assert_eq!(ours, 1);
    }
    let stored = [get(&stores[0], &private).await.unwrap(), get(&stores[0], &public).await.unwrap()];
    let winner = String::from_utf8(stored[0].expose().to_vec()).unwrap();
    let winner: usize = winner.strip_suffix(" private").unwrap().parse().unwrap();
    assert_eq!(stored[1], value(format!("{winner} public")), "halves of two creators");
    let told = told.into_iter().filter(|_| subject.limits().has_one_creator);
    for (creator, created) in told {
        match created {
            Created::Ours => assert_eq!(creator, winner),
            Created::Theirs(values) => assert_eq!(values, stored),
        }
    }
    // Whoever asks from now on is told the same.
    for store in &stores {
        let late = store.create(&[(private.clone(), value("late")), (public.clone(), value("late"))]).await;
        assert_eq!(late, Ok(Created::Theirs(stored.to_vec())));
    }
}

pub(super) async fn until_created(store: &Arc<dyn Store>, group: &[(Address, SecretValue)]) -> Created {
    let created = until(BOUND, || async {
        match store.create(group).await {
            Err(StoreError::Unavailable { .. }) => None,
            created => Some(created.unwrap()),
        }
    });
    created.await.expect("it is created before the bound")
}

pub(crate) async fn half_a_pair_stays_as_it_is(subject: &impl Subject) {
    let case = "half";
    let store = subject.open(Asker::Allowed).await;
    let (private, public) = (address(case, "key_private"), address(case, "key_public"));
    assert_eq!(store.create(&[(public.clone(), value("old"))]).await, Ok(Created::Ours));
    let refused = store.create(&[(private.clone(), value("new")), (public.clone(), value("new"))]).await;
    assert!(matches!(refused, Err(StoreError::Invalid { .. })), "{refused:?}");
    assert_eq!(get(&store, &public).await, Ok(value("old")));
    assert!(matches!(get(&store, &private).await, Err(StoreError::NotFound { .. })));
}

pub(crate) async fn values_of_one_object_come_one_by_one(subject: &impl Subject) {
    let case = "fields";
    let store = subject.open(Asker::Allowed).await;
    let pair = [(address(case, "db_private"), value("1")), (address(case, "db_public"), value("2"))];
    assert_eq!(store.create(&pair).await, Ok(Created::Ours));
    let third = address(case, "db_password");
    assert_eq!(store.create(&[(third.clone(), value("3"))]).await, Ok(Created::Ours));
    let again = store.create(&[(third.clone(), value("4"))]).await;
    assert_eq!(again, Ok(Created::Theirs(vec![value("3")])));
    for (at, content) in pair.iter().chain(&[(third, value("3"))]) {
        assert_eq!(get(&store, at).await.as_ref(), Ok(content));
    }
}

pub(crate) async fn only_what_is_expected_is_deleted(subject: &impl Subject) {
    let case = "delete";
    let store = subject.open(Asker::Allowed).await;
    let at = address(case, "token");
    assert_eq!(store.delete(&at, &value("1")).await, Ok(Deleted::Gone), "what is not there is gone");
    assert_eq!(store.create(&[(at.clone(), value("1"))]).await, Ok(Created::Ours));
    assert_eq!(store.delete(&at, &value("2")).await, Ok(Deleted::Changed));
    assert_eq!(get(&store, &at).await, Ok(value("1")));
    assert_eq!(store.delete(&at, &value("1")).await, Ok(Deleted::Gone));
    assert!(matches!(get(&store, &at).await, Err(StoreError::NotFound { .. })));
}

/// What cannot be done without losing what others write is not done.
pub(crate) async fn only_what_is_expected_is_replaced(subject: &impl Subject) {
    let store = subject.open(Asker::Allowed).await;
    let (at, beside) = (address("replace", "db_password"), address("replace", "db_user"));
    for (at, content) in [(&at, "1"), (&beside, "eva")] {
        assert_eq!(store.create(&[(at.clone(), value(content))]).await, Ok(Created::Ours));
    }
    if !subject.limits().replaces {
        assert_eq!(store.replace(&at, &value("1"), &value("2")).await, Ok(Replaced::Unsupported));
        assert_eq!(get(&store, &at).await, Ok(value("1")));
        return;
    }
    let nothing = address("replace", "other_password");
    assert_eq!(store.replace(&nothing, &value("1"), &value("2")).await, Ok(Replaced::Changed));
    assert!(matches!(get(&store, &nothing).await, Err(StoreError::NotFound { .. })));
    assert_eq!(store.replace(&at, &value("2"), &value("3")).await, Ok(Replaced::Changed));
    assert_eq!(get(&store, &at).await, Ok(value("1")));
    // Of many who saw the same value one has its own there, and all others are told.
    let wins = AtomicUsize::new(0);
    stream::iter(0..8)
        .for_each_concurrent(8, |each| {
            let (store, at, wins) = (&store, &at, &wins);
            async move {
                match store.replace(at, &value("1"), &value(format!("by {each}"))).await {
                    Ok(Replaced::Done) => drop(wins.fetch_add(1, Ordering::Relaxed)),
                    Ok(Replaced::Changed) => {}
                    other => panic!("{other:?}"),
                }
            }
        })
        .await;
    assert_eq!(wins.load(Ordering::Relaxed), 1);
    let won = get(&store, &at).await.unwrap();
    assert!(won.expose().starts_with(b"by "), "one of those");
    assert_eq!(store.replace(&at, &won, &value([0xff, 0x00])).await, Ok(Replaced::Done));
    assert_eq!(get(&store, &at).await, Ok(value([0xff, 0x00])));
    assert_eq!(get(&store, &beside).await, Ok(value("eva")), "what is beside it stays");
}

/// Kees' leases: the name of the pod, under the index.
pub(crate) async fn a_lease_passes_from_pod_to_pod(subject: &impl Subject) {
    let store = subject.open(Asker::Allowed).await;
    let at = Address::lease(path("lease", "leases/snow_flake.7"));
    for pod in ["web-0", "web-1", "web-0"] {
        let taken = until_created(&store, &[(at.clone(), value(pod))]).await;
        assert_eq!(taken, Created::Ours, "{pod}");
        let late = store.create(&[(at.clone(), value("late"))]).await;
        assert_eq!(late, Ok(Created::Theirs(vec![value(pod)])));
        assert_eq!(get(&store, &at).await, Ok(value(pod)));
        assert_eq!(store.delete(&at, &value("late")).await, Ok(Deleted::Changed));
        assert_eq!(store.delete(&at, &value(pod)).await, Ok(Deleted::Gone));
        assert!(matches!(get(&store, &at).await, Err(StoreError::NotFound { .. })));
    }
}

pub(crate) async fn every_page_is_listed(subject: &impl Subject) {
    let case = "list";
    let store = subject.open(Asker::Allowed).await;
    let entries: Vec<StoragePath> =
        (0..ENTRIES).map(|index| path(case, &format!("all/entry.{index}"))).collect();
    subject.fill(&entries).await;
    let others = [path(case, "all"), path(case, "other/entry.1"), path(case, "all-not/entry.1")];
    subject.fill(&others).await;
    let listed = store.list(&format!("{}/entry.", path(case, "all"))).await.unwrap();
    assert_eq!(listed.len(), ENTRIES, "each once");
    assert_eq!(sorted(&listed), sorted(&entries));
    let tens = store.list(&format!("{}/entry.24", path(case, "all"))).await.unwrap();
    assert_eq!(tens.len(), 111, "24, 240 to 249, 2400 to 2499");
    assert_eq!(store.list("/nowhere/").await, Ok(Vec::new()));
}

pub(crate) async fn a_stranger_is_denied(subject: &impl Subject) {
    let case = "stranger";
    let at = address(case, "token");
    let allowed = subject.open(Asker::Allowed).await;
    assert_eq!(allowed.create(&[(at.clone(), value("1"))]).await, Ok(Created::Ours));
    let stranger = subject.open(Asker::Stranger).await;
    for (what, error) in [
        ("get", get(&stranger, &at).await.unwrap_err()),
        ("get absent", get(&stranger, &address(case, "absent")).await.unwrap_err()),
        ("create", stranger.create(&[(address(case, "mine"), value("2"))]).await.unwrap_err()),
        ("delete", stranger.delete(&at, &value("1")).await.unwrap_err()),
        ("list", stranger.list("/suite/").await.unwrap_err()),
    ] {
        assert!(matches!(error, StoreError::Denied { .. }), "{what}: {error:?}");
    }
    assert_eq!(get(&allowed, &at).await, Ok(value("1")));
}

pub(crate) async fn who_is_throttled_is_told_so_and_then_served(subject: &impl Subject) {
    let case = "throttled";
    let at = address(case, "token");
    let allowed = subject.open(Asker::Allowed).await;
    assert_eq!(allowed.create(&[(at.clone(), value("1"))]).await, Ok(Created::Ours));
    // More than clients of vendors retry by themselves in one call.
    let throttled = subject.open(Asker::Throttled(8)).await;
    let told = AtomicUsize::new(0);
    let served = until(BOUND, || async {
        match get(&throttled, &at).await {
            Err(StoreError::Unavailable { .. }) => {
                told.fetch_add(1, Ordering::Relaxed);
                None
            }
            served => Some(served.unwrap()),
        }
    });
    assert_eq!(served.await, Some(value("1")));
    assert!(told.into_inner() > 0, "nobody was told");
}

pub(crate) async fn a_change_is_seen(subject: &impl Subject) {
    let case = "change";
    let (reader, writer) = (subject.open(Asker::Allowed).await, subject.open(Asker::Allowed).await);
    let at = address(case, "token");
    assert!(matches!(get(&reader, &at).await, Err(StoreError::NotFound { .. })));
    for content in ["1", "2"] {
        let group = [(at.clone(), value(content))];
        assert_eq!(until_created(&writer, &group).await, Created::Ours);
        assert_eq!(get(&reader, &at).await, Ok(value(content)));
        assert_eq!(writer.delete(&at, &value(content)).await, Ok(Deleted::Gone));
    }
}
