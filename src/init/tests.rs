//! The whole program over files of the tests: what it writes, what it says when it fails, and that it tells nobody
//! a value.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::*;

/// A value that would be recognised anywhere, in every form that could leak.
const MARKER: &str = "hunter2-marker";
const MARKER_BASE64: &str = "aHVudGVyMi1tYXJrZXI=";

struct Pod {
    directory: tempfile::TempDir,
    settings: Settings,
}

fn annotate(directory: &Path, annotations: &[(&str, &str)]) {
    let lines: String = annotations.iter().map(|(key, value)| format!("{key}={value:?}\n")).collect();
    fs::write(directory.join("annotations"), lines).unwrap();
}

fn pod(annotations: &[(&str, &str)], environment: &[(&str, &str)]) -> Pod {
    let directory = tempfile::tempdir().unwrap();
    annotate(directory.path(), annotations);
    let at = |name: &str| directory.path().join(name).display().to_string();
    let mut variables: HashMap<String, String> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    variables.insert("POD_NAME".to_owned(), "web-0".to_owned());
    for (name, file) in [
        ("KEYSTOW_ANNOTATIONS_FILE", "annotations"),
        ("ANNOTATIONS_FILE", "annotations"),
        ("KEYSTOW_PATH", "secret"),
        ("SECRETS_FILE", "secret/secrets.properties"),
        ("RESOURCES_FILE", "secret/resources.properties"),
        ("LEASES_FILE", "secret/leases.properties"),
        ("RESOURCES_FILE_PATH", "secret"),
        ("LEASES_FILE_PATH", "secret"),
    ] {
        variables.insert(name.to_owned(), at(file));
    }
    let mut settings = Settings::from_environment(&variables).unwrap();
    settings.termination_log = directory.path().join("log");
    settings.deadline = Duration::from_secs(1);
    fs::write(&settings.termination_log, "").unwrap();
    Pod { directory, settings }
}

impl Pod {
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join("secret").join(name)).unwrap()
    }

    fn last_words(&self) -> String {
        fs::read_to_string(&self.settings.termination_log).unwrap()
    }

    fn is_empty(&self) -> bool {
        !self.directory.path().join("secret").exists()
    }
}

const LOCAL: (&str, &str) = ("KEYSTOW_STORE", r#"{"local":{}}"#);

#[tokio::test]
async fn a_local_pod_gets_its_files() {
    let pod = pod(
        &[
            ("init.bsycorp.com/storage-prefix", "/env"),
            ("secret.bsycorp.com/app.service.blah", "kind=DYNAMIC,type=PASSWORD,size=128"),
            ("secret.bsycorp.com/key_public", "kind=DYNAMIC,type=ED25519"),
            ("secret.bsycorp.com/key_private", "kind=DYNAMIC,type=ED25519"),
            ("resource.bsycorp.com/app.db.main.url", "localModeValue=dmFsdWU="),
            ("lease.bsycorp.com/node", "kind=INDEX,rangeStart=0,rangeEnd=9"),
            ("unrelated", "\"quotes\" and \\ and \n"),
        ],
        &[LOCAL],
    );
    let summary = run(pod.settings.clone()).await.unwrap();
    assert_eq!((summary.secrets, summary.resources, summary.leases, summary.files), (3, 1, 1, 5));
    let secret = pod.read("secret");
    assert!(
        secret.starts_with("app.service.blah=8ekD64eU9hDqA5kz\nkey_private=-----BEGIN PRIVATE KEY-----\\n")
    );
    assert_eq!((pod.read("leases"), pod.read("node")), ("node=539\n".to_owned(), "539".to_owned()));
    assert_eq!(pod.read("app.db.main.url"), "value");
    assert_eq!(pod.last_words(), "");
}

#[tokio::test]
async fn a_kees_manifest_runs_as_it_is() {
    let pod = pod(
        &[
            ("init.bsycorp.com/storage-prefix", "/env"),
            ("init.bsycorp.com/local-mode", "true"),
            ("secret.bsycorp.com/app.service.blah", "kind=DYNAMIC,type=RANDOM,size=288"),
            ("resource.bsycorp.com/app.db.main.url", "localModeValue=dmFsdWU="),
            ("lease.bsycorp.com/node", "kind=INDEX,rangeStart=0,rangeEnd=9"),
            ("inject.bsycorp.com/enabled", "false"),
        ],
        &[("ENV_LABEL", "dev")],
    );
    run(pod.settings.clone()).await.unwrap();
    assert_eq!(
        pod.read("secrets.properties"),
        "app.service.blah=JuTNTwzlgOWVLXk6aG8LQiZ6JXuGlPpaXvEKJkk7jDjsrJpC\n"
    );
    assert_eq!(pod.read("resources.properties"), "app.db.main.url=dmFsdWU=\n");
    assert_eq!(
        (pod.read("leases.properties"), pod.read("node")),
        ("node=NTM5\n".to_owned(), "539".to_owned())
    );
}

#[tokio::test]
async fn a_store_that_cannot_be_used_is_opened_only_where_something_is_fetched() {
    // Without a token where this build carries it, and not carried elsewhere.
    let login = r#"{"kubernetes":{"role":"a","mount":"b","audience":"c"}}"#;
    let store = format!(r#"{{"vault":{{"address":"http://127.0.0.1:9","mount":"a","auth":{login}}}}}"#);
    let store = ("KEYSTOW_STORE", store.as_str());
    let idle = pod(&[], &[store]);
    assert_eq!(run(idle.settings.clone()).await.unwrap().files, 3);
    for mode in ["false", "remote-then-local"] {
        let asking = pod(
            &[
                ("init.bsycorp.com/local-mode", mode),
                ("secret.bsycorp.com/a", "kind=DYNAMIC,type=RANDOM,size=64"),
            ],
            &[store],
        );
        let error = run(asking.settings.clone()).await.unwrap_err();
        assert_eq!(error.exit_code(), 64);
        let words = asking.last_words();
        assert!(words.starts_with("keystow init: the store ") && words.contains("`vault`"), "{words}");
        assert!(asking.is_empty());
    }
}

#[tokio::test]
async fn values_come_from_a_store() {
    let asking = pod(
        &[("secret.bsycorp.com/a", "kind=DYNAMIC,type=PASSWORD,size=64")],
        &[("KEYSTOW_STORE", r#"{"kubernetes":{}}"#)],
    );
    let mut program = Program::new(asking.settings.clone());
    program.store = Some(Arc::new(store::memory::Memory::with(&[("/a", b"stored")])));
    program.once().await.unwrap();
    assert_eq!(asking.read("secret"), "a=stored\n");
    program.store = Some(Arc::new(store::memory::Memory::default()));
    let error = program.once().await.unwrap_err();
    assert_eq!(error.exit_code(), 65);
    assert_eq!(asking.read("secret"), "a=stored\n");
}

#[tokio::test]
async fn every_failure_has_its_code_and_its_words_and_writes_nothing() {
    for (annotation, value, code, words) in [
        ("secret.bsycorp.com/a", "kind=BLAH", 64, "kind=BLAH is not one of"),
        ("resource.bsycorp.com/a", "storageKey=b", 64, "cannot derive a resource"),
        ("inject.bsycorp.com/template.conf", "{{ secret.nope }}", 65, "template conf line 1"),
        ("resource.bsycorp.com/secret", "localModeValue=dmFsdWU=", 64, "take another name"),
    ] {
        let pod = pod(&[(annotation, value)], &[LOCAL]);
        let error = run(pod.settings.clone()).await.unwrap_err();
        assert_eq!(error.exit_code(), code, "{error}");
        assert!(pod.last_words().contains(words), "{}", pod.last_words());
        assert!(pod.is_empty());
    }
}

#[tokio::test]
async fn files_that_are_not_there_have_their_codes() {
    let mut absent = pod(&[], &[LOCAL]).settings;
    absent.annotations_file = "/nonexistent/annotations".into();
    let error = run(absent).await.unwrap_err();
    assert_eq!(error.exit_code(), 66);
    assert!(error.to_string().contains("(No such file or directory"), "{error}");
    let blocked = pod(&[], &[LOCAL]);
    fs::write(blocked.directory.path().join("secret"), "").unwrap();
    assert_eq!(run(blocked.settings.clone()).await.unwrap_err().exit_code(), 73);
}

#[test]
fn a_wrong_environment_is_told_on_the_termination_log() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    fs::write(&log, "").unwrap();
    let path = log.display().to_string();
    let environment = HashMap::from([("KEYSTOW_TERMINATION_LOG".to_owned(), path)]);
    let error = settle(&environment).unwrap_err();
    assert_eq!(error.exit_code(), 64);
    assert!(fs::read_to_string(log).unwrap().contains("neither KEYSTOW_STORE nor kees' ENV_LABEL is set"));
}

#[test]
fn the_reason_that_needs_a_person_most_decides_the_code() {
    use crate::generate::deterministic::Underivable;
    use crate::store::StoreError;
    let path = || "/a".to_owned();
    let failure = |reason| Failure { annotation: String::new(), reason };
    let away = StoreError::Unavailable { path: path(), reason: path(), retry_after: None };
    let wrong = StoreError::Invalid { path: path(), reason: path() };
    let denied = StoreError::Denied { path: path(), reason: path() };
    let mut failures = Vec::new();
    for (reason, code) in [
        (Reason::Store(away), 69),
        (Reason::Store(wrong), 65),
        (Reason::Local(Underivable::Half), 64),
        (Reason::Store(denied), 77),
    ] {
        failures.push(failure(reason));
        let error = InitError::Fetch(FetchError { failures: failures.clone(), asked: 4 });
        assert_eq!(error.exit_code(), code);
    }
}

#[tokio::test(start_paused = true)]
async fn refresh_switches_what_changed_and_keeps_the_last_good_files() {
    let pod = pod(&[("secret.bsycorp.com/a", "kind=REFERENCE,type=PASSWORD,localModeValue=MQ==")], &[LOCAL]);
    let directory = pod.directory.path().to_owned();
    let version = |directory: &Path| fs::read_link(directory.join("secret/..data")).unwrap();
    let steps = async {
        let round = || tokio::time::sleep(Duration::from_secs(10));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(pod.read("secret"), "a=1\n");
        round().await;
        assert_eq!(version(&directory), Path::new("..keystow-1"), "nothing changed");
        annotate(&directory, &[("secret.bsycorp.com/a", "kind=BLAH")]);
        round().await;
        assert_eq!(pod.read("secret"), "a=1\n");
        annotate(&directory, &[("secret.bsycorp.com/a", "kind=REFERENCE,type=PASSWORD,localModeValue=Mg==")]);
        round().await;
        assert_eq!((pod.read("secret"), version(&directory)), ("a=2\n".to_owned(), "..keystow-2".into()));
    };
    refresh(pod.settings.clone(), Duration::from_secs(10), steps).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn refresh_fails_like_init_in_its_first_round() {
    let pod = pod(&[("secret.bsycorp.com/a", "kind=BLAH")], &[LOCAL]);
    let never = std::future::pending();
    let error = refresh(pod.settings.clone(), Duration::from_secs(10), never).await.unwrap_err();
    assert_eq!(error.exit_code(), 64);
    assert!(pod.last_words().contains("BLAH"));
}

#[tokio::test]
async fn no_value_is_told_to_anybody() {
    let value = format!("kind=REFERENCE,type=PASSWORD,localModeValue={MARKER_BASE64}");
    let enved = format!("{value},env=A");
    let mut said = Vec::new();
    for more in [
        ("secret.bsycorp.com/x", "kind=BLAH"),
        ("resource.bsycorp.com/x", "storageKey=y"),
        ("inject.bsycorp.com/template.t", "{{ secret.a | int }}"),
        ("inject.bsycorp.com/template.t", "{{ secret[secret.a] }}"),
        // Not base64 because of a comma in it.
        ("secret.bsycorp.com/x", "kind=REFERENCE,type=GPG,localModeValue=aHVud,GVyMi1tYXJrZXI="),
        ("secret.bsycorp.com/x", "kind=REFERENCE,type=PASSWORD,localModeValue=/wA=,env=X"),
        ("resource.bsycorp.com/secret", "localModeValue=aHVudGVyMi1tYXJrZXI="),
    ] {
        let pod = pod(&[("secret.bsycorp.com/a", &value), ("secret.bsycorp.com/b", &enved), more], &[LOCAL]);
        let error = run(pod.settings.clone()).await.unwrap_err();
        said.extend([
            format!("{error}"),
            format!("{error:?}"),
            pod.last_words(),
            format!("{:?}", pod.settings),
        ]);
    }
    let pod = pod(&[("secret.bsycorp.com/a", &value)], &[LOCAL]);
    let program = Program::new(pod.settings.clone());
    let requests = Arc::new(program.requests().unwrap());
    let source = Source::Local(Arc::clone(&program.local));
    let waiting = Waiting::new(Duration::ZERO, Box::new(|| 0.0));
    said.push(format!("{requests:?} {requests:#?} {source:?} {waiting:?}"));
    let fetched = fetch::fetch(&requests, &pod.settings.domain, &source, None, waiting).await.unwrap();
    let files = render::render(&pod.settings, &requests, &fetched).unwrap();
    said.extend([format!("{fetched:?} {files:?}"), format!("{:?}", program.local)]);
    let cut = &MARKER_BASE64[5..];
    for said in said {
        for marker in [MARKER, MARKER_BASE64, cut, "104, 117, 110"] {
            assert!(!said.contains(marker), "{marker}: {said}");
        }
    }
    // And the value does arrive where it should.
    run(pod.settings.clone()).await.unwrap();
    assert_eq!(pod.read("secret"), format!("a={MARKER}\n"));
}
