//! New CAs, and leaves that they sign: ECDSA P-256, as X.509 v3.
//!
//! Invariants: a leaf does not outlive its CA, which would make it worthless without anybody seeing why; what is made
//! is valid a little before `now`, since an API server's clock may be behind ours.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use thiserror::Error;

use super::super::load::LoadError;
use super::bundle::CaCertificate;
use super::material::{Authority, Leaf};
use crate::domain::SecretValue;

/// The most that a certificate is valid before it was made.
const LONGEST_BACKDATE: Duration = Duration::from_secs(60 * 60);

/// Why nothing was issued.
#[derive(Debug, Error)]
pub(super) enum IssueError {
    /// The names cannot be in a certificate, or no key could be made.
    #[error("cannot issue a certificate; check the names given by --server-name")]
    Make(#[from] rcgen::Error),
    /// What was made cannot be used.
    #[error("cannot use the certificate that was made; report it")]
    Use(#[from] LoadError),
    /// What was made is no CA.
    #[error("cannot use the CA that was made; report it")]
    NotACa,
}

/// Makes a CA that lives this long from `now` on.
pub(super) fn authority(lifetime: Duration, now: SystemTime) -> Result<Authority, IssueError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    // CAs follow each other under one name; their keys' identifiers tell them apart, and so does a person by the date.
    params.distinguished_name.push(DnType::CommonName, format!("keystow CA {}", date(now)));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, now, now + lifetime, lifetime);
    let made = CertifiedIssuer::self_signed(params, key)?;
    let ca = CaCertificate::from_der(made.der().clone()).ok_or(IssueError::NotACa)?;
    Ok(Authority { ca, key: SecretValue::new(made.key().serialize_pem().into_bytes()) })
}

/// Has `authority` sign a new leaf for `names` that lives this long from `now` on, or as long as its CA.
pub(super) fn leaf(
    authority: &Authority,
    names: &[String],
    lifetime: Duration,
    now: SystemTime,
) -> Result<Leaf, IssueError> {
    let issuer = Issuer::from_ca_cert_der(authority.ca.der(), authority.signing_key()?)?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "keystow");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let end = (now + lifetime).min(authority.ca.validity().not_after);
    set_validity(&mut params, now, end, lifetime);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let cert = params.signed_by(&key, &issuer)?.pem();
    Ok(Leaf::read(cert.as_bytes(), key.serialize_pem().as_bytes())?)
}

fn set_validity(params: &mut CertificateParams, now: SystemTime, end: SystemTime, lifetime: Duration) {
    let at =
        |time: SystemTime| date_time_ymd(1970, 1, 1) + time.duration_since(UNIX_EPOCH).unwrap_or_default();
    params.not_before = at(now - (lifetime / 20).min(LONGEST_BACKDATE));
    params.not_after = at(end);
}

/// The day, in UTC.
fn date(now: SystemTime) -> String {
    let text = super::super::load::rfc3339(now);
    text.split('T').next().unwrap_or_default().to_owned()
}
