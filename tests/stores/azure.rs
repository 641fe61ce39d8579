//! Azure Key Vault, against a fake made by hand.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use keystow::domain::{StoragePath, StoragePrefix};
use keystow::handover::{AZURE, AzureSettings, StoreSettings, object_name};
use keystow::store::{self, Address, Created, Deleted, Store, StoreError, Surroundings};
use serde_json::json;

use crate::clouds::{Files, faults_of_the_way, line, throttle};
use crate::conformance::{Asker, Limits, Subject, address, conformance, get, value};
use crate::support::fakes::key_vault::KeyVault;
use crate::support::fakes::login::Login;
use crate::support::fakes::{ALLOWED, STRANGER};
use crate::support::faults::{Fault, Faults, Presented, Seen, all, answers};
use crate::support::measured::measured;
use crate::support::wait::until;

const BOUND: Duration = Duration::from_secs(60);

conformance!(Azure);

/// A vault, and all who ask it.
struct Azure {
    service: Arc<KeyVault>,
    ways: Mutex<Vec<Way>>,
}

/// The way from one who asks to the vault.
struct Way {
    faults: Faults,
    login: Login,
    files: Files,
}

impl Way {
    async fn to(service: &KeyVault, token: &str) -> Self {
        let faults = line(service.address()).await;
        Self { faults, login: Login::of_azure_node(token, None).await, files: Files::new() }
    }

    async fn open(&self) -> Arc<dyn Store> {
        let settings =
            AzureSettings { vault_url: self.faults.url(), tenant_id: None, client_id: None, audience: None };
        let variables = [
            ("AZURE_POD_IDENTITY_AUTHORITY_HOST", format!("http://{}", self.login.address())),
            ("SSL_CERT_FILE", self.files.authorities(&[&self.faults])),
        ];
        let surroundings =
            Surroundings { variables: variables.into_iter().collect(), ..Surroundings::default() };
        store::open(&StoreSettings::Azure(settings), &surroundings).await.expect("a store")
    }
}

impl Subject for Azure {
    async fn start(_: &str) -> Option<Self> {
        static TOLD: Once = Once::new();
        TOLD.call_once(|| {
            measured(format_args!(
                "azure: against a fake made by hand from Azure's REST reference, since no Key Vault is to be had here"
            ));
        });
        Some(Self { service: Arc::new(KeyVault::start().await), ways: Mutex::default() })
    }

    async fn open(&self, asker: Asker) -> Arc<dyn Store> {
        let token = if asker == Asker::Stranger { STRANGER } else { ALLOWED };
        let way = Way::to(&self.service, token).await;
        if let Asker::Throttled(requests) = asker {
            throttle(&way.faults, requests, answers::azure_throttled);
        }
        let store = way.open().await;
        self.ways.lock().expect("no panic").push(way);
        store
    }

    fn limits(&self) -> Limits {
        Limits { longest_value: 25_600, holds_leases: false, replaces: false, ..Limits::default() }
    }

    /// A creation takes two seconds.
    async fn fill(&self, paths: &[StoragePath]) {
        for path in paths {
            let name = object_name(path.as_str(), AZURE);
            self.service.set(&name, "1", json!({ "keystow-path": path.as_str() }));
        }
    }
}

/// A vault, one who may do everything, and his way there.
async fn asked() -> (Arc<KeyVault>, Way, Arc<dyn Store>) {
    let service = Arc::new(KeyVault::start().await);
    let way = Way::to(&service, ALLOWED).await;
    let store = way.open().await;
    (service, way, store)
}

fn token() -> (Address, String) {
    let at = address("azure", "token");
    let name = object_name(at.path.as_str(), AZURE);
    (at, name)
}

/// The secret of claims to create what lies there.
fn claims(at: &Address) -> String {
    object_name(&format!("keystow-claims{}", at.path), AZURE)
}

/// Nobody reads a value that is not the creator's: no other one is ever written.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_creators_one_sets_the_secret() {
    let subject = Azure::start("").await.expect("a fake");
    let (at, name) = token();
    let mut creations = Vec::new();
    for creator in 0..20 {
        let (store, at) = (subject.open(Asker::Allowed).await, at.clone());
        creations.push(tokio::spawn(async move { store.create(&[(at, value(format!("{creator}")))]).await }));
    }
    let mut ours = 0;
    for creation in creations {
        ours += usize::from(creation.await.expect("no panic") == Ok(Created::Ours));
    }
    assert_eq!((ours, subject.service.sets(&name)), (1, 1));
    assert_eq!(subject.service.sets(&claims(&at)), 20);
    let listed = subject.open(Asker::Allowed).await.list("/").await.expect("a list");
    assert_eq!(listed, [at.path], "claims are no secrets");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_counts_until_its_creator_must_be_dead() {
    let (service, way, store) = asked().await;
    let (at, name) = token();
    service.set_before(&claims(&at), "", 55);
    let group = [(at.clone(), value("1"))];
    let (created, ()) = tokio::join!(store.create(&group), async {
        let has_looked =
            || async { (way.faults.count(|seen| seen.path.contains("/versions?")) >= 2).then_some(()) };
        until(BOUND, has_looked).await.expect("it looks at the claims");
        assert_eq!(service.sets(&name), 0, "somebody has been there before");
    });
    assert_eq!(created, Ok(Created::Ours));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_taken_back_however_it_ends() {
    let (service, way, store) = asked().await;
    let (at, name) = token();
    let setting = move |seen: &Seen| seen.method == "PUT" && seen.path.contains(&format!("/{name}?"));
    way.faults.next(setting, [answers::azure(400, "BadParameter").into()]);
    let refused = store.create(&[(at.clone(), value("hunter2"))]).await;
    let Err(StoreError::Invalid { reason, .. }) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("BadParameter") && !reason.contains("hunter2"), "{reason}");
    // Who waited for that claim would not be the creator yet.
    assert_eq!(store.create(&[(at.clone(), value("1"))]).await, Ok(Created::Ours));
    assert_eq!(service.sets(&claims(&at)), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_that_was_deleted_is_recovered() {
    let (service, way, store) = asked().await;
    let (at, name) = token();
    service.set(&name, "1", json!({}));
    let (other, is_done, of) = (Arc::clone(&service), AtomicBool::new(false), name.clone());
    let deleting = move |seen: &Seen| {
        if seen.method == "DELETE" && !is_done.swap(true, Ordering::Relaxed) {
            other.set(&of, "1", json!({}));
        }
        false
    };
    way.faults.always(deleting, Fault::Reset);
    assert_eq!(store.delete(&at, &value("1")).await, Ok(Deleted::Changed));
    assert_eq!(get(&store, &at).await, Ok(value("1")));
    assert!(!service.is_deleted(&name));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_deleted_is_kept_and_told() {
    let (service, _way, store) = asked().await;
    let (at, name) = token();
    service.set(&name, "1", json!({}));
    service.delete(&name);
    let Err(StoreError::Invalid { reason, .. }) = store.create(&[(at, value("2"))]).await else {
        panic!("the name is taken")
    };
    assert!(reason.contains("keeps a deleted secret") && reason.contains("recover it, purge it"), "{reason}");
    assert!(service.is_deleted(&name));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_may_be_purged_a_delete_is_a_delete() {
    let (service, _way, store) = asked().await;
    let (at, name) = token();
    service.protect();
    service.set(&name, "1", json!({}));
    assert_eq!(store.delete(&at, &value("1")).await, Ok(Deleted::Gone));
    assert!(service.is_deleted(&name));
    assert!(matches!(get(&store, &at).await, Err(StoreError::NotFound { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_secret_cannot_be_used() {
    let (service, _way, store) = asked().await;
    let (at, name) = token();
    service.set(&name, "1", json!({}));
    service.disable(&name);
    for refused in
        [get(&store, &at).await.map(|_| Created::Ours), store.create(&[(at.clone(), value("2"))]).await]
    {
        let Err(StoreError::Invalid { reason, .. }) = refused else { panic!("{refused:?}") };
        assert!(reason.contains("is disabled; enable it"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_says_what_it_is_and_where_it_lies() {
    let (service, _way, store) = asked().await;
    let long =
        StoragePrefix::new(&format!("/long/{}", "\u{e9}a.".repeat(100))).expect("a prefix").join("key");
    for (path, content, content_type) in [
        (address("azure", "text").path, b"text".as_slice(), "text/plain; charset=utf-8"),
        (long.clone(), b"\xff\x00".as_slice(), "application/octet-stream"),
    ] {
        let created = store.create(&[(Address::value(path.clone()), value(content))]).await;
        assert_eq!(created, Ok(Created::Ours));
        assert_eq!(service.content_type(&object_name(path.as_str(), AZURE)), json!(content_type));
    }
    let tags = service.tags(&object_name(long.as_str(), AZURE));
    assert_eq!(tags.as_object().map(serde_json::Map::len), Some(2));
    assert_eq!(store.list("/long/").await, Ok(vec![long]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_named_readably_is_read_and_listed() {
    let (service, _way, store) = asked().await;
    service.set("veza--db-main", "1", json!({}));
    let listed = store.list("/veza/").await.expect("a list");
    assert_eq!(listed.iter().map(StoragePath::as_str).collect::<Vec<_>>(), ["/veza/db-main"]);
    assert_eq!(get(&store, &Address::value(listed[0].clone())).await, Ok(value("1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_logs_in_to_entra_with_its_token() {
    let service = KeyVault::start().await;
    let (at, name) = token();
    service.set(&name, "1", json!({}));
    let (vault, files) = (line(service.address()).await, Files::new());
    let scope = "https://127.0.0.1/.default";
    let entra = Login::of_entra(ALLOWED, "the-tenant", "the-client", scope, "projected").await;
    let authority = line(entra.address()).await;
    let token_file = files.write("token", "another\n");
    let text = |text: &str| Some(text.to_owned());
    let settings = StoreSettings::Azure(AzureSettings {
        vault_url: vault.url(),
        tenant_id: text("the-tenant"),
        client_id: text("the-client"),
        audience: text("api://AzureADTokenExchange"),
    });
    let variables = [
        ("AZURE_AUTHORITY_HOST", authority.url()),
        ("SSL_CERT_FILE", files.authorities(&[&vault, &authority])),
    ];
    let surroundings = Surroundings {
        token_file: Some(token_file),
        variables: variables.into_iter().collect(),
        ..Surroundings::default()
    };
    let store = store::open(&settings, &surroundings).await.expect("a store");
    let Err(StoreError::Denied { reason, .. }) = get(&store, &at).await else { panic!("not this token") };
    assert!(reason.contains("invalid_client AADSTS700213") && !reason.contains("another"), "{reason}");
    // The kubelet renews the file.
    files.write("token", "projected\n");
    assert_eq!(get(&store, &at).await, Ok(value("1")));
    assert_eq!(get(&store, &at).await, Ok(value("1")));
    assert_eq!(entra.logins(), 2, "a token is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_expired_is_renewed_once() {
    let (service, way, store) = asked().await;
    let (at, name) = token();
    service.set(&name, "1", json!({}));
    way.faults.next(all, [answers::azure(401, "Unauthorized").into()]);
    assert_eq!(get(&store, &at).await, Ok(value("1")));
    assert_eq!(way.login.logins(), 2);
    way.faults.always(all, answers::azure(401, "Unauthorized"));
    let refused = get(&store, &at).await;
    assert!(matches!(refused, Err(StoreError::Denied { .. })), "{refused:?}");
    assert_eq!(way.login.logins(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_on_the_way_is_unavailable_and_told() {
    let (service, way, store) = asked().await;
    let (at, name) = token();
    service.set(&name, "hunter2", json!({}));
    for (fault, faults, part) in faults_of_the_way() {
        way.faults.next(all, faults);
        let told = get(&store, &at).await;
        let Err(StoreError::Unavailable { reason, .. }) = told else { panic!("{fault}: {told:?}") };
        assert!(reason.contains(part) && !reason.contains("hunter2"), "{fault}: {reason}");
        way.faults.clear();
    }
    way.faults.present(Presented::WrongName);
    let told = get(&way.open().await, &at).await;
    let Err(StoreError::Unavailable { reason, .. }) = told else { panic!("{told:?}") };
    assert!(reason.contains("not valid for name"), "{reason}");
}
