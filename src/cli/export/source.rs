//! The manifests of an export, read by the configuration, and where the result goes.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::cli::files::{self, FileArguments, SourceFile};
use crate::cli::{EX_DATAERR, EX_USAGE, Failure, write_result};
use crate::config;
use crate::domain::{AnnotationDomain, StoragePrefix};
use crate::export::{Manifests, ManifestsError};
use crate::handover::StoreSettings;
use crate::inject::Settings;

/// Which manifests, and what of them.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    #[command(flatten)]
    files: FileArguments,
    /// The operator's configuration file, which says what stores there are.
    #[arg(long, value_name = "FILE", env = "KEYSTOW_CONFIG")]
    config: Option<PathBuf>,
    /// The domain of annotations, where no configuration says it; kees' variable.
    #[arg(long, value_name = "DOMAIN", env = "ANNOTATION_DOMAIN")]
    annotation_domain: Option<String>,
    /// Only what runs as this service account.
    #[arg(long, value_name = "NAME")]
    service_account: Option<String>,
    /// Read below this prefix, in place of what the annotation storage-prefix says.
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Write into this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Source {
    pub(super) fn has_no_configuration(&self) -> bool {
        self.config.is_none()
    }

    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        let mut settings = settings(self.config.as_deref())?;
        if let (None, Some(domain)) = (&self.config, &self.annotation_domain) {
            settings.domain = AnnotationDomain::new(domain).map_err(|error| Failure::new(EX_USAGE, error))?;
        }
        Ok(settings)
    }

    pub(super) fn prefix(&self) -> Result<Option<StoragePrefix>, Failure> {
        let prefix = self.prefix.as_deref().map(StoragePrefix::new).transpose();
        prefix.map_err(|error| Failure::new(EX_USAGE, format!("--prefix {error}")))
    }

    /// Reads all files; every mistake of every file is told. `store` is the one that is read, whatever is configured.
    pub(super) fn read<'s>(
        &self,
        settings: &'s Settings,
        store: Option<&'s StoreSettings>,
    ) -> Result<Manifests<'s>, Failure> {
        let mut manifests = Manifests::new(settings, &self.files.namespace);
        let mut mistakes = Vec::new();
        for file in read_files(&self.files.files)? {
            if let Err(errors) = manifests.add(&file.name, &file.text) {
                mistakes.extend(errors.iter().map(ManifestsError::to_string));
            }
        }
        if !mistakes.is_empty() {
            return Err(Failure::new(EX_DATAERR, mistakes.join("\nerror: ")));
        }
        for asking in &manifests.asking {
            for odd in &asking.warnings {
                warn(&format!("{}: {odd}", asking.workload));
            }
        }
        if let Some(account) = &self.service_account {
            let known = manifests.identities();
            manifests.retain_account(account);
            if manifests.asking.is_empty() && !known.is_empty() {
                let known: Vec<String> = known.into_iter().collect();
                let message = format!("nobody here runs as {account}, but as: {}", known.join(", "));
                return Err(Failure::new(EX_DATAERR, message));
            }
        }
        if let Some(prefix) = self.prefix()? {
            manifests.place_below(&prefix);
        }
        if let Some(store) = store {
            manifests.read_from(store);
        }
        Ok(manifests)
    }

    /// Says that one policy is about to serve several identities.
    pub(super) fn warn_of_several(manifests: &Manifests<'_>) {
        let identities: Vec<String> = manifests.identities().into_iter().collect();
        if identities.len() > 1 {
            warn(&format!(
                "these pods run as {}, and each could read what the others ask for; export one by --service-account",
                identities.join(", ")
            ));
        }
    }

    pub(super) fn write(&self, text: &str) -> Result<(), Failure> {
        write(self.output.as_deref(), text)
    }
}

pub(super) fn settings(config: Option<&Path>) -> Result<Settings, Failure> {
    Ok(config::load(config).map_err(|error| Failure::new(EX_USAGE, error))?.offline())
}

/// The files that were named, of which there must be one.
pub(super) fn read_files(named: &[PathBuf]) -> Result<Vec<SourceFile>, Failure> {
    if named.is_empty() {
        return Err(Failure::new(EX_USAGE, "no manifest; give some by -f FILE (kees' -i does the same)"));
    }
    files::read_all(named)
}

pub(super) fn write(output: Option<&Path>, text: &str) -> Result<(), Failure> {
    match output {
        Some(file) => files::write(file, text, false),
        None => write_result(text),
    }
}

fn warn(message: &str) {
    let style = anstyle::AnsiColor::Yellow.on_default().bold();
    let _ = writeln!(anstream::stderr(), "{style}warning:{style:#} {message}");
}
