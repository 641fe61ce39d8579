//! Whether a client that trusts these CAs would accept a server's chain, asked as such a client asks.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::tls::provider;

/// What a server is called by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Names<'n> {
    /// Each of these must do.
    All(&'n [String]),
    /// One of these must do.
    Any(&'n [String]),
}

/// Whether `chain`, leaf first, is accepted under `names` at the time `at`.
pub(super) fn is_accepted<'c>(
    roots: impl Iterator<Item = &'c CertificateDer<'static>>,
    chain: &[CertificateDer<'static>],
    names: Names<'_>,
    at: SystemTime,
) -> bool {
    accepted(roots, chain, names, at).unwrap_or_default()
}

fn accepted<'c>(
    roots: impl Iterator<Item = &'c CertificateDer<'static>>,
    chain: &[CertificateDer<'static>],
    names: Names<'_>,
    at: SystemTime,
) -> Option<bool> {
    let mut store = RootCertStore::empty();
    for root in roots {
        // One that cannot be a root verifies nothing; the others may.
        let _ = store.add(root.clone());
    }
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::new(provider())).build().ok()?;
    let (leaf, intermediates) = chain.split_first()?;
    let at = UnixTime::since_unix_epoch(at.duration_since(UNIX_EPOCH).ok()?);
    let does = |name: &String| {
        ServerName::try_from(name.as_str())
            .is_ok_and(|name| verifier.verify_server_cert(leaf, intermediates, &name, &[], at).is_ok())
    };
    Some(match names {
        Names::All(names) => names.iter().all(does),
        Names::Any(names) => names.iter().any(does),
    })
}
