//! What may go wrong between the store and Vault, and what it is taken for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keystow::handover::VaultAuth;
use keystow::store::{Address, Created, Store, StoreError};
use serde_json::json;

use super::super::conformance::{address, get, value};
use super::is_asking;
use super::world::{Engine, World, login};
use crate::support::faults::{Answer, Fault, Faults, Seen, all, answers};

/// A store behind a line, with a value at the address.
async fn behind(world: &World, case: &str) -> (Arc<dyn Store>, Faults, Address) {
    let line = Faults::before(world.address()).start().await;
    let store = world.creator(Engine::Two, Some(line.url())).await;
    let at = address("faults", case);
    assert_eq!(store.create(&[(at.clone(), value("1"))]).await, Ok(Created::Ours));
    (store, line, at)
}

/// An answer with a body and nothing else.
fn answer(status: u16, body: &'static str) -> Fault {
    Answer { status, headers: Vec::new(), body: body.into() }.into()
}

#[tokio::test]
async fn what_may_pass_is_unavailable_and_passes() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let (store, line, at) = behind(world, "passing").await;
    let faults: Vec<(Fault, &str)> = vec![
        (answers::vault_sealed().into(), "Vault is sealed"),
        (answers::vault_throttled().into(), "rate limit"),
        (answers::vault(500, &["internal error"]).into(), "internal error"),
        (answers::vault(412, &["required index state not present"]).into(), "412"),
        (answers::vault(400, &["Upgrading from non-versioned to versioned data."]).into(), "Upgrading"),
        (answer(472, ""), "472"),
        (answer(473, ""), "473"),
        (answers::gateway(502).into(), "502"),
        // What a gateway does not know is not what Vault has not got.
        (answers::gateway(404).into(), "not one of Vault's"),
        (answer(404, "{}"), "not one of Vault's"),
        (answer(404, "null"), "not one of Vault's"),
        (answer(404, r#"{"data": {"keys": []}}"#), "not one of Vault's"),
        (answer(200, ""), "not one of Vault's"),
        (answer(200, r#"{"data": {"data": {"value": "1"}}}"#), "not one of Vault's"),
        (answer(204, ""), "not one of Vault's"),
        (Fault::Truncated, "not one of Vault's"),
        (Fault::Reset, "broke off"),
        (Fault::Short, "broke off"),
    ];
    for (fault, word) in faults {
        line.next(all, [fault.clone()]);
        let error = get(&store, &at).await.unwrap_err();
        println!("{error}");
        let StoreError::Unavailable { reason, .. } = &error else { panic!("{fault:?}: {error:?}") };
        assert!(reason.contains(word), "{fault:?}: {reason}");
        assert_eq!(get(&store, &at).await, Ok(value("1")), "{fault:?}");
    }
    line.refuse().await;
    let error = get(&store, &at).await.unwrap_err();
    println!("{error}");
    assert!(
        matches!(&error, StoreError::Unavailable { reason, .. } if reason.contains("no connection")),
        "{error:?}"
    );
    line.listen().await;
    assert_eq!(get(&store, &at).await, Ok(value("1")));
}

#[tokio::test]
async fn how_long_vault_wants_to_be_left_alone_is_passed_on() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let (store, line, at) = behind(world, "throttled").await;
    line.next(all, [answers::vault_throttled().into(), answers::vault_sealed().into()]);
    for expected in [Some(Duration::from_secs(1)), None] {
        let error = get(&store, &at).await.unwrap_err();
        let StoreError::Unavailable { retry_after, .. } = error else { panic!("{error:?}") };
        assert_eq!(retry_after, expected);
    }
}

/// Half of the requests of a call at once fail: the others are served.
#[tokio::test]
async fn a_fault_hits_one_object_and_not_the_others() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let (store, line, at) = behind(world, "one").await;
    let other = address("faults", "other");
    assert_eq!(store.create(&[(other.clone(), value("2"))]).await, Ok(Created::Ours));
    line.next(|seen: &Seen| seen.path.ends_with("/other"), [answers::vault_sealed().into()]);
    let outcomes = store.get(&[at.clone(), other.clone()]).await;
    assert_eq!(outcomes[&at], Ok(value("1")));
    assert!(matches!(outcomes[&other], Err(StoreError::Unavailable { .. })));
}

#[tokio::test]
async fn a_server_that_stalls_costs_one_attempt() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let (store, line, at) = behind(world, "stalled").await;
    line.next(all, [Fault::Stall(Duration::from_secs(60))]);
    let start = Instant::now();
    let error = get(&store, &at).await.unwrap_err();
    println!("{error}");
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert_eq!(get(&store, &at).await, Ok(value("1")));
}

/// The token would go wherever an answer says.
#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let (store, line, at) = behind(world, "redirected").await;
    let elsewhere = Faults::before(world.address()).start().await;
    for status in [301, 302, 307, 308] {
        let location = format!("{}/v1/hunter2", elsewhere.url());
        line.next(
            all,
            [Answer { status, headers: vec![("location", location)], body: Default::default() }.into()],
        );
        let error = get(&store, &at).await.unwrap_err();
        let StoreError::Unavailable { reason, .. } = &error else { panic!("{status}: {error:?}") };
        assert!(reason.contains(&elsewhere.url()) && !reason.contains("hunter2"), "{reason}");
    }
    assert_eq!(elsewhere.requests().len(), 0);
}

#[tokio::test]
async fn a_login_that_fails_is_tried_once_a_call() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let line = Faults::before(world.address()).start().await;
    let auth = VaultAuth::Kubernetes(login(Engine::Two.role(), "kubernetes"));
    let mut settings = world.settings(Engine::Two, auth);
    settings.address = line.url();
    let store = world.open(&settings, "app").await;
    let asked: Vec<Address> = (0..20).map(|index| address("faults", &format!("login.{index}"))).collect();
    line.next(all, [answers::vault_throttled().into()]);
    let outcomes = store.get(&asked).await;
    for outcome in outcomes.values() {
        let Err(StoreError::Unavailable { reason, retry_after, .. }) = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains("auth/kubernetes"), "{reason}");
        assert_eq!(*retry_after, Some(Duration::from_secs(1)));
    }
    assert_eq!(line.requests().len(), 1);
    // The first token is refused for all of them at once, and the second login fails too.
    line.next(is_asking, vec![answers::vault_denied().into(); 20]);
    line.next(|seen: &Seen| !is_asking(seen), [answer(200, ""), answer(200, "")]);
    line.forget();
    for _ in 0..2 {
        for outcome in store.get(&asked).await.values() {
            assert!(matches!(outcome, Err(StoreError::Unavailable { .. })), "{outcome:?}");
        }
    }
    assert_eq!(line.count(|seen| !is_asking(seen)), 2, "{:?}", line.requests());
}

#[tokio::test]
async fn vaults_words_are_cut_and_never_quote_a_token() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let token = world.vault.write("auth/token/create", &json!({"policies": [Engine::Two.role()]})).await;
    let token = token["auth"]["client_token"].as_str().unwrap().to_owned();
    let file = world.write_token("quoted", &token);
    let line = Faults::before(world.address()).start().await;
    let mut settings = world.settings(Engine::Two, VaultAuth::TokenFile(file.to_str().unwrap().to_owned()));
    settings.address = line.url();
    let store = world.open(&settings, "app").await;
    let quoting = format!("the token {token} is odd");
    for (words, told) in [(quoting.as_str(), "quote the token"), (&"x\n\u{1b}".repeat(1000), "…")] {
        line.next(all, [answers::vault(400, &[words]).into()]);
        let error = format!("{:?}", get(&store, &address("faults", "words")).await.unwrap_err());
        assert!(error.contains(told) && !error.contains(&token), "{error}");
        assert!(error.len() < 1200 && !error.contains("\\n") && !error.contains("\\u{1b}"), "{error}");
    }
}

/// A write whose answer is lost is found again as what it is: somebody's who was faster, with our own value.
#[tokio::test]
async fn a_write_whose_answer_is_lost_is_told_apart_from_none() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let (store, line, _) = behind(world, "before-lost").await;
    let group = [(address("faults", "lost"), value("1"))];
    line.next(|seen: &Seen| seen.method == "POST", [Fault::Short]);
    let lost = store.create(&group).await;
    assert!(matches!(lost, Err(StoreError::Unavailable { .. })), "{lost:?}");
    assert_eq!(store.create(&group).await, Ok(Created::Theirs(vec![value("1")])));
}

#[tokio::test]
async fn no_more_than_sixteen_are_asked_for_at_once() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let (store, line, _) = behind(world, "many").await;
    let asked: Vec<Address> = (0..17).map(|index| address("faults", &format!("many.{index}"))).collect();
    let stall = Duration::from_secs(1);
    line.always(is_asking, Fault::Stall(stall));
    line.forget();
    let start = Instant::now();
    let outcomes = store.get(&asked).await;
    assert!(outcomes.values().all(|outcome| matches!(outcome, Err(StoreError::NotFound { .. }))));
    assert_eq!(line.count(is_asking), asked.len());
    assert!(start.elapsed() >= 2 * stall, "{:?}", start.elapsed());
    // One after the other they would take this long at least.
    assert!(start.elapsed() < 17 * stall, "{:?}", start.elapsed());
}
