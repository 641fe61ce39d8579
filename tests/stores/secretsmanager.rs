//! The store `secretsmanager` against moto: the suite, secrets as people make them, and what is left of deletion.

use std::sync::Arc;

use aws_sdk_secretsmanager::Client;
use keystow::domain::SecretValue;
use keystow::handover::StoreSettings;
use keystow::store::{Address, Created, Deleted, Store, StoreError};

use crate::aws::documents::{self, shown};
use crate::aws::{BOUND, Cloud, STALL, failure};
use crate::conformance::{Asker, Limits, Subject, address, conformance, get, value};
use crate::support::faults::{Fault, Seen};
use crate::support::wait::until;

struct Secrets(Cloud);

impl Subject for Secrets {
    async fn start(test: &str) -> Option<Self> {
        Cloud::start(test, StoreSettings::SecretsManager).await.map(Self)
    }

    async fn open(&self, asker: Asker) -> Arc<dyn Store> {
        self.0.open(asker).await
    }

    fn limits(&self) -> Limits {
        Limits { longest_value: 65_536, holds_leases: false, replaces: false, ..Limits::default() }
    }
}

conformance!(Secrets);

async fn start(test: &str) -> Option<(Cloud, Client, Arc<dyn Store>)> {
    let Secrets(cloud) = Secrets::start(test).await?;
    let (client, store) = (Client::new(&cloud.sdk().await), cloud.open(Asker::Allowed).await);
    Some((cloud, client, store))
}

fn is_read(seen: &Seen) -> bool {
    seen.operation == "BatchGetSecretValue"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_what_people_wrote_is_read() {
    let Some((_cloud, client, store)) = start("a_field_of_what_people_wrote").await else { return };
    let json = r#"{"user": "app", "password": "hunter2", "port": 5432}"#;
    client.create_secret().name("/suite/people/db").secret_string(json).send().await.unwrap();
    assert_eq!(get(&store, &address("people", "db_password")).await, Ok(value("hunter2")));
    assert_eq!(get(&store, &address("people", "db_port")).await, Ok(value("5432")));
    assert_eq!(get(&store, &address("people", "db")).await, Ok(value(json)));
    assert!(matches!(failure(&store, &address("people", "db_key")).await, StoreError::NotFound { .. }));
    // What is replaced is read anew: the current version counts.
    client.put_secret_value().secret_id("/suite/people/db").secret_string("{}").send().await.unwrap();
    assert!(matches!(failure(&store, &address("people", "db_password")).await, StoreError::NotFound { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_kept_as_text_and_bytes_as_bytes() {
    let Some((_cloud, client, store)) = start("text_is_kept_as_text").await else { return };
    for (key, content) in [("text", b"hunter2".as_slice()), ("bytes", b"\xff\x00"), ("nul", b"a\x00")] {
        let group = [(address("kinds", key), value(content))];
        assert_eq!(store.create(&group).await, Ok(Created::Ours), "{key}");
        let name = format!("/suite/kinds/{key}");
        let stored = client.get_secret_value().secret_id(name).send().await.unwrap();
        match key {
            "text" => assert_eq!(stored.secret_string(), Some("hunter2")),
            _ => assert_eq!(stored.secret_binary().map(AsRef::as_ref), Some(content), "{key}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_secrets_take_ten_requests() {
    let Some((cloud, _, store)) = start("a_hundred_secrets").await else { return };
    let addresses: Vec<Address> =
        (0..100).map(|index| address("hundred", &format!("db.{index}_password"))).collect();
    for address in &addresses[..3] {
        assert_eq!(store.create(&[(address.clone(), value("1"))]).await, Ok(Created::Ours));
    }
    let line = cloud.line().await;
    let store = cloud.as_creator(&line.url()).await;
    let outcomes = store.get(&addresses).await;
    assert_eq!(outcomes.values().filter(|outcome| outcome.is_ok()).count(), 3);
    let absent = |outcome: &&Result<_, _>| matches!(outcome, Err(StoreError::NotFound { .. }));
    assert_eq!(outcomes.values().filter(absent).count(), 97);
    // Each is looked for by itself, and as a field of another: 200 names, 20 a call.
    assert_eq!(line.count(is_read), 10);
    assert_eq!(line.requests().len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_marked_for_deletion_is_neither_there_nor_absent() {
    let Some((_cloud, client, store)) = start("what_is_marked_for_deletion").await else { return };
    let group = [(address("marked", "token"), value("1"))];
    assert_eq!(store.create(&group).await, Ok(Created::Ours));
    client.delete_secret().secret_id("/suite/marked/token").send().await.unwrap();
    let StoreError::Unavailable { reason, .. } = failure(&store, &group[0].0).await else {
        panic!("it was told")
    };
    assert!(reason.contains("marked for deletion"), "{reason}");
    shown("secretsmanager", &reason);
    let created = store.create(&group).await;
    assert!(matches!(created, Err(StoreError::Unavailable { .. })), "{created:?}");
    client.restore_secret().secret_id("/suite/marked/token").send().await.unwrap();
    assert_eq!(get(&store, &group[0].0).await, Ok(value("1")));
}

/// What the store holds in the end where something is done after a lease was read and before it is deleted.
async fn deleted_while(
    test: &str,
    case: &str,
    meanwhile: impl AsyncFn(&Client, &str),
) -> Option<Result<SecretValue, StoreError>> {
    let (cloud, client, store) = start(test).await?;
    let at = address(case, "lease");
    assert_eq!(store.create(&[(at.clone(), value("web-0"))]).await, Ok(Created::Ours));
    let line = cloud.line().await;
    let slow = cloud.as_creator(&line.url()).await;
    let is_delete = |seen: &Seen| seen.operation == "DeleteSecret";
    line.next(is_delete, [Fault::Stall(STALL)]);
    let held = value("web-0");
    let (deleted, ()) = tokio::join!(slow.delete(&at, &held), async {
        let is_on_its_way = until(BOUND, || async { (line.count(is_delete) > 0).then_some(()) });
        is_on_its_way.await.expect("a deletion");
        meanwhile(&client, at.path.as_str()).await;
    });
    assert_eq!(deleted, Ok(Deleted::Gone));
    Some(get(&store, &at).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_created_anew_is_not_deleted_for_the_old_one() {
    let left = deleted_while("a_secret_that_was_created_anew", "anew", async |client, name| {
        client.delete_secret().secret_id(name).force_delete_without_recovery(true).send().await.unwrap();
        client.create_secret().name(name).secret_string("web-1").send().await.unwrap();
    });
    let Some(left) = left.await else { return };
    assert_eq!(left, Ok(value("web-1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_was_replaced_in_place_is_deleted_with_the_old_one() {
    let left = deleted_while("a_value_that_was_replaced_in_place", "replaced", async |client, name| {
        client.put_secret_value().secret_id(name).secret_string("web-1").send().await.unwrap();
    });
    let Some(left) = left.await else { return };
    assert!(matches!(left, Err(StoreError::NotFound { .. })), "the service cannot prevent it: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_is_the_arn_that_was_read_and_its_name_is_free_again() {
    let Some((_cloud, client, store)) = start("what_is_deleted_is_the_arn").await else { return };
    let group = [(address("arn", "lease"), value("web-0"))];
    for _ in 0..2 {
        assert_eq!(store.create(&group).await, Ok(Created::Ours));
        assert_eq!(store.delete(&group[0].0, &value("web-0")).await, Ok(Deleted::Gone));
        let left = client.describe_secret().secret_id("/suite/arn/lease").send().await;
        assert!(left.unwrap_err().into_service_error().is_resource_not_found_exception());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_refused_before_any_call() {
    let Some((cloud, ..)) = start("what_cannot_be_kept_in_secrets_manager").await else { return };
    let line = cloud.line().await;
    let store = cloud.as_creator(&line.url()).await;
    for (key, content, reason) in [("a b", "1", "letters"), ("empty", "", "empty")] {
        let refused = store.create(&[(address("refused", key), value(content))]).await;
        let Err(StoreError::Invalid { reason: told, .. }) = refused else { panic!("{key}: {refused:?}") };
        assert!(told.contains(reason), "{told}");
    }
    let StoreError::Invalid { reason, .. } = failure(&store, &address("refused", "a b")).await else {
        panic!("it was looked for")
    };
    shown("secretsmanager", &reason);
    // The empty value was looked for, to learn whether it was there already.
    assert_eq!(line.count(|seen| seen.operation == "CreateSecret"), 0);
    assert_eq!(line.count(is_read), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_that_init_needs_are_enough() {
    let Some((cloud, _, store)) = start("the_rights_that_init_needs_in_secrets_manager").await else {
        return;
    };
    let at = address("rights", "db");
    assert_eq!(store.create(&[(at.clone(), value("1"))]).await, Ok(Created::Ours));
    let init = cloud.as_role("init-secretsmanager", &cloud.moto.address()).await;
    assert_eq!(get(&init, &at).await, Ok(value("1")));
    let denied = init.delete(&at, &value("1")).await;
    assert!(matches!(denied, Err(StoreError::Denied { .. })), "{denied:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_creators_rights_suffice() {
    let Some((cloud, ..)) = start("the_creators_rights_suffice_for_secretsmanager").await else { return };
    documents::the_creators_rights_suffice(&cloud, "creator-secretsmanager", false).await;
}
