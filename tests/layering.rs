//! Holds the layers of the crate: what each may import, read from the source as text.
//!
//! Rules are about `use`, about paths that are written out (`std::fs::read(…)`), and about paths that begin with an
//! imported name (`use std::fs; … fs::read(…)`). Test code is free, and so is what stands in comments and strings. What
//! is brought in with all its parts (`use std::*;`, `pub use std::time;`) counts as bringing in the forbidden ones.

#[path = "source/mod.rs"]
mod source;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use source::Production;
use source::paths::{self, Named};

/// What reaches out of a function of values: the system, the clock, threads.
const IMPURE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::time::UNIX_EPOCH",
];

const PLAN_CRATES: &[&str] = &[
    "std",
    "aws_lc_rs::digest",
    // Hashes that nobody can try values against.
    "aws_lc_rs::hmac",
    // Keys and certificates in Secrets are looked at: whether halves belong together.
    "aws_lc_rs::rsa",
    "aws_lc_rs::signature",
    // Public keys, and their thumbprints.
    "jsonwebtoken",
    "pem",
    "x509_parser",
    "anstyle",
    "base64",
    "handlebars",
    // Instants: of that crate nothing else, since its types drop what they do not know.
    "k8s_openapi::jiff",
    "json_patch",
    "jsonptr",
    "minijinja",
    "serde",
    "serde_json",
    "serde_saphyr",
    "thiserror",
    "zeroize",
];

/// The rule: the layers from the bottom up.
const LAYERS: &[Layer] = &[
    Layer {
        name: "domain",
        modules: &["domain"],
        sees: &["domain"],
        crates: Crates::Only(&["std", "base64", "thiserror", "zeroize"]),
        never: IMPURE,
        is_async: false,
    },
    Layer {
        name: "handover",
        modules: &["handover", "sysexits"],
        sees: &["domain", "handover"],
        crates: Crates::Only(PLAN_CRATES),
        never: IMPURE,
        is_async: false,
    },
    Layer {
        name: "plan",
        modules: &["check", "export", "inject", "rotation", "template", "workload", "yaml"],
        sees: &["domain", "handover", "plan"],
        crates: Crates::Only(PLAN_CRATES),
        never: IMPURE,
        is_async: false,
    },
    Layer {
        name: "store",
        modules: &["generate", "store"],
        sees: &["domain", "handover", "store"],
        crates: Crates::Any,
        never: &[
            "axum",
            "clap",
            "kube::runtime",
            "kube_runtime",
            "std::env",
            "tracing",
            "tracing_subscriber",
        ],
        is_async: true,
    },
    Layer {
        name: "runtime",
        modules: &[
            "admin",
            "bucket",
            "certs",
            "cluster",
            "config",
            "controller",
            "init",
            "leader",
            "metrics",
            "provider",
            "readiness",
            "server",
            "shutdown",
            "survey",
            "telemetry",
            "webhook",
        ],
        sees: &["domain", "handover", "plan", "store", "runtime"],
        crates: Crates::Any,
        never: &["clap", "clap_complete"],
        is_async: true,
    },
    Layer {
        name: "command line",
        modules: &["cli", "lib", "main"],
        sees: &["domain", "handover", "plan", "store", "runtime", "command line"],
        crates: Crates::Any,
        never: &[],
        is_async: true,
    },
];

struct Layer {
    name: &'static str,
    /// The modules of the crate's root that are in it, with all below them.
    modules: &'static [&'static str],
    /// The layers whose modules it may use.
    sees: &'static [&'static str],
    /// What it may use of other crates.
    crates: Crates,
    /// What it may not use, though `crates` has it.
    never: &'static [&'static str],
    is_async: bool,
}

enum Crates {
    Any,
    /// These crates, or these parts of them.
    Only(&'static [&'static str]),
}

fn layer_of(module: &str) -> Option<&'static Layer> {
    LAYERS.iter().find(|layer| layer.modules.contains(&module))
}

#[derive(Debug)]
struct Violation {
    line: usize,
    layer: &'static str,
    used: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the layer `{}` may not use {}", self.line, self.layer, self.used)
    }
}

/// What a source text of a module breaks.
fn violations(module: &[&str], text: &str, crates: &[String]) -> Vec<Violation> {
    let layer = layer_of(module.first().unwrap_or(&"lib")).expect("a module with a layer");
    let Production { tokens, .. } = source::without_tests(&source::tokens(text));
    let named = paths::named(&tokens, module, crates);
    let mut found: Vec<Violation> = named
        .iter()
        // What came in by an import that is refused already is not told again.
        .filter(|named| {
            !layer.allows(named) && named.import.as_ref().is_none_or(|path| layer.allows_path(path))
        })
        .map(|named| Violation { line: named.line, layer: layer.name, used: named.path.join("::") })
        .collect();
    if !layer.is_async {
        let asynchronous = tokens.iter().filter(|token| token.is_word("async") || token.is_word("await"));
        found.extend(asynchronous.map(|token| Violation {
            line: token.line,
            layer: layer.name,
            used: token.text.clone(),
        }));
    }
    found
}

impl Layer {
    fn allows(&self, named: &Named) -> bool {
        // Parts of it can be named later where we do not see it.
        let opens = |rule: &str| named.is_open && begins_with(&named.path, rule);
        self.allows_path(&named.path) && !self.never.iter().any(|rule| opens(rule))
    }

    fn allows_path(&self, path: &[String]) -> bool {
        if let [first, rest @ ..] = path
            && first == "crate"
        {
            // What is in no layer's module is an item of lib.rs.
            let target =
                rest.first().and_then(|module| layer_of(module)).map_or("command line", |layer| layer.name);
            return self.sees.contains(&target);
        }
        let is_within = |rule: &str| begins_with(path, rule) && path.len() >= rule.split("::").count();
        let is_allowed = match self.crates {
            Crates::Any => true,
            Crates::Only(rules) => rules.iter().any(|rule| is_within(rule)),
        };
        is_allowed && !self.never.iter().any(|rule| is_within(rule))
    }
}

/// Whether one of them is the beginning of the other.
fn begins_with(path: &[String], rule: &str) -> bool {
    rule.split("::").zip(path).all(|(rule, segment)| rule == segment)
}

/// The crates that a path can begin with: the standard library and the dependencies of Cargo.toml.
fn known_crates() -> Vec<String> {
    let manifest = source::read(Path::new("Cargo.toml"));
    let mut section = "";
    let mut crates: Vec<String> = ["std", "core", "alloc"].map(String::from).into();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line.trim();
        } else if section.ends_with("dependencies]")
            && let Some((name, _)) = line.split_once('=')
        {
            crates.push(name.trim().replace('-', "_"));
        }
    }
    crates
}

/// `src/inject/plan.rs` is `inject::plan`.
fn module_of(file: &Path) -> Vec<String> {
    let inside = file.strip_prefix("src").expect("a file of src").with_extension("");
    inside.iter().map(|part| part.to_string_lossy().into_owned()).collect()
}

#[test]
fn every_module_has_a_layer() {
    let missing: BTreeSet<String> = source::rust_files("src")
        .iter()
        .map(|file| module_of(file)[0].clone())
        .filter(|module| layer_of(module).is_none())
        .collect();
    assert!(missing.is_empty(), "add these to a layer in tests/layering.rs: {missing:?}");
}

#[test]
fn every_module_keeps_to_its_layer() {
    let crates = known_crates();
    let files = source::rust_files("src");
    let test_files: Vec<_> = files
        .iter()
        .flat_map(|file| {
            let tests = source::without_tests(&source::tokens(&source::read(file))).test_modules;
            tests.into_iter().map(|name| file.with_extension("").join(name).with_extension("rs"))
        })
        .collect();
    let mut broken = Vec::new();
    for file in files.iter().filter(|file| !test_files.contains(file)) {
        let module = module_of(file);
        let module: Vec<&str> = module.iter().map(String::as_str).collect();
        let found = violations(&module, &source::read(file), &crates);
        broken.extend(found.iter().map(|violation| format!("{}:{violation}", file.display())));
    }
    assert!(broken.is_empty(), "against the layers of tests/layering.rs:\n{}", broken.join("\n"));
}

#[test]
fn violations_are_caught() {
    let table: &[(&[&str], &str, &str)] = &[
        (&["domain"], "use serde::Serialize;", "serde::Serialize"),
        (&["domain", "name"], "use super::super::inject::Plan;", "crate::inject::Plan"),
        (&["domain"], "use crate::handover::View;", "crate::handover::View"),
        (&["domain"], "fn f() { let x = std::env::var(\"A\"); }", "std::env::var"),
        (&["domain"], "pub(crate) use std::{fmt, fs as files};", "std::fs"),
        (&["domain"], "async fn f() {}", "async"),
        (&["handover"], "use crate::inject;", "crate::inject"),
        (&["inject", "plan"], "use std::time; fn f() { time::Instant::now(); }", "std::time::Instant::now"),
        (
            &["inject"],
            "fn f() { clock::SystemTime::now(); } use std::time as clock;",
            "std::time::SystemTime::now",
        ),
        (&["inject"], "use std::io::{self, Write}; fn f() { io::stdin(); }", "std::io::stdin"),
        (&["inject"], "use std as s; fn f() { s::fs::read(\"x\"); }", "std::fs::read"),
        (&["inject"], "use std::*;", "std"),
        (&["inject"], "use std::time::*;", "std::time"),
        (&["inject"], "pub(crate) use std::time;", "std::time"),
        (
            &["inject"],
            "fn f() -> core::time::Duration { ::std::time::Instant::now().elapsed() }",
            "std::time::Instant::now",
        ),
        (&["inject"], "use aws_lc_rs as crypto;", "aws_lc_rs"),
        (&["inject"], "use aws_lc_rs::rand::fill;", "aws_lc_rs::rand::fill"),
        (&["inject"], "fn f() { tokio::spawn(g()); }", "tokio::spawn"),
        (&["inject"], "use kube::Client;", "kube::Client"),
        (&["inject"], "use rand::random;", "rand::random"),
        (
            &["export"],
            "use std::{collections::{BTreeMap, HashMap}, process::Command};",
            "std::process::Command",
        ),
        (&["rotation"], "type T = Vec<std::net::IpAddr>;", "std::net::IpAddr"),
        (&["template"], "use crate::{config, domain::Name};", "crate::config"),
        (&["template"], "mod inner { use super::super::store::Store; }", "crate::store::Store"),
        (&["template"], "mod inner { fn f() {} } use super::store::Store;", "crate::store::Store"),
        (&["template"], "use crate::VERSION;", "crate::VERSION"),
        (&["store"], "use crate::inject::Plan;", "crate::inject::Plan"),
        (&["store", "vault"], "use tracing::info;", "tracing::info"),
        (&["store"], "fn f() { tracing::info!(\"x\"); }", "tracing::info"),
        (&["store"], "use kube::{Client, runtime::watcher};", "kube::runtime::watcher"),
        (&["generate"], "use std::env::var;", "std::env::var"),
        (&["webhook", "run"], "use crate::cli::main;", "crate::cli::main"),
        (&["init"], "#[derive(clap::Args)] struct A;", "clap::Args"),
    ];
    let crates = known_crates();
    for (module, text, used) in table {
        let found = violations(module, text, &crates);
        let found: Vec<&str> = found.iter().map(|violation| violation.used.as_str()).collect();
        assert_eq!(found, [*used], "{module:?}: {text}");
    }
}

#[test]
fn what_a_layer_may_do_is_no_violation() {
    let table: &[(&[&str], &str)] = &[
        (&["domain"], "use std::{fmt, time::Duration}; use zeroize::Zeroizing; use crate::domain::Name;"),
        (&["domain"], "mod name; pub use name::Name; use Name::A; use self::name::B; fn f() { name::g() }"),
        (&["domain", "name"], "use super::{path::Path, suggest}; fn f() { Self::g(); suggest::h(); }"),
        (&["domain"], "// std::fs::read\n/* use /* tokio */ kube; */ const A: &str = \"std::env::var\";"),
        (
            &["domain"],
            "const A: &str = r#\"\"use tokio::x;\"#; const B: char = '\"'; const C: u8 = b'\\''; fn f<'a>() {}",
        ),
        (&["domain"], "#[cfg(test)] mod tests { use std::fs; async fn f() { tokio::spawn(g()); } }"),
        (&["domain"], "#[cfg(test)] #[allow(x)] use {std::fs, tokio::fs}; #[cfg(test)] mod tests; struct A;"),
        (&["domain"], "fn f() -> impl Fn() + use<> { self.tokio::<T>() }"),
        (&["inject"], "use aws_lc_rs::digest; fn f() { digest::digest(&digest::SHA256, &[]); }"),
        (&["inject"], "use std::{io, time}; fn f(w: &mut dyn io::Write) -> time::Duration { g() }"),
        (&["inject"], "use crate::domain::bytes; fn f() { bytes::read(); }"),
        (&["store"], "use kube::Client; async fn f() { tokio::fs::read(\"x\").await; crate::domain::g(); }"),
        (&["webhook"], "use crate::{config, inject::Plan}; use tracing::info; fn f() { std::env::vars(); }"),
        (&["cli"], "use clap::Parser; use crate::webhook; fn f() { std::process::exit(1) }"),
        (&["lib"], "pub mod cli; pub use cli::main;"),
    ];
    let crates = known_crates();
    for (module, text) in table {
        let found = violations(module, text, &crates);
        assert!(found.is_empty(), "{module:?}: {text}\n{found:?}");
    }
}

#[test]
fn test_code_is_told_from_production() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { \"}\"; }\n}\n#[cfg(not(test))]\nfn c() {}\n#[cfg(test)]\nmod more;\nfn d() {}";
    let production = source::without_tests(&source::tokens(text));
    let functions: Vec<(&str, usize)> = production
        .tokens
        .windows(2)
        .filter(|pair| pair[0].is_word("fn"))
        .map(|pair| (pair[1].text.as_str(), pair[1].line))
        .collect();
    assert_eq!(functions, [("a", 1), ("c", 7), ("d", 10)]);
    assert_eq!(production.test_modules, ["more"]);
}
