//! What people and creators do to objects: formats, versions, and two at once.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use http::Method;
use keystow::domain::SecretValue;
use keystow::handover::VaultAuth;
use keystow::store::{Address, Created, Deleted, StoreError};
use serde_json::{Value, json};

use super::super::conformance::{address, get, path, value};
use super::world::{Engine, World, login};
use crate::support::faults::{Fault, Faults, Seen};
use crate::support::servers::ROOT_TOKEN;
use crate::support::wait::until;

const BOUND: Duration = Duration::from_secs(30);
/// Long enough for what is done meanwhile, on a busy machine too.
const HELD_BACK: Duration = Duration::from_secs(2);

/// What lies in an object, by the server itself.
async fn fields(world: &World, engine: Engine, object: &str) -> Value {
    let part = if engine == Engine::One { "" } else { "data/" };
    let read = world.vault.read(&format!("{}/{part}{object}", engine.mount())).await;
    let mut read = read.unwrap_or_else(|| panic!("{object} is not there"));
    if engine == Engine::One { read } else { read["data"].take() }
}

async fn write(world: &World, engine: Engine, object: &str, fields: &Value) {
    if engine == Engine::One {
        world.vault.write(&format!("{}/{object}", engine.mount()), fields).await;
    } else {
        world.vault.write(&format!("{}/data/{object}", engine.mount()), &json!({"data": fields})).await;
    }
}

#[tokio::test]
async fn what_people_wrote_is_read_and_kept() {
    let Some(world) = World::shared(module_path!()).await else { return };
    for engine in [Engine::One, Engine::Two] {
        let object = "particular/written/db";
        let written = json!({"host": "db", "port": 5432, "tls": true, "none": null, "deep": {"a": [1.5]}});
        write(world, engine, object, &written).await;
        let store = world.creator(engine, None).await;
        let at = |field: &str| {
            Address::value(keystow::domain::StoragePath::read(&format!("/{object}_{field}")).unwrap())
        };
        for (field, text) in [("host", "db"), ("port", "5432"), ("tls", "true")] {
            assert_eq!(get(&store, &at(field)).await, Ok(value(text)), "{engine:?}");
        }
        for field in ["none", "deep"] {
            let error = get(&store, &at(field)).await.unwrap_err();
            assert!(matches!(error, StoreError::Invalid { .. }), "{error:?}");
            assert!(error.to_string().contains(object) && !error.to_string().contains("1.5"), "{error}");
        }
        assert_eq!(store.create(&[(at("password"), value("x"))]).await, Ok(Created::Ours));
        assert_eq!(store.delete(&at("deep"), &value("1")).await, Ok(Deleted::Changed));
        assert_eq!(store.delete(&at("host"), &value("db")).await, Ok(Deleted::Gone));
        let mut expected = written;
        expected.as_object_mut().unwrap().remove("host");
        expected["password"] = json!("x");
        assert_eq!(fields(world, engine, object).await, expected, "{engine:?}");
    }
}

#[tokio::test]
async fn each_object_is_asked_for_once() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let line = Faults::before(world.address()).start().await;
    let store = world.creator(Engine::Two, Some(line.url())).await;
    let asked: Vec<Address> = ["db_user", "db_password", "db", "other_user", "db_user"]
        .iter()
        .map(|key| address("once", key))
        .collect();
    assert_eq!(store.get(&asked).await.len(), 4);
    let mut paths: Vec<String> = line.requests().into_iter().map(|seen| seen.path).collect();
    paths.sort();
    assert_eq!(
        paths,
        ["/v1/auth/kubernetes/login", "/v1/team/kv/data/suite/once/db", "/v1/team/kv/data/suite/once/other"]
    );
}

#[tokio::test]
async fn a_deleted_version_is_absent_and_is_written_over() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let object = "suite/deleted/db";
    write(world, Engine::Two, object, &json!({"password": "old"})).await;
    let at = address("deleted", "db_password");
    for by in ["data", "metadata"] {
        let deleted =
            world.vault.request(&Method::DELETE, &format!("team/kv/{by}/{object}"), ROOT_TOKEN, None).await;
        assert!(deleted.status.is_success());
        let store = world.creator(Engine::Two, None).await;
        let error = get(&store, &at).await.unwrap_err();
        let StoreError::NotFound { sought, .. } = &error else { panic!("{error:?}") };
        assert!(sought.contains("key password of team/kv/data/suite/deleted/db"), "{sought}");
        assert_eq!(sought.contains("newest version"), by == "data", "{sought}");
        assert_eq!(store.create(&[(at.clone(), value(by))]).await, Ok(Created::Ours));
        assert_eq!(fields(world, Engine::Two, object).await, json!({"password": by}));
    }
}

/// What our deletion leaves: no value in the newest version, and that version deleted.
#[tokio::test]
async fn the_last_key_takes_its_object_with_it() {
    let Some(world) = World::shared(module_path!()).await else { return };
    for engine in [Engine::One, Engine::Two, Engine::Strict] {
        let store = world.creator(engine, None).await;
        let pair = [(address("last", "k_private"), value("1")), (address("last", "k_public"), value("2"))];
        assert_eq!(store.create(&pair).await, Ok(Created::Ours));
        assert_eq!(store.delete(&pair[0].0, &pair[0].1).await, Ok(Deleted::Gone));
        assert_eq!(fields(world, engine, "suite/last/k").await, json!({"public": "2"}));
        assert_eq!(store.delete(&pair[1].0, &pair[1].1).await, Ok(Deleted::Gone));
        let part = if engine == Engine::One { "" } else { "data/" };
        assert_eq!(world.vault.read(&format!("{}/{part}suite/last/k", engine.mount())).await, None);
        assert_eq!(store.create(&pair).await, Ok(Created::Ours));
        let listed = store.list("/suite/last/").await.unwrap();
        assert_eq!(listed, [path("last", "k")]);
    }
}

/// Writes and deletions of one object at once: nothing is lost, and nothing comes back.
#[tokio::test(flavor = "multi_thread")]
async fn changes_at_once_are_all_made() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let key = |index: usize| address("at-once", &format!("many_{}", char::from(b'a' + index as u8)));
    let stores = join_all((0..8).map(|_| world.creator(Engine::Two, None))).await;
    for round in 0..5 {
        let all = join_all(stores.iter().enumerate().map(|(index, store)| {
            let (store, at) = (Arc::clone(store), key(index));
            tokio::spawn(async move {
                let mine = value(format!("{round} {index}"));
                assert_eq!(store.create(&[(at.clone(), mine.clone())]).await, Ok(Created::Ours));
                // Of every two, one takes its own away again.
                if index % 2 == 0 {
                    assert_eq!(store.delete(&at, &mine).await, Ok(Deleted::Gone));
                }
            })
        }));
        for done in all.await {
            done.unwrap();
        }
        for (index, store) in stores.iter().enumerate() {
            let found = get(store, &key(index)).await;
            if index % 2 == 0 {
                assert!(matches!(found, Err(StoreError::NotFound { .. })), "{index}: {found:?}");
            } else {
                let mine = value(format!("{round} {index}"));
                assert_eq!(found.as_ref(), Ok(&mine), "{index}");
                assert_eq!(store.delete(&key(index), &mine).await, Ok(Deleted::Gone));
            }
        }
    }
}

/// Holds back the next write of that kind.
fn hold_back(line: &Faults, part: &'static str) {
    line.forget();
    let is_it = move |seen: &Seen| seen.method == "POST" && seen.path.contains(part);
    line.next(is_it, [Fault::Stall(HELD_BACK)]);
}

async fn has_come(line: &Faults, part: &str) {
    let come =
        async || (line.count(|seen| seen.method == "POST" && seen.path.contains(part)) > 0).then_some(());
    until(BOUND, come).await.expect("a request that is held back");
}

/// What is written between a look and a write is not lost, and not written over.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_between_is_looked_at_again() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let line = Faults::before(world.address()).start().await;
    let slow = world.creator(Engine::Two, Some(line.url())).await;
    let quick = world.creator(Engine::Two, None).await;
    let at = |field: &str| address("between", &format!("db_{field}"));
    assert_eq!(quick.create(&[(at("a"), value("1"))]).await, Ok(Created::Ours));

    // A key is added while the only one is taken away, and while another is added.
    hold_back(&line, "/data/");
    let (key, one) = (at("a"), value("1"));
    let (deleted, added) = tokio::join!(slow.delete(&key, &one), async {
        has_come(&line, "/data/").await;
        quick.create(&[(at("b"), value("2"))]).await
    });
    assert_eq!((deleted, added), (Ok(Deleted::Gone), Ok(Created::Ours)));
    assert_eq!(fields(world, Engine::Two, "suite/between/db").await, json!({"b": "2"}));

    hold_back(&line, "/data/");
    let group = [(at("c"), value("3"))];
    let (created, added) = tokio::join!(slow.create(&group), async {
        has_come(&line, "/data/").await;
        quick.create(&[(at("d"), value("4"))]).await
    });
    assert_eq!((created, added), (Ok(Created::Ours), Ok(Created::Ours)));
    let all = json!({"b": "2", "c": "3", "d": "4"});
    assert_eq!(fields(world, Engine::Two, "suite/between/db").await, all);

    // The value is another one by the time that it would be taken away.
    hold_back(&line, "/data/");
    let (key, old) = (at("c"), value("3"));
    let (deleted, ()) = tokio::join!(slow.delete(&key, &old), async {
        has_come(&line, "/data/").await;
        write(world, Engine::Two, "suite/between/db", &json!({"c": "new"})).await;
    });
    assert_eq!(deleted, Ok(Deleted::Changed));
    assert_eq!(fields(world, Engine::Two, "suite/between/db").await, json!({"c": "new"}));
}

/// Where somebody takes a place that has just become free, the cleaning up behind it does not touch it.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_does_not_take_what_came_after() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let line = Faults::before(world.address()).start().await;
    let slow = world.creator(Engine::Two, Some(line.url())).await;
    let quick = world.creator(Engine::Two, None).await;
    let at = Address::lease(path("after", "leases/1"));
    let (old, new) = (value("pod 0"), value("pod 1"));
    assert_eq!(quick.create(&[(at.clone(), old.clone())]).await, Ok(Created::Ours));
    hold_back(&line, "/delete/");
    let (released, taken) = tokio::join!(slow.delete(&at, &old), async {
        has_come(&line, "/delete/").await;
        let absent = get(&quick, &at).await;
        assert!(matches!(absent, Err(StoreError::NotFound { .. })), "{absent:?}");
        quick.create(&[(at.clone(), new.clone())]).await
    });
    assert_eq!((released, taken), (Ok(Deleted::Gone), Ok(Created::Ours)));
    assert_eq!(get(&quick, &at).await, Ok(new));
}

#[tokio::test]
async fn what_no_storage_takes_is_refused_before_it_is_sent() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let line = Faults::before(world.address()).start().await;
    let store = world.creator(Engine::Two, Some(line.url())).await;
    let longest = 500 * 1024;
    let long = |size| [(address("long", "token"), SecretValue::new(vec![b'a'; size]))];
    let error = store.create(&long(longest + 1)).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Invalid { reason, .. } if reason.contains("longer than")),
        "{error}"
    );
    assert_eq!(line.requests().len(), 0);
    // With what is around it, it is too long all the same.
    let error = store.create(&long(longest)).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid { .. }), "{error:?}");
    assert_eq!(line.count(|seen: &Seen| seen.path.contains("/data/") && seen.method == "POST"), 0);
    assert_eq!(store.create(&long(longest - 100)).await, Ok(Created::Ours));
}

#[tokio::test]
async fn an_engine_of_the_other_version_and_none_at_all_are_no_absence() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let file = world.write_token("root-of-engines", ROOT_TOKEN);
    let auth = VaultAuth::TokenFile(file.to_str().unwrap().to_owned());
    let at = address("engine", "token");
    let mut settings = world.settings(Engine::Two, auth);
    settings.kv_version = 1;
    let error = get(&world.open(&settings, "app").await, &at).await.unwrap_err();
    println!("{error}");
    assert!(
        matches!(&error, StoreError::Invalid { reason, .. } if reason.contains("kvVersion")),
        "{error:?}"
    );
    settings.mount = "nowhere".to_owned();
    for version in [1, 2] {
        settings.kv_version = version;
        let store = world.open(&settings, "app").await;
        for error in [
            get(&store, &at).await.map(drop).unwrap_err(),
            store.create(&[(at.clone(), value("1"))]).await.map(drop).unwrap_err(),
            store.list("/").await.map(drop).unwrap_err(),
        ] {
            println!("{error}");
            assert!(matches!(error, StoreError::Invalid { .. }), "{error:?}");
        }
    }
}

/// What version 1 leaves to be desired: who was told that it is the creator may not be for long.
#[tokio::test(flavor = "multi_thread")]
async fn halves_of_a_pair_never_mix_in_version_1() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let stores = join_all((0..8).map(|_| world.creator(Engine::One, None))).await;
    for round in 0..10 {
        let at = |half: &str| address("mixed", &format!("key.{round}_{half}"));
        let all = join_all(stores.iter().enumerate().map(|(index, store)| {
            let store = Arc::clone(store);
            let group = [(at("private"), value(index.to_string())), (at("public"), value(index.to_string()))];
            tokio::spawn(async move { store.create(&group).await })
        }));
        for created in all.await {
            created.unwrap().unwrap();
        }
        let outcomes = stores[0].get(&[at("private"), at("public")]).await;
        let [private, public] = [&outcomes[&at("private")], &outcomes[&at("public")]];
        assert!(private.is_ok() && private == public, "round {round}");
    }
}

#[tokio::test]
async fn the_root_is_listed_too() {
    let Some(world) = World::shared(module_path!()).await else { return };
    for version in [1_u8, 2] {
        let mount = format!("listed-{version}");
        world.mount(&mount, version).await;
        let file = world.write_token("root-of-lists", ROOT_TOKEN);
        let mut settings =
            world.settings(Engine::Two, VaultAuth::TokenFile(file.to_str().unwrap().to_owned()));
        (settings.mount, settings.kv_version) = (mount, version);
        let store = world.open(&settings, "app").await;
        assert_eq!(store.list("").await, Ok(Vec::new()));
        for at in ["/top", "/a/b", "/a/b/c", "/ab"] {
            let at = Address::value(keystow::domain::StoragePath::read(at).unwrap());
            assert_eq!(store.create(&[(at, value("1"))]).await, Ok(Created::Ours));
        }
        for (prefix, expected) in [
            ("", vec!["/a/b", "/a/b/c", "/ab", "/top"]),
            ("/", vec!["/a/b", "/a/b/c", "/ab", "/top"]),
            ("/a", vec!["/a/b", "/a/b/c", "/ab"]),
            ("/a/", vec!["/a/b", "/a/b/c"]),
            ("/a/b", vec!["/a/b", "/a/b/c"]),
            ("/a/b/", vec!["/a/b/c"]),
            ("top", vec![]),
            ("/a//", vec![]),
        ] {
            let mut listed: Vec<String> =
                store.list(prefix).await.unwrap().iter().map(ToString::to_string).collect();
            listed.sort();
            assert_eq!(listed, expected, "{prefix}");
        }
    }
}

#[tokio::test]
async fn a_pair_in_two_objects_is_refused() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let auth = VaultAuth::Kubernetes(login("nobody", "kubernetes"));
    // Without a call: this one could not log in.
    let store = world.open(&world.settings(Engine::Two, auth), "app").await;
    let apart = [(address("apart", "a_private"), value("1")), (address("apart", "b_public"), value("2"))];
    let error = store.create(&apart).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Invalid { reason, .. } if reason.contains("storageKeys")),
        "{error:?}"
    );
}
