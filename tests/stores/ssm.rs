//! The store `ssm` against moto: the suite, parameters as people make them, and what is left of deletion.

use std::sync::Arc;

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::ParameterType;
use keystow::handover::StoreSettings;
use keystow::store::{Address, Created, Deleted, Store, StoreError};

use crate::aws::documents::{self, shown};
use crate::aws::{BOUND, Cloud, STALL, failure};
use crate::conformance::{Asker, Limits, Subject, address, conformance, get, value};
use crate::support::faults::answers::aws;
use crate::support::faults::{Fault, Seen};
use crate::support::wait::until;

struct Parameters(Cloud);

impl Subject for Parameters {
    async fn start(test: &str) -> Option<Self> {
        Cloud::start(test, StoreSettings::Ssm).await.map(Self)
    }

    async fn open(&self, asker: Asker) -> Arc<dyn Store> {
        self.0.open(asker).await
    }

    fn limits(&self) -> Limits {
        Limits { longest_value: 8192, holds_leases: false, replaces: false, ..Limits::default() }
    }
}

conformance!(Parameters);

async fn start(test: &str) -> Option<(Cloud, Client, Arc<dyn Store>)> {
    let Parameters(cloud) = Parameters::start(test).await?;
    let (client, store) = (Client::new(&cloud.sdk().await), cloud.open(Asker::Allowed).await);
    Some((cloud, client, store))
}

fn is_read(seen: &Seen) -> bool {
    seen.operation == "GetParameters"
}

async fn put(client: &Client, name: &str, text: &str, kind: ParameterType) {
    client.put_parameter().name(name).value(text).r#type(kind).overwrite(true).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_wrote_is_read_encrypted_or_not() {
    let Some((_cloud, client, store)) = start("what_people_wrote_is_read_of_ssm").await else { return };
    put(&client, "/suite/people/db", r#"{"password": "hunter2"}"#, ParameterType::SecureString).await;
    put(&client, "/suite/people/url", "https://db", ParameterType::String).await;
    assert_eq!(get(&store, &address("people", "db_password")).await, Ok(value("hunter2")));
    assert_eq!(get(&store, &address("people", "url")).await, Ok(value("https://db")));
    put(&client, "/suite/people/url", "https://other", ParameterType::String).await;
    assert_eq!(get(&store, &address("people", "url")).await, Ok(value("https://other")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_we_write_is_encrypted_text() {
    let Some((_cloud, client, store)) = start("what_we_write_is_encrypted").await else { return };
    let braces = b"{{ssm:other}}";
    for (key, content, stored) in [
        ("text", b"hunter2".as_slice(), "hunter2"),
        ("bytes", b"\xff\x00", "data:application/octet-stream;base64,/wA="),
        ("braces", braces, "data:application/octet-stream;base64,e3tzc206b3RoZXJ9fQ=="),
    ] {
        let group = [(address("kinds", key), value(content))];
        assert_eq!(store.create(&group).await, Ok(Created::Ours), "{key}");
        assert_eq!(get(&store, &group[0].0).await, Ok(value(content)), "{key}");
        let name = format!("/suite/kinds/{key}");
        let parameter =
            client.get_parameter().name(name).with_decryption(true).send().await.unwrap().parameter;
        let parameter = parameter.unwrap();
        assert_eq!(parameter.value(), Some(stored), "{key}");
        assert_eq!(parameter.r#type(), Some(&ParameterType::SecureString));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_parameters_take_ten_requests() {
    let Some((cloud, ..)) = start("a_hundred_parameters").await else { return };
    let line = cloud.line().await;
    let store = cloud.as_creator(&line.url()).await;
    let addresses: Vec<Address> = (0..100).map(|index| address("hundred", &format!("db.{index}"))).collect();
    let outcomes = store.get(&addresses).await;
    let absent = |outcome: &&Result<_, _>| matches!(outcome, Err(StoreError::NotFound { .. }));
    assert_eq!(outcomes.values().filter(absent).count(), 100);
    assert_eq!(line.count(is_read), 10);
    assert_eq!(line.requests().len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_name_that_is_not_granted_is_denied_alone() {
    let Some((cloud, _, allowed)) = start("one_name_that_is_not_granted").await else { return };
    let at = address("granted", "db_password");
    assert_eq!(allowed.create(&[(at.clone(), value("1"))]).await, Ok(Created::Ours));
    let line = cloud.line().await;
    let store = cloud.as_creator(&line.url()).await;
    // The batch of both names, and then the name of the object with fields, which comes first.
    line.next(
        is_read,
        [Fault::Answer(aws(400, "AccessDeniedException")), Fault::Answer(aws(400, "AccessDeniedException"))],
    );
    assert_eq!(get(&store, &at).await, Ok(value("1")));
    assert_eq!(line.count(is_read), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_a_values_place_before_it_is_deleted_is_deleted_too() {
    let Some((cloud, client, store)) = start("what_takes_a_values_place").await else { return };
    let at = address("replaced", "lease");
    assert_eq!(store.create(&[(at.clone(), value("web-0"))]).await, Ok(Created::Ours));
    let line = cloud.line().await;
    let slow = cloud.as_creator(&line.url()).await;
    let is_delete = |seen: &Seen| seen.operation == "DeleteParameter";
    line.next(is_delete, [Fault::Stall(STALL)]);
    let held = value("web-0");
    let (deleted, ()) = tokio::join!(slow.delete(&at, &held), async {
        let is_on_its_way = until(BOUND, || async { (line.count(is_delete) > 0).then_some(()) });
        is_on_its_way.await.expect("a deletion");
        put(&client, at.path.as_str(), "web-1", ParameterType::SecureString).await;
    });
    assert_eq!(deleted, Ok(Deleted::Gone));
    let gone = failure(&store, &at).await;
    assert!(matches!(gone, StoreError::NotFound { .. }), "the service cannot prevent it: {gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_refused_before_any_call() {
    let Some((cloud, ..)) = start("what_cannot_be_kept_in_ssm").await else { return };
    let line = cloud.line().await;
    let store = cloud.as_creator(&line.url()).await;
    let long = "v".repeat(8193);
    for (key, content, reason) in
        [("a+b", "1", "single slashes"), ("empty", "", "empty"), ("long", long.as_str(), "longer than 8192")]
    {
        let refused = store.create(&[(address("refused", key), value(content))]).await;
        let Err(StoreError::Invalid { reason: told, .. }) = refused else { panic!("{key}: {refused:?}") };
        assert!(told.contains(reason), "{told}");
    }
    let StoreError::Invalid { reason, .. } = failure(&store, &address("refused", "a+b")).await else {
        panic!("it was looked for")
    };
    shown("ssm", &reason);
    assert_eq!(line.count(|seen| seen.operation == "PutParameter"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_that_init_needs_is_enough() {
    let Some((cloud, _, store)) = start("the_right_that_init_needs_in_ssm").await else { return };
    let at = address("rights", "db");
    assert_eq!(store.create(&[(at.clone(), value("1"))]).await, Ok(Created::Ours));
    let init = cloud.as_role("init-ssm", &cloud.moto.address()).await;
    assert_eq!(get(&init, &at).await, Ok(value("1")));
    let denied = init.delete(&at, &value("1")).await;
    assert!(matches!(denied, Err(StoreError::Denied { .. })), "{denied:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_creators_rights_suffice() {
    let Some((cloud, ..)) = start("the_creators_rights_suffice_for_ssm").await else { return };
    documents::the_creators_rights_suffice(&cloud, "creator-ssm", false).await;
}
