//! A Job that was written for kees runs with only the image of its init container changed: from a table that kees filled,
//! through a company's proxy, to the files that kees writes.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{EnvVar, Pod};
use serde_json::json;

use super::support::faults::Faults;
use super::support::node::{AppView, Image, MemorySource, Node, NodeError, RunningPod};
use super::support::servers::Moto;
use super::support::tunnel::Tunnel;

const MANIFEST: &str = include_str!("../data/kees/job.yaml");
const IMAGE: &str = "keystow:test";

/// The Job's pod, as its controller makes it, with our image.
fn pod() -> Pod {
    let manifest = MANIFEST.replace("registry.example/kees-init:1", IMAGE);
    assert_eq!(manifest.lines().zip(MANIFEST.lines()).filter(|(ours, theirs)| ours != theirs).count(), 1);
    let job: Job = serde_saphyr::from_str(&manifest).expect("a Job");
    let template = job.spec.expect("its spec").template;
    let mut metadata = template.metadata.expect("its annotations");
    metadata.name = Some("report-x7k2p".to_owned());
    metadata.namespace = Some("shop".to_owned());
    metadata.uid = Some("1234".to_owned());
    Pod { metadata, spec: template.spec, status: None }
}

fn init(pod: &mut Pod) -> &mut Vec<EnvVar> {
    let init = &mut pod.spec.as_mut().expect("a spec").init_containers.as_mut().expect("init containers")[0];
    init.env.get_or_insert_default()
}

fn set(env: &mut Vec<EnvVar>, name: &str, value: &str) {
    env.retain(|variable| variable.name != name);
    env.push(EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None });
}

fn node(source: MemorySource) -> Node<MemorySource> {
    Node::new(source).with_image(IMAGE, Image::program(env!("CARGO_BIN_EXE_keystow")))
}

async fn view(pod: &RunningPod<'_, MemorySource>) -> AppView {
    pod.view("report").await.expect("what the application sees")
}

/// `name=value` a line.
fn properties(view: &AppView, name: &str) -> BTreeMap<String, String> {
    let text = view.text(&format!("/bsycorp-init/{name}.properties")).unwrap_or_else(|| panic!("no {name}"));
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    text.lines().map(|line| pair(line).expect("name=value")).collect()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Everything that kees' creator and its users put into the table for the Job, leases and all.
async fn fill(moto: &Moto, halves: &[String; 2], salt: &str) {
    moto.create_table("production-kube-secret").await;
    for (key, text) in [
        ("/shop/report.db_password", "aHVudGVyMg=="),
        ("/shop/report.signing_public", &halves[0]),
        ("/shop/report.signing_private", &halves[1]),
        ("/shop/report.salt", salt),
        ("/shop/shared.mail", "cDBzdA=="),
        ("/shop/shared.db.url", "amRiYzpwb3N0Z3Jlc3FsOi8vZGI6NTQzMi94P2E9YiZjPWQ="),
        ("/shop/leases/snowflake.0", "somebody-else"),
        ("/shop/leases/snowflake.430", "report-x7k2p"),
        ("/shop/leases/snowflake2.7", "report-x7k2p"),
    ] {
        moto.put_item("production-kube-secret", key, text).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_kees_runs_with_only_the_image_changed() {
    let Some(moto) = Moto::shared("a_job_of_kees_runs_with_only_the_image_changed").await else { return };
    // What is in DER is of no interest here but that it comes as it is: in base64 of standard alphabet with padding.
    let halves = [STANDARD.encode([7; 294]), STANDARD.encode([255; 1217])];
    let salt = STANDARD.encode([0xfb; 32]);
    fill(moto, &halves, &salt).await;
    let server = moto.address();
    let cloud = Faults::before(server.trim_start_matches("http://"));
    let cloud = cloud.served_as(&["dynamodb.eu-west-1.amazonaws.com"]).start().await;
    let proxy = Tunnel::to(cloud.address()).await;

    // What the cluster and the node bring: the identity, the proxy, and the CA of this cloud.
    let mut pod = pod();
    mount_ca(&mut pod);
    let env = init(&mut pod);
    for (name, value) in [
        ("HTTPS_PROXY", proxy.url().as_str()),
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("SSL_CERT_FILE", "/ca/ca.crt"),
    ] {
        set(env, name, value);
    }
    let ca = MemorySource::default().with_config_map("shop", "ca", &[("ca.crt", cloud.ca_pem().as_bytes())]);
    let node = node(ca);
    let running = node.run(pod).await.unwrap_or_else(|error| panic!("{error:?}"));
    let view = view(&running).await;

    let secrets = [
        ("mail.login", "cDBzdA=="),
        ("report.db_password", "aHVudGVyMg=="),
        ("report.salt", &salt),
        ("report.signing_private", &halves[1]),
        ("report.signing_public", &halves[0]),
    ];
    assert_eq!(properties(&view, "secrets"), map(&secrets));
    let url = "amRiYzpwb3N0Z3Jlc3FsOi8vZGI6NTQzMi94P2E9YiZjPWQ=";
    assert_eq!(properties(&view, "resources"), map(&[("report.db.url", url)]));
    assert_eq!(properties(&view, "leases"), map(&[("report.node", "NDMw")]));
    let decoded = |name: &str| view.text(&format!("/bsycorp-init/{name}"));
    assert_eq!(decoded("report.db.url").as_deref(), Some("jdbc:postgresql://db:5432/x?a=b&c=d"));
    assert_eq!(decoded("report.node").as_deref(), Some("430"));
    assert_eq!(decoded("report.db_password"), None, "kees never writes a secret to a file of its own");
    assert!(view.files.values().all(|file| file.mode == 0o444), "{view:?}");
    let found = view.env.get("KUBERNETES_SECRETS_PATH").expect("kees' convention");
    assert!(view.files.contains_key(Path::new(found)));
    let asked = proxy.asked();
    assert!(!asked.is_empty(), "the proxy was not asked");
    assert!(asked.iter().all(|host| host == "dynamodb.eu-west-1.amazonaws.com:443"), "{asked:?}");
}

/// Mounts the ConfigMap `ca` at /ca in the init container.
fn mount_ca(pod: &mut Pod) {
    let volume = json!({"name": "ca", "configMap": {"name": "ca"}});
    let mount = json!({"name": "ca", "mountPath": "/ca", "readOnly": true});
    let spec = pod.spec.as_mut().expect("a spec");
    let volume = serde_json::from_value(volume).expect("a volume");
    spec.volumes.get_or_insert_default().push(volume);
    let init = &mut spec.init_containers.as_mut().expect("init containers")[0];
    let mount = serde_json::from_value(mount).expect("a mount");
    init.volume_mounts.get_or_insert_default().push(mount);
}

#[tokio::test(flavor = "multi_thread")]
async fn kees_local_mode_gives_its_own_values() {
    let mut pod = pod();
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.retain(|key, _| !key.starts_with("secret.") && !key.starts_with("resource."));
    for (key, value) in [
        ("init.bsycorp.com/local-mode", "true"),
        ("init.bsycorp.com/storage-prefix", "/env"),
        ("secret.bsycorp.com/app.service.blah", "kind=DYNAMIC,type=PASSWORD,size=128"),
        ("secret.bsycorp.com/app.service.blah_x", "kind=DYNAMIC,type=RANDOM,size=288"),
        ("secret.bsycorp.com/given", "kind=REFERENCE,type=PASSWORD,localModeValue=aHVudGVyMg=="),
        ("resource.bsycorp.com/app.db.main.url", "localModeValue=dmFsdWU="),
    ] {
        annotations.insert(key.to_owned(), value.to_owned());
    }
    let node = node(MemorySource::default());
    for (name, index, encoded) in [("web-0", "539", "NTM5"), ("web-1", "585", "NTg1")] {
        let mut pod = pod.clone();
        pod.metadata.name = Some(name.to_owned());
        let running = node.run(pod).await.unwrap_or_else(|error| panic!("{error}"));
        let view = view(&running).await;
        let password = STANDARD.encode("8ekD64eU9hDqA5kz");
        let secrets = [
            ("app.service.blah", password.as_str()),
            ("app.service.blah_x", "JuTNTwzlgOWVLXk6aG8LQiZ6JXuGlPpaXvEKJkk7jDjsrJpC"),
            ("given", "aHVudGVyMg=="),
        ];
        assert_eq!(properties(&view, "secrets"), map(&secrets));
        assert_eq!(properties(&view, "leases"), map(&[("report.node", encoded)]));
        assert_eq!(view.text("/bsycorp-init/report.node").as_deref(), Some(index));
        assert_eq!(view.text("/bsycorp-init/app.db.main.url").as_deref(), Some("value"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_of_kees_misses_is_told() {
    let Some(moto) = Moto::shared("what_a_job_of_kees_misses_is_told").await else { return };
    moto.create_table("empty-kube-secret").await;
    let mut pod = pod();
    let env = init(&mut pod);
    for (name, value) in [
        ("ENV_LABEL", "empty"),
        ("KEYSTOW_DEADLINE", "2s"),
        ("AWS_ENDPOINT", moto.address().as_str()),
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ] {
        set(env, name, value);
    }
    let error = node(MemorySource::default()).run(pod).await.expect_err("a Job that cannot start");
    let NodeError::InitFailed { container, finished } = error else { panic!("{error}") };
    assert_eq!((container.as_str(), finished.code), ("bsycorp-init", Some(65)), "{finished:?}");
    let told = &finished.termination_message;
    assert!(told.starts_with("keystow init: 7 of 7 values are missing:\n"), "{told}");
    for name in [
        "secret.bsycorp.com/report.salt",
        "resource.bsycorp.com/report.db.url",
        "lease.bsycorp.com/report.node",
    ] {
        assert!(told.contains(&format!("\n- {name}: ")), "{told}");
    }
}
