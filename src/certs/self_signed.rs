//! A CA and a server certificate made at start, for trying it out.
//!
//! Flow: what an earlier start left in the directory is verified exactly as a client would; if that succeeds it is
//! used again, so that the caBundle stays true across restarts. Otherwise a new CA (ECDSA P-256) signs a new leaf, and
//! three files are written, each beside its place and renamed into it, the key readable by its owner alone.
//!
//! Invariants: the CA's key is dropped after the one signature and never written, so nobody can sign with it later. A
//! start that was cut between two files leaves a set that does not verify, and the next start makes a new one.
//!
//! Deliberately absent: renewal while running, and replicas that share a pair.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use thiserror::Error;

use super::load::{self, CertPath, KeyPath, Pem};
use super::verify::{self, Names};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Long enough for a trial, short enough that nobody builds on it.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// What is left of a pair's life when it is used again: a process must not outlive its certificate by surprise.
const LEFT_FOR_REUSE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Why there is no self-signed pair.
#[derive(Debug, Error)]
pub enum SelfSignedError {
    /// The directory cannot be made.
    #[error("cannot make the directory {path} for the self-signed certificate; name one that can be written")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A name cannot be in a certificate, or no key could be made.
    #[error("cannot issue a certificate for {names:?}; give DNS names and IP addresses")]
    Issue {
        /// The names that were asked for.
        names: Vec<String>,
        /// What is wrong.
        #[source]
        source: rcgen::Error,
    },
    /// No name was given.
    #[error(
        "a self-signed certificate needs a name; give the DNS name or IP address that the API server calls"
    )]
    NoName,
    /// A file cannot be written.
    #[error("cannot write {path}; name a directory that can be written")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// The files of a self-signed pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The CA's certificate: the caBundle of the webhook configuration.
    pub ca: PathBuf,
    /// The server's certificate.
    pub cert: CertPath,
    /// The server's key.
    pub key: KeyPath,
    /// Whether an earlier start made them.
    pub reused: bool,
}

/// Finds a pair for `names` in `directory`, or makes one there, valid at `now`.
///
/// # Errors
///
/// When a name cannot be in a certificate, or the directory cannot be written.
pub fn ensure(directory: &Path, names: &[String], now: SystemTime) -> Result<Made, SelfSignedError> {
    if names.is_empty() {
        return Err(SelfSignedError::NoName);
    }
    let mut made = Made {
        ca: directory.join("ca.crt"),
        cert: CertPath::new(directory.join("tls.crt")),
        key: KeyPath::new(directory.join("tls.key")),
        reused: true,
    };
    if usable(&made, names, now).is_some() {
        return Ok(made);
    }
    made.reused = false;
    let issued =
        issue(names, now).map_err(|source| SelfSignedError::Issue { names: names.to_vec(), source })?;
    fs::create_dir_all(directory)
        .map_err(|source| SelfSignedError::Directory { path: directory.to_owned(), source })?;
    write(made.key.as_path(), &issued.key, 0o600)?;
    write(made.cert.as_path(), &issued.cert, 0o644)?;
    write(&made.ca, &issued.ca, 0o644)?;
    Ok(made)
}

/// Verifies what is there as a client that calls each of `names` would, now and for a while to come.
fn usable(made: &Made, names: &[String], now: SystemTime) -> Option<()> {
    let pem = Pem::new(fs::read(made.cert.as_path()).ok()?, fs::read(made.key.as_path()).ok()?);
    let pair = load::parse(&pem, &made.cert, &made.key, now).ok()?;
    let ca = CertificateDer::from_pem_file(&made.ca).ok()?;
    let later = now + LEFT_FOR_REUSE;
    verify::is_accepted(std::iter::once(&ca), &pair.certified.cert, Names::All(names), later).then_some(())
}

/// PEM texts.
struct Issued {
    ca: String,
    cert: String,
    key: String,
}

fn issue(names: &[String], now: SystemTime) -> Result<Issued, rcgen::Error> {
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "keystow self-signed CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut ca, now);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)?;

    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name.push(DnType::CommonName, "keystow");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    set_validity(&mut leaf, now);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let cert = leaf.signed_by(&key, &ca)?;
    Ok(Issued { ca: ca.pem(), cert: cert.pem(), key: key.serialize_pem() })
}

fn set_validity(params: &mut CertificateParams, now: SystemTime) {
    let now = date_time_ymd(1970, 1, 1) + now.duration_since(UNIX_EPOCH).unwrap_or_default();
    // The API server's clock may be behind ours.
    params.not_before = now - DAY;
    params.not_after = now + LIFETIME;
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), SelfSignedError> {
    let beside = path.with_extension("new");
    let written = || -> io::Result<()> {
        // What a start that was cut left behind may have another mode.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    written().map_err(|source| SelfSignedError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names() -> Vec<String> {
        vec!["keystow.keystow.svc".to_owned(), "127.0.0.1".to_owned()]
    }

    #[test]
    fn makes_a_set_that_verifies_with_a_private_key_file() {
        let directory = tempfile::tempdir().unwrap();
        let made = ensure(&directory.path().join("deep/er"), &names(), SystemTime::now()).unwrap();
        assert!(!made.reused);
        assert!(usable(&made, &names(), SystemTime::now()).is_some());
        let mode = fs::metadata(made.key.as_path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let files = fs::read_dir(directory.path().join("deep/er")).unwrap().count();
        assert_eq!(files, 3, "nothing but ca.crt, tls.crt and tls.key is left");
    }

    #[test]
    fn is_used_again_byte_for_byte() {
        let directory = tempfile::tempdir().unwrap();
        let first = ensure(directory.path(), &names(), SystemTime::now()).unwrap();
        let bundle = fs::read(&first.ca).unwrap();
        let second = ensure(directory.path(), &names(), SystemTime::now()).unwrap();
        assert!(second.reused);
        assert_eq!(fs::read(&second.ca).unwrap(), bundle);
    }

    #[test]
    fn is_made_anew_for_another_name() {
        let directory = tempfile::tempdir().unwrap();
        ensure(directory.path(), &names(), SystemTime::now()).unwrap();
        let other = ensure(directory.path(), &["other.example".to_owned()], SystemTime::now()).unwrap();
        assert!(!other.reused);
    }

    #[test]
    fn is_made_anew_near_its_end() {
        let directory = tempfile::tempdir().unwrap();
        ensure(directory.path(), &names(), SystemTime::now()).unwrap();
        let near = SystemTime::now() + LIFETIME - LEFT_FOR_REUSE + DAY;
        assert!(!ensure(directory.path(), &names(), near).unwrap().reused);
    }

    #[test]
    fn is_made_anew_when_the_files_are_of_two_sets() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = ensure(one.path(), &names(), SystemTime::now()).unwrap();
        let second = ensure(two.path(), &names(), SystemTime::now()).unwrap();
        // As if the start had been cut before ca.crt was written.
        fs::copy(&second.ca, &first.ca).unwrap();
        assert!(!ensure(one.path(), &names(), SystemTime::now()).unwrap().reused);
    }

    #[test]
    fn no_name_and_bad_names_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let ensure = |names: &[String]| ensure(directory.path(), names, SystemTime::now());
        assert!(matches!(ensure(&[]), Err(SelfSignedError::NoName)));
        assert!(matches!(ensure(&["schlüssel".to_owned()]), Err(SelfSignedError::Issue { .. })));
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = ensure(&file.path().join("below"), &names(), SystemTime::now()).unwrap_err();
        assert!(matches!(error, SelfSignedError::Directory { .. }), "{error}");
    }
}
