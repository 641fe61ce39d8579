//! CA certificates, and a set of them as the `caBundle` has it.

use std::time::SystemTime;

use pem::{EncodeConfig, LineEnding, Pem};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::super::load::Validity;

/// A certificate that can be a CA's. The public part alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CaCertificate {
    der: CertificateDer<'static>,
    validity: Validity,
}

impl CaCertificate {
    /// None where it is no certificate, or not a CA's.
    pub(super) fn from_der(der: CertificateDer<'static>) -> Option<Self> {
        let (rest, parsed) = X509Certificate::from_der(&der).ok()?;
        let validity = (rest.is_empty() && parsed.is_ca()).then(|| Validity::of(&parsed))?;
        Some(Self { der, validity })
    }

    pub(super) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    pub(super) fn validity(&self) -> &Validity {
        &self.validity
    }

    pub(super) fn pem(&self) -> String {
        to_pem(&self.der)
    }
}

/// The PEM text of a certificate, with a line break at its end.
pub(super) fn to_pem(der: &CertificateDer<'_>) -> String {
    let lines = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new("CERTIFICATE", der.as_ref()), lines)
}

/// CAs in an order, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bundle(Vec<CaCertificate>);

impl Bundle {
    /// What can be read of a PEM text. What cannot is left out: it verifies nobody.
    pub(super) fn from_pem(text: &[u8]) -> Self {
        CertificateDer::pem_slice_iter(text).flatten().filter_map(CaCertificate::from_der).collect()
    }

    pub(super) fn to_pem(&self) -> String {
        self.0.iter().map(CaCertificate::pem).collect()
    }

    pub(super) fn contains(&self, ca: &CaCertificate) -> bool {
        self.0.contains(ca)
    }

    pub(super) fn push(&mut self, ca: CaCertificate) {
        if !self.contains(&ca) {
            self.0.push(ca);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &CaCertificate> {
        self.0.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both hold the same, in whatever order.
    pub(super) fn is_same_set(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().all(|ca| other.contains(ca))
    }

    /// Those that are not in `other` and whose time is not over.
    pub(super) fn living_beside(&self, other: &Self, now: SystemTime) -> Self {
        self.iter().filter(|ca| !other.contains(ca) && ca.validity.not_after >= now).cloned().collect()
    }
}

impl FromIterator<CaCertificate> for Bundle {
    fn from_iter<I: IntoIterator<Item = CaCertificate>>(all: I) -> Self {
        let mut bundle = Self::default();
        all.into_iter().for_each(|ca| bundle.push(ca));
        bundle
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::super::issue;
    use super::*;

    fn ca() -> CaCertificate {
        issue::authority(Duration::from_secs(3600), SystemTime::now()).unwrap().ca
    }

    #[test]
    fn a_bundle_is_read_as_it_was_written() {
        let bundle: Bundle = [ca(), ca()].into_iter().collect();
        assert_eq!(Bundle::from_pem(bundle.to_pem().as_bytes()), bundle);
        assert_eq!(bundle.to_pem().matches("-----BEGIN CERTIFICATE-----\n").count(), 2);
    }

    #[test]
    fn what_is_no_ca_is_left_out() {
        let (one, other) = (ca(), ca());
        let leaf = rcgen::generate_simple_self_signed(vec!["x.example".to_owned()]).unwrap().cert.pem();
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let text = format!("words\n{}{leaf}{broken}{}", one.pem(), other.pem());
        assert_eq!(Bundle::from_pem(text.as_bytes()), [one, other].into_iter().collect());
        assert!(Bundle::from_pem(b"\n").is_empty());
    }

    #[test]
    fn a_ca_is_in_a_bundle_once() {
        let ca = ca();
        let bundle: Bundle = [ca.clone(), ca].into_iter().collect();
        assert_eq!(bundle.iter().count(), 1);
    }

    #[test]
    fn sets_are_the_same_in_whatever_order() {
        let (one, other) = (ca(), ca());
        let set = |cas: &[&CaCertificate]| cas.iter().map(|ca| (*ca).clone()).collect::<Bundle>();
        assert!(set(&[&one, &other]).is_same_set(&set(&[&other, &one])));
        assert!(!set(&[&one]).is_same_set(&set(&[&other])));
        assert!(!set(&[&one]).is_same_set(&set(&[&one, &other])));
    }
}
