//! `keystow check -f`: files, lines, the forms of the result, exit codes.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use keystow::check::Code;
use serde_json::Value;
use tempfile::TempDir;

const MANIFEST: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: shop
  annotations:
    secret.bsycorp.com/misplaced: kind=REFERENCE,type=PASSWORD
spec:
  template:
    metadata:
      annotations:
        secret.bsycorp.com/a: kind=BLAH
        secret.bsycorp.com/a: kind=BLUB
        secrets.bsycorp.com/b: kind=REFERENCE,type=PASSWORD
    spec:
      containers:
      - name: app
        image: app:1
        env:
        - name: DB_PASSWORD
          value: Zk3w9QpL2xYc8vBn
        - name: JWT
          valueFrom: {secretKeyRef: {name: jwt-secret, key: secretkey}}
---
apiVersion: v1
kind: Secret
metadata:
  name: jwt-secret
stringData:
  secret-key: changeme
---
kind: [
";

/// What is found in it: the code, the line, and a word of the message.
const EXPECTED: [(&str, u64, &str); 9] = [
    ("KS206", 6, "misplaced"),
    ("KS201", 12, "kind=BLUB"),
    ("KS003", 12, "stands twice"),
    ("KS208", 13, "secret.bsycorp.com/b was probably meant"),
    ("KS414", 19, "DB_PASSWORD"),
    ("KS402", 22, "secret-key was probably meant"),
    ("KS416", 24, "jwt-secret"),
    ("KS405", 29, "is a default"),
    ("KS002", 31, "not YAML"),
];

fn check(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keystow"))
        .arg("check")
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn manifest() -> (TempDir, String) {
    let directory = TempDir::new().unwrap();
    let path: PathBuf = directory.path().join("shop.yaml");
    fs::write(&path, MANIFEST).unwrap();
    let path = path.display().to_string();
    (directory, path)
}

#[test]
fn each_fault_has_its_line() {
    let (_directory, path) = manifest();
    let output = check(&["-f", &path, "--format", "json"]);
    assert_eq!(output.status.code(), Some(65), "{}", text(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = document["findings"].as_array().unwrap();
    for (code, line, word) in EXPECTED {
        let found = findings.iter().find(|finding| {
            finding["code"] == code
                && finding["line"] == line
                && finding["message"].as_str().unwrap().contains(word)
        });
        assert!(found.is_some_and(|finding| finding["file"] == path.as_str()), "{code} {line}: {document:#}");
    }
    assert_eq!(findings.len(), EXPECTED.len(), "{document:#}");
    assert!(!text(&output.stdout).contains("changeme") && !text(&output.stdout).contains("Zk3w9Q"));
}

#[test]
fn an_object_without_a_name_is_told_by_its_generate_name() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("pod.yaml").display().to_string();
    let pod = "\
apiVersion: v1
kind: Pod
metadata:
  generateName: nightly-
  annotations:
    secret.bsycorp.com/a: kind=BLAH
spec:
  containers:
  - name: app
    image: app:1
";
    fs::write(&path, pod).unwrap();
    let output = check(&["-f", &path, "--format", "json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = document["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{document:#}");
    assert!(findings[0]["object"].as_str().unwrap().ends_with("nightly-"), "{document:#}");
}

#[test]
fn sarif_has_a_rule_and_a_place_for_each_result() {
    let (_directory, path) = manifest();
    let output = check(&["-f", &path, "--format", "sarif"]);
    let log: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&log["version"], log["runs"].as_array().unwrap().len()), (&Value::from("2.1.0"), 1));
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), Code::ALL.len());
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), EXPECTED.len());
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let physical = &result["locations"][0]["physicalLocation"];
        assert!(physical["region"]["startLine"].as_u64().unwrap() >= 1);
        assert_eq!(physical["artifactLocation"]["uri"], path.as_str());
        assert_eq!(result["partialFingerprints"]["keystow/v1"].as_str().unwrap().len(), 32);
    }
}

#[test]
fn a_fingerprint_does_not_change_with_the_line() {
    let directory = TempDir::new().unwrap();
    let fingerprints = |prefix: &str| {
        let path = directory.path().join("shop.yaml");
        fs::write(&path, format!("{prefix}{}", MANIFEST.split("---").next().unwrap())).unwrap();
        let output = check(&["-f", path.to_str().unwrap(), "--format", "sarif"]);
        let log: Value = serde_json::from_slice(&output.stdout).unwrap();
        let results = log["runs"][0]["results"].as_array().unwrap().clone();
        results.iter().map(|result| result["partialFingerprints"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(fingerprints(""), fingerprints("# one more line\n"));
}

#[test]
fn the_exit_code_is_what_a_pipeline_goes_by() {
    let (directory, path) = manifest();
    let good = directory.path().join("good.yaml");
    let pod = "kind: Pod\nmetadata: {name: a, annotations: {secret.bsycorp.com/a: 'kind=KUBERNETES,secret=a,key=b,env=C'}}\nspec: {containers: [{name: c, image: 'c:1'}]}\n";
    fs::write(&good, pod).unwrap();
    let odd = directory.path().join("odd.yaml");
    fs::write(&odd, pod.replace("env=C", "env=C,optionl=true")).unwrap();
    let [good, odd] = [good, odd].map(|path| path.display().to_string());
    for (arguments, code, told) in [
        (&["-f", &good][..], 0, "ok: nothing found in 1 objects"),
        (&["-f", &path], 65, "KS201"),
        (&["-f", &path, "--fail-on", "never"], 0, "KS201"),
        (&["-f", &odd], 65, "KS202"),
        (&["-f", &odd, "--fail-on", "error"], 0, "KS202"),
        (&["-f", &good, "--production", "--fail-on", "note"], 65, "KS902"),
        (&["-f", &good, "--production"], 0, "KS902"),
        (&["-f", "/nowhere"], 66, ""),
        (&[], 64, ""),
        (&["--explain", "ks402"], 0, "Pods that need it do not start"),
        (&["--explain", "KS999"], 64, ""),
        (&["-f", &good, "--max-age", "soon"], 64, ""),
    ] {
        let output = check(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains(told), "{arguments:?}: {}", text(&output.stdout));
        assert!(!text(&output.stdout).contains('\u{1b}'), "colours where there is no terminal");
    }
    let result = directory.path().join("result.sarif");
    let output = check(&["-f", &path, "--format", "sarif", "-o", result.to_str().unwrap()]);
    assert!(output.stdout.is_empty() && fs::read_to_string(result).unwrap().contains("2.1.0"));
}

#[test]
fn codes_are_told_in_the_page_and_by_the_program_alike() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/check.md")).unwrap();
    for code in Code::ALL {
        let row = format!("| {} | {} | {} |", code.id(), code.severity(), code.title());
        assert!(page.contains(&row), "docs/check.md has no row {row}");
        assert!(code.explanation().len() > 60, "{}", code.id());
    }
    let rows = page.lines().filter(|line| line.starts_with("| KS")).count();
    assert_eq!(rows, Code::ALL.len());
}
