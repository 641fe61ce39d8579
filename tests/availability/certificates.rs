//! Self-managed certificates at a start: no Secret, another replica's, an expired one, a half-written one, no API server; and
//! what others do to them meanwhile.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kube::api::{DeleteParams, Patch, PatchParams};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use serde_json::{Value, json};

use super::cluster::{Cluster, SECRET, SOON, certificates, leader, metric};
use super::support::gate::Gate;
use super::support::metrics;
use super::support::wait::until;
use super::support::webhook::{Webhook, get};

const MANAGED: &[&str] = &["--self-managed"];
const STEPS: &str = "keystow_certificate_steps_total";

async fn first(cluster: &Cluster) -> Webhook {
    let replica = cluster.installation.replica("first", MANAGED).await;
    cluster.installation.apply_configuration(replica.address()).await;
    replica.becomes_ready().await;
    replica
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_secret_the_leader_makes_one_and_pods_are_injected() {
    let Some(cluster) = Cluster::start("no-secret").await else { return };
    let replica = cluster.installation.replica("first", MANAGED).await;
    // Nothing to write the caBundle into: not ready, alive, and it says why.
    let event = cluster.event("CertificateNotKept", "apply webhook-config").await;
    assert_eq!(event["regarding"]["name"], "first");
    assert!(!replica.is_ready().await);
    assert_eq!(get(replica.admin(), "/livez").await.unwrap().0, 200);

    cluster.installation.apply_configuration(replica.address()).await;
    replica.becomes_ready().await;
    cluster.injects().await;
    assert_eq!(metric(&replica, "keystow_certificate_trusted").await, 1.0);
    assert_eq!(cluster.ca_bundle().await, cluster.secret_key("ca.crt").await.unwrap());
    let secret = cluster.secrets().get(SECRET).await.unwrap();
    assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/tls"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replicas_secret_is_served_as_it_is() {
    let Some(cluster) = Cluster::start("others-secret").await else { return };
    let first = first(&cluster).await;
    let before = cluster.secrets().get(SECRET).await.unwrap();
    let second = cluster.installation.replica("second", MANAGED).await;
    second.becomes_ready().await;
    cluster.installation.apply_configuration(second.address()).await;
    cluster.injects().await;
    assert_eq!(cluster.secrets().get(SECRET).await.unwrap(), before, "nobody wrote");
    let replicas = [first, second];
    let leaders = async || {
        let leads =
            [metric(&replicas[0], "keystow_leader").await, metric(&replicas[1], "keystow_leader").await];
        (leads == [1.0, 0.0]).then_some(())
    };
    until(SOON, leaders).await.expect("the first leads, alone");
}

/// A CA and a leaf for 127.0.0.1, of 2020 alone or until 2099, as the Secret has them.
fn minted(end: i32) -> Vec<(&'static str, String)> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(end, 1, 1);
    let leaf = params.signed_by(&key, &ca).unwrap();
    vec![
        ("tls.crt", leaf.pem()),
        ("tls.key", key.serialize_pem()),
        ("ca.crt", ca.pem()),
        ("ca.key", ca.key().serialize_pem()),
    ]
}

async fn write(cluster: &Cluster, keys: &[(&'static str, String)]) {
    let keys: Vec<_> = keys.iter().map(|(key, value)| (*key, value.as_str())).collect();
    cluster.write_secret(&keys).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_leaf_is_replaced_under_the_same_ca() {
    let Some(cluster) = Cluster::start("expired").await else { return };
    let keys = minted(2021);
    write(&cluster, &keys).await;
    let replica = first(&cluster).await;
    cluster.injects().await;
    assert_ne!(cluster.secret_key("tls.crt").await.unwrap(), keys[0].1);
    assert_eq!(cluster.secret_key("ca.crt").await.unwrap(), keys[2].1);
    let served = replica.log().iter().filter(|line| line["message"] == "a new certificate is served").count();
    assert_eq!(served, 1, "the expired one never was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_written_secret_is_made_whole_and_an_event_says_what_it_was() {
    let Some(cluster) = Cluster::start("half-written").await else { return };
    let mut keys = minted(2099);
    // The certificate of one issue, the key of another; and what somebody else keeps there.
    keys[1].1 = KeyPair::generate().unwrap().serialize_pem();
    keys.push(("theirs", "kept".to_owned()));
    write(&cluster, &keys).await;
    let _replica = first(&cluster).await;
    cluster.injects().await;
    cluster.event("CertificateUnusable", "tls.crt").await;
    assert_eq!(cluster.secret_key("theirs").await.as_deref(), Some("kept"));
    assert_eq!(cluster.secret_key("ca.crt").await.unwrap(), keys[2].1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_api_server_away_a_replica_waits_and_then_serves() {
    let Some(cluster) = Cluster::start("away").await else { return };
    let gate = Gate::shut(SocketAddr::from(([127, 0, 0, 1], cluster.plane.port()))).await;
    let replica = cluster.installation.replica_through("first", gate.address(), MANAGED).await;
    cluster.installation.apply_configuration(replica.address()).await;
    let complained = async || {
        let log = replica.log();
        let lines = log.iter().filter(|line| line["level"] == "WARN").count();
        (lines > 0).then_some(log)
    };
    until(SOON, complained).await.expect("a log line");
    assert_eq!(get(replica.admin(), "/readyz").await.unwrap().0, 503);
    assert_eq!(get(replica.admin(), "/livez").await.unwrap().0, 200);

    gate.set_open(true);
    replica.becomes_ready().await;
    cluster.injects().await;

    // Away again: what is served stays.
    gate.set_open(false);
    let gone = async || (metric(&replica, "keystow_leader").await == 0.0).then_some(());
    until(SOON, gone).await.expect("a leader that cannot renew gives up");
    assert!(replica.is_ready().await);
    cluster.injects().await;
    gate.set_open(true);
    let back = async || (metric(&replica, "keystow_leader").await == 1.0).then_some(());
    until(SOON, back).await.expect("a leader again");
    let lines = replica.log();
    let warnings = lines.iter().filter(|line| line["level"] == "WARN").count();
    assert!(warnings < 40, "calm: {warnings} warnings");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_bundle_that_somebody_emptied_is_written_again() {
    let Some(cluster) = Cluster::start("emptied").await else { return };
    let _replica = first(&cluster).await;
    let bundle = cluster.ca_bundle().await;
    for other in [json!(null), json!("")] {
        let patch = json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": other}]);
        let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
        let name = cluster.installation.configuration();
        let patch = Patch::<()>::Json(patch);
        cluster.configurations().patch(&name, &PatchParams::default(), &patch).await.unwrap();
        let repaired = async || (cluster.ca_bundle().await == bundle).then_some(());
        until(Duration::from_secs(10), repaired).await.expect("a repaired caBundle");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_another_writer_of_the_ca_bundle_it_does_not_race() {
    let Some(cluster) = Cluster::start("another-writer").await else { return };
    let replica = first(&cluster).await;
    let published = async || metrics::sum(&replica.metrics().await, STEPS, &[("step", "published")]);
    let (before, began) = (published().await, Instant::now());
    let name = cluster.installation.configuration();
    // Answers each time, as a controller does that thinks the field is its own.
    let mut answers = 0;
    while began.elapsed() < Duration::from_secs(4) {
        let patch = json!({"webhooks": [{"name": "inject.bsycorp.com", "clientConfig": {"caBundle": null}}]});
        let patch = Patch::Strategic(patch);
        cluster.configurations().patch(&name, &PatchParams::default(), &patch).await.unwrap();
        answers += 1;
    }
    let written = published().await - before;
    assert!(answers > 20 && (1.0..=6.0).contains(&written), "{written} writes against {answers}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_with_one_more_name_is_ready_and_its_leadership_adds_the_name() {
    let Some(cluster) = Cluster::start("one-more-name").await else { return };
    let mut old = first(&cluster).await;
    let more = ["--self-managed", "--server-name=keystow.example", "--drain-delay=1s"];
    let new = cluster.installation.replica("second", &more).await;
    new.becomes_ready().await;
    let before = cluster.secret_key("tls.crt").await.unwrap();
    old.terminate().await;
    assert_eq!(old.exit_code().await, Some(0));
    let renewed = async || cluster.secret_key("tls.crt").await.filter(|leaf| *leaf != before);
    until(SOON, renewed).await.expect("a leaf for all names");
    assert!(new.is_ready().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_replicas_with_one_name_one_leads() {
    let Some(cluster) = Cluster::start("same-name").await else { return };
    let first = first(&cluster).await;
    let second = cluster.installation.replica("second", &["--self-managed", "--pod-name=first"]).await;
    second.becomes_ready().await;
    let replicas = [first, second];
    // Several looks at the Lease later there is still one.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        let leads =
            [metric(&replicas[0], "keystow_leader").await, metric(&replicas[1], "keystow_leader").await];
        assert!(leads.iter().sum::<f64>() <= 1.0, "{leads:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_secret_is_made_again_and_nobody_is_refused_meanwhile() {
    let Some(cluster) = Cluster::start("deleted").await else { return };
    let replica = first(&cluster).await;
    cluster.injects().await;
    let before = cluster.secret_key("ca.crt").await.unwrap();
    cluster.secrets().delete(SECRET, &DeleteParams::default()).await.unwrap();
    let made = async || cluster.secret_key("next-ca.crt").await;
    until(SOON, made).await.expect("a new CA");
    // What is served is of the CA before, which stays.
    let both = async || (certificates(&cluster.ca_bundle().await) == 2).then_some(());
    until(SOON, both).await.expect("both CAs");
    assert!(cluster.ca_bundle().await.contains(&before));
    assert!(replica.is_ready().await);
    cluster.injects().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_configuration_nothing_but_the_ca_bundle_is_owned() {
    let Some(cluster) = Cluster::start("owned").await else { return };
    let replica = first(&cluster).await;
    let name = cluster.installation.configuration();
    let found = cluster.configurations().get(&name).await.unwrap();
    let managers = serde_json::to_value(&found.metadata.managed_fields).unwrap();
    let managers = managers.as_array().unwrap();
    let ours: Vec<&Value> =
        managers.iter().filter(|manager| manager["manager"] == "keystow-certificates").collect();
    let [ours] = ours.as_slice() else { panic!("one manager: {managers:?}") };
    assert_eq!(ours["operation"], "Apply");
    let webhook = r#"k:{"name":"inject.bsycorp.com"}"#;
    let owned =
        json!({"f:webhooks": {webhook: {".": {}, "f:name": {}, "f:clientConfig": {"f:caBundle": {}}}}});
    assert_eq!(ours["fieldsV1"], owned);

    // A GitOps tool that applies what it has again changes nothing, by either way of applying.
    let generation = found.metadata.generation;
    cluster.installation.apply_configuration(replica.address()).await;
    let again = cluster.configurations().get(&name).await.unwrap();
    assert_eq!((again.metadata.generation, &again.webhooks), (generation, &found.webhooks));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_rights_it_is_not_ready_and_says_what_to_check() {
    let Some(cluster) = Cluster::start("no-rights").await else { return };
    let namespace = cluster.installation.namespace().to_owned();
    let role = ["delete", "role", "keystow-webhook-certificates", "--namespace", &namespace];
    cluster.plane.kubectl(&role, "").await.unwrap();
    let replica = cluster.installation.replica("first", MANAGED).await;
    cluster.installation.apply_configuration(replica.address()).await;
    let replicas = [replica];
    leader(&replicas).await;
    cluster.event("CertificateNotKept", "check the Role").await;
    assert!(!replicas[0].is_ready().await);
}
