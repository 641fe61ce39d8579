//! The program: `--check-config`, exit codes, variables for flags, and a version that the API server is asked for.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use super::golden::{data, full};

/// Runs `keystow webhook`, in an environment of its own.
fn webhook(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keystow"));
    command.arg("webhook").args(arguments).env_clear().envs(environment.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_good_file_is_shown_and_what_is_shown_is_good() {
    let directory = tempfile::tempdir().unwrap();
    let shown = directory.path().join("shown.yaml");
    let file = data("full.yaml");
    let first = webhook(&["--check-config", "--config", file.to_str().unwrap()], &[]);
    assert!(first.status.success() && first.stderr.is_empty(), "{}", text(&first.stderr));
    fs::write(&shown, &first.stdout).unwrap();
    let again = webhook(&["--check-config"], &[("KEYSTOW_CONFIG", shown.to_str().unwrap())]);
    assert_eq!((again.status.code(), text(&again.stdout)), (Some(0), text(&first.stdout)));
}

/// A pod's own arguments can be checked as they are: no certificate is read, no socket is opened, nobody is asked.
#[test]
fn checking_touches_nothing_else() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let file = data("full.yaml");
    for certificate in
        [&["--self-managed"][..], &["--tls-cert=/nowhere/tls.crt", "--tls-key=/nowhere/tls.key"]]
    {
        let mut arguments = vec!["--check-config", "--listen", &address, "--admin", &address];
        arguments.extend(certificate);
        let output = webhook(&arguments, &[("KEYSTOW_CONFIG", file.to_str().unwrap())]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

#[test]
fn every_mistake_is_a_line_that_names_file_and_line() {
    let file = data("mistakes.yaml");
    let name = file.to_str().unwrap();
    let golden = fs::read_to_string(data("mistakes.txt")).unwrap();
    // A start refuses the file in the same words as a check.
    for mode in ["--check-config", "--self-managed"] {
        let output = webhook(&[mode, "--config", name, "--log-format=json"], &[]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(64), 0));
        let told: Vec<&str> = text(&output.stderr).lines().skip(1).collect();
        let expected: Vec<String> = golden.lines().map(|line| format!("{name}:{line}")).collect();
        assert_eq!(told, expected);
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = webhook(&["--check-config", "--config", "/nowhere/config.yaml"], &[]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("cannot read the configuration /nowhere/config.yaml"));
}

#[test]
fn one_kind_of_certificate_or_a_check_is_needed() {
    let none = webhook(&[], &[]);
    assert_eq!(none.status.code(), Some(64));
    for flag in ["--self-managed", "--tls-cert", "--self-signed", "--check-config"] {
        assert!(text(&none.stderr).contains(flag), "{}", text(&none.stderr));
    }
    for two in
        [&["--self-managed", "--self-signed=/tmp"][..], &["--tls-cert=a", "--tls-key=b", "--self-managed"]]
    {
        assert_eq!(webhook(two, &[]).status.code(), Some(64), "{two:?}");
    }
}

/// Nobody answers on the port of the kubeconfig: it was free a moment ago.
fn nobodys_kubeconfig(directory: &Path) -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let path = directory.join("kubeconfig");
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}], clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{port}'}}}}], users: [{{name: u, user: {{}}}}]}}"
    );
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_version_that_nobody_tells_ends_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = nobodys_kubeconfig(directory.path());
    let config = directory.path().join("config.yaml");
    fs::write(&config, "kubernetesVersion: auto\n").unwrap();
    let certificates = directory.path().join("certificates");
    let arguments = ["--self-signed", certificates.to_str().unwrap(), "--config", config.to_str().unwrap()];
    for environment in [&[("KUBECONFIG", kubeconfig.as_str())][..], &[("KUBECONFIG", "/nowhere")]] {
        let output = webhook(&arguments, environment);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(69), "{said}");
        assert!(
            said.contains("kubernetesVersion is auto") && said.contains("or set kubernetesVersion"),
            "{said}"
        );
    }
}

/// Whatever says where something is can be said by a variable too: a flag's own name, in capitals.
#[test]
fn every_address_and_path_has_a_variable() {
    let output = webhook(&["--help"], &[]);
    let help = text(&output.stdout);
    let mut found = BTreeSet::new();
    let flags: Vec<&str> = help.split("\n      --").skip(1).collect();
    for flag in flags {
        let (name, rest) = flag.split_once([' ', '\n']).unwrap();
        if ["<FILE>", "<ADDRESS>", "<DIRECTORY>"].iter().any(|kind| rest.starts_with(kind)) {
            let variable = format!("[env: KEYSTOW_{}=", name.replace('-', "_").to_uppercase());
            assert!(rest.contains(&variable), "--{name} has no {variable}");
            found.insert(name);
        }
    }
    let expected = ["admin", "client-ca", "config", "listen", "self-signed", "tls-cert", "tls-key"];
    assert!(found.is_superset(&BTreeSet::from(expected)), "{found:?}");
}

/// Flags win over variables.
#[test]
fn a_flag_wins_over_its_variable() {
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join("other.yaml");
    fs::write(&other, "layout: kees\n").unwrap();
    let file = data("full.yaml");
    let output = webhook(
        &["--check-config", "--config", other.to_str().unwrap()],
        &[("KEYSTOW_CONFIG", file.to_str().unwrap())],
    );
    assert_ne!(text(&output.stdout), keystow::config::read(&full()).unwrap().to_yaml().unwrap());
    assert!(text(&output.stdout).contains("layout: kees"));
}

/// Each once started, and then looped, stayed silent, or panicked.
#[test]
fn flags_that_cannot_be_meant_are_refused_at_start() {
    for (flags, words) in [
        (&["--self-managed", "--server-name="][..], "give a DNS name"),
        (&["--self-managed", "--server-name", "a b"], "give a DNS name"),
        (&["--self-signed=x", "--self-signed-name="], "give a DNS name"),
        (&["--self-managed", "--lease="], "--lease"),
        (&["--self-managed", "--certificate-secret", "A_b"], "--certificate-secret"),
        (&["--self-managed", "--namespace", "K S"], "--namespace"),
        (&["--self-managed", "--webhook-configuration", "../x"], "--webhook-configuration"),
        (&["--self-managed", "--tls-key", "x"], "cannot be used with"),
        (&["--self-managed", "--leaf-lifetime=300d"], "--ca-lifetime"),
        (&["--tls-cert=x", "--tls-key=x", "--tls-interval=0s"], "100ms or more"),
        (&["--self-managed", "--log=inof"], "give error, warn, info, debug or trace"),
    ] {
        let output = webhook(flags, &[]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{flags:?}: {said}");
        assert!(said.contains(words), "{flags:?}: {said}");
    }
}

#[test]
fn a_file_that_is_no_configuration_is_refused_in_plain_words() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yaml");
    let deep = format!("injection: {}{}", "[".repeat(200), "]".repeat(200));
    for (content, words) in [
        ("layout: kees\n---\nlayout: keystow\n", "more than one document"),
        (deep.as_str(), "nested too deep"),
        (&"# long\n".repeat(200_000), "longer than"),
    ] {
        fs::write(&file, content).unwrap();
        let output = webhook(&["--check-config", "--config", file.to_str().unwrap()], &[]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains(words), "{said}");
    }
}
