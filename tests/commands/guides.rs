//! What the pages of docs/ show: manifests that are injected as they stand, commands whose flags there are, links that lead
//! somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use keystow::config;
use keystow::inject::manifest;
use serde_json::Value;

const CONFIG: &str = "\
stores:
  default: vault
  vault: {vault: {address: 'https://vault:8200', mount: secret, auth: {kubernetes: {role: veza, mount: kubernetes, audience: vault}}}}
  cluster: {kubernetes: {}}
  team: {kubernetes: {}}
localMode: {namespaces: ['*']}
";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page, with its text.
fn pages() -> Vec<(PathBuf, String)> {
    fn find(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                find(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                found.push(path);
            }
        }
    }
    let mut found = vec![root().join("README.md")];
    for directory in ["docs", "webhook-config", "certs"] {
        find(&root().join(directory), &mut found);
    }
    found.sort();
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// The blocks of a language, without the indentation of the list that they stand in.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block: Option<(usize, String)> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        match &mut block {
            None if line.trim_start() == format!("```{language}") => block = Some((indent, String::new())),
            None => {}
            Some(_) if line.trim_start() == "```" => found.extend(block.take().map(|(_, text)| text)),
            Some((indent, text)) => {
                text.push_str(line.get(*indent..).unwrap_or_default());
                text.push('\n');
            }
        }
    }
    found
}

#[test]
fn manifests_in_pages_are_injected_as_they_stand() {
    let settings = config::read(CONFIG).unwrap().offline();
    let mut tried = 0;
    for (path, text) in pages() {
        for block in blocks(&text, "yaml") {
            if !(block.contains(".bsycorp.com/") && block.contains("kind: ") && block.contains("spec:")) {
                continue;
            }
            match manifest::inject(&block, "veza", &settings) {
                Ok(documents) => {
                    let warnings: Vec<String> = documents
                        .iter()
                        .flat_map(|document| &document.injected)
                        .flat_map(|injected| &injected.warnings)
                        .map(ToString::to_string)
                        .collect();
                    assert!(warnings.is_empty(), "{}: {warnings:?}\n{block}", path.display());
                    tried += 1;
                }
                Err(errors) => panic!("{}: {errors:?}\n{block}", path.display()),
            }
        }
    }
    assert!(tried >= 7, "{tried}");
}

#[test]
fn configurations_in_pages_are_read() {
    let mut tried = 0;
    for (path, text) in pages() {
        for block in blocks(&text, "yaml") {
            let is_configuration =
                block.lines().any(|line| line.starts_with("stores:")) && !block.contains("kind:");
            // What has an ellipsis is no file.
            if is_configuration && !block.contains('…') {
                config::read(&block)
                    .unwrap_or_else(|mistakes| panic!("{}: {mistakes:?}\n{block}", path.display()));
                tried += 1;
            }
        }
    }
    assert!(tried >= 4, "{tried}");
}

#[test]
fn what_a_migration_promises_is_what_the_pod_gets() {
    let settings = config::read(CONFIG).unwrap().offline();
    let after = |page: &str| {
        let text = fs::read_to_string(root().join("docs/migration").join(page)).unwrap();
        let (_, after) = text.split_once("## After").unwrap();
        let block = blocks(after, "yaml").remove(0);
        let documents = manifest::inject(&block, "veza", &settings).unwrap();
        documents[0].result.clone().unwrap()
    };
    let names = |pod: &Value, field: &str, key: &str| -> BTreeSet<String> {
        let list = pod["spec"]["containers"][0][field].as_array().cloned().unwrap_or_default();
        list.iter().map(|one| one[key].as_str().unwrap_or_default().to_owned()).collect()
    };
    let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
    let pod = after("secret-key-ref.md");
    assert_eq!(names(&pod, "env", "name"), texts(&["JWT_SECRET_KEY"]));
    assert_eq!(names(&pod, "envFrom", "prefix"), texts(&["VEZA_"]));
    assert_eq!(names(&pod, "volumeMounts", "mountPath"), texts(&["/etc/tls"]));
    assert!(pod["spec"].get("initContainers").is_none());
    let pod = after("bank-vaults.md");
    assert_eq!(names(&pod, "env", "name"), texts(&["DB_PASSWORD", "DATABASE_URL"]));
    let pod = after("vault-k8s.md");
    assert_eq!(names(&pod, "volumeMounts", "mountPath"), texts(&["/vault/secrets"]));
}

#[test]
fn commands_in_pages_have_flags_that_there_are() {
    let mut tried = BTreeSet::new();
    for (path, text) in pages() {
        for block in blocks(&text, "sh") {
            for command in block.replace("\\\n", " ").lines().flat_map(|line| line.split(['|', '#'])) {
                let command = command.trim().trim_start_matches("target/release/");
                let Some(arguments) = command.strip_prefix("keystow ") else { continue };
                let words: Vec<String> =
                    arguments.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect();
                let words: Vec<&str> =
                    words.iter().map(String::as_str).take_while(|word| *word != ">").collect();
                // Everything before --help is read first.
                let output =
                    Command::new(env!("CARGO_BIN_EXE_keystow")).args(&words).arg("--help").output().unwrap();
                assert!(
                    output.status.success(),
                    "{}: {command}: {}",
                    path.display(),
                    String::from_utf8_lossy(&output.stderr)
                );
                tried.insert(command.to_owned());
            }
        }
    }
    assert!(tried.len() >= 20, "{tried:?}");
}

#[test]
fn links_between_pages_lead_somewhere() {
    for (path, text) in pages() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("http") || target.starts_with('#') || target.contains(' ') {
                continue;
            }
            let file = target.split('#').next().unwrap();
            let there = path.parent().unwrap().join(file);
            assert!(there.exists(), "{}: {target}", path.display());
        }
    }
}
