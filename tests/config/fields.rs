//! The fields of the file: those that the program knows, those of `docs/configuration.md`, and those that are shown when
//! everything is set, are the same.
//!
//! The program is asked itself: a key that nobody knows is answered with those that are known.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use keystow::config;
use serde_json::{Value, json};

use super::golden::full;

const UNKNOWN: &str = "zzzzzzzzzzzzzzzzzzzzzzzz";

/// The keys that are known in the section at `path`; `None` where it is none. `NAME` is a name that the operator chooses,
/// `0` an entry of a list.
fn known(path: &[String]) -> Option<Vec<String>> {
    let file = path.iter().rev().fold(json!({UNKNOWN: 1}), |inner, key| match key.as_str() {
        "0" => json!([inner]),
        "NAME" => json!({"any": inner}),
        key => json!({key: inner}),
    });
    let mistakes = config::read(&file.to_string()).unwrap_err();
    let hint = mistakes.iter().filter(|mistake| mistake.path.ends_with(UNKNOWN));
    let mut hint = hint.filter_map(|mistake| mistake.message.split_once("known here: "));
    hint.next().map(|(_, keys)| keys.split(", ").map(String::from).collect())
}

/// The fields that hold no others.
fn leaves(path: &[String], found: &mut BTreeSet<String>) {
    for key in known(path).expect("a section") {
        let inner = |more: &[&str]| -> Vec<String> {
            path.iter()
                .cloned()
                .chain([key.clone()])
                .chain(more.iter().map(|part| (*part).to_owned()))
                .collect()
        };
        let sections = [inner(&[]), inner(&["NAME"]), inner(&["0"])];
        match sections.iter().find(|section| known(section).is_some()) {
            Some(section) => leaves(section, found),
            None => drop(found.insert(format!("/{}", inner(&[]).join("/")))),
        }
    }
}

fn fields() -> BTreeSet<String> {
    // Among the stores stands one key that is no store.
    let mut found = BTreeSet::from(["/stores/default".to_owned()]);
    leaves(&[], &mut found);
    assert!(
        found.contains("/stores/NAME/vault/auth/jwt/role") && found.contains("/prefixes/0/allow"),
        "{found:?}"
    );
    found
}

/// The rows of the document's tables: the path, and what stands between backticks in the cells behind it.
fn documented() -> BTreeMap<String, Vec<Option<String>>> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let document = fs::read_to_string(document).unwrap();
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `/"));
    rows.map(|row| {
        let (path, rest) = row.split_once('`').unwrap();
        let code = |cell: &str| Some(cell.trim().strip_prefix('`')?.strip_suffix('`')?.to_owned());
        (format!("/{path}"), rest.split('|').skip(1).map(code).collect())
    })
    .collect()
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The pointers that `path` can mean in `file`: one for each store where it has a `NAME`.
fn pointers(path: &str, file: &Value) -> Vec<String> {
    let stores = file["stores"].as_object().unwrap().keys();
    let named = stores.map(|name| path.replace("/NAME/", &format!("/{name}/")));
    named.filter(|pointer| file.pointer(pointer).is_some()).collect()
}

#[test]
fn the_document_has_every_field_and_no_other() {
    assert_eq!(documented().into_keys().collect::<BTreeSet<_>>(), fields());
}

#[test]
fn defaults_of_the_document_are_those_of_the_program() {
    let effective = yaml(&config::read("").unwrap().to_yaml().unwrap());
    for (path, cells) in documented() {
        let Some(default) = cells[1].as_deref() else {
            assert!(effective.pointer(&path).is_none_or(Value::is_null), "{path} has a default");
            continue;
        };
        if path.contains("/NAME/") {
            continue;
        }
        assert_eq!(effective.pointer(&path), Some(&yaml(default)), "{path}");
    }
}

#[test]
fn examples_of_the_document_are_taken() {
    for (path, cells) in documented() {
        let example = yaml(cells[2].as_deref().unwrap_or_else(|| panic!("{path} has no example")));
        let mut file = yaml(&full());
        let pointer =
            pointers(&path, &file).into_iter().next().unwrap_or_else(|| panic!("{path} is not in full.yaml"));
        *file.pointer_mut(&pointer).unwrap() = example;
        if let Err(mistakes) = config::read(&file.to_string()) {
            panic!("{path}: {mistakes:?}");
        }
    }
}

#[test]
fn every_field_is_shown_where_it_is_set() {
    let shown = yaml(&config::read(&full()).unwrap().to_yaml().unwrap());
    let hidden: Vec<_> = fields().into_iter().filter(|path| pointers(path, &shown).is_empty()).collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}
