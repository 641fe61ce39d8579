//! The reviews that a kube-apiserver 1.36 sent for seven pods, and the answers that they must get.

use base64::Engine as _;
use keystow::config;
use keystow::webhook::injector::Injector;
use keystow::webhook::review::{Answer, DenialReason, Outcome, Record, Review as _};
use serde_json::Value;

fn injector() -> Injector {
    Injector::new(config::read("").unwrap().offline())
}

fn recorded(name: &str) -> String {
    let path = format!("{}/tests/data/reviews/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

fn ask(review: &str) -> (Value, Record) {
    match injector().answer(review.as_bytes()) {
        Answer::Reviewed { body, record } => (serde_json::from_slice(&body).unwrap(), record),
        Answer::Malformed(message) => panic!("{message}"),
    }
}

/// The pod as the answer leaves it.
fn patched(review: &str, answer: &Value) -> Value {
    let review: Value = serde_json::from_str(review).unwrap();
    let patch = answer["response"]["patch"].as_str().expect("a patch");
    let patch = base64::engine::general_purpose::STANDARD.decode(patch).unwrap();
    let mut pod = review["request"]["object"].clone();
    json_patch::patch(&mut pod, &serde_json::from_slice::<json_patch::Patch>(&patch).unwrap()).unwrap();
    pod
}

fn malformed(body: &[u8]) -> String {
    match injector().answer(body) {
        Answer::Malformed(message) => message,
        Answer::Reviewed { record, .. } => panic!("{record:?}"),
    }
}

#[test]
fn the_four_good_pods_and_the_dry_run_are_injected() {
    for name in ["01-kees-example", "02-user-rpc-7d9f8c6b5", "03-gateway", "04-locked-app", "07-dry"] {
        let review = recorded(name);
        let (answer, record) = ask(&review);
        assert_eq!(answer["response"]["allowed"], true, "{name}");
        assert_eq!(record.outcome, Outcome::Injected, "{name}");
        let asked: Value = serde_json::from_str(&review).unwrap();
        assert_eq!(answer["response"]["uid"], asked["request"]["uid"], "{name}");
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
        assert!(answer["response"]["auditAnnotations"]["hash"].is_string(), "{name}");
        let pod = patched(&review, &answer);
        assert!(pod["metadata"]["annotations"]["inject.bsycorp.com/status"].is_string(), "{name}");
    }
}

#[test]
fn the_kees_pod_gets_the_container_first_and_the_token_that_saves_a_second_call() {
    let review = recorded("01-kees-example");
    let pod = patched(&review, &ask(&review).0);
    assert_eq!(pod["spec"]["initContainers"][0]["name"], "keystow-init");
    let mounts = pod["spec"]["initContainers"][0]["volumeMounts"].as_array().unwrap();
    assert!(mounts.iter().any(|mount| mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"));
    assert_eq!(pod["spec"]["containers"][0]["volumeMounts"][1]["mountPath"], "/secret");
    assert_eq!(pod["spec"]["containers"][0]["volumeMounts"][1]["readOnly"], true);
}

#[test]
fn user_rpc_gets_its_variable_and_its_account_without_the_other_accounts_pull_secrets() {
    let review = recorded("02-user-rpc-7d9f8c6b5");
    let (answer, record) = ask(&review);
    assert_eq!(record.pod, "user-rpc-7d9f8c6b5-", "generateName stands in for a name");
    let pod = patched(&review, &answer);
    assert_eq!(pod["spec"]["serviceAccountName"], "user-rpc");
    assert_eq!(pod["spec"]["imagePullSecrets"], Value::Null);
    let env = &pod["spec"]["containers"][0]["env"][1];
    assert_eq!(env["name"], "JWT_SECRET_KEY");
    assert_eq!(env["valueFrom"]["secretKeyRef"]["name"], "jwt-secret");
    assert_eq!(env["valueFrom"]["secretKeyRef"]["key"], "secret-key");
    assert_eq!(pod["spec"]["initContainers"], Value::Null, "no init container for a Secret object");
}

#[test]
fn the_bad_pod_is_refused_with_its_words() {
    let (answer, record) = ask(&recorded("05-bad"));
    assert_eq!(answer["response"]["allowed"], false);
    assert_eq!(answer["response"]["status"]["code"], 422);
    let message = answer["response"]["status"]["message"].as_str().unwrap();
    assert_eq!(
        message,
        "secret.bsycorp.com/db.password: kind=BLAH is not one of DYNAMIC, REFERENCE, KUBERNETES"
    );
    assert_eq!(record.outcome, Outcome::Denied(DenialReason::InvalidAnnotation));
}

#[test]
fn the_clashing_pod_is_refused_with_the_path() {
    let (answer, record) = ask(&recorded("06-clashing"));
    let message = answer["response"]["status"]["message"].as_str().unwrap();
    assert_eq!(message, "container app already mounts volume secret-volume at /secret");
    assert_eq!(record.outcome, Outcome::Denied(DenialReason::Clash));
}

#[test]
fn the_same_review_has_the_same_answer() {
    let review = recorded("04-locked-app");
    assert_eq!(ask(&review).0, ask(&review).0);
}

#[test]
fn what_is_no_review_is_malformed() {
    let review = recorded("01-kees-example");
    assert!(malformed(&review.as_bytes()[..review.len() / 2]).contains("ends too early"));
    assert!(malformed(b"").contains("ends too early"));
    assert!(malformed(b"\xff\xfe").contains("not JSON"));
    assert!(malformed("[".repeat(100_000).as_bytes()).contains("AdmissionReview"));
    let v1beta1 = review.replacen("admission.k8s.io/v1", "admission.k8s.io/v1beta1", 1);
    assert!(malformed(v1beta1.as_bytes()).contains("apiVersion \"admission.k8s.io/v1beta1\""));
    let other = review.replacen("\"AdmissionReview\"", "\"Pod\"", 1);
    assert!(malformed(other.as_bytes()).contains("kind \"Pod\""));
    assert!(
        malformed(br#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}"#).contains("no request")
    );
}

#[test]
fn a_pod_that_is_none_is_refused_under_its_uid_and_without_its_text() {
    let review =
        recorded("01-kees-example").replace(r#""containers":[{"#, r#""containers":"hunter2","x":[{"#);
    let (answer, record) = ask(&review);
    assert_eq!(answer["response"]["allowed"], false);
    assert_eq!(answer["response"]["uid"], "71119856-28bd-43a4-953e-e04c3fd50b6e");
    assert_eq!(record.outcome, Outcome::Denied(DenialReason::Unreadable));
    assert!(!answer.to_string().contains("hunter2"));
}

#[test]
fn other_requests_are_let_through_with_a_warning() {
    for (from, to) in [
        (r#""operation":"CREATE""#, r#""operation":"UPDATE""#),
        (r#""resource":"pods""#, r#""resource":"services""#),
        (r#""operation":"CREATE""#, r#""operation":"CREATE","subResource":"ephemeralcontainers""#),
    ] {
        let (answer, record) = ask(&recorded("01-kees-example").replace(from, to));
        assert_eq!(answer["response"]["allowed"], true);
        assert_eq!((record.outcome, record.warnings), (Outcome::Unchanged, 1));
    }
}

#[test]
fn unknown_fields_deep_down_do_no_harm() {
    let deep = format!(r#""x":{}{},"containers":[{{"#, "[".repeat(10_000), "]".repeat(10_000));
    let review = recorded("01-kees-example").replace(r#""containers":[{"#, &deep);
    assert_eq!(ask(&review).1.outcome, Outcome::Injected);
}

#[test]
fn warnings_are_cut_to_what_kubernetes_shows() {
    let annotation = r#""secret.bsycorp.com/db.password":"#;
    let long = format!(
        r#"{annotation}"kind=REFERENCE,type=PASSWORD,{}=1", "secret.bsycorp.com/other":"#,
        "x".repeat(300)
    );
    let (answer, _) = ask(&recorded("01-kees-example").replacen(annotation, &long, 1));
    let warnings = answer["response"]["warnings"].as_array().unwrap();
    assert!(!warnings.is_empty());
    assert!(warnings.iter().all(|warning| warning.as_str().unwrap().chars().count() <= 256));
}

#[test]
fn no_answer_carries_a_local_value() {
    let values = [
        "kind=DYNAMIC,type=RANDOM,size=8,localModeValue=aHVudGVyMg==",
        "kind=BLAH,localModeValue=hunter2,hunter2",
    ];
    for value in values {
        let review = recorded("01-kees-example").replace("kind=REFERENCE,type=PASSWORD", value);
        let (mut answer, _) = ask(&review);
        answer["response"]["patch"] = Value::Null;
        assert!(
            !answer.to_string().contains("hunter2") && !answer.to_string().contains("aHVudGVyMg"),
            "{answer}"
        );
    }
}
