//! The operator's configuration file: YAML in, [`Configuration`] out, every mistake of the file in one start.
//!
//! ```text
//! text ─▶ yaml::Node (with lines) ─▶ raw (right shapes, known names) ─▶ meant (true) ─▶ Configuration ─▶ Settings
//!                                   └───────────── report: mistakes ────────┘            ├─▶ stores of the creator
//!                                                                                        └─▶ effective YAML
//! ```
//!
//! Invariants: what the API server or the kubelet would refuse of every pod later is refused here; reading never stops at
//! the first mistake; the effective YAML, read again, is the same configuration. Every field has a default, and so has
//! the file: `docs/configuration.md` has them all, and a test compares.
//!
//! Deliberately absent: secrets, of which the configuration has none.

mod creator;
mod effective;
mod fetching;
mod meant;
mod provider;
mod raw;
mod report;
mod stores;
mod version;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::domain::StoreName;
use crate::handover::StoreSettings;
use crate::inject::{KubernetesVersion, Settings};
use crate::provider::Provider;
use crate::yaml::Node;

use creator::Identities;
use raw::{Raw as _, RawFile};
use report::{Place, Report};

pub use report::Mistake;
pub use version::{VersionError, settle};

/// The longest file, in bytes: what a ConfigMap holds.
const LONGEST: u64 = 1 << 20;

/// What the file means.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// With the version that is assumed until the API server was asked, where it is to be.
    settings: Settings,
    kubernetes: Kubernetes,
    identities: Identities,
    provider: Option<Provider>,
}

/// Who says which version the cluster has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kubernetes {
    /// The API server, asked once at start.
    Auto,
    /// The file.
    Fixed(KubernetesVersion),
}

impl Kubernetes {
    /// The version where nobody can be asked.
    fn assumed(self) -> KubernetesVersion {
        match self {
            Self::Auto => KubernetesVersion::FILE_KEY_REF,
            Self::Fixed(version) => version,
        }
    }
}

impl fmt::Display for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(version) => version.fmt(f),
        }
    }
}

impl Configuration {
    /// Who says which version the cluster has.
    pub fn kubernetes(&self) -> Kubernetes {
        self.kubernetes
    }

    /// The settings in a cluster of this version.
    pub fn into_settings(self, kubernetes: KubernetesVersion) -> Settings {
        Settings { kubernetes, ..self.settings }
    }

    /// The settings where no cluster is at hand: `auto` is the default version there.
    pub fn offline(self) -> Settings {
        self.settings
    }

    /// All stores by name, as the creator opens them: with its own identity where `creator.identities` names one, else
    /// with that of pods.
    pub fn creator_stores(&self) -> BTreeMap<StoreName, StoreSettings> {
        let stores = self.settings.stores.iter();
        stores
            .map(|(name, of_pods)| {
                let settings = self.identities.get(name).map_or(of_pods, |identity| &identity.settings);
                (name.clone(), settings.clone())
            })
            .collect()
    }

    /// What External Secrets is served, where the file says it, with the store's name and how it is opened.
    pub fn provider(&self) -> Option<(Provider, (StoreName, StoreSettings))> {
        let provider = self.provider.clone()?;
        let name = provider.store.as_ref().unwrap_or_else(|| self.settings.stores.default_name()).clone();
        let settings = self.creator_stores().remove(&name)?;
        Some((provider, (name, settings)))
    }

    /// The file with all defaults, for people and to be read again.
    ///
    /// # Errors
    ///
    /// When it cannot be written as YAML, in the words of who writes it.
    pub fn to_yaml(&self) -> Result<String, String> {
        effective::yaml(self)
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}; give a file of YAML in UTF-8", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The file is longer than a ConfigMap can be.
    #[error("the configuration {} is longer than {LONGEST} bytes; give the file that is meant", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// The file says something that cannot be meant.
    #[error("{}", listed(path, mistakes))]
    Mistakes {
        /// The file.
        path: PathBuf,
        /// All of them, in the order of the file.
        mistakes: Vec<Mistake>,
    },
}

/// One line each, `FILE:LINE: PATH: …`, as compilers write them and editors and CI systems read them.
fn listed(file: &Path, mistakes: &[Mistake]) -> String {
    let count = mistakes.len();
    let mut text = format!("{} has {count} mistake{}", file.display(), if count == 1 { "" } else { "s" });
    for mistake in mistakes {
        let line = mistake.line.map(|line| format!(":{line}")).unwrap_or_default();
        text.push_str(&format!("\n{}{line}: {mistake}", file.display()));
    }
    text
}

/// The file's text, as far as a configuration goes.
fn text_of(path: &Path) -> Result<String, ConfigError> {
    let cannot = |source| ConfigError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(LONGEST + 1).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > LONGEST {
        return Err(ConfigError::TooLong { path: path.to_owned() });
    }
    Ok(text)
}

/// Reads the file; without one, the defaults.
///
/// # Errors
///
/// When it cannot be read, or with all its mistakes.
pub fn load(path: Option<&Path>) -> Result<Configuration, ConfigError> {
    let text = match path {
        Some(path) => text_of(path)?,
        None => String::new(),
    };
    let path = path.unwrap_or(Path::new("(none)"));
    read(&text).map_err(|mistakes| ConfigError::Mistakes { path: path.to_owned(), mistakes })
}

/// Reads the text of a configuration file.
///
/// # Errors
///
/// All mistakes, in the order of the file.
pub fn read(text: &str) -> Result<Configuration, Vec<Mistake>> {
    let node = Node::parse(text)
        .map_err(|error| vec![Mistake { path: String::new(), line: error.line, message: error.message }])?;
    let mut report = Report::default();
    let raw = RawFile::read(Place::root(node.line), node.tree, &mut report);
    let meant = raw.and_then(|raw| meant::file(raw, &mut report));
    let mistakes = report.into_mistakes();
    match meant {
        Some(configuration) if mistakes.is_empty() => Ok(configuration),
        _ => Err(mistakes),
    }
}

#[cfg(test)]
mod tests;
