//! What is in each file, for both layouts and every format.

use std::collections::BTreeSet;

use super::*;
use crate::domain::{AnnotationDomain, EnvName, Grammar, Parsed};
use crate::handover::{NoSettings, StoreSettings};

const DIRECTORY: &str = "/out";

fn requests(annotations: &[(&str, &str)]) -> Requests {
    let domain = AnnotationDomain::default();
    let grammar = Grammar { domain: &domain, taken_files: &[] };
    match grammar.parse(annotations.iter().copied()).unwrap() {
        Parsed::Requests(requests, _) => *requests,
        Parsed::OptedOut => panic!("opted out"),
    }
}

fn settings(layout: Layout) -> Settings {
    Settings {
        store: StoreSettings::Local(NoSettings {}),
        domain: AnnotationDomain::default(),
        layout,
        annotations_file: "/annotations".into(),
        outputs: vec![Output::of(layout, Path::new(DIRECTORY), None)],
        file_mode: FileMode::OWNER,
        deadline: std::time::Duration::ZERO,
        surroundings: Default::default(),
        pod_uid: None,
        termination_log: "/log".into(),
    }
}

fn secret(name: &str, kind: SecretType, value: &[u8]) -> Secret {
    let name = RequestName::new(name).unwrap();
    Secret { name, kind, env: None, mode: None, value: SecretValue::new(value.to_vec()) }
}

fn fetched(secrets: Vec<Secret>) -> Fetched {
    let name = |text| RequestName::new(text).unwrap();
    Fetched {
        secrets,
        resources: vec![(name("db.url"), SecretValue::new(b"jdbc:x://y?a=b".to_vec()))],
        leases: vec![(name("node"), 430)],
    }
}

fn passwords() -> Fetched {
    fetched(vec![
        secret("b", SecretType::Password, "caf\u{e9}".as_bytes()),
        secret("a", SecretType::Password, b"one=two"),
    ])
}

fn texts(files: &Files) -> Vec<(&str, String)> {
    let text = |file: &File| String::from_utf8_lossy(file.content.expose()).into_owned();
    files[Path::new(DIRECTORY)].iter().map(|(name, file)| (name.as_str(), text(file))).collect()
}

fn owned(expected: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    expected.iter().map(|(name, text)| (*name, (*text).to_owned())).collect()
}

#[test]
fn the_keystow_layout_is_plain_properties() {
    let files = render(&settings(Layout::Keystow), &Requests::default(), &passwords()).unwrap();
    let expected = [
        ("db.url", "jdbc:x://y?a=b"),
        ("leases", "node=430\n"),
        ("node", "430"),
        ("resources", "db.url=jdbc:x://y?a=b\n"),
        ("secret", "a=one=two\nb=caf\\u00E9\n"),
    ];
    assert_eq!(texts(&files), owned(&expected));
    let java = properties::tests::load(files[Path::new(DIRECTORY)]["secret"].content.expose());
    assert_eq!(java["b"], "caf\u{e9}");
}

#[test]
fn the_kees_layout_is_base64_lines_and_decoded_files() {
    let files = render(&settings(Layout::Kees), &Requests::default(), &passwords()).unwrap();
    let expected = [
        ("db.url", "jdbc:x://y?a=b"),
        ("leases.properties", "node=NDMw\n"),
        ("node", "430"),
        ("resources.properties", "db.url=amRiYzp4Oi8veT9hPWI=\n"),
        ("secrets.properties", "a=b25lPXR3bw==\nb=Y2Fmw6k=\n"),
    ];
    assert_eq!(texts(&files), owned(&expected));
}

#[test]
fn resources_and_leases_are_always_written_even_empty() {
    for formats in ["properties", "json", "files", "dotenv"] {
        let requests = requests(&[("inject.bsycorp.com/format", formats)]);
        let files = render(&settings(Layout::Keystow), &requests, &Fetched::default()).unwrap();
        let files = texts(&files);
        for name in ["resources", "leases"] {
            assert!(files.contains(&(name, String::new())), "{formats}: {files:?}");
        }
        assert_eq!(files.iter().any(|(name, _)| *name == "secret"), formats == "properties");
    }
}

#[test]
fn every_format_has_its_file() {
    let requests = requests(&[("inject.bsycorp.com/format", "json,files,dotenv")]);
    let mut fetched = passwords();
    fetched.secrets[0].mode = Some(FileMode::ALL);
    fetched.secrets[1].env = Some(EnvName::new("FIRST").unwrap());
    let files = render(&settings(Layout::Keystow), &requests, &fetched).unwrap();
    let found = texts(&files);
    for expected in owned(&[
        ("files/a", "one=two"),
        ("files/b", "caf\u{e9}"),
        ("secret.env", "B='caf\u{e9}'\nFIRST='one=two'\n"),
        ("secret.json", "{\"a\":\"one=two\",\"b\":\"caf\u{e9}\"}\n"),
    ]) {
        assert!(found.contains(&expected), "{expected:?} {found:?}");
    }
    let files = &files[Path::new(DIRECTORY)];
    assert_eq!((files["files/a"].mode, files["files/b"].mode), (FileMode::OWNER, FileMode::ALL));
}

#[test]
fn an_env_request_alone_makes_an_environment_file_with_it_alone() {
    let mut fetched = passwords();
    fetched.secrets[1].env = Some(EnvName::new("FIRST").unwrap());
    let files = render(&settings(Layout::Keystow), &Requests::default(), &fetched).unwrap();
    assert!(texts(&files).contains(&("secret.env", "FIRST='one=two'\n".to_owned())));
}

#[test]
fn keys_are_pem_under_plain_and_der_under_base64() {
    let der = [0x30, 13, 0x30, 3, 6, 1, 1, 3, 6, 0, 1, 2, 3, 4, 5];
    let pem = "-----BEGIN PUBLIC KEY-----\nMA0wAwYBAQMGAAECAwQF\n-----END PUBLIC KEY-----\n";
    for kind in [SecretType::Rsa, SecretType::Ec, SecretType::Ed25519] {
        let fetched = fetched(vec![secret("k_public", kind, &der)]);
        let with = |annotations: &[(&str, &str)], layout| {
            render(&settings(layout), &requests(annotations), &fetched).unwrap()
        };
        let files = with(&[("inject.bsycorp.com/format", "files,properties")], Layout::Keystow);
        let files = &files[Path::new(DIRECTORY)];
        assert_eq!(files["files/k_public"].content.expose(), pem.as_bytes());
        let java = properties::tests::load(files["secret"].content.expose());
        assert_eq!(java["k_public"], pem);
        let files = with(&[], Layout::Kees);
        let lines = files[Path::new(DIRECTORY)]["secrets.properties"].content.expose();
        assert_eq!(lines, b"k_public=MA0wAwYBAQMGAAECAwQF\n");
    }
    // Bytes that only look like a key are no key.
    let fetched = fetched(vec![secret("r", SecretType::Password, b"0\x03\x06\x01")]);
    let files = render(&settings(Layout::Keystow), &Requests::default(), &fetched).unwrap();
    assert!(texts(&files).contains(&("secret", "r=0\\u0003\\u0006\\u0001\n".to_owned())));
}

#[test]
fn what_is_not_text_fails_by_name_with_the_way_out() {
    let mut binary = fetched(vec![secret("raw", SecretType::Password, &[0xFF, 0xFE])]);
    binary.resources[0].1 = SecretValue::new(vec![0xFF]);
    let all = requests(&[("inject.bsycorp.com/format", "properties,json,dotenv")]);
    let error = render(&settings(Layout::Keystow), &all, &binary).unwrap_err();
    let not_text = |name: &str, file| RenderFailure::NotText { name: name.to_owned(), file };
    let reason = Unwritable::NotText;
    for failure in [
        not_text("raw", "the properties of all secrets"),
        not_text("raw", "secret.json"),
        not_text("db.url", "the properties of all resources"),
        RenderFailure::Environment { name: "raw".to_owned(), reason },
    ] {
        assert!(error.failures.contains(&failure), "{failure:?} {error}");
    }
    assert!(error.to_string().contains("take encoding=base64, or format=files"));

    binary.resources.clear();
    let files = requests(&[("inject.bsycorp.com/format", "files")]);
    let files = render(&settings(Layout::Keystow), &files, &binary).unwrap();
    assert_eq!(files[Path::new(DIRECTORY)]["files/raw"].content.expose(), [0xFF, 0xFE]);
    let base64 = requests(&[("inject.bsycorp.com/encoding", "base64")]);
    let files = render(&settings(Layout::Keystow), &base64, &binary).unwrap();
    assert!(texts(&files).contains(&("secret", "raw=//4=\n".to_owned())));
}

#[test]
fn random_bytes_are_base64_in_text_and_bytes_in_files() {
    let all = requests(&[
        ("inject.bsycorp.com/format", "properties,json,dotenv,files"),
        ("inject.bsycorp.com/template.conf", "{{ secret.r }}"),
    ]);
    // By type and not by value: bytes that happen to be text are no exception.
    for (value, shown) in [(b"\xFF\xFE".as_slice(), "//4="), (b"ab", "YWI=")] {
        let fetched = fetched(vec![secret("r", SecretType::Random, value)]);
        let files = render(&settings(Layout::Keystow), &all, &fetched).unwrap();
        let files = &files[Path::new(DIRECTORY)];
        for (name, content) in [
            ("secret", format!("r={shown}\n")),
            ("secret.json", format!("{{\"r\":\"{shown}\"}}\n")),
            ("secret.env", format!("R='{shown}'\n")),
            ("conf", shown.to_owned()),
        ] {
            assert_eq!(files[name].content.expose(), content.as_bytes(), "{name}");
        }
        assert_eq!(files["files/r"].content.expose(), value);
    }
}

#[test]
fn a_value_that_the_kubelet_cannot_read_fails_by_name() {
    let mut fetched = fetched(vec![secret("quoted", SecretType::Password, b"it's")]);
    assert!(render(&settings(Layout::Keystow), &Requests::default(), &fetched).is_ok());
    fetched.secrets[0].env = Some(EnvName::new("Q").unwrap());
    let error = render(&settings(Layout::Keystow), &Requests::default(), &fetched).unwrap_err();
    let reason = Unwritable::SingleQuote;
    assert_eq!(error.failures, [RenderFailure::Environment { name: "quoted".to_owned(), reason }]);
}

#[test]
fn a_view_has_its_secrets_and_all_resources_and_leases() {
    let mut settings = settings(Layout::Keystow);
    let view = |directory: &str, only: &[&str]| {
        let only: BTreeSet<String> = only.iter().map(|name| (*name).to_owned()).collect();
        Output::of(Layout::Keystow, Path::new(directory), Some(only))
    };
    settings.outputs = vec![view("/v/0", &["a"]), view("/v/1", &[])];
    let requests = requests(&[("inject.bsycorp.com/template.conf", "{{ secret.a }}")]);
    let files = render(&settings, &requests, &passwords()).unwrap();
    let names = |view: &str| files[Path::new(view)].keys().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(names("/v/0"), ["conf", "db.url", "leases", "node", "resources", "secret"]);
    assert_eq!(files[Path::new("/v/0")]["secret"].content.expose(), b"a=one=two\n");
    assert_eq!(names("/v/1"), ["db.url", "leases", "node", "resources", "secret"]);
    assert_eq!(files[Path::new("/v/1")]["secret"].content.expose(), b"");

    settings.outputs = vec![view("/v/0", &["a", "gone"])];
    let error = render(&settings, &Requests::default(), &passwords()).unwrap_err();
    assert!(matches!(&error.failures[..], [RenderFailure::UnknownInView { name, .. }] if name == "gone"));
}

#[test]
fn templates_are_files() {
    let source = "url={{ resource['db.url'] }} node={{ lease.node }} {{ secret.a }}";
    let good = requests(&[("inject.bsycorp.com/template.conf", source)]);
    let files = render(&settings(Layout::Keystow), &good, &passwords()).unwrap();
    let expected = "url=jdbc:x://y?a=b node=430 one=two".to_owned();
    assert!(texts(&files).contains(&("conf", expected)));
    let bad = requests(&[("inject.bsycorp.com/template.conf", "{{ secret.nope }}")]);
    let error = render(&settings(Layout::Keystow), &bad, &passwords()).unwrap_err();
    assert!(matches!(&error.failures[..], [RenderFailure::Template { name, .. }] if name == "conf"));
}

#[test]
fn a_template_is_a_variable_too() {
    let annotations = [
        ("inject.bsycorp.com/template.url", "{{ secret.a }}@{{ resource['db.url'] }}\n"),
        ("inject.bsycorp.com/template-env.url", "URL"),
    ];
    let files = render(&settings(Layout::Keystow), &requests(&annotations), &passwords()).unwrap();
    let text = "one=two@jdbc:x://y?a=b\n";
    for (file, content) in [("url", text.to_owned()), ("secret.env", format!("URL='{text}'\n"))] {
        assert!(texts(&files).contains(&(file, content)), "{file}: {:?}", texts(&files));
    }
    for (source, reason) in [
        ("it's", Unwritable::SingleQuote),
        ("{{ 'AA==' | b64decode }}", Unwritable::Nul),
        ("", Unwritable::Empty),
    ] {
        let annotations = [("inject.bsycorp.com/template.url", source), annotations[1]];
        let error = render(&settings(Layout::Keystow), &requests(&annotations), &passwords()).unwrap_err();
        let (name, env) = ("url".to_owned(), "URL".to_owned());
        assert_eq!(error.failures, [RenderFailure::TemplateEnvironment { name, env, reason }], "{source}");
    }
}

#[test]
fn a_view_without_a_templates_secret_has_no_variable_of_it() {
    let mut settings = settings(Layout::Keystow);
    let only = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    settings.outputs = vec![
        Output::of(Layout::Keystow, Path::new("/v/0"), only(&["a"])),
        Output::of(Layout::Keystow, Path::new("/v/1"), only(&["b"])),
    ];
    let annotations = [
        // Through a filter too: no view has an empty text in the place of a secret.
        ("inject.bsycorp.com/template.url", "{{ secret.a | urlencode }}"),
        ("inject.bsycorp.com/template-env.url", "URL"),
    ];
    let files = render(&settings, &requests(&annotations), &passwords()).unwrap();
    assert_eq!(files[Path::new("/v/0")]["secret.env"].content.expose(), b"URL='one%3Dtwo'\n");
    let names: Vec<&str> = files[Path::new("/v/1")].keys().map(String::as_str).collect();
    assert_eq!(names, ["db.url", "leases", "node", "resources", "secret"]);
}
