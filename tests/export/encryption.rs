//! The exported EncryptionConfiguration in the hands of a real API server: what etcd holds, before and after its key is
//! rotated by the guide in it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{exported, refused};
use crate::support::control_plane::{Binaries, ControlPlane};
use crate::support::programs::skip;

/// What etcd holds of a Secret.
async fn at_rest(plane: &ControlPlane, name: &str) -> Vec<u8> {
    let key = STANDARD.encode(format!("/registry/secrets/default/{name}"));
    let url = format!("http://127.0.0.1:{}/v3/kv/range", plane.etcd_port());
    let answer: Value = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .post(url)
        .body(json!({"key": key}).to_string())
        .send()
        .await
        .unwrap()
        .text()
        .await
        .map(|text| serde_json::from_str(&text).unwrap())
        .unwrap();
    STANDARD.decode(answer["kvs"][0]["value"].as_str().expect("a value in etcd")).unwrap()
}

async fn password(plane: &ControlPlane, name: &str) -> String {
    let read = ["get", "secret", name, "-o", "jsonpath={.data.password}"];
    let text = plane.kubectl(&read, "").await.unwrap();
    String::from_utf8(STANDARD.decode(text.trim()).unwrap()).unwrap()
}

async fn create(plane: &ControlPlane, name: &str) {
    let create = ["create", "secret", "generic", name, "--from-literal=password=plain-to-see"];
    plane.kubectl(&create, "").await.unwrap();
}

/// Steps 1 and 2 of the guide are edits; this is the second: the new key first.
fn with_new_key_first(file: &Path) {
    let text = fs::read_to_string(file).unwrap();
    let mut configuration: Value = serde_saphyr::from_str(&text).unwrap();
    configuration["resources"][0]["providers"][0]["secretbox"]["keys"].as_array_mut().unwrap().swap(0, 1);
    fs::write(file, configuration.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_encrypts_with_the_exported_key_and_with_its_successor() {
    let test = "an_api_server_encrypts_with_the_exported_key_and_with_its_successor";
    if let Err(missing) = Binaries::find() {
        return skip(test, "control plane", missing);
    }
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("encryption.yaml");
    let path = file.to_str().unwrap();
    exported(&["encryption-config", "-o", path]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let plane = ControlPlane::start_with(&[format!("--encryption-provider-config={path}")]).await.unwrap();
    create(&plane, "first").await;
    let held = at_rest(&plane, "first").await;
    assert!(held.starts_with(b"k8s:enc:secretbox:v1:key1:"), "{:?}", String::from_utf8_lossy(&held[..30]));
    assert!(!held.windows(12).any(|part| part == b"plain-to-see"));

    exported(&["encryption-config", "--rotate", path, "--key-name", "key2", "-o", path]);
    plane.restart_api_server().await.unwrap();
    create(&plane, "second").await;
    assert!(
        at_rest(&plane, "second").await.starts_with(b"k8s:enc:secretbox:v1:key1:"),
        "key2 writes too early"
    );
    with_new_key_first(&file);
    plane.restart_api_server().await.unwrap();
    for name in ["first", "second"] {
        assert_eq!(password(&plane, name).await, "plain-to-see");
    }
    let all = plane.kubectl(&["get", "secrets", "--all-namespaces", "-o", "json"], "").await.unwrap();
    plane.kubectl(&["replace", "-f", "-"], &all).await.unwrap();
    for name in ["first", "second"] {
        assert!(at_rest(&plane, name).await.starts_with(b"k8s:enc:secretbox:v1:key2:"), "{name}");
        assert_eq!(password(&plane, name).await, "plain-to-see");
    }
}

#[test]
fn no_two_keys_are_alike_and_mistakes_are_told() {
    let key = || {
        let (text, _) = exported(&["encryption-config", "--provider", "aesgcm", "--key-name", "a"]);
        let value: Value = serde_saphyr::from_str(&text).unwrap();
        let key =
            value["resources"][0]["providers"][0]["aesgcm"]["keys"][0]["secret"].as_str().unwrap().to_owned();
        assert_eq!(STANDARD.decode(&key).unwrap().len(), 32);
        key
    };
    assert_ne!(key(), key());
    let (code, told) = refused(&["encryption-config", "--key-name", "a:b"]);
    assert!(code == Some(65) && told.contains("no name for a key"), "{told}");
    let (code, told) = refused(&["encryption-config", "--rotate", "/nowhere/encryption.yaml"]);
    assert!(code == Some(66) && told.contains("cannot read"), "{told}");
}
