//! Sessions by web identity: how they are begun, renewed and refused.

use bytes::Bytes;
use keystow::handover::StoreSettings;
use keystow::store::{Created, OpenError, StoreError, Surroundings};

use super::{CREATOR, Cloud, STRANGER, failure};
use crate::conformance::{address, get, value};
use crate::support::faults::answers::aws;
use crate::support::faults::{Answer, Fault, all};

async fn start(test: &str) -> Option<Cloud> {
    Cloud::start(test, StoreSettings::Ssm).await
}

/// An error of STS, which speaks XML.
fn sts(status: u16, code: &str, message: &str) -> Answer {
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
    );
    let headers = vec![("content-type", "text/xml".to_owned())];
    Answer { status, headers, body: Bytes::from(body) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_begun_once_and_has_the_pods_name() {
    let Some(cloud) = start("a_session_is_begun_once").await else { return };
    let line = cloud.line().await;
    let surroundings = Surroundings { aws_sts_endpoint: Some(line.url()), ..cloud.surroundings() };
    let endpoint = cloud.moto.address();
    let store = cloud.opened(&cloud.settings(STRANGER, &endpoint), &surroundings).await.unwrap();
    assert_eq!(line.requests().len(), 0, "nothing is asked before something is wanted");
    for _ in 0..2 {
        let StoreError::Denied { reason, .. } = failure(&store, &address("session", "db")).await else {
            panic!("it was granted")
        };
        assert!(reason.contains("assumed-role/stranger/web-0"), "{reason}");
    }
    assert_eq!(line.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_has_expired_is_begun_anew_once() {
    let Some(cloud) = start("a_session_that_has_expired").await else { return };
    let (line, sts_line) = (cloud.line().await, cloud.line().await);
    let surroundings = Surroundings { aws_sts_endpoint: Some(sts_line.url()), ..cloud.surroundings() };
    let store = cloud.opened(&cloud.settings(CREATOR, &line.url()), &surroundings).await.unwrap();
    let group = [(address("expired", "token"), value("1"))];
    assert_eq!(store.create(&group).await, Ok(Created::Ours));
    assert_eq!(sts_line.requests().len(), 1);
    let expired = || Fault::Answer(aws(400, "ExpiredTokenException"));
    line.next(all, [expired()]);
    assert_eq!(get(&store, &group[0].0).await, Ok(value("1")));
    assert_eq!((line.left(), sts_line.requests().len()), (0, 2));
    line.always(all, expired());
    line.forget();
    let error = failure(&store, &group[0].0).await;
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert_eq!((line.requests().len(), sts_line.requests().len()), (2, 3));
}

/// What a sidecar lives on: a session that is about to expire is not used to its last second.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_renewed_before_it_expires() {
    let Some(cloud) = start("a_session_is_renewed_before_it_expires").await else { return };
    let line = cloud.line().await;
    let surroundings = Surroundings { aws_sts_endpoint: Some(line.url()), ..cloud.surroundings() };
    let endpoint = cloud.moto.address();
    let store = cloud.opened(&cloud.settings(CREATOR, &endpoint), &surroundings).await.unwrap();
    let (key, secret, token) = cloud.credentials().await;
    let body = format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{key}</AccessKeyId>\
         <SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{token}</SessionToken>\
         <Expiration>2020-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
         </AssumeRoleWithWebIdentityResponse>"
    );
    let headers = vec![("content-type", "text/xml".to_owned())];
    line.next(all, [Fault::Answer(Answer { status: 200, headers, body: Bytes::from(body) })]);
    for logins in [1, 2, 2] {
        assert!(matches!(failure(&store, &address("renewed", "db")).await, StoreError::NotFound { .. }));
        assert_eq!(line.requests().len(), logins);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_read_each_time() {
    let Some(cloud) = start("the_token_is_read_each_time").await else { return };
    let line = cloud.line().await;
    let store = cloud.as_creator(&line.url()).await;
    let (at, token) = (address("token", "db"), cloud.token_file());
    assert!(matches!(failure(&store, &at).await, StoreError::NotFound { .. }));
    std::fs::remove_file(&token).unwrap();
    assert!(matches!(failure(&store, &at).await, StoreError::NotFound { .. }), "the session goes on");
    line.next(all, [Fault::Answer(aws(400, "ExpiredTokenException"))]);
    let StoreError::Denied { reason, .. } = failure(&store, &at).await else { panic!("without a token") };
    assert!(reason.contains(token.to_str().unwrap()), "{reason}");
    std::fs::write(&token, "another token").unwrap();
    assert!(matches!(failure(&store, &at).await, StoreError::NotFound { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sts_says_is_told_by_its_class() {
    let Some(cloud) = start("what_sts_says").await else { return };
    let line = cloud.line().await;
    let surroundings = Surroundings { aws_sts_endpoint: Some(line.url()), ..cloud.surroundings() };
    let endpoint = cloud.moto.address();
    let store = cloud.opened(&cloud.settings(CREATOR, &endpoint), &surroundings).await.unwrap();
    let at = address("sts", "db");
    for (answer, is_denied, words) in [
        (
            sts(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"),
            true,
            "Not authorized",
        ),
        (sts(400, "InvalidIdentityToken", "Incorrect token audience"), true, "Incorrect token audience"),
        (sts(400, "ExpiredTokenException", "Token expired"), false, "Token expired"),
        (sts(503, "ServiceUnavailable", "Later"), false, "Later"),
    ] {
        line.clear();
        line.always(all, answer);
        let error = failure(&store, &at).await;
        assert_eq!(matches!(error, StoreError::Denied { .. }), is_denied, "{error:?}");
        assert_eq!(matches!(error, StoreError::Unavailable { .. }), !is_denied, "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains("assuming arn:aws:iam::123456789012:role/creator") && text.contains(words),
            "{text}"
        );
    }
    line.clear();
    line.refuse().await;
    let error = failure(&store, &at).await;
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("connection refused"), "{error}");
    line.listen().await;
    assert!(matches!(failure(&store, &at).await, StoreError::NotFound { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_needs_is_asked_for_at_the_start() {
    let Some(cloud) = start("what_a_session_needs").await else { return };
    let StoreSettings::Ssm(complete) = cloud.settings(CREATOR, &cloud.moto.address()) else { panic!() };
    let mut roleless = complete.clone();
    roleless.role_arn = None;
    let tokenless = Surroundings { token_file: None, ..cloud.surroundings() };
    for (settings, surroundings, word) in
        [(roleless.clone(), cloud.surroundings(), "roleArn"), (complete, tokenless, "KEYSTOW_TOKEN_FILE")]
    {
        let refused = cloud.opened(&StoreSettings::Ssm(settings), &surroundings).await;
        let Err(OpenError::Unusable { kind, reason }) = refused else { panic!("it opened") };
        assert_eq!(kind, "ssm");
        assert!(reason.contains(word), "{reason}");
    }
    let role = Some("arn:aws:iam::123456789012:role/creator".to_owned());
    let surroundings = Surroundings {
        variables: role.map(|role| ("AWS_ROLE_ARN", role)).into_iter().collect(),
        ..cloud.surroundings()
    };
    let store = cloud.opened(&StoreSettings::Ssm(roleless), &surroundings).await.unwrap();
    assert!(matches!(failure(&store, &address("needs", "db")).await, StoreError::NotFound { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_away_is_told_and_then_served() {
    let Some(cloud) = start("a_service_that_is_away").await else { return };
    let line = cloud.line().await;
    let store = cloud.as_creator(&line.url()).await;
    let at = address("away", "db");
    line.refuse().await;
    let StoreError::Unavailable { reason, .. } = failure(&store, &at).await else { panic!("it was told") };
    assert_eq!(reason, "connection refused");
    line.listen().await;
    line.always(all, Fault::Truncated);
    let StoreError::Unavailable { reason, .. } = failure(&store, &at).await else { panic!("it was read") };
    assert_eq!(reason, "its answer, HTTP status 200, cannot be read");
    line.clear();
    assert!(matches!(failure(&store, &at).await, StoreError::NotFound { .. }));
}

/// Neither the store nor what it fails with shows what nobody may see.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_shows_no_credentials() {
    let Some(cloud) = start("a_store_shows_no_credentials").await else { return };
    let store = cloud.as_creator(&cloud.moto.address()).await;
    assert!(matches!(failure(&store, &address("debug", "db")).await, StoreError::NotFound { .. }));
    assert_eq!(format!("{store:?}"), "Flat(Ssm { connection: Connection { region: \"eu-west-1\", .. } })");
}
