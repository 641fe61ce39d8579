//! The operator's configuration file: YAML in, [`Settings`] out, every mistake at once with its path.
//!
//! ```yaml
//! annotationDomain: bsycorp.com
//! layout: keystow                     # or kees
//! kubernetesVersion: "1.35"
//! injection:
//!   image: keystow:0.1.0
//!   resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 64Mi}}
//!   volume: {medium: Memory, sizeLimit: 4Mi}
//! stores:
//!   default: cluster
//!   cluster: {kubernetes: {}}
//! prefixes: [{namespaces: [veza-*], allow: [/veza/]}]
//! localMode: {namespaces: [dev-*]}
//! ```
//!
//! Every field has a default, and so has the file. Absent: secrets, of which the configuration has none.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::domain::{AnnotationDomain, Layout, StoreName, nearest};
use crate::handover::{NoSettings, StoreSettings};
use crate::inject::{
    KubernetesVersion, LocalModeRule, NamePattern, PrefixRule, Settings, Stores, Volume, manifest,
};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The file says something that cannot be meant.
    #[error("the configuration {} has {} mistake(s):\n{}", path.display(), mistakes.len(), lines(mistakes))]
    Mistakes {
        /// The file.
        path: PathBuf,
        /// All of them.
        mistakes: Vec<Mistake>,
    },
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// `stores.prod.dynamodb`; empty for the file as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "the file" } else { &self.path };
        write!(f, "  {path}: {}", self.message)
    }
}

fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Reads the file; without one, the defaults.
pub fn load(path: Option<&Path>) -> Result<Settings, ConfigError> {
    let text = match path {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?,
        None => String::new(),
    };
    let path = path.unwrap_or(Path::new("(none)"));
    read(&text).map_err(|mistakes| ConfigError::Mistakes { path: path.to_owned(), mistakes })
}

/// Reads the text of a configuration file.
pub fn read(text: &str) -> Result<Settings, Vec<Mistake>> {
    let root = if text.trim().is_empty() { Ok(Value::Null) } else { manifest::parse(text) };
    let root = root
        .map_err(|reason| vec![Mistake { path: String::new(), message: format!("is not YAML: {reason}") }])?;
    let mut mistakes = Vec::new();
    let mut file = Section::new(String::new(), root, &mut mistakes);
    let domain = file.parse("annotationDomain", "bsycorp.com", |text| {
        AnnotationDomain::new(text).map_err(|e| e.to_string())
    });
    let layout = file.parse("layout", "keystow", |text| {
        Layout::read(text).ok_or_else(|| format!("`{text}` is not one of keystow, kees"))
    });
    let kubernetes = file.parse("kubernetesVersion", "1.35", read_version);
    let injection = file.take::<Value>("injection").unwrap_or_default();
    let stores = file.take::<Value>("stores");
    let prefixes = file.take::<Vec<Value>>("prefixes").unwrap_or_default();
    let local_mode = file.take::<Value>("localMode").unwrap_or_default();
    file.finish();

    let injection = read_injection(injection, &mut mistakes);
    let stores = read_stores(
        stores.unwrap_or_else(|| json!({"default": "cluster", "cluster": {"kubernetes": NoSettings {}}})),
        &mut mistakes,
    );
    let prefixes: Vec<_> = prefixes
        .into_iter()
        .enumerate()
        .map(|(index, rule)| read_prefixes(index, rule, &mut mistakes))
        .collect();
    let mut section = Section::new("localMode".to_owned(), local_mode, &mut mistakes);
    let namespaces = section.patterns("namespaces");
    section.finish();
    match (domain, layout, kubernetes, injection, stores) {
        (Some(domain), Some(layout), Some(kubernetes), Some((image, resources, volume)), Some(stores))
            if mistakes.is_empty() =>
        {
            let local_mode = LocalModeRule { namespaces };
            Ok(Settings {
                domain,
                layout,
                kubernetes,
                image,
                resources,
                volume,
                stores,
                prefixes,
                local_mode,
            })
        }
        _ => Err(mistakes),
    }
}

fn read_version(text: &str) -> Result<KubernetesVersion, String> {
    let minor = text.strip_prefix("1.").and_then(|minor| minor.parse().ok());
    minor
        .map(KubernetesVersion)
        .ok_or_else(|| format!("`{text}` is not a version such as \"1.35\" (in quotes)"))
}

fn read_injection(value: Value, mistakes: &mut Vec<Mistake>) -> Option<(String, Value, Volume)> {
    let mut section = Section::new("injection".to_owned(), value, mistakes);
    let image = section.parse("image", concat!("keystow:", env!("CARGO_PKG_VERSION")), |text| {
        let plain = !text.is_empty() && !text.contains(char::is_whitespace);
        if plain { Ok(text.to_owned()) } else { Err("is not an image".to_owned()) }
    });
    let resources = section.take::<Map<String, Value>>("resources").map_or_else(
        || json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}}),
        Value::Object,
    );
    let volume = section.take::<Value>("volume").unwrap_or_default();
    section.finish();
    check_resources(&resources, mistakes);
    let mut section = Section::new("injection.volume".to_owned(), volume, mistakes);
    let medium = section.parse("medium", "Memory", |text| match text {
        "Memory" | "" => Ok(text.to_owned()),
        other => Err(format!("`{other}` is not `Memory`, or empty for the node's disk")),
    });
    let size_limit = section.parse("sizeLimit", "4Mi", |text| {
        if is_quantity(text) {
            Ok(text.to_owned())
        } else {
            Err(format!("`{text}` is not a quantity such as 4Mi"))
        }
    });
    section.finish();
    Some((image?, resources, Volume { medium: medium?, size_limit: size_limit? }))
}

/// Kubernetes `ResourceRequirements`: requests and limits, each a map of quantities.
fn check_resources(resources: &Value, mistakes: &mut Vec<Mistake>) {
    for (list, amounts) in resources.as_object().into_iter().flatten() {
        let path = format!("injection.resources.{list}");
        let Some(amounts) = amounts.as_object().filter(|_| matches!(list.as_str(), "requests" | "limits"))
        else {
            mistakes.push(Mistake {
                path,
                message: "is not requests or limits with a map of quantities".to_owned(),
            });
            continue;
        };
        for (resource, amount) in amounts {
            if !amount.is_number() && !amount.as_str().is_some_and(is_quantity) {
                let message = format!("{amount} is not a quantity such as 10m or 16Mi");
                mistakes.push(Mistake { path: format!("{path}.{resource}"), message });
            }
        }
    }
}

/// Kubernetes `resource.Quantity`: a number and a suffix.
fn is_quantity(text: &str) -> bool {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    number.parse::<f64>().is_ok()
        && matches!(
            suffix,
            "" | "n"
                | "u"
                | "m"
                | "k"
                | "K"
                | "M"
                | "G"
                | "T"
                | "P"
                | "E"
                | "Ki"
                | "Mi"
                | "Gi"
                | "Ti"
                | "Pi"
                | "Ei"
        )
}

fn read_stores(value: Value, mistakes: &mut Vec<Mistake>) -> Option<Stores> {
    let path = |name: &str| format!("stores.{name}");
    let Value::Object(mut entries) = value else {
        mistakes.push(Mistake { path: "stores".to_owned(), message: "is not a map of stores".to_owned() });
        return None;
    };
    let default = entries.remove("default");
    let mut by_name = BTreeMap::new();
    for (name, settings) in entries {
        match (StoreName::new(&name), serde_json::from_value::<StoreSettings>(settings)) {
            (Ok(name), Ok(settings)) => {
                by_name.insert(name, settings);
            }
            (Err(rule), _) => mistakes.push(Mistake { path: path(&name), message: rule.to_string() }),
            (_, Err(reason)) => mistakes.push(Mistake { path: path(&name), message: reason.to_string() }),
        }
    }
    let known = by_name.keys().map(StoreName::as_str).collect::<Vec<_>>().join(", ");
    let default = match default {
        Some(Value::String(name)) => StoreName::new(&name).ok(),
        // With one store there is nothing to choose.
        None if by_name.len() == 1 => by_name.keys().next().cloned(),
        _ => None,
    };
    let stores = default.and_then(|default| Stores::new(default, by_name));
    if stores.is_none() {
        mistakes
            .push(Mistake { path: path("default"), message: format!("is not one of the stores: {known}") });
    }
    stores
}

fn read_prefixes(index: usize, rule: Value, mistakes: &mut Vec<Mistake>) -> PrefixRule {
    let mut section = Section::new(format!("prefixes[{index}]"), rule, mistakes);
    let namespaces = section.patterns("namespaces");
    let allow = section.take::<Vec<String>>("allow").unwrap_or_default();
    if namespaces.is_empty() || allow.is_empty() {
        section.mistake(
            "namespaces",
            "a rule needs namespaces and allow, each with at least one entry".to_owned(),
        );
    }
    if let Some(relative) = allow.iter().find(|prefix| !prefix.starts_with('/')) {
        section.mistake("allow", format!("`{relative}` does not begin with /"));
    }
    section.finish();
    PrefixRule { namespaces, allow }
}

/// A map of the file whose fields are taken out one by one.
struct Section<'m> {
    path: String,
    fields: Map<String, Value>,
    known: Vec<&'static str>,
    mistakes: &'m mut Vec<Mistake>,
}

impl<'m> Section<'m> {
    fn new(path: String, value: Value, mistakes: &'m mut Vec<Mistake>) -> Self {
        let fields = match value {
            Value::Object(fields) => fields,
            Value::Null => Map::new(),
            _ => {
                mistakes.push(Mistake { path: path.clone(), message: "is not a map".to_owned() });
                Map::new()
            }
        };
        Self { path, fields, known: Vec::new(), mistakes }
    }

    fn mistake(&mut self, key: &str, message: String) {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        self.mistakes.push(Mistake { path, message });
    }

    fn take<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        self.known.push(key);
        let value = self.fields.remove(key).filter(|value| !value.is_null())?;
        serde_json::from_value(value).map_err(|reason| self.mistake(key, reason.to_string())).ok()
    }

    /// A string with a default and a rule.
    fn parse<T>(
        &mut self,
        key: &'static str,
        default: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let is_there = self.fields.get(key).is_some_and(|value| !value.is_null());
        let text = self.take::<String>(key);
        if is_there && text.is_none() {
            return None;
        }
        read(text.as_deref().unwrap_or(default)).map_err(|message| self.mistake(key, message)).ok()
    }

    fn patterns(&mut self, key: &'static str) -> Vec<NamePattern> {
        let patterns = self.take::<Vec<String>>(key).unwrap_or_default();
        patterns.iter().map(|pattern| NamePattern::new(pattern)).collect()
    }

    fn finish(mut self) {
        for key in std::mem::take(&mut self.fields).keys() {
            let hint = match nearest(key, &self.known) {
                Some(near) => format!("is not a field; did you mean {near}?"),
                None => format!("is not a field; known here: {}", self.known.join(", ")),
            };
            self.mistake(key, hint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_and_an_empty_file_are_the_defaults() {
        for settings in [load(None).unwrap(), read("").unwrap(), read("# nothing\n{}").unwrap()] {
            assert_eq!(settings.domain.as_str(), "bsycorp.com");
            assert_eq!(settings.kubernetes, KubernetesVersion::FILE_KEY_REF);
            assert_eq!(settings.image, concat!("keystow:", env!("CARGO_PKG_VERSION")));
        }
    }

    #[test]
    fn every_mistake_is_told_with_its_path() {
        let text = r#"
annotationdomain: x
layout: keys
kubernetesVersion: 1.35
injection: {image: "", volume: {medium: RAM, sizeLimit: lots}, resources: {requests: {cpu: lots, memory: 1.5Gi}, limit: {}}}
stores:
  default: gone
  Prod: {local: {}}
  vault: {vault: {address: "https://vault:8200"}}
  both: {localy: {}}
prefixes: [{namespaces: [a], allow: [veza]}]
localMode: [dev]
"#;
        let mistakes = read(text).unwrap_err();
        let paths: Vec<_> = mistakes.iter().map(|mistake| mistake.path.as_str()).collect();
        for expected in [
            "annotationdomain",
            "layout",
            "kubernetesVersion",
            "injection.image",
            "injection.resources.requests.cpu",
            "injection.resources.limit",
            "injection.volume.medium",
            "injection.volume.sizeLimit",
            "stores.Prod",
            "stores.vault",
            "stores.both",
            "stores.default",
            "prefixes[0].allow",
            "localMode",
        ] {
            assert!(paths.contains(&expected), "{expected} in {paths:?}");
        }
        assert_eq!(mistakes[0].message, "`keys` is not one of keystow, kees");
    }

    #[test]
    fn one_store_needs_no_default() {
        assert!(read("stores: {dev: {local: {}}}").is_ok());
    }
}
