//! What all pods of some files ask for.

use std::collections::BTreeSet;

use crate::domain::StoragePrefix;
use crate::handover::StoreSettings;
use crate::inject::Settings;
use crate::workload::{self, Asking, UnreadableRequests, Workload};
use crate::yaml::{self, Duplicates};

/// All that is asked for, in the order of the files.
#[derive(Debug)]
pub struct Manifests<'s> {
    /// Who asks, and what for.
    pub asking: Vec<Asking<'s>>,
    settings: &'s Settings,
    namespace: String,
}

/// Why a file cannot be exported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestsError {
    /// A document is neither YAML nor JSON.
    #[error("{file}: the document at line {line} is not YAML: {reason}")]
    Syntax {
        /// The file's name.
        file: String,
        /// The document's first line, counted from 1.
        line: usize,
        /// The parser's words.
        reason: String,
    },
    /// Annotations that the webhook would refuse.
    #[error("{file}: {source}")]
    Annotations {
        /// The file's name.
        file: String,
        /// Every problem.
        source: UnreadableRequests,
    },
}

impl<'s> Manifests<'s> {
    /// No manifests yet. `namespace` is that of objects which name none.
    pub fn new(settings: &'s Settings, namespace: &str) -> Self {
        Self { asking: Vec::new(), settings, namespace: namespace.to_owned() }
    }

    /// Reads one file. Documents that hold no pod, and pods that ask for nothing, are passed over.
    ///
    /// # Errors
    ///
    /// All mistakes of the file.
    pub fn add(&mut self, file: &str, text: &str) -> Result<(), Vec<ManifestsError>> {
        let mut errors = Vec::new();
        for document in yaml::documents(text) {
            // As kees reads them: its own manifest has a key that stands twice.
            match workload::parse(document.text, Duplicates::LastCounts) {
                Ok(value) => {
                    for (_, object) in workload::objects(&value) {
                        let Some(workload) = Workload::of(object, &self.namespace) else { continue };
                        match Asking::read(&workload, object, self.settings) {
                            Ok(asking) => self.asking.extend(asking),
                            Err(source) => {
                                errors.push(ManifestsError::Annotations { file: file.to_owned(), source });
                            }
                        }
                    }
                }
                Err(reason) => {
                    let (file, line) = (file.to_owned(), document.line);
                    errors.push(ManifestsError::Syntax { file, line, reason });
                }
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Keeps only what runs as this service account.
    pub fn retain_account(&mut self, account: &str) {
        self.asking.retain(|asking| asking.account == account);
    }

    /// Reads from this store, whatever the configuration says.
    pub fn read_from(&mut self, store: &'s StoreSettings) {
        for asking in &mut self.asking {
            asking.store = Some(store);
        }
    }

    /// Reads below this prefix, whatever the annotations say.
    pub fn place_below(&mut self, prefix: &StoragePrefix) {
        for asking in &mut self.asking {
            asking.requests.storage.prefix = Some(prefix.clone());
        }
    }

    /// The identities that ask: `NAMESPACE/ACCOUNT`, sorted.
    pub fn identities(&self) -> BTreeSet<String> {
        self.asking.iter().map(|asking| format!("{}/{}", asking.workload.namespace, asking.account)).collect()
    }
}
