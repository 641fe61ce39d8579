//! Holds what nobody would see in a review: files that nothing compiles, files that grow too long, files that do not
//! say what they are, commands that the documents name and that do not exist, scripts that do not parse.

#[path = "source/mod.rs"]
mod source;

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use source::{Kind, Token};

/// Lines of a file of `src` before its tests.
const LONGEST: usize = 400;
/// Where Rust files are.
const RUST: [&str; 4] = ["src", "tests", "benches", "fuzz"];

fn rust_files() -> Vec<PathBuf> {
    let built = |file: &PathBuf| !file.starts_with("fuzz/target");
    RUST.iter().flat_map(|directory| source::rust_files(directory)).filter(built).collect()
}

#[test]
fn every_rust_file_is_compiled() {
    let all: BTreeSet<PathBuf> = rust_files().into_iter().collect();
    let mut to_visit = roots();
    let mut reached = BTreeSet::new();
    let mut broken = Vec::new();
    while let Some((file, directory)) = to_visit.pop() {
        if !all.contains(&file) {
            broken.push(format!("{} is named and is not there", file.display()));
        } else if reached.insert(file.clone()) {
            to_visit.extend(modules(&file, &directory, &all));
        }
    }
    let lost = all.difference(&reached);
    broken.extend(
        lost.map(|file| format!("{} is reached by no `mod`, no `#[path]`, no target", file.display())),
    );
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The first file of each target, with the directory where its modules are.
fn roots() -> Vec<(PathBuf, PathBuf)> {
    let mut roots = vec![PathBuf::from("src/lib.rs")];
    for (manifest, base) in [("Cargo.toml", ""), ("fuzz/Cargo.toml", "fuzz")] {
        if source::root().join(manifest).exists() {
            let text = source::read(Path::new(manifest));
            let paths = text.lines().filter_map(|line| line.strip_prefix("path = \"")?.strip_suffix('"'));
            roots.extend(paths.filter(|path| path.ends_with(".rs")).map(|path| Path::new(base).join(path)));
            // One whose entry names no path is where Cargo looks for it.
            let benches =
                text.split("[[bench]]\nname = \"").skip(1).filter_map(|rest| rest.split_once("\"\n"));
            let unplaced = benches.filter(|(_, rest)| !rest.starts_with("path = "));
            roots.extend(unplaced.map(|(name, _)| Path::new(base).join(format!("benches/{name}.rs"))));
        }
    }
    roots.into_iter().map(|file| (file.clone(), parent(&file))).collect()
}

fn parent(file: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).to_owned()
}

/// The files of the modules that `file` declares, each with the directory where its own modules are.
fn modules(file: &Path, directory: &Path, all: &BTreeSet<PathBuf>) -> Vec<(PathBuf, PathBuf)> {
    let tokens = source::tokens(&source::read(file));
    let mut found = Vec::new();
    for (at, [keyword, name, end]) in tokens.array_windows().enumerate() {
        if !(keyword.is_word("mod") && name.kind == Kind::Word && end.is(";")) {
            continue;
        }
        if let Some(path) = path_attribute(&tokens[..at]) {
            let path = plain(&parent(file).join(path));
            found.push((path.clone(), parent(&path)));
        } else {
            let inside = directory.join(&name.text);
            let old = inside.join("mod.rs");
            let path = if all.contains(&old) { old } else { inside.with_extension("rs") };
            found.push((path, inside));
        }
    }
    found
}

/// The path in the attribute `#[path = "…"]` at the end of `before`, other attributes and `pub(…)` aside.
fn path_attribute(before: &[Token]) -> Option<&str> {
    let item = before.iter().rposition(|token| token.is(";") || token.is("}")).map_or(0, |end| end + 1);
    before[item..].windows(3).find_map(|tokens| match tokens {
        [word, equals, path] if word.is_word("path") && equals.is("=") => Some(path.text.as_str()),
        _ => None,
    })
}

/// `a/../b` is `b`.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
        plain
    })
}

#[test]
fn no_file_of_the_crate_is_too_long() {
    let mut broken = Vec::new();
    for file in source::rust_files("src") {
        let text = source::read(&file);
        let lines: Vec<&str> = text.lines().collect();
        let tests =
            lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod "));
        let length = tests.unwrap_or(lines.len());
        if length > LONGEST {
            broken.push(format!("{} has {length} lines, {LONGEST} are allowed: divide it", file.display()));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_rust_file_says_what_it_is() {
    let silent: Vec<String> = rust_files()
        .iter()
        .filter(|file| {
            let text = source::read(file);
            // A fuzz target begins with an attribute that has no other place.
            let first = text.lines().find(|line| !line.starts_with("#![no_main]"));
            !first.is_some_and(|line| line.starts_with("//! "))
        })
        .map(|file| file.display().to_string())
        .collect();
    assert!(silent.is_empty(), "without a `//!` at the top: {}", silent.join(", "));
}

#[test]
fn commands_of_the_documents_exist() {
    let makefile = source::read(Path::new("Makefile"));
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter(|line| !line.starts_with(['\t', '#', ' ', '.']) && !line.contains('='))
        .filter_map(|line| line.split_once(':'))
        .flat_map(|(targets, _)| targets.split_whitespace())
        .collect();
    assert!(targets.contains("help"), "no targets found in the Makefile: {targets:?}");
    let documents = source::files(".", |path| {
        let own = !["target", ".git"].iter().any(|other| path.starts_with(source::root().join(other)));
        own && path.extension().is_some_and(|extension| extension == "md")
    });
    let mut broken = Vec::new();
    for document in documents {
        for target in commands(&source::read(&document), "make ") {
            if !targets.contains(target.as_str()) {
                broken.push(format!("{}: the Makefile has no `{target}`", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The words behind `command` where a document's code begins with it: in a fence, or between backticks.
fn commands(document: &str, command: &str) -> Vec<String> {
    let mut in_fence = false;
    let mut found = Vec::new();
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
            continue;
        }
        let spans: Vec<&str> =
            if in_fence { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        let starts =
            spans.iter().filter_map(|span| span.trim().trim_start_matches("$ ").strip_prefix(command));
        found.extend(starts.filter_map(|rest| rest.split_whitespace().next()).map(String::from));
    }
    found
}

#[test]
fn commands_are_found_in_documents() {
    let document =
        "Make sure; `make demo`, `cmake x` and make it.\n```sh\nmake test V=1\n$ make lint\n```\n`a` make b";
    assert_eq!(commands(document, "make "), ["demo", "test", "lint"]);
}

#[test]
fn every_shell_script_parses() {
    let is_script = |path: &Path| {
        let shell = |text: &[u8]| text.starts_with(b"#!/usr/bin/env bash") || text.starts_with(b"#!/bin/sh");
        path.extension().is_some_and(|extension| extension == "sh")
            || path.extension().is_none() && std::fs::read(path).is_ok_and(|text| shell(&text))
    };
    let mut scripts = Vec::new();
    for directory in ["tests", "webhook-config", "certs", ".ci"] {
        scripts.extend(source::files(directory, is_script));
    }
    assert!(scripts.len() >= 2, "too few scripts were found: {scripts:?}");
    let mut broken = Vec::new();
    for script in scripts {
        let path = source::root().join(&script);
        let output = Command::new("bash").arg("-n").arg(&path).stdin(Stdio::null()).output().expect("bash");
        if !output.status.success() {
            broken.push(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        if !source::read(&script).contains("\nset -euo pipefail\n") {
            broken.push(format!("{}: has no `set -euo pipefail`", script.display()));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
