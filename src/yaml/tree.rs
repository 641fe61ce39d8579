//! YAML as a tree that knows its lines: what any file can say, before anybody asks what it means.
//!
//! Read by YAML 1.1, as [`super::parse`] reads. Keys that are given twice are both kept, so that they are told together with
//! all other mistakes.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use serde_saphyr::options::DuplicateKeyPolicy;

/// A value and its line.
#[derive(Debug)]
pub struct Node {
    /// Counted from 1.
    pub line: u64,
    /// What stands there.
    pub tree: Tree,
}

/// A value.
#[derive(Debug)]
pub enum Tree {
    /// Nothing.
    Null,
    /// `true`, `yes`, …
    Bool,
    /// A number, in the form that YAML's reader gives it.
    Number(String),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The key's line.
    pub line: u64,
    /// The value.
    pub node: Node,
}

/// Text that is not one document of YAML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotYaml {
    /// Where, counted from 1, if it is known.
    pub line: Option<u64>,
    /// What is wrong, without a word of the text, which may be that of a Secret.
    pub message: String,
}

impl Node {
    /// Reads one document. Text with nothing in it says nothing.
    pub fn parse(text: &str) -> Result<Self, NotYaml> {
        let options = serde_saphyr::options! {
            legacy_octal_numbers: true,
            duplicate_keys: DuplicateKeyPolicy::PassThrough,
        };
        let says_nothing = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
        if text.lines().all(says_nothing) {
            return Ok(Self { line: 1, tree: Tree::Null });
        }
        serde_saphyr::from_str_with_options(text, options).map_err(|error| NotYaml {
            line: error.location().map(|location| location.line()),
            message: format!("is not YAML: {}", super::reason(&error)),
        })
    }

    /// The entries of a map; none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.tree {
            Tree::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The line of what a JSON pointer leads to, or of the nearest thing above it that is there.
    pub fn line_of(&self, pointer: &str) -> u64 {
        let (mut node, mut line) = (self, self.line);
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match &node.tree {
                // Of a key that stands twice, the last one counts.
                Tree::Map(entries) => {
                    entries.iter().rfind(|entry| entry.key == step).map(|entry| (&entry.node, entry.line))
                }
                Tree::List(nodes) => {
                    step.parse::<usize>().ok().and_then(|at| nodes.get(at)).map(|node| (node, node.line))
                }
                _ => None,
            };
            let Some(found) = next else { break };
            (node, line) = found;
        }
        line
    }
}

impl Tree {
    /// What it is, as the end of "is …".
    pub fn word(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<Tree>::deserialize(deserializer)?;
        Ok(Self { line: referenced.line(), tree: value })
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, _value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Tree, E> {
        Ok(Tree::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Tree, E> {
        Ok(Tree::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = sequence.next_element()? {
            list.push(node);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let node = map.next_value()?;
            entries.push(Entry { key: key.value, line: key.referenced.line(), node });
        }
        Ok(Tree::Map(entries))
    }
}
