//! The whole way, a store each: annotations → webhook → an init container that waits → the creator → files, and the keys in
//! the hands of others.

use std::collections::BTreeMap;
use std::path::Path;

#[cfg(feature = "dynamodb")]
use base64::Engine as _;
#[cfg(feature = "dynamodb")]
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;

use super::fixture::{Cluster, KEYSTOW, SECRETS, WITHIN};
#[cfg(feature = "dynamodb")]
use super::table::Table;
#[cfg(feature = "dynamodb")]
use crate::support::faults::{Faults, Seen};
use crate::support::judges::{gnupg, openssl};
use crate::support::metrics;
use crate::support::node::{AppView, ClusterSource, Image, Node};
use crate::support::programs;
#[cfg(feature = "dynamodb")]
use crate::support::servers::Moto;
#[cfg(feature = "dynamodb")]
use crate::support::servers::moto::REGION;
use crate::support::wait::until;
use crate::support::webhook::{Webhook, apply_configuration};

const IMAGE: &str = "keystow:test";
const INJECTION: &str = "injection: {image: 'keystow:test'}\n";
/// The domain that the shipped configuration selects.
const DOMAIN: &str = "bsycorp.com";
const ACCOUNT: &str = "app";
const USER: &str = "mail<mail@example.org>";

/// Every type, and a lease.
fn asked(store: &str) -> Vec<(&str, &str)> {
    let gpg = "kind=DYNAMIC,type=GPG,size=2048,userId=mail<mail@example.org>";
    vec![
        ("init/storage-prefix", "/whole"),
        ("inject/store", store),
        ("inject/service-account", ACCOUNT),
        ("inject/format", "properties,files"),
        ("secret/rsa_public", "kind=DYNAMIC,type=RSA,size=2048"),
        ("secret/rsa_private", "kind=DYNAMIC,type=RSA,size=2048"),
        ("secret/p256_public", "kind=DYNAMIC,type=EC,size=256"),
        ("secret/p256_private", "kind=DYNAMIC,type=EC,size=256"),
        ("secret/p384_public", "kind=DYNAMIC,type=EC,size=384"),
        ("secret/p384_private", "kind=DYNAMIC,type=EC,size=384"),
        ("secret/ed_public", "kind=DYNAMIC,type=ED25519"),
        ("secret/ed_private", "kind=DYNAMIC,type=ED25519"),
        ("secret/mail_public", gpg),
        ("secret/mail_private", gpg),
        ("secret/mail_password", gpg),
        ("secret/noise", "kind=DYNAMIC,type=RANDOM,size=256"),
        ("secret/db_password", "kind=DYNAMIC,type=PASSWORD,size=192"),
        ("secret/api-key-a_consumer", "kind=DYNAMIC,type=RANDOM,size=128"),
        ("secret/api-key-a_provider", "kind=DYNAMIC,type=RANDOM,size=128"),
        ("lease/shard", "kind=INDEX,rangeStart=3,rangeEnd=5"),
    ]
}

/// The Secret objects in which that is, and those in which an index may be.
const OBJECTS: [&str; 12] = [
    "rsa",
    "p256",
    "p384",
    "ed",
    "mail",
    "noise",
    "db",
    "api-key-a",
    "leases--shard.3",
    "leases--shard.4",
    "leases--shard.5",
    "leases--shard.6",
];

/// A namespace whose pods the webhook injects.
async fn injected(cluster: &Cluster, configuration: &str) -> (Webhook, String) {
    let namespace = cluster.namespace("pods").await;
    cluster.plane.service_account(&namespace, ACCOUNT, &[]).await.unwrap();
    let webhook = Webhook::start(KEYSTOW, configuration, &[]).await;
    let (suffix, ca) = (format!("-{}", cluster.test), webhook.ca_pem());
    apply_configuration(cluster.plane, &suffix, cluster.test, webhook.address(), Some(&ca)).await;
    let canary = cluster.pod("canary", &[("secret/db_password", "kind=REFERENCE,type=PASSWORD")]);
    let is_injecting = async || {
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let created = cluster.pods(&namespace).create(&dry, &canary).await.ok()?;
        created.spec?.init_containers.map(drop)
    };
    until(WITHIN, is_injecting).await.expect("a configuration in effect");
    (webhook, namespace)
}

/// As the API server stored it.
async fn stored(cluster: &Cluster, namespace: &str, name: &str, store: &str) -> Pod {
    cluster.create(namespace, &cluster.pod(name, &asked(store))).await;
    let pod = cluster.pods(namespace).get(name).await.unwrap();
    assert!(pod.spec.as_ref().unwrap().init_containers.is_some(), "injected: {pod:?}");
    pod
}

/// What the application reads is what others take for keys.
fn assert_usable(view: &AppView, index: &str) -> BTreeMap<&'static str, Vec<u8>> {
    let value = |name: &str| {
        let file = view.files.get(Path::new(&format!("/secret/files/{name}")));
        file.unwrap_or_else(|| panic!("no file {name}: {:?}", view.files.keys())).content.clone()
    };
    for (name, title, is_digested) in [
        ("rsa", "(2048 bit)", true),
        ("p256", "P-256", true),
        ("p384", "P-384", true),
        ("ed", "ED25519", false),
    ] {
        let [public, private] = ["public", "private"].map(|half| value(&format!("{name}_{half}")));
        assert!(private.starts_with(b"-----BEGIN PRIVATE KEY-----\n"), "{name}");
        openssl::assert_pair(title, &public, &private, is_digested);
    }
    let [public, private, password] =
        ["public", "private", "password"].map(|part| value(&format!("mail_{part}")));
    let key = gnupg::Key { public: &public, private: &private, password: &password };
    gnupg::assert_key(&key, "2048", USER);
    assert_eq!((value("noise").len(), value("db_password").len()), (32, 24));
    assert!(value("db_password").iter().all(u8::is_ascii_alphanumeric));
    assert_eq!(value("api-key-a_consumer"), value("api-key-a_provider"));
    let properties = view.text("/secret/secret").unwrap();
    assert_eq!(properties.lines().count(), 15, "a line each");
    assert_eq!(view.text("/secret/leases").unwrap(), format!("shard={index}\n"));
    ["rsa_private", "mail_private", "noise", "db_password"].map(|name| (name, value(name))).into()
}

fn judges_are_there(test: &str) -> bool {
    programs::has(test, "openssl", "openssl") && gnupg::is_there(test)
}

fn node(cluster: &Cluster, image: Image) -> Node<ClusterSource> {
    Node::new(ClusterSource(cluster.client.clone()))
        .with_api_server(cluster.plane.port())
        .with_image(IMAGE, image.with_user(65532))
        .with_deadline(WITHIN)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_comes_from_the_annotation_to_the_application_through_secrets() {
    let test = "whole-secrets";
    if !judges_are_there(test) {
        return;
    }
    let configuration = format!("{INJECTION}{SECRETS}");
    let Some(cluster) = Cluster::alone_with(test, DOMAIN.into(), &configuration).await else { return };
    let (_webhook, namespace) = injected(&cluster, &configuration).await;
    let names = OBJECTS.map(|name| format!("--resource-name=whole--{name}"));
    let role = ["create", "role", ACCOUNT, "--namespace", &namespace, "--verb=get", "--resource=secrets"];
    let role = [&role[..], &names.each_ref().map(String::as_str)].concat();
    cluster.plane.kubectl(&role, "").await.unwrap();
    let account = format!("--serviceaccount={namespace}:{ACCOUNT}");
    let bind = ["create", "rolebinding", ACCOUNT, "--namespace", &namespace, "--role", ACCOUNT, &account];
    cluster.plane.kubectl(&bind, "").await.unwrap();

    let node = node(&cluster, Image::program(KEYSTOW));
    let pod = stored(&cluster, &namespace, "first", "cluster").await;
    let absent = async || {
        let page = cluster.plane.metrics().await.unwrap();
        let labels = [("resource", "secrets"), ("verb", "GET"), ("code", "404")];
        metrics::sum(&page, "apiserver_request_total", &labels)
    };
    let before = absent().await;
    let start = async {
        // All are asked for once, and some again: it waits.
        let waits = async || (absent().await > before + OBJECTS.len() as f64).then_some(());
        until(WITHIN, waits).await.expect("an init container that waits");
        assert!(cluster.secrets(&namespace).await.is_empty(), "nobody has made anything yet");
        cluster.leader("a", &[], &[]).await
    };
    let (running, creator) = tokio::join!(node.run(pod), start);
    let running = running.unwrap_or_else(|error| panic!("{error}: {}", creator.log_text()));
    let values = assert_usable(&running.view("app").await.unwrap(), "3");

    // Another pod of the same names has the same values, and an index of its own.
    let pod = stored(&cluster, &namespace, "second", "cluster").await;
    let running = node.run(pod).await.unwrap_or_else(|error| panic!("{error}: {}", creator.log_text()));
    assert_eq!(assert_usable(&running.view("app").await.unwrap(), "4"), values);
    cluster.is_told(&namespace, "first", "SecretsGenerated").await;
    assert_eq!(
        cluster.is_told(&namespace, "second", "LeaseAssigned").await,
        "index 4 of /whole/leases/shard"
    );
}

#[cfg(feature = "dynamodb")]
#[tokio::test(flavor = "multi_thread")]
async fn every_type_comes_from_the_annotation_to_the_application_through_dynamodb() {
    let test = "whole-dynamodb";
    if !judges_are_there(test) {
        return;
    }
    let Some(moto) = Moto::start(test).await else { return };
    let table = Table::new(&moto, "prod-kube-secret").await;
    let faults = Faults::before(moto.address().trim_start_matches("http://")).start().await;
    let role = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
    let configuration = format!(
        "{INJECTION}stores: {{prod: {{dynamodb: {{table: prod-kube-secret, region: {REGION}, audience: sts.amazonaws.com, \
         roleArn: '{}', endpoint: '{}'}}}}}}\ncreator: {{identities: {{prod: '{}'}}}}\n",
        role("app"),
        faults.url(),
        role("keystow-creator")
    );
    let Some(cluster) = Cluster::alone_with(test, DOMAIN.into(), &configuration).await else { return };
    cluster.creators.give_token("prod", "sts.amazonaws.com").await;
    let (_webhook, namespace) = injected(&cluster, &configuration).await;
    // Where STS is, an image says that knows its region's own.
    let sts = faults.url();
    let node = node(&cluster, Image::program(KEYSTOW).with_env("AWS_ENDPOINT_URL_STS", &sts));
    let pod = stored(&cluster, &namespace, "first", "prod").await;
    let is_read = |seen: &Seen| seen.operation == "BatchGetItem";
    let start = async {
        let waits = async || (faults.count(is_read) > 3).then_some(());
        until(WITHIN, waits).await.expect("an init container that waits");
        assert!(table.items().await.is_empty(), "nobody has made anything yet");
        cluster
            .leader("a", &[], &[("AWS_ENDPOINT_URL_STS", &sts), ("AWS_EC2_METADATA_DISABLED", "true")])
            .await
    };
    let (running, creator) = tokio::join!(node.run(pod), start);
    let running = running.unwrap_or_else(|error| panic!("{error}: {}", creator.log_text()));
    let values = assert_usable(&running.view("app").await.unwrap(), "3");

    let pod = stored(&cluster, &namespace, "second", "prod").await;
    let running = node.run(pod).await.unwrap_or_else(|error| panic!("{error}: {}", creator.log_text()));
    assert_eq!(assert_usable(&running.view("app").await.unwrap(), "4"), values);
    // As kees has it: values in base64, and the holder by its bare name.
    let items = table.items().await;
    let text = |path: &str| {
        let item = items.iter().find(|item| item["secretName"] == path);
        item.unwrap_or_else(|| panic!("no {path}: {:?}", items.len()))["secretValue"].clone()
    };
    let encoded = STANDARD.encode(&values["db_password"]);
    assert_eq!(text("/whole/db_password"), encoded);
    assert_eq!((&*text("/whole/leases/shard.3"), &*text("/whole/leases/shard.4")), ("first", "second"));
}
