//! What a key is made of: a private key in PEM with its public half as a JWK (RFC 7517), or a value.
//!
//! Private keys are read as OpenSSL and people write them: PKCS#8, PKCS#1 (`RSA PRIVATE KEY`) and SEC 1 (`EC PRIVATE
//! KEY`). The algorithm follows from the key: RS256, ES256, ES384 or EdDSA.
//!
//! Deliberately absent: encrypted private keys, whose password would lie beside them.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters, EllipticCurveKeyType,
    Jwk, OctetKeyPairParameters, OctetKeyPairType, PublicKeyUse, RSAKeyParameters, RSAKeyType,
    ThumbprintHash,
};
use pem::{EncodeConfig, LineEnding, Pem};
use zeroize::Zeroizing;

use crate::domain::SecretValue;

/// What a key is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Material {
    /// A key pair.
    Pair {
        /// The private key, as it lies in the Secret.
        private: SecretValue,
        /// The public one, with `kid`, `alg` and `use`.
        public: Box<Jwk>,
        /// What it signs by.
        algorithm: Algorithm,
    },
    /// Bytes that signer and verifier both have.
    Value(SecretValue),
}

/// Why a key of a Secret's data is no private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MaterialError {
    /// No PEM, or none of a private key.
    #[error("it holds no private key in PEM")]
    NotPem,
    /// A password would be needed.
    #[error("its private key is encrypted; write it without a password: openssl pkey -in FILE")]
    Encrypted,
    /// Not RSA, P-256, P-384 or Ed25519.
    #[error("its private key is broken, or none of RSA with 2048 bits or more, P-256, P-384 and Ed25519")]
    Unsupported,
}

impl Material {
    /// Reads a private key as it lies in a Secret.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn read(private: &SecretValue) -> Result<Self, MaterialError> {
        let der = private_key(private)?;
        let (algorithm, public) = public_of(&der).ok_or(MaterialError::Unsupported)?;
        let public = named(public, algorithm).ok_or(MaterialError::Unsupported)?;
        Ok(Self::Pair { private: private.clone(), public: Box::new(public), algorithm })
    }

    /// The same of PKCS#8 in DER, which becomes PEM.
    ///
    /// # Errors
    ///
    /// When it is no such key.
    pub fn of_pkcs8(der: &SecretValue) -> Result<Self, MaterialError> {
        let block = Pem::new("PRIVATE KEY", der.expose());
        let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
        let text = pem::encode_config(&block, config);
        drop(Zeroizing::new(block.into_contents()));
        Self::read(&SecretValue::new(text.into_bytes()))
    }

    /// What lies in the Secret.
    #[must_use]
    pub fn value(&self) -> &SecretValue {
        match self {
            Self::Pair { private, .. } => private,
            Self::Value(value) => value,
        }
    }

    /// The thumbprint of the public key (RFC 7638), in base64url; none of a value, since whoever knows it could try values.
    #[must_use]
    pub fn thumbprint(&self) -> Option<&str> {
        match self {
            Self::Pair { public, .. } => public.common.key_id.as_deref(),
            Self::Value(_) => None,
        }
    }
}

/// The private key of a text in PEM, in DER: PKCS#8, PKCS#1 or SEC 1.
///
/// # Errors
///
/// When there is none, or it is encrypted.
pub fn private_key(text: &SecretValue) -> Result<Zeroizing<Vec<u8>>, MaterialError> {
    let blocks = pem::parse_many(text.expose()).map_err(|_| MaterialError::NotPem)?;
    let mut error = MaterialError::NotPem;
    for block in blocks {
        // Not every block is of a key: OpenSSL writes the curve's name before it.
        let tag = block.tag().to_owned();
        let der = Zeroizing::new(block.into_contents());
        match tag.as_str() {
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => return Ok(der),
            "ENCRYPTED PRIVATE KEY" => error = MaterialError::Encrypted,
            _ => {}
        }
    }
    Err(error)
}

fn named(algorithm: AlgorithmParameters, alg: Algorithm) -> Option<Jwk> {
    let mut jwk = Jwk { common: CommonParameters::default(), algorithm };
    let id = jwk.thumbprint(ThumbprintHash::SHA256).ok()?;
    jwk.common = CommonParameters {
        public_key_use: Some(PublicKeyUse::Signature),
        key_algorithm: Some(alg.into()),
        key_id: Some(id),
        ..CommonParameters::default()
    };
    Some(jwk)
}

fn public_of(der: &[u8]) -> Option<(Algorithm, AlgorithmParameters)> {
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    if let Ok(pair) = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der)) {
        let public = pair.public_key();
        let n = text(public.modulus().big_endian_without_leading_zero());
        let e = text(public.exponent().big_endian_without_leading_zero());
        let parameters = RSAKeyParameters { key_type: RSAKeyType::RSA, n, e };
        return Some((Algorithm::RS256, AlgorithmParameters::RSA(parameters)));
    }
    let curves = [
        (&ECDSA_P256_SHA256_FIXED_SIGNING, Algorithm::ES256, EllipticCurve::P256),
        (&ECDSA_P384_SHA384_FIXED_SIGNING, Algorithm::ES384, EllipticCurve::P384),
    ];
    for (signing, algorithm, curve) in curves {
        let pair = EcdsaKeyPair::from_pkcs8(signing, der)
            .or_else(|_| EcdsaKeyPair::from_private_key_der(signing, der));
        let Ok(pair) = pair else { continue };
        // SEC 1: a byte that says that both coordinates follow.
        let (x, y) = pair.public_key().as_ref().get(1..)?.split_at_checked(signing_bytes(&curve))?;
        let (key_type, x, y) = (EllipticCurveKeyType::EC, text(x), text(y));
        let parameters = EllipticCurveKeyParameters { key_type, curve, x, y };
        return Some((algorithm, AlgorithmParameters::EllipticCurve(parameters)));
    }
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
    let parameters = OctetKeyPairParameters {
        key_type: OctetKeyPairType::OctetKeyPair,
        curve: EllipticCurve::Ed25519,
        x: text(pair.public_key().as_ref()),
    };
    Some((Algorithm::EdDSA, AlgorithmParameters::OctetKeyPair(parameters)))
}

/// A coordinate, in bytes.
fn signing_bytes(curve: &EllipticCurve) -> usize {
    if matches!(curve, EllipticCurve::P256) { 32 } else { 48 }
}
