//! Holds the layers of the crate: what each may import, read from the source as text.
//!
//! Rules are about `use` and about paths that are written out (`std::fs::read(…)`). Test code is free, and so is
//! what stands in comments and strings. What is brought in under a cover that hides a forbidden part (`use
//! std::time;`, `use std::*;`) counts as bringing in the part.

#[path = "source/mod.rs"]
mod source;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use source::{Kind, Production, Token};

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
    "base64",
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
        modules: &["handover"],
        sees: &["domain", "handover"],
        crates: Crates::Only(PLAN_CRATES),
        never: IMPURE,
        is_async: false,
    },
    Layer {
        name: "plan",
        modules: &["export", "inject", "rotation", "template"],
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
            "certs",
            "config",
            "controller",
            "init",
            "metrics",
            "provider",
            "readiness",
            "shutdown",
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

/// A path that the source names.
#[derive(Debug)]
struct Named {
    segments: Vec<String>,
    line: usize,
    /// By `use`, so that parts of it can be named later.
    is_imported: bool,
}

/// What a source text of a module breaks.
fn violations(module: &[&str], text: &str, crates: &[String]) -> Vec<Violation> {
    let layer = layer_of(module.first().unwrap_or(&"lib")).expect("a module with a layer");
    let Production { tokens, .. } = source::without_tests(&source::tokens(text));
    let mut reader = Reader::new(&tokens, module, crates);
    reader.read();
    let mut found: Vec<Violation> = reader
        .named
        .iter()
        .filter(|named| !layer.allows(named))
        .map(|named| Violation { line: named.line, layer: layer.name, used: named.segments.join("::") })
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
        let segments: Vec<&str> = named.segments.iter().map(String::as_str).collect();
        if let ["crate", rest @ ..] = segments.as_slice() {
            // What is in no layer's module is an item of lib.rs.
            let target =
                rest.first().and_then(|module| layer_of(module)).map_or("command line", |layer| layer.name);
            return self.sees.contains(&target);
        }
        let begins_with =
            |rule: &str| rule.split("::").zip(&segments).all(|(rule, segment)| rule == *segment);
        let is_within = |rule: &str| begins_with(rule) && segments.len() >= rule.split("::").count();
        let is_allowed = match self.crates {
            Crates::Any => true,
            Crates::Only(rules) => rules.iter().any(|rule| is_within(rule)),
        };
        let is_cover = |rule: &str| named.is_imported && begins_with(rule);
        is_allowed && !self.never.iter().any(|rule| is_within(rule) || is_cover(rule))
    }
}

/// Reads the paths of a file.
struct Reader<'t> {
    tokens: &'t [Token],
    at: usize,
    /// Where we are: the module of the file, and inline modules in it with the depth of their braces.
    module: Vec<String>,
    inline: Vec<usize>,
    depth: usize,
    crates: &'t [String],
    /// Names that mean something of the file's own.
    local: BTreeSet<String>,
    named: Vec<Named>,
}

impl<'t> Reader<'t> {
    fn new(tokens: &'t [Token], module: &[&str], crates: &'t [String]) -> Self {
        let local = tokens.windows(2).filter(|pair| pair[0].is_word("mod")).map(|pair| pair[1].text.clone());
        Self {
            tokens,
            at: 0,
            module: module.iter().map(ToString::to_string).collect(),
            inline: Vec::new(),
            depth: 0,
            crates,
            local: local.collect(),
            named: Vec::new(),
        }
    }

    fn peek(&self) -> Option<&'t Token> {
        self.tokens.get(self.at)
    }

    fn skip_sign(&mut self, sign: &str) -> bool {
        let is_there = self.peek().is_some_and(|token| token.is(sign));
        self.at += usize::from(is_there);
        is_there
    }

    fn word(&mut self) -> Option<String> {
        let token = self.peek().filter(|token| token.kind == Kind::Word)?;
        self.at += 1;
        Some(token.text.clone())
    }

    fn read(&mut self) {
        while let Some(token) = self.peek() {
            let next_is = |sign| self.tokens.get(self.at + 1).is_some_and(|next| next.is(sign));
            if token.is_word("use") && !next_is("<") {
                self.at += 1;
                self.skip_sign("::");
                self.tree(&[], token.line);
            } else if token.is_word("mod") {
                self.at += 1;
                self.inline_module();
            } else if token.kind == Kind::Word {
                self.path(token.line);
            } else {
                self.brace(token);
                self.at += 1;
            }
        }
    }

    fn inline_module(&mut self) {
        let Some(name) = self.word() else { return };
        if self.peek().is_some_and(|token| token.is("{")) {
            self.module.push(name);
            self.inline.push(self.depth);
        }
    }

    fn brace(&mut self, token: &Token) {
        if token.is("{") {
            self.depth += 1;
        } else if token.is("}") {
            self.depth = self.depth.saturating_sub(1);
            if self.inline.last() == Some(&self.depth) {
                self.inline.pop();
                self.module.pop();
            }
        }
    }

    /// A path in code. One segment alone names nothing of another crate.
    fn path(&mut self, line: usize) {
        let is_field = self.at > 0 && self.tokens[self.at - 1].is(".");
        let mut segments = Vec::from_iter(self.word());
        while self.peek().is_some_and(|token| token.is("::"))
            && self.tokens.get(self.at + 1).is_some_and(|token| token.kind == Kind::Word)
        {
            self.at += 1;
            segments.extend(self.word());
        }
        let first = segments[0].as_str();
        let is_own = matches!(first, "crate" | "self" | "super");
        let is_foreign = !self.local.contains(first) && self.crates.iter().any(|known| known == first);
        if segments.len() > 1 && !is_field && (is_own || is_foreign) {
            self.name(segments, line, false);
        }
    }

    /// What stands behind `use`, or in its braces.
    fn tree(&mut self, prefix: &[String], line: usize) {
        let mut segments = prefix.to_vec();
        loop {
            if self.skip_sign("{") {
                while !self.skip_sign("}") && self.peek().is_some() {
                    self.tree(&segments, line);
                    self.skip_sign(",");
                }
                return;
            }
            if self.skip_sign("*") {
                return self.import(segments, None, line);
            }
            match self.word() {
                // `a::{self}` is `a`; `self` in front is this module.
                Some(word) if word == "self" && !segments.is_empty() => {}
                Some(word) => segments.push(word),
                // No Rust, and not for us to say so.
                None => return self.at += 1,
            }
            if !self.skip_sign("::") {
                break;
            }
        }
        let bound = match self.peek() {
            Some(token) if token.is_word("as") => {
                self.at += 1;
                self.word()
            }
            _ => segments.last().cloned(),
        };
        self.import(segments, bound, line);
    }

    fn import(&mut self, segments: Vec<String>, bound: Option<String>, line: usize) {
        let first = segments.first().cloned().unwrap_or_default();
        // A module or a type of this file, whose own imports are looked at where they stand.
        let is_local = self.local.contains(&first) || first.starts_with(char::is_uppercase);
        if segments.len() > 1 {
            self.local.extend(bound);
        }
        if !is_local {
            self.name(segments, line, true);
        }
    }

    fn name(&mut self, segments: Vec<String>, line: usize, is_imported: bool) {
        let mut rest = segments.as_slice();
        let mut base = match rest.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self" | "super") => self.module.clone(),
            // The standard library by its other names.
            Some("core" | "alloc") => {
                let segments = std::iter::once("std".to_owned()).chain(rest[1..].iter().cloned()).collect();
                return self.named.push(Named { segments, line, is_imported });
            }
            _ => return self.named.push(Named { segments, line, is_imported }),
        };
        while let [first, more @ ..] = rest
            && matches!(first.as_str(), "crate" | "self" | "super")
        {
            if first == "super" {
                base.pop();
            }
            rest = more;
        }
        let segments = std::iter::once("crate".to_owned()).chain(base).chain(rest.iter().cloned()).collect();
        self.named.push(Named { segments, line, is_imported });
    }
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
        (&["inject", "plan"], "use std::time;", "std::time"),
        (&["inject"], "use std::*;", "std"),
        (&["inject"], "use std::time::{self, Duration};", "std::time"),
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
