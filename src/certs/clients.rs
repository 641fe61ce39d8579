//! Which clients may connect, for clusters whose API server presents a certificate.
//!
//! Flow: the chain is verified against the CA of a file as TLS does it, then the leaf's common name or one of its DNS
//! names must be among those the operator allowed. An empty list of names allows every certificate of that CA.
//!
//! Invariants: a client without a certificate is refused; the name check only ever narrows what the CA check allows.
//!
//! Deliberately absent: reload of the CA file (it lives for years, and a restart reads it), and revocation.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use thiserror::Error as ThisError;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::tls::provider;

/// Who may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// PEM certificates of the CAs that sign client certificates.
    pub ca: PathBuf,
    /// Common names or DNS names that may connect; empty for all that the CA signed.
    pub names: Vec<String>,
}

/// Why client certificates cannot be checked.
#[derive(Debug, ThisError)]
pub enum ClientsError {
    /// The file holds something that is not a certificate.
    #[error("{path} holds a certificate that cannot be a CA; give the PEM certificates of the clients' CA")]
    BadCa {
        /// The CA file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Error,
    },
    /// The file holds no certificate.
    #[error("{path} does not hold what verifies a client; give the PEM certificates of the clients' CA")]
    NoCa {
        /// The CA file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: VerifierBuilderError,
    },
    /// The file cannot be read, or is not PEM.
    #[error("cannot read the clients' CA file {path}; check that it is mounted, readable and PEM")]
    ReadCa {
        /// The CA file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
}

/// Makes the check.
///
/// # Errors
///
/// When the CA file cannot be used.
pub fn verifier(settings: &ClientSettings) -> Result<Arc<dyn ClientCertVerifier>, ClientsError> {
    let path = || settings.ca.clone();
    let read = |source| ClientsError::ReadCa { path: path(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&settings.ca).map_err(read)? {
        roots
            .add(certificate.map_err(read)?)
            .map_err(|source| ClientsError::BadCa { path: path(), source })?;
    }
    let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider()))
        .build()
        .map_err(|source| ClientsError::NoCa { path: path(), source })?;
    Ok(Arc::new(Named { chain, names: settings.names.clone() }))
}

#[derive(Debug)]
struct Named {
    chain: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
}

impl Named {
    fn allows(&self, leaf: &CertificateDer<'_>) -> bool {
        if self.names.is_empty() {
            return true;
        }
        let Ok((_, leaf)) = X509Certificate::from_der(leaf) else {
            return false;
        };
        let allowed = |name: &str| self.names.iter().any(|allowed| allowed == name);
        let common = leaf.subject().iter_common_name().any(|name| name.as_str().is_ok_and(allowed));
        common
            || leaf.subject_alternative_name().ok().flatten().is_some_and(|extension| {
                extension
                    .value
                    .general_names
                    .iter()
                    .any(|name| matches!(name, GeneralName::DNSName(name) if allowed(name)))
            })
    }
}

impl ClientCertVerifier for Named {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(leaf, intermediates, now)?;
        if self.allows(leaf) {
            Ok(verified)
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Arc<dyn ClientCertVerifier>, ClientsError> {
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.crt");
        std::fs::write(&ca, text).unwrap();
        verifier(&ClientSettings { ca, names: Vec::new() })
    }

    #[test]
    fn a_missing_file_is_named() {
        let missing = ClientSettings { ca: "no/such/ca.crt".into(), names: Vec::new() };
        let error = verifier(&missing).unwrap_err();
        assert!(
            matches!(&error, ClientsError::ReadCa { .. }) && error.to_string().contains("no/such"),
            "{error}"
        );
    }

    #[test]
    fn an_empty_file_verifies_nobody() {
        assert!(matches!(load(""), Err(ClientsError::NoCa { .. })));
    }

    #[test]
    fn a_file_that_is_no_certificate() {
        let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(load(text), Err(ClientsError::BadCa { .. })));
    }
}
