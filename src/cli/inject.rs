//! `keystow inject`

mod explain;

use std::io::Write as _;
use std::path::PathBuf;

use super::{EX_DATAERR, EX_SOFTWARE, EX_USAGE, Failure, files, write_result};
use crate::config;
use crate::inject::manifest::{self, Document, ManifestError};

/// Inject manifests without a cluster, as the webhook would inject their pods.
///
/// Reads YAML or JSON with any number of documents: Pod, Deployment, StatefulSet, DaemonSet, ReplicaSet,
/// ReplicationController, Job, CronJob, and List of them. Other objects pass through byte for byte. Injected documents
/// lose their comments.
///
/// Examples:
///   keystow inject -f app.yaml | kubectl apply -f -
///   kustomize build . | keystow inject -f -
///   keystow inject -f app.yaml --explain
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Arguments {
    /// A manifest, or `-` for standard input. Can be given several times.
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The operator's configuration file; without it, the defaults.
    #[arg(long, value_name = "FILE", env = "KEYSTOW_CONFIG")]
    config: Option<PathBuf>,
    /// The namespace of objects that name none.
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// Show what is added and why, before and after, instead of the manifests.
    #[arg(long)]
    explain: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings =
        config::load(arguments.config.as_deref()).map_err(|error| Failure::new(EX_USAGE, error))?.offline();
    let mut text = String::new();
    let mut failures = Vec::new();
    for file in &arguments.files {
        let source = files::read(file)?;
        match manifest::inject(&source, &arguments.namespace, &settings) {
            Ok(documents) => {
                warn(&documents);
                let more = if arguments.explain {
                    documents.iter().map(|document| explain::document(document, &settings.domain)).collect()
                } else {
                    manifest::render(&documents)
                };
                let more =
                    more.map_err(|reason| Failure::new(EX_SOFTWARE, format!("cannot write YAML: {reason}")))?;
                if !text.is_empty() && !more.is_empty() && !arguments.explain {
                    text.push_str("---\n");
                }
                text.push_str(&more);
            }
            Err(errors) => {
                failures
                    .extend(errors.iter().map(|error| format!("{}: {}", file.display(), describe(error))));
            }
        }
    }
    if failures.is_empty() {
        if arguments.explain && text.is_empty() {
            return Err(Failure::new(
                EX_DATAERR,
                "there is nothing to explain: no pod in it asks for anything",
            ));
        }
        write_result(&text)
    } else {
        Err(Failure::new(EX_DATAERR, failures.join("\nerror: ")))
    }
}

/// The error; several reasons of one refusal on lines of their own, and what is odd about the pod behind them.
fn describe(error: &ManifestError) -> String {
    match error {
        ManifestError::Denied { object, denial } if denial.messages.len() + denial.warnings.len() > 1 => {
            let reasons = denial.messages.iter().map(|message| format!("\n  - {message}"));
            let warnings = denial.warnings.iter().map(|warning| format!("\n  - (warning) {warning}"));
            format!("{object}:{}", reasons.chain(warnings).collect::<String>())
        }
        other => other.to_string(),
    }
}

fn warn(documents: &[Document<'_>]) {
    let style = anstyle::AnsiColor::Yellow.on_default().bold();
    for object in documents.iter().flat_map(|document| &document.injected) {
        for warning in &object.warnings {
            let _ = writeln!(anstream::stderr(), "{style}warning:{style:#} {}: {warning}", object.object);
        }
    }
}
