//! The paths that a source text names: by `use`, written out, or through an imported name.

use std::collections::{BTreeMap, BTreeSet};

use super::{Kind, Token};

/// A path from the root: `["crate", …]`, or `["std", …]` and the like.
pub(crate) type Path = Vec<String>;

/// A path that the source names.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) path: Path,
    pub(crate) line: usize,
    /// An import that brings in all parts: by `*`, or as `pub`, for others to name them.
    pub(crate) is_open: bool,
    /// The import that the first name stands for.
    pub(crate) import: Option<Path>,
}

/// The paths in `tokens`, a text of the module `module`, into that module's own crate and into `crates`.
pub(crate) fn named(tokens: &[Token], module: &[&str], crates: &[String]) -> Vec<Named> {
    let modules = tokens.windows(2).filter(|pair| pair[0].is_word("mod")).map(|pair| pair[1].text.clone());
    let mut reader = Reader {
        tokens,
        at: 0,
        module: module.iter().map(ToString::to_string).collect(),
        inline: Vec::new(),
        depth: 0,
        local: modules.collect(),
        imports: BTreeMap::new(),
        written: Vec::new(),
        named: Vec::new(),
    };
    reader.read();
    reader.finish(crates)
}

struct Reader<'t> {
    tokens: &'t [Token],
    at: usize,
    /// Where we are: the module of the file, and inline modules in it with the depth of their braces.
    module: Vec<String>,
    inline: Vec<usize>,
    depth: usize,
    /// Names that mean something of this text's own.
    local: BTreeSet<String>,
    /// What imported names stand for.
    imports: BTreeMap<String, Path>,
    /// Paths whose first name is looked up when all imports are known.
    written: Vec<(Vec<String>, usize)>,
    named: Vec<Named>,
}

impl<'t> Reader<'t> {
    fn read(&mut self) {
        while let Some(token) = self.peek() {
            let next_is = |sign| self.tokens.get(self.at + 1).is_some_and(|next| next.is(sign));
            if token.is_word("use") && !next_is("<") {
                let before = self.at.checked_sub(1).map(|before| &self.tokens[before]);
                let is_public = before.is_some_and(|token| token.is_word("pub") || token.is(")"));
                self.at += 1;
                self.skip_sign("::");
                self.tree(&[], token.line, is_public);
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

    fn finish(mut self, crates: &[String]) -> Vec<Named> {
        for (path, line) in self.written {
            let first = &path[0];
            if let Some(import) = self.imports.get(first) {
                let path = import.iter().chain(&path[1..]).cloned().collect();
                self.named.push(Named { path, line, is_open: false, import: Some(import.clone()) });
            } else if !self.local.contains(first) && (first == "crate" || crates.contains(first)) {
                self.named.push(Named { path: absolute(&[], &path), line, is_open: false, import: None });
            }
        }
        self.named.sort_by_key(|named| named.line);
        self.named
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

    /// A path in code. One name alone was imported, if it is not of this text.
    fn path(&mut self, line: usize) {
        let is_field = self.at > 0 && self.tokens[self.at - 1].is(".");
        let mut segments = Vec::from_iter(self.word());
        while self.peek().is_some_and(|token| token.is("::"))
            && self.tokens.get(self.at + 1).is_some_and(|token| token.kind == Kind::Word)
        {
            self.at += 1;
            segments.extend(self.word());
        }
        if segments.len() > 1 && !is_field {
            // `self` and `super` depend on where they stand.
            let is_relative = matches!(segments[0].as_str(), "self" | "super");
            let path = if is_relative { absolute(&self.module, &segments) } else { segments };
            self.written.push((path, line));
        }
    }

    /// What stands behind `use`, or in its braces.
    fn tree(&mut self, prefix: &[String], line: usize, is_public: bool) {
        let mut segments = prefix.to_vec();
        loop {
            if self.skip_sign("{") {
                while !self.skip_sign("}") && self.peek().is_some() {
                    self.tree(&segments, line, is_public);
                    self.skip_sign(",");
                }
                return;
            }
            if self.skip_sign("*") {
                return self.import(&segments, None, line, true);
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
        self.import(&segments, bound, line, is_public);
    }

    fn import(&mut self, segments: &[String], bound: Option<String>, line: usize, is_open: bool) {
        let Some(first) = segments.first() else { return };
        // A module or a type of this text, whose own imports are looked at where they stand.
        if self.local.contains(first) || first.starts_with(char::is_uppercase) {
            self.local.extend(bound);
            return;
        }
        let path = absolute(&self.module, segments);
        if let Some(name) = bound {
            self.imports.insert(name, path.clone());
        }
        self.named.push(Named { path, line, is_open, import: None });
    }
}

/// `segments`, named in `module`, from the root.
fn absolute(module: &[String], segments: &[String]) -> Path {
    let (mut base, mut rest) = match segments[0].as_str() {
        "crate" => (Vec::new(), &segments[1..]),
        "self" | "super" => (module.to_vec(), segments),
        // The standard library by its other names.
        "core" | "alloc" => {
            return std::iter::once("std".to_owned()).chain(segments[1..].iter().cloned()).collect();
        }
        _ => return segments.to_vec(),
    };
    while let [first, more @ ..] = rest
        && matches!(first.as_str(), "self" | "super")
    {
        if first == "super" {
            base.pop();
        }
        rest = more;
    }
    std::iter::once("crate".to_owned()).chain(base).chain(rest.iter().cloned()).collect()
}
