//! Server certificates: where a key pair comes from, how it is checked, and how TLS is served with it.
//!
//! Flow: a [`CertificateSource`] is opened once at start; what it yields is a [`served::Served`] (what handshakes see)
//! and what may later replace it: a [`files::Reloader`], or [`managed::Managed`] for what replicas share through the API
//! server. [`tls`] makes the TLS configuration around `Served`.
//!
//! Invariants: a pair is served only after [`load`] accepted it whole; the wall clock is an argument of every check;
//! no private key is printed, and no text of a key file enters an error.

pub mod clients;
pub mod files;
pub mod load;
pub mod managed;
pub mod metrics;
pub mod self_signed;
pub mod served;
pub mod tls;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thiserror::Error;

use self::files::Reloader;
use self::load::{CertPath, KeyPath, LoadError};
use self::managed::{Managed, ManagedSettings};
use self::metrics::CertificateMetrics;
use self::self_signed::SelfSignedError;
use self::served::Served;

/// Where the server's key pair comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateSource {
    /// Two PEM files that somebody else (cert-manager, a mounted Secret) keeps current.
    Files {
        /// The certificate chain, leaf first.
        cert: CertPath,
        /// The leaf's private key.
        key: KeyPath,
    },
    /// A CA and a leaf that keystow keeps itself, in a Secret that all replicas share.
    Managed(ManagedSettings),
    /// A pair made at start, for trying it out.
    SelfSigned {
        /// Where `ca.crt`, `tls.crt` and `tls.key` are written, or found from an earlier start.
        directory: PathBuf,
        /// The DNS names and IP addresses that clients call the server by.
        names: Vec<String>,
    },
}

/// Why a source yields no certificate.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The pair cannot be served.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// No pair could be made.
    #[error(transparent)]
    SelfSigned(#[from] SelfSignedError),
}

/// Keeps what is served current.
pub enum Upkeep {
    /// By looking at files.
    Files(Reloader),
    /// Through the API server.
    Managed(Box<Managed>),
}

impl Upkeep {
    /// Does so until it is dropped; files are looked at every `interval`.
    pub async fn run(self, interval: Duration) {
        match self {
            Self::Files(reloader) => reloader.run(interval).await,
            Self::Managed(managed) => managed.run().await,
        }
    }
}

/// Loads the pair of two files that is served first, and what looks for the next one.
///
/// # Errors
///
/// When there is no pair that could be served at `now`.
pub async fn open_files(
    cert: CertPath,
    key: KeyPath,
    now: SystemTime,
    metrics: CertificateMetrics,
) -> Result<(Arc<Served>, Upkeep), SourceError> {
    let (served, reloader) = Reloader::open(cert, key, now, metrics).await?;
    Ok((served, Upkeep::Files(reloader)))
}

/// As [`open_files`], of files that are made where they are not there.
///
/// # Errors
///
/// When the files cannot be made.
pub async fn open_self_signed(
    directory: &Path,
    names: &[String],
    now: SystemTime,
    metrics: CertificateMetrics,
) -> Result<(Arc<Served>, Upkeep), SourceError> {
    let made = self_signed::ensure(directory, names, now)?;
    tracing::info!(
        ca = %made.ca.display(),
        reused = made.reused,
        "self-signed certificate: this file, in base64, is the caBundle of the webhook configuration",
    );
    open_files(made.cert, made.key, now, metrics).await
}
