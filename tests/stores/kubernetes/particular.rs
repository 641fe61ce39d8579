//! What is particular to Secret objects.

use std::sync::Arc;

use futures::future::join_all;
use keystow::store::{Created, Deleted, StoreError};
use serde_json::{Value, json};

use super::rights;
use super::{BOUND, Kubernetes};
use crate::conformance::{Asker, Subject as _, address, get, sorted, value};
use crate::support::wait::until;

/// The path `/suite/CASE/KEY` is the Secret `suite--CASE--KEY`.
fn secret(case: &str, key: &str) -> String {
    format!("suite--{case}--{key}")
}

async fn object(subject: &Kubernetes, name: &str) -> Value {
    let text = subject.kubectl(&["get", "secret", name, "--output", "json"]).await;
    serde_json::from_str(&text).expect("a Secret")
}

#[tokio::test]
async fn a_role_by_name_is_enough_to_read() {
    let test = "a_role_by_name_is_enough_to_read";
    let Some(subject) = Kubernetes::start(test).await else { return };
    subject.plane.service_account(&subject.namespace, "web", &[]).await.unwrap();
    subject.apply(&rights::for_account(rights::READER, &subject.namespace, "web")).await;
    // Made by people: neither labels nor annotations.
    subject
        .kubectl(&["create", "secret", "generic", "veza--production--db", "--from-literal=password=hunter2"])
        .await;
    let store = subject.open_as("web").await;
    let at = |path: &str| {
        let prefix = keystow::domain::StoragePrefix::new("/veza/production").unwrap();
        keystow::store::Address::value(prefix.join(path))
    };
    let (password, user, other) = (at("db_password"), at("db_user"), at("cache_password"));
    let outcomes = store.get(&[password.clone(), user.clone(), other.clone()]).await;
    assert_eq!(outcomes[&password], Ok(value("hunter2")));
    let names = [(subject.namespace.as_str(), "demo"), (":web", ":veza")];
    for (at, is_told) in [
        (&user, matches!(&outcomes[&user], Err(StoreError::NotFound { .. }))),
        (&other, matches!(&outcomes[&other], Err(StoreError::Denied { .. }))),
    ] {
        assert!(is_told, "{:?}", outcomes[at]);
        rights::are_on_the_page(outcomes[at].as_ref().unwrap_err(), &names);
    }
    let refused = store.create(&[(user, value("1"))]).await;
    let Err(StoreError::Denied { reason, .. }) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("a Role must allow `patch`"), "{reason}");
}

#[tokio::test]
async fn what_is_created_is_labelled_and_what_people_made_is_left_as_it_is() {
    let test = "what_is_created_is_labelled";
    let Some(subject) = Kubernetes::start(test).await else { return };
    let (case, store) = ("labels", subject.open(Asker::Allowed).await);
    assert_eq!(store.create(&[(address(case, "mine_token"), value("1"))]).await, Ok(Created::Ours));
    let mine = object(&subject, &secret(case, "mine")).await;
    assert_eq!(mine["type"], "Opaque");
    assert_eq!(
        mine["metadata"]["labels"],
        json!({"app.kubernetes.io/managed-by": "keystow", "app.kubernetes.io/component": "store"})
    );
    assert_eq!(mine["metadata"]["annotations"], json!({"store.bsycorp.com/path": "/suite/labels/mine"}));

    let theirs = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "example.com/theirs",
        "metadata": {"name": secret(case, "theirs"), "namespace": subject.namespace, "labels": {"team": "one"}},
        "stringData": {"user": "app"},
    });
    subject.apply(&theirs.to_string()).await;
    let before = object(&subject, &secret(case, "theirs")).await;
    let added = address(case, "theirs_token");
    assert_eq!(store.create(&[(added.clone(), value("2"))]).await, Ok(Created::Ours));
    let with = object(&subject, &secret(case, "theirs")).await;
    assert_eq!(with["data"], json!({"user": "YXBw", "token": "Mg=="}));
    assert_eq!(store.list("/suite/").await.map(|paths| paths.len()), Ok(1), "theirs is not ours to list");
    assert_eq!(store.delete(&added, &value("2")).await, Ok(Deleted::Gone));
    let after = object(&subject, &secret(case, "theirs")).await;
    for part in ["type", "data"] {
        assert_eq!(after[part], before[part]);
    }
    for part in ["labels", "annotations", "uid"] {
        assert_eq!(after["metadata"][part], before["metadata"][part]);
    }
    assert_eq!(store.delete(&address(case, "theirs_user"), &value("app")).await, Ok(Deleted::Gone));
    let left = subject.kubectl(&["get", "secrets", "--output", "name"]).await;
    assert_eq!(left.trim(), "secret/suite--labels--mine", "the last key takes the object with it");
}

#[tokio::test]
async fn an_annotation_that_lies_is_not_listed() {
    let Some(subject) = Kubernetes::start("an_annotation_that_lies").await else { return };
    let (case, store) = ("lies", subject.open(Asker::Allowed).await);
    assert_eq!(store.create(&[(address(case, "token"), value("1"))]).await, Ok(Created::Ours));
    assert_eq!(sorted(&store.list("").await.unwrap()), ["/suite/lies/token"].into());
    let lie = "store.bsycorp.com/path=/suite/other/token";
    subject.kubectl(&["annotate", "secret", &secret(case, "token"), "--overwrite", lie]).await;
    assert_eq!(store.list("").await, Ok(Vec::new()));
}

#[tokio::test]
async fn creators_of_different_keys_lose_nothing() {
    let Some(subject) = Kubernetes::start("creators_of_different_keys").await else { return };
    let store = subject.open(Asker::Allowed).await;
    let at: Vec<_> = ('a'..='t').map(|field| address("keys", &format!("db_{field}"))).collect();
    let creations = at.iter().map(|at| {
        let store = Arc::clone(&store);
        async move {
            let group = [(at.clone(), value(at.path.as_str()))];
            until(BOUND, || async {
                match store.create(&group).await {
                    Err(StoreError::Unavailable { .. }) => None,
                    created => Some(created),
                }
            })
            .await
        }
    });
    assert_eq!(join_all(creations).await, vec![Some(Ok(Created::Ours)); at.len()]);
    // Halves go while others stay.
    let deletions = at.iter().step_by(2).map(|at| {
        let store = Arc::clone(&store);
        let expected = value(at.path.as_str());
        async move {
            until(BOUND, || async {
                match store.delete(at, &expected).await {
                    Err(StoreError::Unavailable { .. }) => None,
                    deleted => Some(deleted),
                }
            })
            .await
        }
    });
    assert_eq!(join_all(deletions).await, vec![Some(Ok(Deleted::Gone)); at.len() / 2]);
    let outcomes = store.get(&at).await;
    for (index, at) in at.iter().enumerate() {
        match &outcomes[at] {
            Ok(found) => assert_eq!((index % 2, found), (1, &value(at.path.as_str()))),
            Err(error) => assert!(index % 2 == 0 && matches!(error, StoreError::NotFound { .. }), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_secret_holds_a_mebibyte() {
    let Some(subject) = Kubernetes::start("a_secret_holds_a_mebibyte").await else { return };
    let (case, store) = ("mebibyte", subject.open(Asker::Allowed).await);
    let (most, more) = (vec![0xFF; 1 << 20], vec![0xFF; (1 << 20) + 1]);
    let full = address(case, "full_value_a");
    assert_eq!(store.create(&[(full.clone(), value(&most))]).await, Ok(Created::Ours));
    assert_eq!(get(&store, &full).await, Ok(value(&most)));
    for (key, bytes) in [("more", more.as_slice()), ("full_value_b", b"1")] {
        let refused = store.create(&[(address(case, key), value(bytes))]).await;
        let Err(StoreError::Invalid { reason, .. }) = refused else { panic!("{key}: {refused:?}") };
        assert!(reason.contains("longer than 1048576 bytes"), "{reason}");
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_invalid() {
    let Some(subject) = Kubernetes::start("what_cannot_be_written").await else { return };
    let (case, store) = ("written", subject.open(Asker::Allowed).await);
    let fixed = json!({
        "apiVersion": "v1", "kind": "Secret", "immutable": true,
        "metadata": {"name": secret(case, "fixed"), "namespace": subject.namespace},
        "stringData": {"user": "app", "password": "hunter2"},
    });
    subject.apply(&fixed.to_string()).await;
    let added = store.create(&[(address(case, "fixed_token"), value("correct horse"))]).await;
    let taken = store.delete(&address(case, "fixed_password"), &value("hunter2")).await;
    for (what, told) in [("added", added.map(drop)), ("taken", taken.map(drop))] {
        let Err(StoreError::Invalid { reason, .. }) = told else { panic!("{what}: {told:?}") };
        assert!(reason.contains("immutable"), "{what}: {reason}");
        assert!(!reason.contains("hunter2") && !reason.contains("correct horse"), "{reason}");
    }
    // Nobody finishes its deletion here, so the namespace stays on its way out.
    let namespace = subject.namespace.as_str();
    subject.plane.kubectl(&["delete", "namespace", namespace, "--wait=false"], "").await.unwrap();
    let refused = store.create(&[(address(case, "late"), value("1"))]).await;
    let Err(StoreError::Invalid { reason, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(reason, format!("namespace {namespace} is being deleted, and takes nothing new"));
    assert_eq!(get(&store, &address(case, "fixed_user")).await, Ok(value("app")), "what is there is read");
}

#[tokio::test]
async fn the_secret_of_an_index_is_owned_by_its_pod_and_a_claim_by_nobody() {
    let Some(subject) = Kubernetes::start("the_secret_of_an_index_is_owned").await else { return };
    let store = subject.open(Asker::Allowed).await;
    let leases = keystow::domain::StoragePrefix::new("/veza/leases").unwrap();
    let uid = "0b8e5d1c-9f0e-4a55-8f3f-2a9c6b1d7e42";
    let own = format!("{}/web-0/{uid}/here", subject.namespace);
    let pod = json!([{"apiVersion": "v1", "kind": "Pod", "name": "web-0", "uid": uid}]);
    for (key, content, owners) in [
        ("shard.3", own.as_str(), pod),
        ("shard.4", "elsewhere/web-0/0b8e5d1c-9f0e-4a55-8f3f-2a9c6b1d7e42/here", Value::Null),
        ("shard.5", "web-0", Value::Null),
        ("shard.of-0b8e5d1c-9f0e-4a55-8f3f-2a9c6b1d7e42", "3", Value::Null),
    ] {
        let at = keystow::store::Address::lease(leases.join(key));
        assert_eq!(store.create(&[(at.clone(), value(content))]).await, Ok(Created::Ours), "{key}");
        let made = object(&subject, &format!("veza--leases--{key}")).await;
        assert_eq!(made["metadata"]["ownerReferences"], owners, "{key}");
        assert_eq!(get(&store, &at).await, Ok(value(content)));
    }
}
