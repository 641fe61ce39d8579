//! The certificate changes while the webhook serves.

use std::os::unix::fs::symlink;
use std::path::Path;

use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::support::{Authority, Client, Running, start, start_with, until};

/// The second DNS name of the certificate that a new connection is shown.
async fn shown(client: Client) -> String {
    let stream = client.connect(&["h2"]).await.unwrap();
    let der = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    match names.value.general_names[1] {
        GeneralName::DNSName(name) => name.to_owned(),
        ref other => panic!("{other:?} is no DNS name"),
    }
}

/// Waits until the files were looked at and found to hold nothing to serve.
async fn until_refused(running: &Running) {
    until("a look that found the pair bad", async || {
        let metrics = running.admin("/metrics").await.1;
        let prefix = "keystow_certificate_reloads_total{outcome=\"refused\"} ";
        metrics.lines().filter_map(|line| line.strip_prefix(prefix)).any(|count| count != "0")
    })
    .await;
}

#[tokio::test]
async fn half_a_swap_keeps_the_old_certificate_and_the_other_half_completes_it() {
    let running = start(|_| {}).await;
    assert_eq!(shown(running.client()).await, "first.example");
    let next = running.authority.server("second.example");
    std::fs::write(running.directory.path().join("tls.crt"), &next.cert).unwrap();
    until_refused(&running).await;
    assert_eq!(shown(running.client()).await, "first.example");
    running.good_request().await;
    std::fs::write(running.directory.path().join("tls.key"), &next.key).unwrap();
    until("the new certificate", async || shown(running.client()).await == "second.example").await;
    running.counts("certificate_reloads_total{outcome=\"replaced\"} 1").await;
}

#[tokio::test]
async fn an_open_connection_outlives_the_swap() {
    let running = start(|_| {}).await;
    let (mut sender, _connection) = running.client().h2().await;
    running.authority.server("second.example").write_to(running.directory.path());
    until("the new certificate", async || shown(running.client()).await == "second.example").await;
    let request = crate::support::post("/mutate", crate::support::full("{}"));
    assert_eq!(crate::support::send(&mut sender, request).await.0, 200);
}

#[tokio::test]
async fn an_expired_pair_is_not_served() {
    let running = start(|_| {}).await;
    running.authority.expired().write_to(running.directory.path());
    until_refused(&running).await;
    assert_eq!(shown(running.client()).await, "first.example");
}

#[tokio::test]
async fn a_mounted_secret_is_followed_through_its_symlink() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let generation = |name: &str, other: &str| {
        let path = directory.path().join(name);
        std::fs::create_dir(&path).unwrap();
        authority.server(other).write_to(&path);
    };
    generation("..2026_01", "first.example");
    generation("..2026_02", "second.example");
    symlink("..2026_01", directory.path().join("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(name), directory.path().join(name)).unwrap();
    }
    let running = start_with(authority, directory, |_| {}).await;
    assert_eq!(shown(running.client()).await, "first.example");
    // As kubelet does it: a new link beside the old one, renamed over it.
    let root = running.directory.path();
    symlink("..2026_02", root.join("..data_tmp")).unwrap();
    std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    until("the new certificate", async || shown(running.client()).await == "second.example").await;
}
