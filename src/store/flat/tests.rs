//! Against a service in memory, which holds objects and can refuse some.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;

use super::*;

#[derive(Debug, Default)]
struct Memory {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    denied: HashSet<String>,
    /// Who writes between a look and a creation.
    faster: Mutex<Option<(String, Vec<u8>)>>,
}

impl Service for Memory {
    fn read<'a>(&'a self, names: &'a [StoragePath]) -> Answer<'a, Objects> {
        let objects = self.objects.lock().unwrap();
        let answer = |name: &StoragePath| {
            if self.denied.contains(name.as_str()) {
                return Err(StoreError::denied(name, "by policy"));
            }
            let content =
                objects.get(name.as_str()).ok_or_else(|| StoreError::not_found(name, "in memory"))?;
            Ok(Object { content: SecretValue::new(content.clone()), version: content.len().to_string() })
        };
        let answers = names.iter().map(|name| (name.clone(), answer(name))).collect();
        Box::pin(std::future::ready(answers))
    }

    fn create<'a>(
        &'a self,
        name: &'a StoragePath,
        content: &'a SecretValue,
    ) -> Answer<'a, Result<bool, StoreError>> {
        let mut objects = self.objects.lock().unwrap();
        objects.extend(self.faster.lock().unwrap().take());
        let is_free = !objects.contains_key(name.as_str());
        if is_free {
            objects.insert(name.to_string(), content.expose().to_vec());
        }
        Box::pin(std::future::ready(Ok(is_free)))
    }

    fn delete<'a>(
        &'a self,
        name: &'a StoragePath,
        _version: &'a str,
    ) -> Answer<'a, Result<Deleted, StoreError>> {
        self.objects.lock().unwrap().remove(name.as_str());
        Box::pin(std::future::ready(Ok(Deleted::Gone)))
    }

    fn list<'a>(&'a self, _prefix: &'a str) -> Answer<'a, Result<Vec<StoragePath>, StoreError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

fn store(objects: &[(&str, &str)]) -> Flat<Memory> {
    let objects = objects.iter().map(|(name, content)| ((*name).to_owned(), content.as_bytes().to_vec()));
    Flat(Memory { objects: Mutex::new(objects.collect()), ..Memory::default() })
}

fn at(path: &str) -> Address {
    Address::value(StoragePath::read(path).unwrap())
}

fn value(text: &str) -> SecretValue {
    SecretValue::new(text.as_bytes().to_vec())
}

async fn get(store: &Flat<Memory>, path: &str) -> Result<String, StoreError> {
    let address = at(path);
    let mut outcomes = store.get(std::slice::from_ref(&address)).await;
    let value = outcomes.remove(&address).unwrap()?;
    Ok(String::from_utf8(value.expose().to_vec()).unwrap())
}

fn pair() -> [(Address, SecretValue); 2] {
    [(at("/db_private"), value("1")), (at("/db_public"), value("2"))]
}

#[tokio::test]
async fn a_field_is_read_from_its_own_object_or_from_the_json_of_the_bare_one() {
    let store = store(&[
        ("/db", r#"{"password":"field","user":"app"}"#),
        ("/db_user", "own"),
        ("/text_a", "x"),
        ("/text", "no JSON"),
    ]);
    assert_eq!(get(&store, "/db_password").await, Ok("field".to_owned()));
    assert_eq!(get(&store, "/db_user").await, Ok("own".to_owned()));
    assert_eq!(get(&store, "/text_a").await, Ok("x".to_owned()));
    for absent in ["/db_other", "/text_b", "/none_a", "/none"] {
        assert!(matches!(get(&store, absent).await, Err(StoreError::NotFound { .. })), "{absent}");
    }
    let lease = Address::lease(StoragePath::read("/db_password").unwrap());
    assert!(store.get(std::slice::from_ref(&lease)).await[&lease].is_err(), "a lease has no fields");
}

#[tokio::test]
async fn a_field_of_broken_json_is_not_absent() {
    let store = store(&[("/db", r#"{"user": hunter2"#)]);
    let error = get(&store, "/db_user").await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid { .. }) && !error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_denial_is_never_taken_for_absence() {
    let mut one = store(&[("/db", r#"{"password":"field"}"#)]);
    one.0.denied.insert("/db_password".to_owned());
    assert_eq!(get(&one, "/db_password").await, Ok("field".to_owned()));
    let mut other = store(&[]);
    other.0.denied.insert("/db".to_owned());
    let Err(StoreError::Unavailable { path, reason, .. }) = get(&other, "/db_password").await else {
        panic!("not waited for")
    };
    assert_eq!(path, "/db_password");
    assert_eq!(reason, "there is no in memory; /db, where it may be too, is denied: by policy");
    other.0.denied.insert("/db_password".to_owned());
    assert!(matches!(get(&other, "/db_password").await, Err(StoreError::Denied { .. })));
}

#[tokio::test]
async fn a_group_is_one_object_and_one_value_its_own() {
    let store = store(&[]);
    assert_eq!(store.create(&pair()).await, Ok(Created::Ours));
    assert_eq!(store.create(&[(at("/token_a"), value("3"))]).await, Ok(Created::Ours));
    let objects = store.0.objects.lock().unwrap().clone();
    assert_eq!(objects.keys().collect::<Vec<_>>(), ["/db", "/token_a"]);
    assert_eq!(get(&store, "/db_public").await, Ok("2".to_owned()));
}

#[tokio::test]
async fn who_loses_gets_the_winners_values() {
    let store = store(&[]);
    *store.0.faster.lock().unwrap() = Some(("/db".to_owned(), br#"{"private":"a","public":"b"}"#.to_vec()));
    let theirs = Ok(Created::Theirs(vec![value("a"), value("b")]));
    assert_eq!(store.create(&pair()).await, theirs);
    assert_eq!(store.create(&pair()).await, theirs);
}

#[tokio::test]
async fn half_a_pair_is_neither_completed_nor_overwritten() {
    for there in [("/db", r#"{"private":"a"}"#), ("/db_public", "b")] {
        let store = store(&[there]);
        let error = store.create(&pair()).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Invalid { .. }) && error.to_string().contains("others are"),
            "{error}"
        );
        assert_eq!(store.0.objects.lock().unwrap().len(), 1);
    }
    let store = store(&[("/db", "somebody's")]);
    let error = store.create(&pair()).await.unwrap_err();
    assert!(error.to_string().contains("is there without these values"), "{error}");
}

#[tokio::test]
async fn a_group_that_is_not_one_object_is_refused() {
    for (one, other) in [("/a_private", "/b_public"), ("/a", "/b"), ("/x/a_private", "/y/a_public")] {
        let group = [(at(one), value("1")), (at(other), value("2"))];
        let error = store(&[]).create(&group).await.unwrap_err();
        assert!(error.to_string().contains("up to the last `_`"), "{error}");
    }
}

#[tokio::test]
async fn only_what_is_expected_and_alone_is_deleted() {
    let store =
        store(&[("/db", r#"{"password":"1","user":"2"}"#), ("/one", r#"{"password":"1"}"#), ("/own", "1")]);
    assert_eq!(store.delete(&at("/own"), &value("2")).await, Ok(Deleted::Changed));
    assert_eq!(store.delete(&at("/own"), &value("1")).await, Ok(Deleted::Gone));
    assert_eq!(store.delete(&at("/own"), &value("1")).await, Ok(Deleted::Gone));
    assert_eq!(store.delete(&at("/one_password"), &value("1")).await, Ok(Deleted::Gone));
    assert!(
        store.delete(&at("/db_password"), &value("1")).await.unwrap_err().to_string().contains("shares /db")
    );
    assert_eq!(store.0.objects.lock().unwrap().len(), 1);
}
