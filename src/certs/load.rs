//! From two PEM files to a key pair that may be served.
//!
//! Flow: [`read`] (the only file access) → [`Pem`] → [`parse`] (pure: [`whole`], then [`Pair::check_time`]) → [`Pair`].
//!
//! Invariants: a [`Pair`] parsed whole - every certificate of the chain, and the key; its key is the leaf's; what
//! [`parse`] returns was valid at the time that was given. Errors name the file and its role and say what to do; the text of a key
//! file never enters one (a PEM file that lost its line breaks would put the whole key into a parser's message).
//!
//! Deliberately absent: a check of the chain against a CA (the API server does that with its caBundle, and a bundle
//! may be ahead of or behind the pair), and any clock of its own.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use k8s_openapi::jiff::Timestamp;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};
use zeroize::Zeroizing;

/// The path of a certificate chain. A type of its own, so that it cannot be swapped with the key's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertPath(PathBuf);

/// The path of a private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPath(PathBuf);

macro_rules! path_type {
    ($name:ident) => {
        impl $name {
            /// Wraps a path.
            pub fn new(path: impl Into<PathBuf>) -> Self {
                Self(path.into())
            }

            /// The path.
            #[must_use]
            pub fn as_path(&self) -> &Path {
                &self.0
            }
        }

        impl From<PathBuf> for $name {
            fn from(path: PathBuf) -> Self {
                Self(path)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.display().fmt(f)
            }
        }
    };
}

path_type!(CertPath);
path_type!(KeyPath);

/// Why a pair of files is not served.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A certificate in the chain is not X.509.
    #[error("certificate number {number} in {path} is not X.509; write the chain as PEM, leaf first")]
    BadCertificate {
        /// The certificate file.
        path: CertPath,
        /// Which one, counted from 1.
        number: usize,
    },
    /// The certificate file is not whole PEM.
    #[error("the certificate file {path} is not whole PEM; write the chain as PEM, leaf first")]
    BadCertificatePem {
        /// The certificate file.
        path: CertPath,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// The key file is not whole PEM. Carries no source, which might quote the key.
    #[error(
        "the private key file {path} is not whole PEM; check that it was not cut and kept its line breaks"
    )]
    BadKeyPem {
        /// The key file.
        path: KeyPath,
    },
    /// The leaf's time is over.
    #[error("the certificate in {path} expired at {}; issue a new pair", rfc3339(*since))]
    Expired {
        /// The certificate file.
        path: CertPath,
        /// When.
        since: SystemTime,
    },
    /// The two files do not belong together.
    #[error(
        "the private key in {key} is not the key of the certificate in {cert}; write both from one issue"
    )]
    Mismatch {
        /// The certificate file.
        cert: CertPath,
        /// The key file.
        key: KeyPath,
    },
    /// The certificate file holds none.
    #[error("the certificate file {path} holds no CERTIFICATE block; write the chain as PEM, leaf first")]
    NoCertificate {
        /// The certificate file.
        path: CertPath,
    },
    /// The key file holds none.
    #[error(
        "the private key file {path} holds no PRIVATE KEY block; write an unencrypted PKCS#8, SEC1 or PKCS#1 key as PEM"
    )]
    NoKey {
        /// The key file.
        path: KeyPath,
    },
    /// The leaf's time has not come.
    #[error(
        "the certificate in {path} is not valid before {}; check this machine's clock, or issue a new pair",
        rfc3339(*from)
    )]
    NotYetValid {
        /// The certificate file.
        path: CertPath,
        /// When it will be.
        from: SystemTime,
    },
    /// The certificate file cannot be read.
    #[error("cannot read the certificate file {path}; check that it is mounted and readable")]
    ReadCertificate {
        /// The certificate file.
        path: CertPath,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The key file cannot be read.
    #[error("cannot read the private key file {path}; check that it is mounted and readable")]
    ReadKey {
        /// The key file.
        path: KeyPath,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The key is of a kind that TLS is not served with.
    #[error(
        "the private key in {path} is of a kind that is not supported; use ECDSA P-256 or P-384, Ed25519 or RSA"
    )]
    UnsupportedKey {
        /// The key file.
        path: KeyPath,
    },
}

/// The bytes of both files. The key's are wiped on drop.
pub struct Pem {
    cert: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

/// Tells two contents of the files apart without keeping either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([[u8; 32]; 2]);

/// A key pair that may be served.
#[derive(Debug, Clone)]
pub struct Pair {
    /// For TLS.
    pub certified: Arc<CertifiedKey>,
    /// When the leaf is valid.
    pub validity: Validity,
}

/// RFC 5280's `Validity`: from when to when, both included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: SystemTime,
    /// The last second.
    pub not_after: SystemTime,
}

impl Validity {
    /// As a certificate says it; a time before 1970 is read as 1970.
    #[must_use]
    pub fn of(certificate: &X509Certificate<'_>) -> Self {
        let time =
            |time: ASN1Time| UNIX_EPOCH + Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or(0));
        let validity = certificate.validity();
        Self { not_before: time(validity.not_before), not_after: time(validity.not_after) }
    }
}

impl Pair {
    /// Checks the leaf's time; `cert` is where it came from.
    ///
    /// # Errors
    ///
    /// When the time has not come, or is over.
    pub fn check_time(&self, cert: &CertPath, now: SystemTime) -> Result<(), LoadError> {
        let Validity { not_before, not_after } = self.validity;
        // Whole seconds, as certificates have them.
        let seconds = unix_seconds(now);
        if seconds < unix_seconds(not_before) {
            return Err(LoadError::NotYetValid { path: cert.clone(), from: not_before });
        }
        if seconds > unix_seconds(not_after) {
            return Err(LoadError::Expired { path: cert.clone(), since: not_after });
        }
        Ok(())
    }
}

/// Reads both files.
///
/// # Errors
///
/// When either cannot be read.
pub async fn read(cert: &CertPath, key: &KeyPath) -> Result<Pem, LoadError> {
    let chain = tokio::fs::read(cert.as_path())
        .await
        .map_err(|source| LoadError::ReadCertificate { path: cert.clone(), source })?;
    let secret = tokio::fs::read(key.as_path())
        .await
        .map_err(|source| LoadError::ReadKey { path: key.clone(), source })?;
    Ok(Pem { cert: chain, key: Zeroizing::new(secret) })
}

impl Pem {
    /// What was read, if it was read elsewhere.
    #[must_use]
    pub fn new(cert: Vec<u8>, key: Vec<u8>) -> Self {
        Self { cert, key: Zeroizing::new(key) }
    }

    /// Tells this content from another.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint([self.cert.as_slice(), self.key.as_slice()].map(|bytes| {
            let mut sum = [0; 32];
            sum.copy_from_slice(digest(&SHA256, bytes).as_ref());
            sum
        }))
    }
}

/// Makes a pair of what was read from `cert` and `key`, as it is at `now`.
///
/// # Errors
///
/// When it is not a pair that may be served; see [`LoadError`].
pub fn parse(pem: &Pem, cert: &CertPath, key: &KeyPath, now: SystemTime) -> Result<Pair, LoadError> {
    let pair = whole(pem, cert, key)?;
    pair.check_time(cert, now)?;
    Ok(pair)
}

/// As [`parse`], for a pair whose time the caller judges.
///
/// # Errors
///
/// When it is not a pair.
pub fn whole(pem: &Pem, cert: &CertPath, key: &KeyPath) -> Result<Pair, LoadError> {
    let chain = parse_chain(&pem.cert, cert)?;
    let signing = parse_key(&pem.key, key)?;
    let validity = check_chain(&chain, cert)?;
    let certified = CertifiedKey::new(chain, signing);
    // Every key kind of this provider knows its public key, so anything but a match is a mismatch.
    certified.keys_match().map_err(|_| LoadError::Mismatch { cert: cert.clone(), key: key.clone() })?;
    Ok(Pair { certified: Arc::new(certified), validity })
}

fn parse_chain(bytes: &[u8], path: &CertPath) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let chain = CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| LoadError::BadCertificatePem { path: path.clone(), source })?;
    if chain.is_empty() {
        return Err(LoadError::NoCertificate { path: path.clone() });
    }
    Ok(chain)
}

fn parse_key(bytes: &[u8], path: &KeyPath) -> Result<Arc<dyn rustls::sign::SigningKey>, LoadError> {
    let der = match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(der) => der,
        Err(pem::Error::NoItemsFound) => return Err(LoadError::NoKey { path: path.clone() }),
        Err(_) => return Err(LoadError::BadKeyPem { path: path.clone() }),
    };
    any_supported_type(&der).map_err(|_| LoadError::UnsupportedKey { path: path.clone() })
}

/// Checks that each certificate can be read; yields when the leaf is valid.
fn check_chain(chain: &[CertificateDer<'static>], path: &CertPath) -> Result<Validity, LoadError> {
    let mut leaf = None;
    for (index, der) in chain.iter().enumerate() {
        let bad = || LoadError::BadCertificate { path: path.clone(), number: index + 1 };
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| bad())?;
        if !rest.is_empty() {
            return Err(bad());
        }
        leaf.get_or_insert_with(|| Validity::of(&parsed));
    }
    leaf.ok_or_else(|| LoadError::NoCertificate { path: path.clone() })
}

/// As a person reads it.
pub(super) fn rfc3339(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| "a time out of range".to_owned(), |time| time.to_string())
}

/// Seconds since 1970; a clock before that reads as its first second.
pub(super) fn unix_seconds(time: SystemTime) -> i64 {
    let elapsed = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn paths() -> (CertPath, KeyPath) {
        (CertPath::new("tls.crt"), KeyPath::new("tls.key"))
    }

    /// A pair valid in 2030 alone.
    fn minted() -> (String, String) {
        let mut params = CertificateParams::new(vec!["keystow.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2030, 1, 1);
        params.not_after = date_time_ymd(2031, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn year(year: u64) -> SystemTime {
        // A day more for each leap year is not needed to hit the middle of a year.
        UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_557_600 + 15_000_000)
    }

    fn parse_at(cert: &str, key: &str, now: SystemTime) -> Result<Pair, LoadError> {
        let (cert_path, key_path) = paths();
        parse(&Pem::new(cert.into(), key.into()), &cert_path, &key_path, now)
    }

    #[test]
    fn a_good_pair_loads_and_says_its_end() {
        let (cert, key) = minted();
        let pair = parse_at(&cert, &key, year(2030)).unwrap();
        assert_eq!(unix_seconds(pair.validity.not_after), date_time_ymd(2031, 1, 1).unix_timestamp());
        assert_eq!(pair.certified.cert.len(), 1);
    }

    #[test]
    fn a_chain_keeps_its_order() {
        let ((leaf, key), (other, _)) = (minted(), minted());
        let pair = parse_at(&format!("{leaf}{other}"), &key, year(2030)).unwrap();
        assert_eq!(pair.certified.cert.len(), 2);
        assert!(parse_at(&format!("{other}{leaf}"), &key, year(2030)).is_err());
    }

    #[test]
    fn expired() {
        let (cert, key) = minted();
        let error = parse_at(&cert, &key, year(2031)).unwrap_err();
        assert!(matches!(error, LoadError::Expired { .. }));
        assert!(error.to_string().contains("tls.crt"), "{error}");
    }

    #[test]
    fn not_yet_valid() {
        let (cert, key) = minted();
        let error = parse_at(&cert, &key, year(2029)).unwrap_err();
        assert!(matches!(error, LoadError::NotYetValid { .. }), "{error}");
    }

    #[test]
    fn mismatch() {
        let ((cert, _), (_, key)) = (minted(), minted());
        assert!(matches!(parse_at(&cert, &key, year(2030)), Err(LoadError::Mismatch { .. })));
    }

    #[test]
    fn no_certificate() {
        let (_, key) = minted();
        assert!(matches!(parse_at("", &key, year(2030)), Err(LoadError::NoCertificate { .. })));
        // The files given the wrong way round.
        assert!(matches!(parse_at(&key, &key, year(2030)), Err(LoadError::NoCertificate { .. })));
    }

    #[test]
    fn no_key() {
        let (cert, _) = minted();
        assert!(matches!(parse_at(&cert, "", year(2030)), Err(LoadError::NoKey { .. })));
        assert!(matches!(parse_at(&cert, &cert, year(2030)), Err(LoadError::NoKey { .. })));
    }

    #[test]
    fn a_cut_file_is_not_whole() {
        let (cert, key) = minted();
        let cut = |text: &str| text[..text.len() - 40].to_owned();
        assert!(matches!(parse_at(&cut(&cert), &key, year(2030)), Err(LoadError::BadCertificatePem { .. })));
        assert!(matches!(parse_at(&cert, &cut(&key), year(2030)), Err(LoadError::BadKeyPem { .. })));
        // A second certificate that is cut spoils the whole file.
        let chain = format!("{cert}{}", cut(&cert));
        assert!(matches!(parse_at(&chain, &key, year(2030)), Err(LoadError::BadCertificatePem { .. })));
    }

    #[test]
    fn a_certificate_that_is_not_x509() {
        let (cert, key) = minted();
        let chain = format!("{cert}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let error = parse_at(&chain, &key, year(2030)).unwrap_err();
        assert!(matches!(error, LoadError::BadCertificate { number: 2, .. }), "{error}");
    }

    #[test]
    fn a_key_of_an_unknown_kind() {
        let (cert, _) = minted();
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(matches!(parse_at(&cert, key, year(2030)), Err(LoadError::UnsupportedKey { .. })));
    }

    #[test]
    fn no_text_of_the_key_is_in_the_error() {
        let (cert, key) = minted();
        for broken in [key.replace('\n', ""), key.replace('\n', " "), key.replace("-----END", "----END")] {
            let error = parse_at(&cert, &broken, year(2030)).unwrap_err();
            let shown = format!("{} {error:?}", crate::telemetry::chain(&error));
            for line in key.lines().filter(|line| !line.starts_with('-')) {
                assert!(!shown.contains(line), "{shown}");
            }
        }
    }

    #[tokio::test]
    async fn files_that_cannot_be_read_are_named_by_role() {
        let directory = tempfile::tempdir().unwrap();
        let cert = CertPath::new(directory.path().join("tls.crt"));
        let key = KeyPath::new(directory.path().join("tls.key"));
        assert!(matches!(read(&cert, &key).await.err().unwrap(), LoadError::ReadCertificate { .. }));
        std::fs::write(cert.as_path(), "").unwrap();
        assert!(matches!(read(&cert, &key).await.err().unwrap(), LoadError::ReadKey { .. }));
    }
}
