//! Tests of identities of Google Cloud.

use std::io::Write as _;

use super::*;
use crate::store::rest::tests::{answering, client};

fn settings() -> GcpSettings {
    GcpSettings { project: "p".to_owned(), audience: None, service_account: None, endpoint: None }
}

#[test]
fn the_provider_is_named_as_the_token_service_wants_it() {
    let full = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b";
    for audience in [full, &format!("https:{full}"), &full["//iam.googleapis.com/".len()..]] {
        assert_eq!(provider(audience), full);
    }
    assert_eq!(provider("example.svc.id.goog"), "example.svc.id.goog");
}

#[test]
fn an_audience_needs_a_token_file() {
    let settings = GcpSettings { audience: Some("//iam.googleapis.com/projects/1".to_owned()), ..settings() };
    let refused = Google::new(&settings, &Surroundings::default(), &client()).unwrap_err();
    assert!(refused.contains("KEYSTOW_TOKEN_FILE"), "{refused}");
}

#[tokio::test]
async fn a_token_of_the_cluster_becomes_one_of_the_service_account() {
    let (url, mut asked) = answering(&[
        (200, r#"{"access_token":"federated","expires_in":3599,"token_type":"Bearer"}"#),
        (200, r#"{"accessToken":"of-account","expireTime":"1994-11-06T09:49:37Z"}"#),
    ])
    .await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "projected").unwrap();
    let google = Google {
        source: Source::Federation {
            service: url.join("sts").unwrap(),
            audience: "//iam.googleapis.com/projects/1".to_owned(),
            token_file: file.path().to_owned(),
        },
        account: Some(url.join("become").unwrap()),
        client: client(),
    };
    let (_, lifetime) = google.log_in().await.unwrap();
    assert_eq!(lifetime, Duration::from_secs(3600), "by the service's clock");
    let exchange = asked.recv().await.unwrap();
    assert!(exchange.starts_with("POST /sts "), "{exchange}");
    assert!(exchange.contains("subject_token=projected&audience=%2F%2Fiam.googleapis.com"), "{exchange}");
    let become_account = asked.recv().await.unwrap();
    assert!(become_account.contains("authorization: Bearer federated\r\n"), "{become_account}");
}

#[tokio::test]
async fn a_refusal_names_the_next_step_and_no_token() {
    let (url, _asked) = answering(&[(
        400,
        r#"{"error":"invalid_grant","error_description":"The token projected is no good"}"#,
    )])
    .await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "projected").unwrap();
    let source =
        Source::Federation { service: url, audience: "a".to_owned(), token_file: file.path().to_owned() };
    let google = Google { source, account: None, client: client() };
    let Err(Trouble::Denied { reason }) = google.log_in().await else { panic!("it is refused") };
    assert!(reason.contains("invalid_grant") && reason.contains("trusts this cluster"), "{reason}");
    assert!(!reason.contains("projected"), "{reason}");
}
