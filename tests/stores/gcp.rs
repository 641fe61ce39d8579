//! Google Cloud Secret Manager, against a fake made by hand, since no emulator keeps etags and annotations; and against
//! drongo, which somebody else made, where that can do it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use keystow::domain::StoragePath;
use keystow::handover::{GCP, GcpSettings, StoreSettings, object_name};
use keystow::store::{self, Address, Created, Deleted, Store, StoreError, Surroundings};
use serde_json::json;

use crate::clouds::{Files, faults_of_the_way, line, throttle};
use crate::conformance::{Asker, Limits, Subject, address, conformance, get, value};
use crate::support::fakes::login::Login;
use crate::support::fakes::secret_manager::{PROJECT, SecretManager};
use crate::support::fakes::{ALLOWED, STRANGER};
use crate::support::faults::{Fault, Faults, Presented, Seen, all, answers};
use crate::support::measured::measured;
use crate::support::wait::until;

const BOUND: Duration = Duration::from_secs(30);

conformance!(Gcp);

/// A Secret Manager, and all who ask it.
struct Gcp {
    service: Arc<SecretManager>,
    lines: Mutex<Vec<Way>>,
}

/// The way from one who asks to the service.
struct Way {
    faults: Faults,
    login: Login,
    files: Files,
}

impl Way {
    async fn to(service: &SecretManager, token: &str) -> Self {
        let faults = line(service.address()).await;
        Self { faults, login: Login::of_google_node(token).await, files: Files::new() }
    }

    async fn open(&self) -> Arc<dyn Store> {
        let settings = GcpSettings {
            project: PROJECT.to_owned(),
            audience: None,
            service_account: None,
            endpoint: Some(self.faults.url()),
        };
        let variables = [
            ("GCE_METADATA_HOST", self.login.address().to_string()),
            ("SSL_CERT_FILE", self.files.authorities(&[&self.faults])),
        ];
        let surroundings =
            Surroundings { variables: variables.into_iter().collect(), ..Surroundings::default() };
        store::open(&StoreSettings::Gcp(settings), &surroundings).await.expect("a store")
    }
}

impl Subject for Gcp {
    async fn start(_: &str) -> Option<Self> {
        static TOLD: Once = Once::new();
        TOLD.call_once(|| {
            measured(format_args!(
                "gcp: against a fake made by hand from Google's REST reference, and against drongo where that can do it: \
                 it knows no etags, annotations, pages and refusals"
            ));
        });
        Some(Self { service: Arc::new(SecretManager::start().await), lines: Mutex::default() })
    }

    async fn open(&self, asker: Asker) -> Arc<dyn Store> {
        let token = if asker == Asker::Stranger { STRANGER } else { ALLOWED };
        let way = Way::to(&self.service, token).await;
        if let Asker::Throttled(requests) = asker {
            throttle(&way.faults, requests, answers::gcp_throttled);
        }
        let store = way.open().await;
        self.lines.lock().expect("no panic").push(way);
        store
    }

    fn limits(&self) -> Limits {
        Limits { longest_value: 64 * 1024, holds_leases: false, replaces: false, ..Limits::default() }
    }
}

/// What drongo can do: it knows no etags, annotations, pages, sizes and refusals.
mod second_opinion {
    use super::*;
    use crate::support::servers::Drongo;

    conformance!(Second:
        values_are_read_and_what_is_absent_is_told,
        every_byte_is_kept,
        fifty_creators_of_a_pair_agree,
        half_a_pair_stays_as_it_is,
        values_of_one_object_come_one_by_one,
        only_what_is_expected_is_deleted,
        a_lease_passes_from_pod_to_pod,
        a_change_is_seen,
    );

    /// A project of its own.
    struct Second {
        drongo: &'static Drongo,
        project: String,
    }

    impl Subject for Second {
        async fn start(test: &str) -> Option<Self> {
            let project = test.rsplit("::").next().expect("a name").replace('_', "-");
            Some(Self { drongo: Drongo::shared(test).await?, project })
        }

        async fn open(&self, _: Asker) -> Arc<dyn Store> {
            let settings = GcpSettings {
                project: self.project.clone(),
                audience: None,
                service_account: None,
                endpoint: Some(self.drongo.address()),
            };
            let opened = store::open(&StoreSettings::Gcp(settings), &Surroundings::default()).await;
            opened.expect("a store")
        }
    }
}

/// A service, one who may do everything, and his way there.
async fn asked() -> (Arc<SecretManager>, Way, Arc<dyn Store>) {
    let service = Arc::new(SecretManager::start().await);
    let way = Way::to(&service, ALLOWED).await;
    let store = way.open().await;
    (service, way, store)
}

fn token() -> (Address, String) {
    let at = address("gcp", "token");
    let id = object_name(at.path.as_str(), GCP);
    (at, id)
}

fn is_access(seen: &Seen) -> bool {
    seen.path.ends_with(":access")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_creator_died_is_taken_over_by_one() {
    let subject = Gcp::start("").await.expect("a fake");
    let (at, id) = token();
    subject.service.make(&id, json!({ "keystow.path": at.path.as_str() }), 61);
    let mut creations = Vec::new();
    for creator in 0..20 {
        let (store, at) = (subject.open(Asker::Allowed).await, at.clone());
        creations.push(tokio::spawn(async move {
            let group = [(at, value(format!("{creator}")))];
            (group[0].1.clone(), store.create(&group).await)
        }));
    }
    let stored = {
        let store = subject.open(Asker::Allowed).await;
        let stored = until(BOUND, || async { get(&store, &at).await.ok() }).await;
        stored.expect("it is created")
    };
    let mut ours = 0;
    for creation in creations {
        match creation.await.expect("no panic") {
            (own, Ok(Created::Ours)) => {
                ours += 1;
                assert_eq!(own, stored);
            }
            (_, Ok(Created::Theirs(theirs))) => assert_eq!(theirs, std::slice::from_ref(&stored)),
            (_, other) => panic!("{other:?}"),
        }
    }
    assert_eq!((ours, subject.service.versions(&id)), (1, Some(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creator_at_work_is_waited_for_and_not_for_ever() {
    let (service, way, store) = asked().await;
    let (at, id) = token();
    service.make(&id, json!({ "keystow.path": at.path.as_str() }), 0);
    let group = [(at.clone(), value("late"))];
    let Err(StoreError::Unavailable { reason, .. }) = store.create(&group).await else {
        panic!("nobody adds a version")
    };
    assert_eq!(reason, "somebody else is creating it");
    way.faults.forget();
    let (created, ()) = tokio::join!(store.create(&group), async {
        let is_waiting = || async { (way.faults.count(is_access) >= 4).then_some(()) };
        until(BOUND, is_waiting).await.expect("it waits");
        service.add(&id, b"first");
    });
    assert_eq!(created, Ok(Created::Theirs(vec![value("first")])));
    assert_eq!(service.versions(&id), Some(1));
}

/// A claim of one that is slow: its version comes while another takes over.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_over_looks_once_more() {
    let (service, way, store) = asked().await;
    let (at, id) = token();
    service.make(&id, json!({ "keystow.path": at.path.as_str() }), 61);
    let (slow, is_added) = (Arc::clone(&service), AtomicBool::new(false));
    let patched = move |seen: &Seen| {
        if seen.method == "PATCH" && !is_added.swap(true, Ordering::Relaxed) {
            slow.add(&object_name(token().0.path.as_str(), GCP), b"slow");
        }
        false
    };
    way.faults.always(patched, Fault::Reset);
    let created = store.create(&[(at, value("fast"))]).await;
    assert_eq!(created, Ok(Created::Theirs(vec![value("slow")])));
    assert_eq!(service.versions(&id), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_people_made_without_versions_is_filled_and_stays_theirs() {
    let (service, _way, store) = asked().await;
    let (at, id) = token();
    service.make(&id, json!({ "team": "red" }), 0);
    assert_eq!(store.create(&[(at.clone(), value("1"))]).await, Ok(Created::Ours));
    assert_eq!(get(&store, &at).await, Ok(value("1")));
    let annotations = service.annotations(&id);
    assert_eq!(
        (&annotations["team"], &annotations["keystow.path"]),
        (&json!("red"), &json!(at.path.as_str()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_named_readably_is_read_and_listed() {
    let (service, _way, store) = asked().await;
    service.make("veza--db_main", json!({}), 0);
    service.add("veza--db_main", b"old");
    service.add("veza--db_main", b"latest");
    service.make("other", json!({ "keystow.path": "/veza/of-another-name" }), 0);
    let listed = store.list("/veza/").await.expect("a list");
    assert_eq!(listed.iter().map(StoragePath::as_str).collect::<Vec<_>>(), ["/veza/db_main"]);
    assert_eq!(get(&store, &Address::value(listed[0].clone())).await, Ok(value("latest")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_version_cannot_be_used() {
    let (service, _way, store) = asked().await;
    let (at, id) = token();
    service.make(&id, json!({}), 0);
    service.add(&id, b"1");
    service.disable(&id);
    let Err(StoreError::Invalid { reason, .. }) = get(&store, &at).await else { panic!("it is disabled") };
    assert!(reason.contains("disabled or destroyed; enable it"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_made_anew_meanwhile_is_not_deleted() {
    let (service, way, store) = asked().await;
    let (at, id) = token();
    assert_eq!(store.create(&[(at.clone(), value("1"))]).await, Ok(Created::Ours));
    let (other, is_done) = (Arc::clone(&service), AtomicBool::new(false));
    let deleting = move |seen: &Seen| {
        if seen.method == "DELETE" && !is_done.swap(true, Ordering::Relaxed) {
            other.delete(&id);
            other.make(&id, json!({}), 0);
            other.add(&id, b"1");
        }
        false
    };
    way.faults.always(deleting, Fault::Reset);
    assert_eq!(store.delete(&at, &value("1")).await, Ok(Deleted::Changed));
    assert_eq!(get(&store, &at).await, Ok(value("1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_refused_leaves_no_claim() {
    let (service, way, store) = asked().await;
    let (at, id) = token();
    way.faults.always(|seen| seen.path.contains(":addVersion"), answers::gcp(403, "PERMISSION_DENIED"));
    let Err(StoreError::Denied { reason, .. }) = store.create(&[(at, value("hunter2"))]).await else {
        panic!("it is denied")
    };
    assert_eq!(
        reason,
        format!(
            "PERMISSION_DENIED: secretmanager.versions.add on projects/{PROJECT}/secrets/{id} is not granted; \
             roles/secretmanager.secretVersionAdder has it"
        )
    );
    assert_eq!(service.versions(&id), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_whose_answer_is_lost_is_added_once_more() {
    let (_service, way, store) = asked().await;
    let (at, _) = token();
    let adding = |seen: &Seen| seen.path.contains(":addVersion");
    way.faults.next(adding, [Fault::Reset, answers::gcp_throttled().into()]);
    assert_eq!(store.create(&[(at.clone(), value("1"))]).await, Ok(Created::Ours));
    assert_eq!((way.faults.left(), get(&store, &at).await), (0, Ok(value("1"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_expired_is_renewed_once() {
    let (service, way, store) = asked().await;
    let (at, id) = token();
    service.make(&id, json!({}), 0);
    service.add(&id, b"1");
    way.faults.next(all, [answers::gcp(401, "UNAUTHENTICATED").into()]);
    assert_eq!(get(&store, &at).await, Ok(value("1")));
    assert_eq!(way.login.logins(), 2);
    way.faults.always(all, answers::gcp(401, "UNAUTHENTICATED"));
    let refused = get(&store, &at).await;
    assert!(matches!(refused, Err(StoreError::Denied { .. })), "{refused:?}");
    assert_eq!(way.login.logins(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_on_the_way_is_unavailable_and_told() {
    let (service, way, store) = asked().await;
    let (at, id) = token();
    service.make(&id, json!({}), 0);
    service.add(&id, b"hunter2");
    for (fault, faults, part) in faults_of_the_way() {
        way.faults.next(is_access, faults);
        let told = get(&store, &at).await;
        let Err(StoreError::Unavailable { reason, .. }) = told else { panic!("{fault}: {told:?}") };
        assert!(reason.contains(part) && !reason.contains("hunter2"), "{fault}: {reason}");
        way.faults.clear();
    }
    for (presented, part) in [
        (Presented::WrongName, "not valid for name"),
        (Presented::Expired, "expired"),
        (Presented::Unknown, "a CA that is not trusted here; name the file with its CA in SSL_CERT_FILE"),
    ] {
        way.faults.present(presented);
        let told = get(&way.open().await, &at).await;
        let Err(StoreError::Unavailable { reason, .. }) = told else { panic!("{presented:?}: {told:?}") };
        assert!(reason.contains(part), "{reason}");
    }
    way.faults.present(Presented::Right);
    way.faults.refuse().await;
    let Err(StoreError::Unavailable { reason, .. }) = get(&way.open().await, &at).await else {
        panic!("nobody listens")
    };
    assert!(reason.contains("127.0.0.1: no connection: Connection refused"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_logs_in_over_plain_http() {
    let (service, way, _) = asked().await;
    let endpoint = Some(format!("http://{}", service.address()));
    let settings =
        GcpSettings { project: PROJECT.to_owned(), audience: None, service_account: None, endpoint };
    let variables = [("GCE_METADATA_HOST", way.login.address().to_string())].into_iter().collect();
    let surroundings = Surroundings { variables, ..Surroundings::default() };
    let store = store::open(&StoreSettings::Gcp(settings), &surroundings).await.expect("a store");
    let told = get(&store, &token().0).await;
    assert!(matches!(told, Err(StoreError::Denied { .. })), "this one wants to know who asks: {told:?}");
    assert_eq!(way.login.logins(), 0);
}
