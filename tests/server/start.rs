//! What is known to be wrong before the first request, and what a good start looks like.

use http::StatusCode;
use keystow::certs::load::LoadError;
use keystow::certs::{CertificateSource, SourceError};
use keystow::webhook::run::{Bound, RunError};
use tokio::net::TcpListener;

use crate::support::{
    ANSWER, Authority, Client, NAME, files_of, full, post, send, settings, start, start_with, until,
};

async fn refused(prepare: impl FnOnce(&Authority, &std::path::Path)) -> LoadError {
    let directory = tempfile::tempdir().unwrap();
    prepare(&Authority::new(), directory.path());
    match Bound::new(settings(files_of(directory.path()))).await.err() {
        Some(RunError::Certificate(SourceError::Load(error))) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_expired_pair_is_refused() {
    let error = refused(|authority, directory| authority.expired().write_to(directory)).await;
    assert!(matches!(error, LoadError::Expired { .. }), "{error}");
}

#[tokio::test]
async fn a_pair_that_does_not_match_is_refused() {
    let error = refused(|authority, directory| {
        authority.server("a.example").write_to(directory);
        std::fs::write(directory.join("tls.key"), authority.server("b.example").key).unwrap();
    })
    .await;
    assert!(matches!(error, LoadError::Mismatch { .. }), "{error}");
}

#[tokio::test]
async fn missing_files_are_refused() {
    let error = refused(|_, _| {}).await;
    assert!(matches!(error, LoadError::ReadCertificate { .. }), "{error}");
}

#[tokio::test]
async fn a_socket_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    Authority::new().server("a.example").write_to(directory.path());
    let mut settings = settings(files_of(directory.path()));
    settings.admin = taken.local_addr().unwrap();
    let error = Bound::new(settings).await.err().unwrap();
    assert!(matches!(error, RunError::Bind { role: "health and metrics", .. }), "{error}");
}

#[tokio::test]
async fn readiness_waits_for_what_others_owe() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.server("a.example").write_to(directory.path());
    let bound = Bound::new(settings(files_of(directory.path()))).await.unwrap();
    let owed = bound.readiness().condition("caBundle: not published yet");
    assert_eq!(
        bound.readiness().missing(),
        ["webhook: not accepting connections yet", "caBundle: not published yet"]
    );
    owed.release();
}

#[tokio::test]
async fn a_started_webhook_is_ready_and_shows_its_build() {
    let running = start(|_| {}).await;
    until("readiness", async || running.admin("/readyz").await.0 == StatusCode::OK).await;
    assert_eq!(running.admin("/livez").await.0, StatusCode::OK);
    running.counts(&format!("build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))).await;
    running.counts("certificate_expiry_timestamp_seconds 4102444800").await;
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_by_its_ca_file() {
    let made = tempfile::tempdir().unwrap();
    let directory = made.path().join("made");
    let source = CertificateSource::SelfSigned { directory: directory.clone(), names: vec![NAME.to_owned()] };
    let running =
        start_with(Authority::new(), tempfile::tempdir().unwrap(), |settings| settings.certificate = source)
            .await;
    let ca = std::fs::read_to_string(directory.join("ca.crt")).unwrap();
    let (mut sender, _connection) = Client::trusting(&ca, running.webhook).h2().await;
    let (status, _, body) = send(&mut sender, post("/mutate", full("{}"))).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, ANSWER));
}
