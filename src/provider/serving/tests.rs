//! What comes of a request where the store cannot, or does not answer; who is limited, and by whom.

use std::future::{Ready, ready};

use arc_swap::ArcSwapOption;
use prometheus_client::registry::Registry;
use serde_json::json;

use super::*;
use crate::domain::Recipe;
use crate::generate::fresh;
use crate::provider::keys::Keys;
use crate::provider::{Rate, Subject};
use crate::rotation::Material;
use crate::store::memory::Memory;

const NOW: f64 = 1_700_000_000.0;

/// A desk before this store, and a token for it.
fn desk(store: Memory, rate: Rate) -> (Desk, String) {
    let der = fresh::make(&Recipe::Ed25519, std::time::SystemTime::UNIX_EPOCH).unwrap().pop().unwrap();
    let Material::Pair { public, .. } = Material::of_pkcs8(&der).unwrap() else { panic!() };
    let id = public.common.key_id.clone().unwrap();
    let jwks = json!({"keys": [public]}).to_string();
    let issuers = json!({"issuers": [{"name": "issuer", "kid": id}]}).to_string();
    let keys = Keys::read(jwks.as_bytes(), issuers.as_bytes()).unwrap().keys;
    let claims = json!({"iss": "issuer", "aud": "keystow", "sub": "eso", "exp": NOW + 60.0});
    let header =
        jsonwebtoken::Header { kid: Some(id), ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA) };
    let signing = jsonwebtoken::EncodingKey::from_ed_der(der.expose());
    let token = jsonwebtoken::encode(&header, &claims, &signing).unwrap();
    let paths = vec!["/veza/".to_owned()];
    let caller = |subject: &str| Caller {
        subject: Subject::read(subject).unwrap(),
        read: paths.clone(),
        write: paths.clone(),
    };
    let desk = Desk {
        live: Arc::new(ArcSwapOption::from_pointee(keys)),
        expected: Expected { audience: "keystow".to_owned(), leeway: 0.0 },
        callers: vec![caller("eso")],
        limits: Limits::new(1, rate),
        room: Room::new(),
        store: Arc::new(store),
        metrics: ProviderMetrics::register(&mut Registry::default()),
    };
    (desk, token)
}

type Body = Ready<Result<SecretValue, Reply>>;

async fn read(desk: &Desk, token: &str, path: &str) -> Outcome {
    desk.serve::<Body>(Some(token), Some(path), Wish::Read, NOW).await.outcome()
}

async fn write(desk: &Desk, token: &str, value: &str) -> Outcome {
    let body = ready(Ok(SecretValue::new(value.as_bytes().to_vec())));
    desk.serve(Some(token), Some("/veza/a"), Wish::Write(body), NOW).await.outcome()
}

#[tokio::test]
async fn a_value_is_stored_left_and_written_over() {
    let (desk, token) = desk(Memory::default(), Rate::default());
    assert_eq!(read(&desk, &token, "/veza/a").await, Outcome::Absent);
    for value in ["one", "one", "two"] {
        assert_eq!(write(&desk, &token, value).await, Outcome::Written, "{value}");
    }
    let reply = desk.serve::<Body>(Some(&token), Some("/veza/a"), Wish::Read, NOW).await;
    assert!(matches!(reply, Reply::Value(json) if json.as_ref() == b"\"two\""));
}

#[test]
fn json_has_the_room_that_it_needs() {
    for text in ["", "plain", "\"\\\u{1}\u{e4}\n"] {
        let json = as_json(&SecretValue::new(text.as_bytes().to_vec()));
        assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
        assert_eq!(json.capacity(), json.len());
    }
}

#[tokio::test]
async fn a_store_that_cannot_write_over_keeps_what_it_has() {
    let (desk, token) = desk(Memory::that_cannot_replace(), Rate::default());
    assert_eq!(write(&desk, &token, "one").await, Outcome::Written);
    assert_eq!(write(&desk, &token, "two").await, Outcome::Conflict);
    assert_eq!(write(&desk, &token, "one").await, Outcome::Written);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_given_up_in_time() {
    let (desk, token) = desk(Memory::that_stalls(), Rate::default());
    let began = Instant::now();
    assert_eq!(read(&desk, &token, "/veza/a").await, Outcome::Unavailable);
    assert_eq!(began.elapsed(), WITHIN);
}

#[tokio::test]
async fn a_body_is_asked_of_nobody_who_may_not_write() {
    let (desk, token) = desk(Memory::default(), Rate::default());
    let body = || async { panic!("the body was read") };
    let refused = [
        (Some("forged"), "/veza/a", Outcome::Unauthenticated),
        (None, "/veza/a", Outcome::Unauthenticated),
        (Some(token.as_str()), "/other/a", Outcome::Forbidden),
        (Some(token.as_str()), "/veza/../a", Outcome::Invalid),
    ];
    for (token, path, outcome) in refused {
        assert_eq!(
            desk.serve(token, Some(path), Wish::Write(body()), NOW).await.outcome(),
            outcome,
            "{path}"
        );
    }
}

#[tokio::test]
async fn without_keys_nobody_is_served() {
    let (desk, token) = desk(Memory::default(), Rate::default());
    desk.live.store(None);
    assert_eq!(read(&desk, &token, "/veza/a").await, Outcome::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn who_comes_too_often_waits_and_nobody_else() {
    let (desk, token) = desk(Memory::default(), Rate { per_second: 1, burst: 2 });
    for outcome in [Outcome::Absent, Outcome::Absent, Outcome::Limited] {
        assert_eq!(read(&desk, &token, "/veza/a").await, outcome);
    }
    for outcome in [Outcome::Unauthenticated, Outcome::Unauthenticated, Outcome::Limited] {
        assert_eq!(read(&desk, "forged", "/veza/a").await, outcome);
    }
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    assert_eq!(read(&desk, &token, "/veza/a").await, Outcome::Absent);
}
