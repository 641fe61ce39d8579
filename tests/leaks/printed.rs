//! What is printed of values: by `Debug` and `Display`, by the texts of mistakes, and by panics.

use std::fmt::{Debug, Display};
use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keystow::certs::clients::ClientSettings;
use keystow::certs::load::{self, CertPath, KeyPath, Pem};
use keystow::certs::served::Served;
use keystow::certs::tls::server_config;
use keystow::certs::{CertificateSource, self_signed};
use keystow::config;
use keystow::domain::{
    AnnotationDomain, Grammar, LOCAL_MODE_VALUE, Modulus, NamedCurve, Parsed, Recipe, SecretValue,
};
use keystow::generate::deterministic::Deterministic;
use keystow::generate::fresh;
use keystow::inject::{Pod, manifest, plan};
use keystow::shutdown;
use keystow::telemetry::{self, LogSettings, chain};
use keystow::webhook::injector::Injector;
use keystow::webhook::review::{Answer, Review};
use keystow::webhook::run::{Bound, Settings};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use tokio::net::TcpStream;

use crate::canary::{assert_no_key, assert_none, canary, canary_base64};
use crate::support::https;

fn settings() -> keystow::inject::Settings {
    let text = "stores: {default: dev, dev: {local: {}}}\nlocalMode: {namespaces: [demo]}\n";
    config::read(text).expect("a configuration").offline()
}

fn debug(what: &str, value: &impl Debug) {
    assert_none(&format!("Debug of {what}"), format!("{value:?} {value:#?}"));
}

fn told(what: &str, error: &(impl Debug + Display)) {
    debug(what, error);
    assert_none(&format!("Display of {what}"), error.to_string());
}

fn pod() -> String {
    let value = format!("kind=REFERENCE,type=PASSWORD,{LOCAL_MODE_VALUE}={}", canary_base64("local"));
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "app",
            "namespace": "demo",
            "annotations": {
                "init.bsycorp.com/local-mode": "true",
                "secret.bsycorp.com/db.password": value,
                "example.com/token": canary("annotation"),
            },
            "managedFields": [{ "fieldsV1": { (canary("managed")): {} } }],
        },
        "spec": { "containers": [{ "name": "app", "env": [{ "name": "P", "value": canary("env") }] }] },
    })
    .to_string()
}

#[test]
fn what_holds_a_pod_or_a_value_prints_neither() {
    debug("a value", &SecretValue::new(canary("value").into_bytes()));
    let text = pod();
    let pod = Pod::from_json(text.as_bytes()).expect("a pod");
    debug("a pod", &pod);
    let settings = settings();
    let planned = plan(&pod, "demo", &settings).expect("a plan");
    debug("a plan", &planned);
    told("a denial", &plan(&pod, "prod", &settings).expect_err("local mode is not allowed there"));
    let documents = manifest::inject(&text, "demo", &settings).expect("an injected manifest");
    debug("a manifest", &documents);
    let rendered = manifest::render(&documents).expect("a rendered manifest");
    assert!(rendered.contains(&canary_base64("local")), "the pod itself keeps what its author wrote");

    let review = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "namespace": "demo", "operation": "CREATE",
        "object": serde_json::from_str::<serde_json::Value>(&text).expect("the pod"),
    } });
    let injector = Injector::new(settings);
    debug("an injector", &injector);
    let answer = injector.answer(review.to_string().as_bytes());
    assert!(matches!(answer, Answer::Reviewed { .. }));
    debug("an answer", &answer);
    debug(
        "an answer with anything",
        &match answer {
            Answer::Reviewed { record, .. } => Answer::Reviewed { body: canary("body").into_bytes(), record },
            malformed @ Answer::Malformed(_) => malformed,
        },
    );
}

#[test]
fn what_is_generated_prints_none_of_it() {
    for recipe in [
        Recipe::Rsa(Modulus::Bits2048),
        Recipe::Ec(NamedCurve::P256),
        Recipe::Ed25519,
        #[cfg(feature = "gpg")]
        Recipe::Gpg { size: Modulus::Bits2048, user_id: "a<b@c>".to_owned() },
        Recipe::Random { bits: 128 },
        Recipe::ApiKey { bits: 128 },
        Recipe::Password { bits: 128 },
    ] {
        let made = fresh::make(&recipe, SystemTime::now());
        let redacted = vec!["<redacted>"; recipe.parts().len()].join(", ");
        assert_eq!(format!("{made:?}"), format!("Ok([{redacted}])"), "{recipe:?}");
    }
    let domain = AnnotationDomain::default();
    let local = Deterministic::default();
    for (name, parameters) in [
        ("a_private", "kind=DYNAMIC,type=ED25519"),
        #[cfg(feature = "gpg")]
        ("b_private", "kind=DYNAMIC,type=GPG,size=2048,userId=a<b@c>"),
    ] {
        let key = format!("secret.bsycorp.com/{name}");
        let grammar = Grammar { domain: &domain, taken_files: &[] };
        let parsed = grammar.parse([(key.as_str(), parameters)]).expect("an annotation");
        let Parsed::Requests(requests, _) = parsed else { panic!("opted out") };
        let (request, stored) = requests.stored().next().expect("a secret");
        let value = local.secret(&request.name, stored);
        assert_eq!(format!("{value:?}"), "Ok(<redacted>)");
    }
    // What it remembers are pairs: no number of them is printed.
    let printed = format!("{local:?}");
    let halves = printed.matches("Pair { public: <redacted>, private: <redacted> }").count();
    assert_eq!(halves, if cfg!(feature = "gpg") { 2 } else { 1 }, "{printed}");
    assert!(printed.len() < 300, "{printed}");
}

#[test]
fn mistakes_in_a_manifest_are_told_without_its_values() {
    let text = pod();
    let value = json!(canary("value"));
    let mut broken = Vec::new();
    for pointer in
        ["/metadata", "/metadata/annotations", "/spec", "/spec/containers", "/spec/containers/0/env"]
    {
        let mut pod: serde_json::Value = serde_json::from_str(&text).expect("the pod");
        *pod.pointer_mut(pointer).expect(pointer) = value.clone();
        broken.push(pod.to_string());
    }
    let yaml = format!("kind: Secret\nstringData:\n  password: {}\n", canary("secret"));
    broken.extend([
        text.replace("\"kind\":\"Pod\"", "\"kind\":\"Pod\" x"),
        yaml.clone() + "  \tbad: [\n",
        yaml.clone() + "  other: \"" + &canary("open"),
        yaml.clone() + "  password: " + &canary("twice"),
        yaml + "  alias: *" + &canary("alias"),
        format!("kind: Pod\nmetadata: !!int {}\n", canary("tag")),
    ]);
    for text in broken {
        let errors = manifest::inject(&text, "demo", &settings()).expect_err(&text);
        assert!(!errors.is_empty());
        for error in errors {
            told("a manifest's mistake", &error);
            assert_none("its causes", chain(&error));
        }
    }
}

#[test]
fn keys_are_not_printed() {
    let key = KeyPair::generate().expect("a key");
    let cert = CertificateParams::new(vec!["a.example".to_owned()]).expect("a name").self_signed(&key);
    let (cert, key_pem, key_der) =
        (cert.expect("a certificate").pem(), key.serialize_pem(), key.serialize_der());
    let paths = (CertPath::new("tls.crt"), KeyPath::new("tls.key"));
    let whole = |key: &str| load::whole(&Pem::new(cert.clone().into(), key.into()), &paths.0, &paths.1);
    let pair = whole(&key_pem).expect("a pair");
    let served = Served::new(&pair);
    let tls = |served| server_config(Arc::new(served), None).expect("a TLS configuration");
    let mut printed = vec![format!("{pair:?} {pair:#?} {served:?} {:?}", tls(Served::new(&pair)))];
    let clients = ClientSettings { ca: "ca.crt".into(), names: vec!["api".to_owned()] };
    printed.push(format!("{clients:?}"));

    // A key that was cut, is another's, or is none at all.
    let other = KeyPair::generate().expect("a key").serialize_pem();
    let encoded = STANDARD.encode(canary("key"));
    for bad in [
        key_pem[..key_pem.len() / 2].to_owned(),
        other.clone(),
        canary("no PEM"),
        format!("-----BEGIN PRIVATE KEY-----\n{encoded}\n-----END PRIVATE KEY-----\n"),
        format!("-----BEGIN PRIVATE KEY-----\n{}!\n-----END PRIVATE KEY-----\n", canary("no base64")),
        format!("-----BEGIN RSA PRIVATE KEY-----\n{encoded}\n"),
    ] {
        let error = whole(&bad).expect_err(&bad);
        told("a bad key", &error);
        assert_none("its causes", chain(&error));
        printed.push(format!("{error:?} {}", chain(&error)));
    }
    let directory = tempfile::tempdir().expect("a directory");
    let made = self_signed::ensure(directory.path(), &["a.example".to_owned()], SystemTime::now());
    printed.push(format!("{made:?}"));

    // The last bytes of an ECDSA key in PKCS#8 are the public one; the secret scalar is before it.
    let secret = &key_der[36..68];
    let numbers =
        |write: fn(&u8) -> String, between: &str| secret.iter().map(write).collect::<Vec<_>>().join(between);
    let ways = [
        numbers(|byte| format!("{byte:02x}"), ""),
        numbers(|byte| format!("{byte:02X}"), ""),
        numbers(u8::to_string, ", "),
        STANDARD.encode(&secret[..30]),
    ];
    for printed in printed {
        for way in &ways {
            assert!(!printed.contains(way.as_str()), "a private key: {printed}");
        }
        for line in key_pem.lines().chain(other.lines()).filter(|line| !line.starts_with("-----")) {
            assert!(!printed.contains(line), "a private key: {printed}");
        }
    }
}

/// Panics wherever it can, with a value in the message. Run by the test below, as a process of its own: what says
/// nothing of a panic is set up for a process.
#[test]
#[ignore = "panics; the test below runs it as a process of its own"]
fn panics_with_a_value() {
    struct Panics;

    impl Review for Panics {
        fn answer(&self, body: &[u8]) -> Answer {
            panic!("cannot review {}", String::from_utf8_lossy(body))
        }
    }

    telemetry::init(&LogSettings { filter: "trace".to_owned(), ..LogSettings::default() }).expect("a log");
    let thread = std::thread::spawn(|| panic!("{}", canary("thread")));
    assert!(thread.join().is_err());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    runtime.block_on(async {
        let task = tokio::spawn(async { panic!("{}", canary("task")) });
        assert!(task.await.is_err());
        let directory = tempfile::tempdir().expect("a directory");
        let names = vec!["127.0.0.1".to_owned()];
        let source = CertificateSource::SelfSigned { directory: directory.path().to_owned(), names };
        let mut settings = Settings::new(source);
        settings.listen = ([127, 0, 0, 1], 0).into();
        settings.admin = ([127, 0, 0, 1], 0).into();
        settings.drain_delay = std::time::Duration::ZERO;
        let bound = Bound::new(settings).await.expect("a webhook");
        let address = bound.webhook_address();
        let (trigger, shutdown) = shutdown::channel();
        let server = tokio::spawn(bound.serve(Arc::new(Panics), shutdown));
        let ca = std::fs::read_to_string(directory.path().join("ca.crt")).expect("the CA");
        let answer = https::post(address, &ca, "application/json", canary("body").as_bytes()).await;
        assert_eq!(answer.status, 500);
        assert_none("the answer", answer.body);
        drop(TcpStream::connect(address).await);
        trigger.drain();
        server.await.expect("a server").expect("a drained server");
    });
}

#[test]
fn a_panic_is_told_by_its_place_alone() {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "printed::panics_with_a_value", "--ignored", "--nocapture"])
        .output()
        .expect("a started process");
    let (out, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{log}");
    let panics = log.lines().filter(|line| line.contains("panic; its message is withheld"));
    assert_eq!(panics.count(), 3, "{log}");
    assert!(log.contains("tests/leaks/printed.rs"), "{log}");
    assert_none("the log of panics", log.as_bytes());
    assert_none("the output of panics", out.as_bytes());
    assert_no_key("the log of panics", log.as_bytes());
}

#[test]
fn settings_of_stores_print_names_alone() {
    let text = "stores:\n  default: vault\n  vault: {vault: {address: \"https://vault:8200\", mount: secret, auth: {tokenFile: /var/run/token}}}\n";
    let settings = config::read(text).expect("a configuration");
    debug("the settings", &settings);
    // A token where the path of its file belongs is a mistake that nobody can tell from a path: only unknown fields are.
    for extra in ["token", "password"] {
        let text = format!(
            "stores: {{default: v, v: {{vault: {{address: \"https://v\", mount: m, {extra}: {}}}}}}}\n",
            canary("token")
        );
        for mistake in config::read(&text).expect_err("an unknown field") {
            told("a mistake in the configuration", &mistake);
        }
    }
}
