//! Keys and certificates in Secrets: whether they can be read, are long enough, belong together, and have not expired.

use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _,
};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer as _, SubjectPublicKeyInfo};

use super::code::Code;
use super::finding::{Place, Severity};
use super::judge::Judge;
use super::times::span;
use super::world::{Located, SecretObject};

/// Certificates that end within this are told.
const SOON: i64 = 14 * 86_400;
const BEGIN: &[u8] = b"-----BEGIN ";
/// The halves of a pair, by the keys that hold them.
const PAIRS: [(&str, &str); 2] = [("tls.key", "tls.crt"), ("private", "public")];

/// One value by itself.
pub(super) fn one(judge: &mut Judge<'_>, place: &Place, name: &str, value: &[u8]) {
    if !value.trim_ascii_start().starts_with(BEGIN) {
        return;
    }
    let blocks: Result<Vec<Pem>, _> = Pem::iter_from_buffer(value).collect();
    let blocks = match blocks {
        Ok(blocks) if !blocks.is_empty() => blocks,
        _ => {
            let message = format!("{name} is a PEM that cannot be read");
            return judge.report(
                Code::WeakKey,
                place.clone(),
                message,
                "write it again, whole, with its line ends",
            );
        }
    };
    for block in blocks {
        match block.label.as_str() {
            "CERTIFICATE" => certificate(judge, place, name, &block),
            "RSA PRIVATE KEY" | "PRIVATE KEY" if is_weak(&block.contents) => {
                let message = format!("{name} is an RSA key of less than 2048 bits");
                judge.report(
                    Code::WeakKey,
                    place.clone(),
                    message,
                    "generate a new one of 2048 bits or more",
                );
            }
            _ => {}
        }
    }
}

fn certificate(judge: &mut Judge<'_>, place: &Place, name: &str, block: &Pem) {
    let Ok(certificate) = block.parse_x509() else {
        let message = format!("{name} has a certificate that cannot be read");
        return judge.report(Code::WeakKey, place.clone(), message, "write it again");
    };
    let left = certificate.validity().not_after.timestamp() - judge.world.now;
    if left < 0 {
        let message = format!("the certificate in {name} expired {} ago", span(-left));
        judge.report(Code::CertificateExpires, place.clone(), message, "renew it");
    } else if left < SOON {
        let message = format!("the certificate in {name} expires in {}", span(left));
        judge.report_as(Severity::Warning, Code::CertificateExpires, place.clone(), message, "renew it");
    }
}

/// An RSA key that is well-formed, and too short for the library to take. Its modulus is the first long integer in it.
fn is_weak(der: &[u8]) -> bool {
    let taken = rsa::KeyPair::from_pkcs8(der).or_else(|_| rsa::KeyPair::from_der(der));
    taken.is_err() && modulus_bits(der).is_some_and(|bits| bits < 2048)
}

/// The length of the modulus of a PKCS#1 key, or of one in PKCS#8 whose algorithm is RSA.
fn modulus_bits(der: &[u8]) -> Option<usize> {
    use x509_parser::asn1_rs::{Any, Integer, OctetString, Sequence};
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    let (_, outer) = Sequence::from_der(der).ok()?;
    let (rest, _version) = Integer::from_der(&outer.content).ok()?;
    if let Ok((rest, algorithm)) = Sequence::from_der(rest) {
        let (_, oid) = Any::from_der(&algorithm.content).ok()?;
        let (_, key) = OctetString::from_der(rest).ok()?;
        return (oid.data == RSA).then(|| modulus_bits(key.as_ref())).flatten();
    }
    let (_, modulus) = Integer::from_der(rest).ok()?;
    let bytes = modulus.as_ref();
    let significant = bytes.iter().skip_while(|byte| **byte == 0).count();
    Some(significant * 8)
}

/// Halves that belong together, in one Secret.
pub(super) fn pairs(judge: &mut Judge<'_>, located: &Located<SecretObject>) {
    let data = &located.object.data;
    for (private, public) in PAIRS {
        let (Some(key), Some(half)) = (data.get(private), data.get(public)) else { continue };
        let (Some(expected), Some(found)) = (public_of_private(key.expose()), public_key(half.expose()))
        else {
            continue;
        };
        if expected != found {
            let message =
                format!("{private} and {public} of Secret {} are of different keys", located.object.name);
            judge.report(
                Code::HalvesDiffer,
                located.place.clone(),
                message,
                "write both again, from one generation",
            );
        }
    }
}

/// The public key that belongs to a private one in PEM or DER, as it stands in a SubjectPublicKeyInfo.
fn public_of_private(value: &[u8]) -> Option<Vec<u8>> {
    let der = der_of(value)?;
    let rsa = || rsa::KeyPair::from_pkcs8(&der).or_else(|_| rsa::KeyPair::from_der(&der)).ok();
    if let Some(pair) = rsa() {
        return Some(pair.public_key().as_ref().to_vec());
    }
    for algorithm in [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING] {
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, &der)
            .or_else(|_| EcdsaKeyPair::from_private_key_der(algorithm, &der));
        if let Ok(pair) = pair {
            return Some(pair.public_key().as_ref().to_vec());
        }
    }
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).ok()?;
    Some(pair.public_key().as_ref().to_vec())
}

/// The key of a certificate, or of a public key, in PEM or DER.
fn public_key(value: &[u8]) -> Option<Vec<u8>> {
    let der = der_of(value)?;
    if let Ok((_, certificate)) = x509_parser::parse_x509_certificate(&der) {
        return Some(certificate.public_key().subject_public_key.data.to_vec());
    }
    let (_, key) = SubjectPublicKeyInfo::from_der(&der).ok()?;
    Some(key.subject_public_key.data.to_vec())
}

fn der_of(value: &[u8]) -> Option<Vec<u8>> {
    if !value.trim_ascii_start().starts_with(BEGIN) {
        return Some(value.to_vec());
    }
    Pem::iter_from_buffer(value).next()?.ok().map(|pem| pem.contents.clone())
}
