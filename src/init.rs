//! `keystow init`: fetches what a pod's annotations ask for and writes it, all or nothing.
//!
//! ```text
//! environment ─▶ settings        annotations file ─▶ annotations ─▶ the one parser ─▶ Requests
//!                    └──────────────┬──────────────────────────────────┘
//!                       fetch (store or local values, one deadline) ─▶ render (pure) ─▶ write (one switch)
//! ```
//!
//! Invariants: nothing is written unless everything was fetched and rendered; every value that is missing is named,
//! on the container's termination log too; no value is in an error, a log line or a `Debug` form.
//!
//! Deliberately absent: reading the process' environment and signals (the caller passes both), and
//! `inject.D/enabled`: whether init runs in a pod is decided by its manifest, and who writes kees' manifests by
//! hand opts out of the webhook, not of secrets.

mod annotations;
mod fetch;
mod refresh;
mod render;
mod report;
mod settings;
mod template;
mod wait;
mod write;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};

use crate::domain::{Grammar, LocalMode, Parsed, Rejection, Requests};
use crate::generate::deterministic::Deterministic;
use crate::handover::StoreSettings;
use crate::store::{self, OpenError, Store};
use crate::sysexits::{EX_CANTCREAT, EX_DATAERR, EX_IOERR, EX_NOINPUT, EX_SOFTWARE, EX_USAGE};

use fetch::{Pod, Source};
use render::Files;
use wait::{Jitter, Waiting};

pub use annotations::AnnotationsError;
pub use fetch::{Failure, FetchError, Reason};
pub use refresh::refresh;
pub use render::{RenderError, RenderFailure, Unwritable};
pub use settings::{ENV_LABEL, Mistake, Output, Settings, SettingsError};
pub use write::WriteError;

/// Why init failed. The message is whole, cause included, and names every mistake and never a value.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The environment does not say what to do.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The annotations file is not there or not the kubelet's.
    #[error("{}", whole(.0))]
    Annotations(AnnotationsError),
    /// The annotations ask for what cannot be.
    #[error("the pod's annotations cannot be served: {0}")]
    Rejected(Rejection),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Values are missing.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Values cannot be written in the form that was asked for.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The volume does not take the files.
    #[error("{}", whole(.0))]
    Write(WriteError),
    /// The thread that wrote came to an end.
    #[error("writing the files was cut short; this is a fault of keystow")]
    CutShort,
}

/// An error and its cause in one message: nobody walks the chain of what is left on a termination log. The variants
/// above that use it have no source, so that nobody who does walk it reads the cause twice.
fn whole(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error} ({source})"),
        None => error.to_string(),
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Secrets that were written.
    pub secrets: usize,
    /// Resources that were written.
    pub resources: usize,
    /// Leases that were written.
    pub leases: usize,
    /// Files that were written, in all directories; none where nothing had changed.
    pub files: usize,
    /// How long it took.
    pub took: Duration,
}

/// Reads the environment. On failure the reason is left on the termination log too.
pub fn settle(environment: &HashMap<String, String>) -> Result<Settings, InitError> {
    Settings::from_environment(environment).map_err(|error| {
        let error = InitError::Settings(error);
        report::leave(&settings::termination_log(environment), &last_words(&error));
        error
    })
}

fn last_words(error: &InitError) -> String {
    const START: &str = "keystow init: ";
    match error {
        InitError::Fetch(error) => format!("{START}{}", error.within(report::LARGEST - START.len())),
        error => format!("{START}{error}"),
    }
}

/// Fetches and writes once. On failure the reason is left on the termination log too.
pub async fn run(settings: Settings) -> Result<Summary, InitError> {
    let mut program = Program::new(settings);
    let done = program.once().await;
    match &done {
        Ok(summary) => summary.log(),
        Err(error) => program.leave(error),
    }
    done
}

/// One init container, over as many rounds as it has.
struct Program {
    settings: Settings,
    store: Option<Arc<dyn Store>>,
    local: Arc<Deterministic>,
    /// What is on the volume, as a digest: nothing that was written is kept in memory.
    written: Option<Vec<u8>>,
    /// Whether it was said that local values are no secrets: once is enough.
    warned: bool,
}

impl Program {
    fn new(settings: Settings) -> Self {
        Self { settings, store: None, local: Arc::default(), written: None, warned: false }
    }

    fn leave(&self, error: &InitError) {
        report::leave(&self.settings.termination_log, &last_words(error));
    }

    /// One round: read, fetch, render, write what changed.
    async fn once(&mut self) -> Result<Summary, InitError> {
        let start = Instant::now();
        let requests = Arc::new(self.requests()?);
        let waiting = Waiting::new(self.settings.deadline, jitter());
        // Opening asks at most the node, for what nobody configured; but a node may be slow to answer too.
        let opened = tokio::time::timeout_at(waiting.deadline(), self.source(&requests)).await;
        let source = opened.map_err(|_| fetch::not_opened(&requests, &self.settings.domain))??;
        let name = self.settings.surroundings.pod_name.clone();
        let pod = name.map(|name| Pod { name, uid: self.settings.pod_uid.clone() });
        let fetched = fetch::fetch(&requests, &self.settings.domain, &source, pod.as_ref(), waiting).await?;
        let files = render::render(&self.settings, &requests, &fetched)?;
        let written = self.write(files).await?;
        Ok(Summary {
            secrets: fetched.secrets.len(),
            resources: fetched.resources.len(),
            leases: fetched.leases.len(),
            files: written,
            took: start.elapsed(),
        })
    }

    fn requests(&self) -> Result<Requests, InitError> {
        let annotations =
            annotations::read(&self.settings.annotations_file).map_err(InitError::Annotations)?;
        let domain = &self.settings.domain;
        let opt_out = domain.enabled_key();
        let taken_files = self.settings.taken_files();
        let grammar = Grammar { domain, taken_files: &taken_files };
        let pairs = annotations.iter().filter(|(key, _)| *key != opt_out);
        let pairs = pairs.map(|(key, value)| (key.as_str(), value.as_str()));
        match grammar.parse(pairs).map_err(InitError::Rejected)? {
            Parsed::Requests(requests, _) => Ok(*requests),
            // Without that key nobody opts out.
            Parsed::OptedOut => Ok(Requests::default()),
        }
    }

    /// Where values come from. A store is opened only where something is to be fetched from it.
    async fn source(&mut self, requests: &Requests) -> Result<Source, OpenError> {
        let mode = requests.storage.local_mode;
        let is_local = mode == LocalMode::Local || matches!(self.settings.store, StoreSettings::Local(_));
        if (mode != LocalMode::Remote || is_local) && requests.needs_init() && !self.warned {
            tracing::warn!("local mode: whoever knows a secret's name can derive its value");
            self.warned = true;
        }
        if is_local || !requests.needs_init() {
            return Ok(Source::Local(Arc::clone(&self.local)));
        }
        let store = match &self.store {
            Some(store) => Arc::clone(store),
            None => {
                let store = store::open(&self.settings.store, &self.settings.surroundings).await?;
                Arc::clone(self.store.insert(store))
            }
        };
        Ok(match mode {
            LocalMode::RemoteThenLocal => Source::RemoteThenLocal(store, Arc::clone(&self.local)),
            LocalMode::Remote | LocalMode::Local => Source::Remote(store),
        })
    }

    /// Writes what differs from what is there, and says how many files that were.
    async fn write(&mut self, files: Files) -> Result<usize, InitError> {
        let digest = digest(&files);
        if self.written.as_ref() == Some(&digest) {
            return Ok(0);
        }
        let count = files.values().map(std::collections::BTreeMap::len).sum();
        let writing = tokio::task::spawn_blocking(move || write::write(&files));
        writing.await.map_err(|_| InitError::CutShort)?.map_err(InitError::Write)?;
        self.written = Some(digest);
        Ok(count)
    }
}

/// A digest over every file's place, mode and content, each with its length.
fn digest(files: &Files) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    let mut part = |bytes: &[u8]| {
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(bytes);
    };
    for (directory, files) in files {
        for (name, file) in files {
            part(directory.as_os_str().as_encoded_bytes());
            part(name.as_bytes());
            part(&file.mode.bits().to_be_bytes());
            part(file.content.expose());
        }
    }
    context.finish().as_ref().to_vec()
}

/// Jitter from the system's randomness; without any, none is needed that much.
fn jitter() -> Jitter {
    Box::new(|| {
        let mut bytes = [0; 4];
        let _ = aws_lc_rs::rand::fill(&mut bytes);
        f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
    })
}

impl Summary {
    fn log(&self) {
        let milliseconds = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        let Self { secrets, resources, leases, files, .. } = *self;
        tracing::info!(secrets, resources, leases, files, milliseconds, "init is done");
    }
}

impl InitError {
    /// What is wrong, the same as long as it is the same.
    fn essence(&self) -> String {
        match self {
            Self::Fetch(error) => error.essence(),
            error => error.to_string(),
        }
    }

    /// The exit code of sysexits(3): 64 usage, 65 missing or unusable values, 66 no annotations file, 69 store away,
    /// 73 and 74 volume, 77 denied. Of several reasons the one that needs a person most decides.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(_) | Self::Rejected(_) | Self::Open(_) => EX_USAGE,
            Self::Annotations(AnnotationsError::Read { .. }) => EX_NOINPUT,
            Self::Annotations(_) | Self::Render(_) => EX_DATAERR,
            Self::Fetch(error) => {
                error.failures.iter().map(|f| f.reason.class()).max().unwrap_or_default().code()
            }
            Self::Write(WriteError::Create { .. } | WriteError::Foreign { .. }) => EX_CANTCREAT,
            Self::Write(WriteError::Write { .. } | WriteError::Place { .. }) => EX_IOERR,
            Self::CutShort => EX_SOFTWARE,
        }
    }
}

#[cfg(test)]
mod tests;
