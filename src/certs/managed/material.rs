//! What the Secret holds, as types: the CA that signs, the leaf that is served, and the CAs before and after.
//!
//! | key of the Secret | what it is, in PEM |
//! |---|---|
//! | `tls.crt`, `tls.key` | the leaf that every replica serves |
//! | `ca.crt`, `ca.key` | the CA that signed it and signs the next ones |
//! | `next-ca.crt`, `next-ca.key` | a CA that is made known to API servers and does not sign yet |
//! | `retired.crt` | for each leaf that may still be in use: the leaf, then the CA that signed it |
//!
//! The first three are those of `kubernetes.io/tls` and of cert-manager.
//!
//! Invariants: each part is whole or not there. What is half-written or does not fit together is a [`Fault`] with its
//! reason and counts as absent, so that whatever was left behind, the next write makes it whole. Reading judges no
//! time. No text of a key enters a fault.

use std::collections::BTreeMap;
use std::time::SystemTime;

use k8s_openapi::ByteString;
use rcgen::{KeyPair, PublicKeyData as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::super::load::{self, CertPath, KeyPath, LoadError, Pair, Pem};
use super::super::verify::{self, Names};
use super::bundle::{Bundle, CaCertificate, to_pem};
use crate::domain::SecretValue;
use crate::telemetry::chain;

const LEAF_CERT: &str = "tls.crt";
const LEAF_KEY: &str = "tls.key";
const CA_CERT: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const NEXT_CERT: &str = "next-ca.crt";
const NEXT_KEY: &str = "next-ca.key";
const RETIRED: &str = "retired.crt";
const KEYS: [&str; 7] = [LEAF_CERT, LEAF_KEY, CA_CERT, CA_KEY, NEXT_CERT, NEXT_KEY, RETIRED];

/// The `data` of a Secret.
pub(super) type Data = BTreeMap<String, ByteString>;

/// A CA with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    pub(super) ca: CaCertificate,
    /// PEM.
    pub(super) key: SecretValue,
}

/// A leaf with its key.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) pair: Pair,
    /// PEM.
    cert: Vec<u8>,
    /// PEM.
    key: SecretValue,
}

/// A leaf that was replaced and may still be in use, and the CA that API servers need for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Retired {
    leaf: CertificateDer<'static>,
    pub(super) ca: CaCertificate,
    /// The end of the leaf's life.
    pub(super) until: SystemTime,
}

/// The CA of the leaf that is served.
#[derive(Debug, Clone)]
pub(super) struct Current {
    pub(super) ca: CaCertificate,
    /// Where its key is lost, what is served stays good, and nothing more can be signed.
    pub(super) authority: Option<Authority>,
    pub(super) leaf: Option<Leaf>,
}

/// All of it. The default is an empty Secret.
#[derive(Debug, Clone, Default)]
pub(super) struct Material {
    pub(super) current: Option<Current>,
    pub(super) next: Option<Authority>,
    pub(super) retired: Vec<Retired>,
}

/// Something in the Secret that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The key of the Secret.
    pub(super) key: &'static str,
    pub(super) reason: String,
}

impl Fault {
    fn new(key: &'static str, reason: impl Into<String>) -> Self {
        Self { key, reason: reason.into() }
    }
}

impl Authority {
    /// The key, ready to sign.
    pub(super) fn signing_key(&self) -> Result<KeyPair, rcgen::Error> {
        let text = str::from_utf8(self.key.expose()).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
        KeyPair::from_pem(text)
    }

    fn keys_match(&self) -> bool {
        let Ok(key) = self.signing_key() else { return false };
        X509Certificate::from_der(self.ca.der())
            .is_ok_and(|(_, ca)| ca.public_key().raw == key.subject_public_key_info())
    }
}

impl Leaf {
    pub(super) fn read(cert: &[u8], key: &[u8]) -> Result<Self, LoadError> {
        let pair = load::whole(&Pem::new(cert.to_vec(), key.to_vec()), &cert_path(), &key_path())?;
        Ok(Self { pair, cert: cert.to_vec(), key: SecretValue::new(key.to_vec()) })
    }

    /// Its certificate.
    pub(super) fn der(&self) -> Option<&CertificateDer<'static>> {
        self.pair.certified.cert.first()
    }

    /// Whether it is for `names` and `ca` signed it, its time aside.
    fn fits(&self, ca: &CaCertificate, names: Names<'_>) -> bool {
        let end = self.pair.validity.not_after;
        verify::is_accepted(std::iter::once(ca.der()), &self.pair.certified.cert, names, end)
    }
}

/// How errors name where a leaf comes from.
pub(super) fn cert_path() -> CertPath {
    CertPath::new("the Secret's tls.crt")
}

fn key_path() -> KeyPath {
    KeyPath::new("the Secret's tls.key")
}

impl Retired {
    fn new(leaf: CertificateDer<'static>, ca: CaCertificate) -> Option<Self> {
        let until = load::Validity::of(&X509Certificate::from_der(&leaf).ok()?.1).not_after;
        Some(Self { leaf, ca, until })
    }
}

impl Material {
    /// Reads what is there for a server of these names; what cannot be used is told.
    pub(super) fn read(data: &Data, names: Names<'_>) -> (Self, Vec<Fault>) {
        let mut faults = Vec::new();
        let current = read_ca(data, CA_CERT, &mut faults).map(|ca| Current {
            authority: read_authority(data, &ca, CA_KEY, &mut faults),
            leaf: read_leaf(data, &ca, names, &mut faults),
            ca,
        });
        let next = read_ca(data, NEXT_CERT, &mut faults)
            .and_then(|ca| read_authority(data, &ca, NEXT_KEY, &mut faults));
        let retired = read_retired(data, &mut faults);
        (Self { current, next, retired }, faults)
    }

    /// Takes what is ours out of a Secret's data.
    pub(super) fn take_ours(data: &mut Data) -> Data {
        data.extract_if(.., |key, _| KEYS.contains(&key.as_str())).collect()
    }

    /// Writes it over what is there; keys that are not ours stay.
    pub(super) fn write(&self, data: &mut Data) {
        drop(Self::take_ours(data));
        let mut put = |key: &str, value: &[u8]| data.insert(key.to_owned(), ByteString(value.to_vec()));
        let leaf = self.current.as_ref().and_then(|current| current.leaf.as_ref());
        // Both must be there in a Secret of the type kubernetes.io/tls, if empty.
        put(LEAF_CERT, leaf.map_or(&[], |leaf| &leaf.cert));
        put(LEAF_KEY, leaf.map_or(&[], |leaf| leaf.key.expose()));
        if let Some(current) = &self.current {
            put(CA_CERT, current.ca.pem().as_bytes());
            if let Some(authority) = &current.authority {
                put(CA_KEY, authority.key.expose());
            }
        }
        if let Some(next) = &self.next {
            put(NEXT_CERT, next.ca.pem().as_bytes());
            put(NEXT_KEY, next.key.expose());
        }
        if !self.retired.is_empty() {
            let text = |retired: &Retired| to_pem(&retired.leaf) + &retired.ca.pem();
            put(RETIRED, self.retired.iter().map(text).collect::<String>().as_bytes());
        }
    }

    /// The leaf that is to be served.
    pub(super) fn leaf(&self) -> Option<&Leaf> {
        self.current.as_ref()?.leaf.as_ref()
    }

    /// The CAs that API servers must trust at `now`.
    pub(super) fn trusted(&self, now: SystemTime) -> Bundle {
        let current = self.current.iter().map(|current| &current.ca);
        let next = self.next.iter().map(|next| &next.ca);
        let retired = self.retired.iter().filter(|retired| retired.until >= now).map(|retired| &retired.ca);
        let all = current.chain(next).chain(retired);
        all.filter(|ca| ca.validity().not_after >= now).cloned().collect()
    }

    /// Remembers that the leaf, about to be replaced, may still be in use.
    pub(super) fn retire_leaf(&mut self) {
        if let Some(current) = &self.current {
            let leaf = current.leaf.as_ref().and_then(Leaf::der).cloned();
            self.retired.extend(leaf.and_then(|leaf| Retired::new(leaf, current.ca.clone())));
        }
    }
}

/// The bytes of a key that says something.
fn bytes<'d>(data: &'d Data, key: &str) -> Option<&'d [u8]> {
    data.get(key).map(|value| value.0.as_slice()).filter(|value| !value.is_empty())
}

fn read_ca(data: &Data, key: &'static str, faults: &mut Vec<Fault>) -> Option<CaCertificate> {
    let text = bytes(data, key)?;
    let ca = CertificateDer::from_pem_slice(text).ok().and_then(CaCertificate::from_der);
    if ca.is_none() {
        faults.push(Fault::new(key, "is not the PEM certificate of a CA"));
    }
    ca
}

fn read_authority(
    data: &Data,
    ca: &CaCertificate,
    key: &'static str,
    faults: &mut Vec<Fault>,
) -> Option<Authority> {
    let Some(text) = bytes(data, key) else {
        faults.push(Fault::new(key, "is not there, though its certificate is"));
        return None;
    };
    let authority = Authority { ca: ca.clone(), key: SecretValue::new(text.to_vec()) };
    if authority.keys_match() {
        return Some(authority);
    }
    faults.push(Fault::new(key, "is not the key of its certificate"));
    None
}

fn read_leaf(data: &Data, ca: &CaCertificate, names: Names<'_>, faults: &mut Vec<Fault>) -> Option<Leaf> {
    let (cert, key) = match (bytes(data, LEAF_CERT), bytes(data, LEAF_KEY)) {
        (None, None) => return None,
        (cert, key) => (cert.unwrap_or_default(), key.unwrap_or_default()),
    };
    match Leaf::read(cert, key) {
        Ok(leaf) if leaf.fits(ca, names) => return Some(leaf),
        Ok(_) => {
            let (Names::All(names) | Names::Any(names)) = names;
            let reason = format!("is not a certificate for {} that ca.crt signed", names.join(", "));
            faults.push(Fault::new(LEAF_CERT, reason));
        }
        Err(error) => faults.push(Fault::new(LEAF_CERT, chain(&error))),
    }
    None
}

fn read_retired(data: &Data, faults: &mut Vec<Fault>) -> Vec<Retired> {
    let Some(text) = bytes(data, RETIRED) else { return Vec::new() };
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let pairs = all.ok().and_then(|all| {
        let (pairs, rest) = all.as_chunks::<2>();
        let read = |[leaf, ca]: &[CertificateDer<'static>; 2]| {
            Retired::new(leaf.clone(), CaCertificate::from_der(ca.clone())?)
        };
        (rest.is_empty() && !pairs.is_empty()).then(|| pairs.iter().map(read).collect::<Option<Vec<_>>>())?
    });
    pairs.unwrap_or_else(|| {
        faults.push(Fault::new(RETIRED, "is not pairs of a leaf and the CA that signed it"));
        Vec::new()
    })
}

#[cfg(test)]
mod tests;
