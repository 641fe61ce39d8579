//! Who the store is to Vault: logins, tokens that end, files that change, CAs, namespaces.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keystow::handover::{StoreSettings, VaultAuth, VaultSettings};
use keystow::store::{self, Created, OpenError, Store, StoreError, Surroundings};
use serde_json::json;

use super::super::conformance::{address, get, value};
use super::world::{Engine, World, login};
use crate::support::faults::{Faults, Presented, Seen};
use crate::support::servers::ROOT_TOKEN;
use crate::support::wait::until;

const BOUND: Duration = Duration::from_secs(30);

fn is_login(seen: &Seen) -> bool {
    seen.path.ends_with("/login")
}

/// A store whose logins are counted, with an auth method of its own.
async fn counted(world: &World, mount: &str, role: &serde_json::Value) -> (Arc<dyn Store>, Faults) {
    world.kubernetes_auth(mount).await;
    world.role(mount, "app", "app", role).await;
    let line = Faults::before(world.address()).start().await;
    let mut settings = world.settings(Engine::Two, VaultAuth::Kubernetes(login("app", mount)));
    settings.address = line.url();
    (world.open(&settings, "app").await, line)
}

#[tokio::test]
async fn a_session_is_kept_and_one_that_was_revoked_is_begun_anew() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let role = json!({"token_policies": ["reader-two"]});
    let (store, line) = counted(world, "kubernetes-revoked", &role).await;
    world.vault.write("team/kv/data/suite/identity/revoked", &json!({"data": {"value": "1"}})).await;
    let at = address("identity", "revoked");
    for _ in 0..3 {
        assert_eq!(get(&store, &at).await, Ok(value("1")));
    }
    assert_eq!(line.count(is_login), 1);
    for logins in [2, 3] {
        world.vault.write("sys/leases/revoke-prefix/auth/kubernetes-revoked/login", &json!({})).await;
        assert_eq!(get(&store, &at).await, Ok(value("1")));
        assert_eq!(line.count(is_login), logins);
    }
}

#[tokio::test]
async fn a_session_that_ends_is_begun_anew_before_it_does() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let role = json!({"token_policies": ["reader-two"], "token_ttl": "5s", "token_max_ttl": "5s"});
    let (store, line) = counted(world, "kubernetes-short", &role).await;
    world.vault.write("team/kv/data/suite/identity/short", &json!({"data": {"value": "1"}})).await;
    let at = address("identity", "short");
    let reads = AtomicUsize::new(0);
    let reached = until(BOUND, async || {
        assert_eq!(get(&store, &at).await, Ok(value("1")));
        reads.fetch_add(1, Ordering::Relaxed);
        (line.count(is_login) == 2).then_some(())
    });
    reached.await.expect("one login after the other");
    // None was refused and made again.
    assert_eq!(line.count(|seen| !is_login(seen)), reads.into_inner());
}

/// A token that was refused is no reason to log in for each of many objects.
#[tokio::test]
async fn who_may_not_is_told_what_to_grant_after_one_more_login() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let (store, line) = counted(world, "kubernetes-denied", &json!({})).await;
    let asked: Vec<_> = (0..40).map(|index| address("denied", &format!("key.{index}"))).collect();
    let outcomes = store.get(&asked).await;
    assert_eq!(outcomes.len(), asked.len());
    for (at, outcome) in outcomes {
        let Err(StoreError::Denied { reason, .. }) = outcome else { panic!("{outcome:?}") };
        let line = format!("path \"team/kv/data{}\" {{ capabilities = [\"read\"] }}", at.path);
        assert!(reason.contains(&line) && reason.contains("permission denied"), "{reason}");
    }
    assert_eq!(line.count(is_login), 2);
    let error = store.list("/suite/denied/").await.unwrap_err().to_string();
    assert!(
        error.contains("path \"team/kv/metadata/suite/denied/\" { capabilities = [\"list\"] }"),
        "{error}"
    );
}

#[tokio::test]
async fn a_reader_reads_and_does_no_more() {
    let Some(world) = World::shared(module_path!()).await else { return };
    for (engine, role) in [(Engine::One, "reader-one"), (Engine::Two, "reader-two")] {
        world.role("kubernetes", role, "app", &json!({"token_policies": [role]})).await;
        let settings = world.settings(engine, VaultAuth::Kubernetes(login(role, "kubernetes")));
        let reader = world.open(&settings, "app").await;
        let creator = world.creator(engine, None).await;
        let at = address("reader", "token");
        assert_eq!(creator.create(&[(at.clone(), value("1"))]).await, Ok(Created::Ours));
        assert_eq!(get(&reader, &at).await, Ok(value("1")));
        let absent = get(&reader, &address("reader", "absent")).await;
        assert!(matches!(absent, Err(StoreError::NotFound { .. })), "{absent:?}");
        for refused in [
            reader.create(&[(address("reader", "new"), value("1"))]).await.map(drop),
            reader.delete(&at, &value("1")).await.map(drop),
            reader.list("/suite/reader/").await.map(drop),
        ] {
            assert!(matches!(refused, Err(StoreError::Denied { .. })), "{refused:?}");
        }
    }
}

#[tokio::test]
async fn who_is_refused_at_the_login_is_denied_with_vaults_words() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let other = world.token("app", Some("other")).await;
    world.write_token("other-audience", &other);
    world.write_token("no-token", "hunter2.hunter2.hunter2");
    for auth in ["kubernetes", "jwt"] {
        for (role, account, word) in [
            ("nobody", "app", "nobody"),
            ("stranger", "app", ""),
            (Engine::Two.role(), "other-audience", ""),
            (Engine::Two.role(), "no-token", ""),
        ] {
            let login = login(role, auth);
            let auth = match auth {
                "jwt" => VaultAuth::Jwt(login),
                _ => VaultAuth::Kubernetes(login),
            };
            let store = world.open(&world.settings(Engine::Two, auth.clone()), account).await;
            let error = get(&store, &address("login", "token")).await.unwrap_err();
            let StoreError::Denied { reason, .. } = &error else { panic!("{auth:?} {account}: {error:?}") };
            println!("{auth:?} {account}: {error}");
            assert!(reason.contains("the role ") && reason.contains(word), "{reason}");
            assert!(!reason.contains("hunter2") && !reason.contains(&other), "{reason}");
        }
    }
}

#[tokio::test]
async fn a_login_where_nothing_is_mounted_is_denied() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let settings = world.settings(Engine::Two, VaultAuth::Kubernetes(login("app", "nowhere")));
    let error = get(&world.open(&settings, "app").await, &address("login", "token")).await.unwrap_err();
    assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
    assert!(error.to_string().contains("auth/nowhere"), "{error}");
}

/// Vault does not tell such a login from one with a bad token.
#[tokio::test]
async fn a_login_while_vault_cannot_ask_the_api_server_is_refused_as_any() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let mount = "kubernetes-away";
    world.kubernetes_auth(mount).await;
    world.role(mount, "app", "app", &json!({})).await;
    let away = json!({"kubernetes_host": "https://127.0.0.1:9", "disable_local_ca_jwt": true});
    world.vault.write(&format!("auth/{mount}/config"), &away).await;
    let settings = world.settings(Engine::Two, VaultAuth::Kubernetes(login("app", mount)));
    let error = get(&world.open(&settings, "app").await, &address("login", "token")).await.unwrap_err();
    println!("{error}");
    assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
}

#[tokio::test]
async fn a_token_file_is_read_each_time() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let made = async || {
        let made = world.vault.write("auth/token/create", &json!({"policies": [Engine::Two.role()]})).await;
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    };
    let first = made().await;
    let file = world.write_token("client-token", &format!("{first}\n"));
    let auth = VaultAuth::TokenFile(file.to_str().unwrap().to_owned());
    let settings = StoreSettings::Vault(world.settings(Engine::Two, auth));
    let store = store::open(&settings, &Surroundings::default()).await.unwrap();
    let at = address("token-file", "token");
    assert_eq!(store.create(&[(at.clone(), value("1"))]).await, Ok(Created::Ours));
    world.vault.write("auth/token/revoke", &json!({"token": first})).await;
    let refused = get(&store, &at).await.unwrap_err();
    assert!(matches!(refused, StoreError::Denied { .. }), "{refused:?}");
    assert!(!format!("{refused:?} {store:?}").contains(&first));
    world.write_token("client-token", &made().await);
    assert_eq!(get(&store, &at).await, Ok(value("1")));
    for (content, word) in [("", "empty"), ("a\nb", "token"), (" \n", "empty")] {
        world.write_token("client-token", content);
        let error = get(&store, &at).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        assert!(error.to_string().contains(word), "{error}");
    }
    std::fs::remove_file(file).unwrap();
    let error = get(&store, &at).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn without_a_token_of_the_service_account_there_is_no_login() {
    let settings = VaultSettings {
        address: "http://127.0.0.1:9".to_owned(),
        mount: "secret".to_owned(),
        kv_version: 2,
        namespace: None,
        ca_certificate: None,
        auth: VaultAuth::Kubernetes(login("app", "kubernetes")),
    };
    let open = async |settings: VaultSettings| {
        store::open(&StoreSettings::Vault(settings), &Surroundings::default()).await.map(drop)
    };
    let Err(OpenError::Unusable { kind: "vault", reason }) = open(settings.clone()).await else {
        panic!("it opened")
    };
    assert!(reason.contains("KEYSTOW_TOKEN_FILE"), "{reason}");
    let wrong = VaultSettings {
        ca_certificate: Some("no certificate".to_owned()),
        auth: VaultAuth::TokenFile("/token".to_owned()),
        ..settings
    };
    assert!(matches!(open(wrong).await, Err(OpenError::Unusable { kind: "vault", .. })));
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_told_with_the_way_out() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let line = Faults::before(world.address()).served_as(&["127.0.0.1"]).start().await;
    let auth = VaultAuth::Kubernetes(login(Engine::Two.role(), "kubernetes"));
    let mut settings = world.settings(Engine::Two, auth);
    settings.address = line.url();
    let at = address("tls", "token");
    let refused = async |settings: &VaultSettings| {
        let error = get(&world.open(settings, "app").await, &at).await.unwrap_err();
        println!("{error}");
        let StoreError::Unavailable { reason, .. } = error else { panic!("{error:?}") };
        reason
    };
    let reason = refused(&settings).await;
    assert!(reason.contains("not trusted") && reason.contains("caCertificate"), "{reason}");
    settings.ca_certificate = Some(line.ca_pem().to_owned());
    for (presented, word) in [
        (Presented::Unknown, "caCertificate"),
        (Presented::WrongName, "wrong.example"),
        (Presented::Expired, "expired"),
    ] {
        line.present(presented);
        let reason = refused(&settings).await;
        assert!(reason.contains(word), "{presented:?}: {reason}");
    }
    assert_eq!(line.requests().len(), 0, "nothing is said to a server that is not known");
    line.present(Presented::Right);
    let found = get(&world.open(&settings, "app").await, &at).await;
    assert!(matches!(found, Err(StoreError::NotFound { .. })), "{found:?}");
}

#[tokio::test]
async fn the_debug_form_of_a_store_shows_no_token() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let file = world.write_token("root", ROOT_TOKEN);
    let auth = VaultAuth::TokenFile(file.to_str().unwrap().to_owned());
    let settings = StoreSettings::Vault(world.settings(Engine::Two, auth));
    let store = store::open(&settings, &Surroundings::default()).await.unwrap();
    assert!(matches!(get(&store, &address("debug", "absent")).await, Err(StoreError::NotFound { .. })));
    let shown = format!("{store:?}");
    assert!(shown.contains("team/kv") && !shown.contains("token"), "{shown}");
}

/// Vault without namespaces ignores the header; what is proven is that it is sent.
#[tokio::test]
async fn the_namespace_is_named_in_every_request() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let line = Faults::before(world.address()).start().await;
    let auth = VaultAuth::Kubernetes(login(Engine::Two.role(), "kubernetes"));
    let mut settings = world.settings(Engine::Two, auth);
    settings.address = line.url();
    for namespace in [None, Some("team/a")] {
        settings.namespace = namespace.map(str::to_owned);
        line.forget();
        let found = get(&world.open(&settings, "app").await, &address("namespace", "absent")).await;
        assert!(matches!(found, Err(StoreError::NotFound { .. })), "{found:?}");
        let seen = line.requests();
        assert_eq!(seen.len(), 2);
        for seen in seen {
            let named = seen.headers.get("x-vault-namespace").map(|value| value.to_str().unwrap());
            assert_eq!(named, namespace, "{}", seen.path);
            assert_eq!(seen.headers["x-vault-request"], "true");
            let agent = concat!("keystow/", env!("CARGO_PKG_VERSION"));
            assert_eq!(seen.headers["user-agent"], agent);
            assert_eq!(seen.headers.contains_key("x-vault-token"), !is_login(&seen));
        }
    }
}
