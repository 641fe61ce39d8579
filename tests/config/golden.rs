//! Golden files: all mistakes of one file in one start, and the configuration that is in effect.

use std::fs;
use std::path::{Path, PathBuf};

use keystow::config::{self, Configuration};

/// A file of `tests/data/config/`.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config").join(name)
}

pub(crate) fn full() -> String {
    fs::read_to_string(data("full.yaml")).unwrap()
}

fn check(name: &str, found: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(data(name), found).unwrap();
    }
    assert_eq!(fs::read_to_string(data(name)).unwrap(), found, "{name}");
}

fn read(text: &str) -> Configuration {
    config::read(text).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

#[test]
fn every_mistake_is_told_in_one_start() {
    let mistakes = config::read(&fs::read_to_string(data("mistakes.yaml")).unwrap()).unwrap_err();
    let told: String =
        mistakes.iter().map(|mistake| format!("{}: {mistake}\n", mistake.line.unwrap())).collect();
    check("mistakes.txt", &told);
    assert!(mistakes.len() >= 25, "{}", mistakes.len());
    // The order of the file, and nothing twice.
    assert!(mistakes.is_sorted_by(|a, b| a.line <= b.line && a != b), "{told}");
}

#[test]
fn what_is_in_effect_is_shown_with_its_defaults() {
    check("defaults.effective.yaml", &read("").to_yaml().unwrap());
    check("full.effective.yaml", &read(&full()).to_yaml().unwrap());
}

#[test]
fn what_is_shown_means_the_same_when_it_is_read_again() {
    for text in [String::new(), full(), "stores: {a: {local: {}}, b: {kubernetes: }, default: b}".to_owned()]
    {
        let configuration = read(&text);
        let shown = configuration.to_yaml().unwrap();
        let again = read(&shown);
        assert_eq!(again.to_yaml().unwrap(), shown);
        assert_eq!(format!("{again:?}"), format!("{configuration:?}"));
    }
}

/// What is installed by default is taken, and is no other version's.
#[test]
fn the_configuration_that_is_shipped_is_taken() {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("webhook-config/base/config.yaml");
    let shipped = read(&fs::read_to_string(base).unwrap());
    assert_eq!(shipped.to_yaml().unwrap(), read("").to_yaml().unwrap());
}
