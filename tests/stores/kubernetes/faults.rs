//! What goes wrong on the way to the API server, by a proxy that speaks TLS to both sides.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keystow::store::{Address, Created, Store, StoreError};

use super::rights::are_on_the_page;
use super::{Kubernetes, opened, throttled};
use crate::conformance::{Asker, Subject as _, address, get, value};
use crate::support::faults::{Answer, Fault, Faults, Seen, all, answers};

/// What the page has in the place of these tests' path.
const NAMES: [(&str, &str); 1] = [("/suite/faults/token", "/veza/production/db_password")];

/// A store behind a line that does as it is told, with a value in it.
async fn behind(subject: &Kubernetes) -> (Arc<dyn Store>, Faults, Address) {
    let at = address("faults", "token");
    let created = subject.open(Asker::Allowed).await.create(&[(at.clone(), value("1"))]).await;
    assert_eq!(created, Ok(Created::Ours));
    let (line, config) = subject.line("creator").await;
    (opened(config, &subject.namespace), line, at)
}

fn answer(status: u16, body: &'static str) -> Fault {
    Answer { status, headers: Vec::new(), body: body.into() }.into()
}

#[tokio::test]
async fn what_may_pass_is_unavailable_and_passes() {
    let Some(subject) = Kubernetes::start("what_may_pass_is_unavailable").await else { return };
    let (store, line, at) = behind(&subject).await;
    let faults: Vec<(Fault, &str)> = vec![
        (answers::kubernetes(429, "TooManyRequests", Some(1)).into(), "No."),
        (answers::kubernetes(500, "InternalError", None).into(), "No."),
        (answers::gateway(503).into(), "503"),
        // What a gateway does not know is not what the API server has not got.
        (answers::gateway(404).into(), "404"),
        (answer(404, "{}"), "404"),
        (answer(200, ""), "cannot be read"),
        (answer(200, "{}"), "cannot be read"),
        (answer(302, ""), "302"),
        (Fault::Truncated, "cannot be read"),
        (Fault::Reset, "cannot be reached"),
        (Fault::Short, "cannot be reached"),
    ];
    for (fault, word) in faults {
        line.next(all, [fault.clone()]);
        let error = get(&store, &at).await.unwrap_err();
        let StoreError::Unavailable { reason, .. } = &error else { panic!("{fault:?}: {error:?}") };
        assert!(reason.contains(word), "{fault:?}: {reason}");
        assert_eq!(get(&store, &at).await, Ok(value("1")), "{fault:?}");
    }
    line.refuse().await;
    let error = get(&store, &at).await.unwrap_err();
    are_on_the_page(&error, &NAMES);
    assert!(
        matches!(&error, StoreError::Unavailable { reason, .. } if reason.contains("refused")),
        "{error:?}"
    );
    line.listen().await;
    assert_eq!(get(&store, &at).await, Ok(value("1")));
}

#[tokio::test]
async fn how_long_the_api_server_wants_to_be_left_alone_is_passed_on() {
    let Some(subject) = Kubernetes::start("how_long_the_api_server_wants").await else { return };
    let (store, line, at) = behind(&subject).await;
    line.next(all, [throttled(7).into(), answers::kubernetes(500, "InternalError", None).into()]);
    for expected in [Some(Duration::from_secs(7)), None] {
        let error = get(&store, &at).await.unwrap_err();
        if expected.is_some() {
            are_on_the_page(&error, &NAMES);
        }
        let StoreError::Unavailable { retry_after, .. } = error else { panic!("{error:?}") };
        assert_eq!(retry_after, expected);
    }
    assert_eq!(line.requests().len(), 2, "nobody asks again by itself");
}

#[tokio::test]
async fn a_server_that_stalls_costs_one_attempt() {
    let Some(subject) = Kubernetes::start("a_server_that_stalls").await else { return };
    let (store, line, at) = behind(&subject).await;
    line.next(all, [Fault::Stall(Duration::from_secs(60))]);
    let start = Instant::now();
    let error = get(&store, &at).await.unwrap_err();
    are_on_the_page(&error, &NAMES);
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert_eq!(get(&store, &at).await, Ok(value("1")));
}

#[tokio::test]
async fn each_secret_is_read_once_and_one_fault_is_not_the_others() {
    let Some(subject) = Kubernetes::start("each_secret_is_read_once").await else { return };
    let (store, line, at) = behind(&subject).await;
    line.next(
        |seen: &Seen| seen.path.ends_with("--db"),
        [answers::kubernetes(500, "InternalError", None).into()],
    );
    let fields = ["db_user", "db_password", "db", "db_url", "cache"].map(|key| address("faults", key));
    let outcomes = store.get(&[&fields[..], std::slice::from_ref(&at)].concat()).await;
    assert_eq!(line.requests().len(), 3, "the Secrets db, cache and token: {:?}", line.requests());
    assert_eq!(outcomes[&at], Ok(value("1")));
    assert!(
        fields[..4].iter().all(|at| matches!(outcomes[at], Err(StoreError::Unavailable { .. }))),
        "{outcomes:?}"
    );
    assert!(matches!(outcomes[&fields[4]], Err(StoreError::NotFound { .. })));
}

/// Who wrote in between is asked about, not written over.
#[tokio::test]
async fn a_write_that_comes_too_late_looks_again() {
    let Some(subject) = Kubernetes::start("a_write_that_comes_too_late").await else { return };
    let (store, line, _) = behind(&subject).await;
    let at = address("faults", "late");
    let conflict = || answers::kubernetes(409, "Conflict", None).into();
    line.next(|seen: &Seen| seen.method == "POST", [conflict(), conflict()]);
    assert_eq!(store.create(&[(at.clone(), value("1"))]).await, Ok(Created::Ours));
    assert_eq!(line.count(|seen| seen.method == "POST"), 3);
    line.forget();
    line.always(|seen: &Seen| seen.method == "DELETE", answers::kubernetes(409, "Conflict", None));
    let deleted = store.delete(&at, &value("1")).await;
    assert!(matches!(deleted, Err(StoreError::Unavailable { .. })), "{deleted:?}");
    assert_eq!(line.count(|seen| seen.method == "DELETE"), 8, "and not for ever");
}

#[tokio::test]
async fn a_list_whose_pages_expired_begins_anew() {
    let Some(subject) = Kubernetes::start("a_list_whose_pages_expired").await else { return };
    let (store, line, at) = behind(&subject).await;
    line.next(all, [answers::kubernetes(410, "Expired", None).into()]);
    assert_eq!(store.list("/suite/").await, Ok(vec![at.path.clone()]));
    line.always(all, answers::kubernetes(410, "Expired", None));
    let listed = store.list("/suite/").await;
    assert!(matches!(listed, Err(StoreError::Unavailable { .. })), "{listed:?}");
}

#[tokio::test]
async fn values_of_others_and_what_is_refused_are_not_quoted() {
    let Some(subject) = Kubernetes::start("values_of_others").await else { return };
    let (store, line, _) = behind(&subject).await;
    let at = address("faults", "refused");
    let quoting =
        r#"{"kind": "Status", "apiVersion": "v1", "reason": "Invalid", "message": "hunter2 is too weak"}"#;
    line.next(|seen: &Seen| seen.method == "POST", [answer(422, quoting), answer(403, quoting)]);
    for _ in 0..2 {
        let error = store.create(&[(at.clone(), value("hunter2"))]).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_renewed_token_is_used_at_once_and_a_bad_one_is_denied() {
    let Some(subject) = Kubernetes::start("a_renewed_token").await else { return };
    let (_, line, at) = behind(&subject).await;
    let config = subject.config("creator").await;
    let file = config.auth_info.token_file.clone().unwrap();
    let good = fs::read(&file).unwrap();
    fs::write(&file, "expired").unwrap();
    let store = opened(config, &subject.namespace);
    let error = get(&store, &at).await.unwrap_err();
    are_on_the_page(&error, &NAMES);
    assert!(matches!(&error, StoreError::Denied { reason, .. } if reason.contains("token")), "{error:?}");
    fs::write(&file, good).unwrap();
    assert_eq!(get(&store, &at).await, Ok(value("1")), "the file is read anew");
    drop(line);
}

#[tokio::test]
async fn a_server_that_is_not_the_one_is_unavailable() {
    let Some(subject) = Kubernetes::start("a_server_that_is_not_the_one").await else { return };
    let mut other_ca = subject.config("creator").await;
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    other_ca.root_cert = Some(vec![other.cert.der().to_vec()]);
    let mut other_name = subject.config("creator").await;
    other_name.tls_server_name = Some("other.example".to_owned());
    for config in [other_ca, other_name] {
        let store = opened(config, &subject.namespace);
        let error = get(&store, &address("faults", "token")).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Unavailable { reason, .. } if reason.contains("certificate")),
            "{error:?}"
        );
    }
}
