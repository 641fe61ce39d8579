//! Rotations, revocations, a Secret that is deleted and an API server that is away, all without a restart.

use kube::api::DeleteParams;

use super::client::{KEYS, Provider, VALUE};
use crate::fixture::WITHIN;
use crate::support::process::get;
use crate::support::wait::until;

const OFTEN: &str = "{perSecond: 1000, burst: 1000}";

#[tokio::test]
async fn a_rotation_is_followed_within_five_seconds_and_a_revoked_key_is_refused() {
    let Some(mut provider) = Provider::start("provide-live", OFTEN).await else { return };
    provider.store("veza--db", "password", VALUE).await;
    let old = provider.signers().await.remove(0);
    let old_token = old.token(&old.claims());
    provider.is_answered(&old_token, 200).await;

    provider.cluster.done(&["--secret", KEYS, "--force"]).await;
    let published = ["issuers.yaml", "jwks.json", "new.key", "old.key"];
    provider.cluster.rotated_until(KEYS, &published).await;
    let signers = provider.signers().await;
    let new = &signers[0];
    assert_ne!(new.id, old.id);
    provider.is_answered(&new.token(&new.claims()), 200).await;
    provider.is_answered(&old_token, 200).await;

    // What was captured before is worth nothing after.
    provider.cluster.done(&["--secret", KEYS, "--revoke", &old.id]).await;
    provider.is_answered(&old_token, 401).await;
    provider.is_answered(&new.token(&new.claims()), 200).await;
    let pid = provider.process.pid();
    assert!(provider.process.is_running() && pid > 0);
    provider.process.terminate().await;
    assert_eq!(provider.process.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_secret_that_is_gone_leaves_nobody_and_comes_back() {
    let Some(provider) = Provider::start("provide-gone", OFTEN).await else { return };
    provider.store("veza--db", "password", VALUE).await;
    let signer = provider.signers().await.remove(0);
    let token = signer.token(&signer.claims());
    provider.is_answered(&token, 200).await;
    let mut backup = provider.cluster.secrets().get(KEYS).await.unwrap();
    provider.cluster.secrets().delete(KEYS, &DeleteParams::default()).await.unwrap();
    provider.is_answered(&token, 503).await;
    // From a backup, as the runbook says.
    backup.metadata.resource_version = None;
    backup.metadata.uid = None;
    provider.cluster.secrets().create(&kube::api::PostParams::default(), &backup).await.unwrap();
    provider.is_answered(&token, 200).await;
}

#[tokio::test]
async fn a_set_that_cannot_be_read_changes_nothing_and_is_counted() {
    let Some(provider) = Provider::start("provide-broken", OFTEN).await else { return };
    provider.store("veza--db", "password", VALUE).await;
    let signer = provider.signers().await.remove(0);
    let token = signer.token(&signer.claims());
    provider.is_answered(&token, 200).await;
    let patch = kube::api::Patch::Merge(serde_json::json!({"stringData": {"jwks.json": "{"}}));
    provider.cluster.secrets().patch(KEYS, &kube::api::PatchParams::default(), &patch).await.unwrap();
    let counted =
        until(WITHIN, async || (provider.counted("keys_unreadable_total", &[]).await > 0.5).then_some(()));
    assert!(counted.await.is_some());
    provider.is_answered(&token, 200).await;
    assert_eq!(get(provider.admin, "/readyz").await.unwrap().0, 200);
}

/// Whoever is believed goes on to be, and is told that it is the store that is away; what was revoked meanwhile is refused
/// when the API server is back.
#[tokio::test]
async fn while_the_api_server_is_away_the_last_keys_go_on() {
    let Some(provider) = Provider::start("provide-away", OFTEN).await else { return };
    provider.store("veza--db", "password", VALUE).await;
    let signer = provider.signers().await.remove(0);
    let token = signer.token(&signer.claims());
    provider.is_answered(&token, 200).await;
    provider.gate.set_open(false);
    assert_eq!(provider.read("/veza/db_password", &token).await.status, 503);
    assert_eq!(provider.read("/veza/db_password", "none").await.status, 401);
    assert_eq!(get(provider.admin, "/readyz").await.unwrap().0, 200, "another replica would fare no better");

    provider.cluster.done(&["--secret", KEYS, "--revoke", &signer.id]).await;
    let new = provider.signers().await.remove(0);
    provider.gate.set_open(true);
    let new_token = new.token(&new.claims());
    let answered = until(WITHIN, async || {
        (provider.read("/veza/db_password", &new_token).await.status == 200).then_some(())
    });
    assert!(answered.await.is_some(), "{}", provider.process.log_text());
    assert_eq!(provider.read("/veza/db_password", &token).await.status, 401);
}
