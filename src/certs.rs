//! Server certificates: where a key pair comes from, how it is checked, and how TLS is served with it.
//!
//! Flow: a [`CertificateSource`] is opened once at start and fails there with a clear error; what it yields is a
//! [`served::Served`] (what handshakes see) and a [`files::Reloader`] (what may later replace it). [`tls`] makes the
//! TLS configuration around `Served`.
//!
//! Invariants: a pair is served only after [`load`] accepted it whole; the wall clock is an argument of every check;
//! no private key is printed, and no text of a key file enters an error.
//!
//! Deliberately absent: a pair that replicas share through the Kubernetes API. It is one more variant of
//! [`CertificateSource`] whose task feeds the same `Served`; nothing past this module would change.

pub mod clients;
pub mod files;
pub mod load;
pub mod metrics;
pub mod self_signed;
pub mod served;
pub mod tls;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use thiserror::Error;

use self::files::Reloader;
use self::load::{CertPath, KeyPath, LoadError};
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

impl CertificateSource {
    /// Loads the pair that is served first, and what watches for the next one.
    ///
    /// # Errors
    ///
    /// When there is no pair that could be served at `now`.
    pub async fn open(
        &self,
        now: SystemTime,
        metrics: CertificateMetrics,
    ) -> Result<(Arc<Served>, Reloader), SourceError> {
        let (cert, key) = match self {
            Self::Files { cert, key } => (cert.clone(), key.clone()),
            Self::SelfSigned { directory, names } => {
                let made = self_signed::ensure(directory, names, now)?;
                tracing::info!(
                    ca = %made.ca.display(),
                    reused = made.reused,
                    "self-signed certificate: this file, in base64, is the caBundle of the webhook configuration",
                );
                (made.cert, made.key)
            }
        };
        Ok(Reloader::open(cert, key, now, metrics).await?)
    }
}
