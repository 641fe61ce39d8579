//! The HTTP client of stores for which no vendor's client is used.
//!
//! Invariants: TLS is rustls over aws-lc-rs; where CAs are given no others are trusted; no redirect is followed, since
//! requests carry tokens; a server that stalls costs one attempt and not the caller's whole deadline. `HTTPS_PROXY`,
//! `HTTP_PROXY` and `NO_PROXY` are minded by the client itself, but not for servers on this node.
//!
//! Deliberately absent: retries. Who calls a store waits and asks again.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{CertificateError, ClientConfig, RootCertStore};

/// Time to connect, a handshake included.
const CONNECT: Duration = Duration::from_secs(5);
/// Time for a request, connecting and the whole answer included.
const REQUEST: Duration = Duration::from_secs(10);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// What was given as CAs is none.
    #[error("its CA's certificate cannot be read; give it in PEM")]
    Roots,
    /// What `SSL_CERT_FILE` names has none.
    #[error(
        "no certificate authority can be read from {0}, which SSL_CERT_FILE names; it must be a file with PEM"
    )]
    File(PathBuf),
    /// The provider cannot do what is asked of it.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The client refuses what it was told.
    #[error("the HTTP client cannot be set up")]
    Client,
}

/// Which CAs are trusted.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "which of these a build needs depends on its stores")]
pub(super) enum Roots<'a> {
    /// Those of the system, which `SSL_CERT_FILE` may say.
    System,
    /// These, in PEM.
    Pem(&'a str),
    /// Those in this file.
    File(&'a Path),
}

/// Whether proxies of the environment are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "which of these a build needs depends on its stores")]
pub(super) enum Proxies {
    /// As `HTTPS_PROXY` and `NO_PROXY` say.
    Used,
    /// Never: the server is on this node.
    Passed,
}

/// A client that trusts these CAs.
pub(super) fn client(roots: Roots<'_>, proxies: Proxies) -> Result<reqwest::Client, HttpError> {
    let builder = reqwest::Client::builder();
    let builder = if proxies == Proxies::Passed { builder.no_proxy() } else { builder };
    builder
        .tls_backend_preconfigured(tls(roots)?)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .timeout(REQUEST)
        .user_agent(concat!("keystow/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|_| HttpError::Client)
}

fn tls(roots: Roots<'_>) -> Result<ClientConfig, HttpError> {
    let mut trusted = RootCertStore::empty();
    match roots {
        Roots::Pem(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|_| HttpError::Roots)?;
                trusted.add(certificate).map_err(|_| HttpError::Roots)?;
            }
            if trusted.is_empty() {
                return Err(HttpError::Roots);
            }
        }
        // A system may have some that rustls does not take, or none: then no server is trusted, and is told to be so.
        Roots::System => {
            let _ = trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Roots::File(file) => {
            let found = rustls_native_certs::load_certs_from_paths(Some(file), None).certs;
            if trusted.add_parsable_certificates(found).0 == 0 {
                return Err(HttpError::File(file.to_owned()));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(trusted).with_no_client_auth())
}

/// Why a request got no answer, for people: without the address, which is in the configuration. `remedy` is what to do
/// about a CA that is not known.
pub(super) fn reason(error: &reqwest::Error, remedy: &str) -> String {
    if let Some(reason) = refused_certificate(error, remedy) {
        return reason;
    }
    match (error.is_timeout(), error.is_connect()) {
        (true, true) => format!("no connection within {CONNECT:?}"),
        (true, false) => format!("no answer within {REQUEST:?}"),
        (false, true) => format!("no connection: {}", innermost(error)),
        (false, false) => format!("the answer broke off: {}", innermost(error)),
    }
}

fn refused_certificate(error: &reqwest::Error, remedy: &str) -> Option<String> {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(tls) = of_tls(inner) {
            return Some(match tls {
                // A CA of the same name and another key gives a signature that is bad.
                rustls::Error::InvalidCertificate(
                    CertificateError::UnknownIssuer | CertificateError::BadSignature,
                ) => {
                    format!("the server's certificate is signed by a CA that is not trusted here; {remedy}")
                }
                rustls::Error::InvalidCertificate(problem) => format!("the server's certificate: {problem}"),
                other => format!("no TLS connection: {other}"),
            });
        }
        source = inner.source();
    }
    None
}

/// The error of TLS that an error is, or wraps: what an [`io::Error`] wraps is not its source.
fn of_tls<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    match error.downcast_ref::<io::Error>() {
        Some(io) => of_tls(io.get_ref()?),
        None => error.downcast_ref(),
    }
}

/// The words of what went wrong first.
fn innermost(error: &reqwest::Error) -> String {
    let mut words = String::from("the connection failed");
    let mut source = error.source();
    while let Some(inner) = source {
        words = inner.to_string();
        source = inner.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused() {
        for roots in ["", "hunter2", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(client(Roots::Pem(roots), Proxies::Used), Err(HttpError::Roots)), "{roots}");
        }
        let absent = client(Roots::File(Path::new("/nowhere/ca.pem")), Proxies::Used);
        assert!(matches!(absent, Err(HttpError::File(_))));
        client(Roots::System, Proxies::Passed).unwrap();
    }
}
