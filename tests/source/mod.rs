//! Rust source as text, for tests that hold rules over it: files, words and signs, and what is not test code.
//!
//! This is not a parser of Rust. It knows comments, strings, characters and lifetimes well enough that no rule is
//! broken or kept by what stands in them.

#![allow(dead_code, reason = "each target that includes this uses its own part of it")]

pub(crate) mod paths;

use std::fs;
use std::path::{Path, PathBuf};

/// A word, a literal string or a sign of a source text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// A word as it is written, the inside of a literal string, or the sign.
    pub(crate) text: String,
    pub(crate) line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Word,
    Literal,
    /// One character, or `::`.
    Sign,
}

impl Token {
    pub(crate) fn is(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }

    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text == word
    }
}

/// The directory of the package.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below `directory` that `wanted` wants, sorted, by their path from the root of the package.
pub(crate) fn files(directory: &str, wanted: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![root().join(directory)];
    while let Some(directory) = directories.pop() {
        // A directory that is not there has no files: not every package has benches/.
        for entry in fs::read_dir(&directory).into_iter().flatten() {
            let path = entry.expect("a directory that can be read").path();
            if path.is_dir() {
                directories.push(path);
            } else if wanted(&path) {
                found.push(path.strip_prefix(root()).expect("a path below the root").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The Rust files below `directory`.
pub(crate) fn rust_files(directory: &str) -> Vec<PathBuf> {
    files(directory, |path| path.extension().is_some_and(|extension| extension == "rs"))
}

/// The text of a file, by its path from the root of the package.
pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The words, strings and signs of a text; comments are left out.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: text, line: 1, tokens: Vec::new() };
    while !lexer.rest.is_empty() {
        lexer.step();
    }
    lexer.tokens
}

/// A text without its test code.
pub(crate) struct Production {
    pub(crate) tokens: Vec<Token>,
    /// The modules that are test code as a whole and have a file of their own.
    pub(crate) test_modules: Vec<String>,
}

/// Leaves out every item behind `#[cfg(test)]`.
pub(crate) fn without_tests(tokens: &[Token]) -> Production {
    let mut production = Production { tokens: Vec::new(), test_modules: Vec::new() };
    let mut at = 0;
    while at < tokens.len() {
        match attribute_end(tokens, at) {
            Some(end) if is_for_tests(&tokens[at..end]) => {
                let item = item_end(tokens, end);
                if let [.., keyword, name, semicolon] = &tokens[end..item]
                    && keyword.is_word("mod")
                    && semicolon.is(";")
                {
                    production.test_modules.push(name.text.clone());
                }
                at = item;
            }
            _ => {
                production.tokens.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    production
}

/// Behind the attribute that begins at `at`, if one does.
fn attribute_end(tokens: &[Token], at: usize) -> Option<usize> {
    let begins = tokens[at].is("#") && tokens.get(at + 1).is_some_and(|next| next.is("["));
    begins.then(|| closing(tokens, at + 1))
}

fn is_for_tests(attribute: &[Token]) -> bool {
    let has = |word| attribute.iter().any(|token| token.is_word(word));
    attribute[2].is_word("cfg") && has("test") && !has("not")
}

/// Behind the item that begins at `start`, attributes included.
fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut at = start;
    while at < tokens.len() {
        if let Some(end) = attribute_end(tokens, at) {
            at = end;
        } else if tokens[at].is(";") {
            return at + 1;
        } else if tokens[at].is("{") {
            at = closing(tokens, at);
            // `use a::{b, c};` and `const A: X = X { … };` end with their semicolon.
            if !tokens.get(at).is_some_and(|next| next.is(";")) {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// Behind the bracket that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open).filter(|(_, token)| token.kind == Kind::Sign) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

struct Lexer<'t> {
    rest: &'t str,
    line: usize,
    tokens: Vec<Token>,
}

impl<'t> Lexer<'t> {
    fn step(&mut self) {
        let first = self.rest.chars().next().unwrap_or_default();
        if first.is_whitespace() {
            self.take(first.len_utf8());
        } else if self.rest.starts_with("//") {
            self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.comment();
        } else if first == '"' {
            self.string();
        } else if first == '\'' {
            self.character_or_lifetime();
        } else if first == '_' || first.is_alphanumeric() {
            self.word();
        } else {
            let length = if self.rest.starts_with("::") { 2 } else { first.len_utf8() };
            self.push(Kind::Sign, length);
        }
    }

    /// The next `length` bytes, which are behind us then.
    fn take(&mut self, length: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn push(&mut self, kind: Kind, length: usize) {
        let line = self.line;
        let text = self.take(length).to_owned();
        self.tokens.push(Token { kind, text, line });
    }

    /// Comments can be nested.
    fn comment(&mut self) {
        let mut depth = 0_usize;
        while !self.rest.is_empty() {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.take(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.take(2);
                if depth == 0 {
                    return;
                }
            } else {
                self.take(self.rest.chars().next().map_or(0, char::len_utf8));
            }
        }
    }

    fn string(&mut self) {
        self.take(1);
        let mut escaped = false;
        let end = self.rest.find(|c: char| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        self.push(Kind::Literal, end.unwrap_or(self.rest.len()));
        self.take(1.min(self.rest.len()));
    }

    /// A string between `"` and `"` with as many `#` around it.
    fn raw_string(&mut self, hashes: usize) {
        self.take(hashes + 1);
        let close = format!("\"{}", "#".repeat(hashes));
        self.push(Kind::Literal, self.rest.find(&close).unwrap_or(self.rest.len()));
        self.take(close.len().min(self.rest.len()));
    }

    fn character_or_lifetime(&mut self) {
        let mut characters = self.rest.char_indices().skip(1);
        let (first, second) = (characters.next(), characters.next());
        match (first, second) {
            (Some((_, '\\')), Some((at, escaped))) => {
                let from = at + escaped.len_utf8();
                let end = self.rest[from..].find('\'').map_or(self.rest.len(), |end| from + end + 1);
                self.take(end);
            }
            (Some(_), Some((at, '\''))) => drop(self.take(at + 1)),
            // The name of a lifetime is no word that a rule could be about.
            _ => {
                self.take(1);
                self.take(word_length(self.rest));
            }
        }
    }

    fn word(&mut self) {
        let length = word_length(self.rest);
        let (word, behind) = self.rest.split_at(length);
        let hashes = behind.len() - behind.trim_start_matches('#').len();
        let quoted = behind[hashes..].starts_with('"');
        match word {
            "r" | "br" | "cr" if quoted => {
                self.take(length);
                self.raw_string(hashes);
            }
            "b" | "c" if quoted && hashes == 0 => {
                self.take(length);
                self.string();
            }
            "b" if behind.starts_with('\'') => {
                self.take(length);
                self.character_or_lifetime();
            }
            "r" if hashes == 1 => {
                self.take(length + 1);
                self.push(Kind::Word, word_length(self.rest));
            }
            _ => self.push(Kind::Word, length),
        }
    }
}

fn word_length(text: &str) -> usize {
    text.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(text.len())
}
