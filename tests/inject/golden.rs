//! Golden pairs: `tests/data/inject/NAME.pod.yaml` and what becomes of it.
//!
//! `NAME.patch.json` holds the operations, `NAME.denied.txt` the reasons of a refusal, `NAME.warnings.txt` what is
//! warned of; without any of them the pod is left as it is. `NAME.config.yaml` is the operator's configuration where
//! it is not the default. Every patch is applied, and planned again: there must be nothing left to do.
//!
//! `UPDATE_GOLDEN=1 cargo test --test inject` writes the results instead of comparing them; read the difference.

use std::fs;
use std::path::{Path, PathBuf};

use keystow::config;
use keystow::handover::IS_GPG_CARRIED;
use keystow::inject::{Pod, Verdict, plan};
use keystow::yaml;
use serde_json::Value;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/inject")
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Compares with the file, or writes it. No text, no file.
fn check(path: &Path, found: Option<String>, failures: &mut Vec<String>) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        match found {
            Some(text) => fs::write(path, text).unwrap(),
            None => drop(fs::remove_file(path)),
        }
        return;
    }
    let expected = read(path);
    if expected != found {
        failures.push(format!(
            "{}\n--- expected\n{}\n--- found\n{}",
            path.display(),
            expected.unwrap_or_default(),
            found.unwrap_or_default()
        ));
    }
}

fn lines(texts: impl IntoIterator<Item = String>) -> Option<String> {
    let text: String = texts.into_iter().map(|line| line + "\n").collect();
    (!text.is_empty()).then_some(text)
}

fn try_one(name: &str, failures: &mut Vec<String>) {
    let file = |kind: &str| directory().join(format!("{name}.{kind}"));
    let settings = config::read(&read(&file("config.yaml")).unwrap_or_default()).unwrap().offline();
    let pod = yaml::parse(&read(&file("pod.yaml")).unwrap(), yaml::Duplicates::Refused).unwrap();
    let json = pod.to_string();
    let namespace = pod.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or("demo");
    let view = Pod::from_json(json.as_bytes()).unwrap();
    let (mut patch, mut denied, mut warned) = (None, None, Vec::new());
    match plan(&view, namespace, &settings) {
        Ok(Verdict::Skip(_)) => {}
        Ok(Verdict::Inject(plan)) => {
            warned = plan.warnings.iter().map(ToString::to_string).collect();
            let operations: Vec<_> = plan.changes.iter().map(keystow::inject::Change::operation).collect();
            if !operations.is_empty() {
                patch = Some(serde_json::to_string_pretty(&operations).unwrap() + "\n");
                let mut patched = pod.clone();
                json_patch::patch(&mut patched, &operations).unwrap_or_else(|e| panic!("{name}: {e}"));
                let again = patched.to_string();
                let view = Pod::from_json(again.as_bytes()).unwrap();
                match plan_changes(&view, namespace, &settings) {
                    changes if changes.is_empty() => {}
                    changes => failures.push(format!("{name}: planned again, there is more: {changes:?}")),
                }
            }
        }
        Err(denial) => {
            warned = denial.warnings.iter().map(ToString::to_string).collect();
            denied = lines(denial.messages);
        }
    }
    if name.ends_with("-is-refused") && denied.is_none() {
        failures.push(format!("{name}: is not refused"));
    }
    check(&file("patch.json"), patch, failures);
    check(&file("denied.txt"), denied, failures);
    check(&file("warnings.txt"), lines(warned), failures);
}

fn plan_changes(
    view: &Pod<'_>,
    namespace: &str,
    settings: &keystow::inject::Settings,
) -> Vec<keystow::inject::Change> {
    match plan(view, namespace, settings) {
        Ok(Verdict::Inject(plan)) => plan.changes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_pair_is_as_it_is_written() {
    let mut failures = Vec::new();
    let mut names: Vec<String> = fs::read_dir(directory())
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".pod.yaml")?.to_owned()))
        .collect();
    names.sort();
    assert!(names.len() > 30, "where are the pairs?");
    for name in &names {
        try_one(name, &mut failures);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn a_build_admits_the_openpgp_keys_that_its_init_container_derives() {
    let settings =
        config::read("stores: {dev: {local: {}}}\nlocalMode: {namespaces: [demo]}\n").unwrap().offline();
    for mode in ["false", "true"] {
        let pod = serde_json::json!({
            "metadata": { "annotations": {
                "init.bsycorp.com/local-mode": mode,
                "secret.bsycorp.com/mail_public": "kind=DYNAMIC,type=GPG,size=2048,userId=a<b@c>",
            } },
            "spec": { "containers": [{ "name": "app" }] },
        })
        .to_string();
        let refused = match plan(&Pod::from_json(pod.as_bytes()).unwrap(), "demo", &settings) {
            Ok(Verdict::Inject(_)) => None,
            Ok(other) => panic!("{mode}: {other:?}"),
            Err(denial) => Some(denial.messages.join("\n")),
        };
        assert_eq!(refused.is_none(), IS_GPG_CARRIED, "{mode}: {refused:?}");
        if let Some(message) = refused {
            assert!(message.ends_with("this build derives no GPG keys"), "{message}");
        }
    }
}
