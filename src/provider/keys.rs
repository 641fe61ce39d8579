//! The keys that are believed: those of `jwks.json`, each with the issuer that `issuers.yaml` gives it.

use std::fmt;

use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use thiserror::Error;

/// A key that is believed.
pub(super) struct TrustedKey {
    /// Its `kid`.
    pub(super) id: String,
    /// What tokens of it are signed by.
    pub(super) algorithm: Algorithm,
    /// Who issues them.
    pub(super) issuer: String,
    /// Verifies them.
    pub(super) key: DecodingKey,
}

/// All that are believed; never none.
#[derive(Debug)]
pub(super) struct Keys(Vec<TrustedKey>);

/// Both documents, read.
#[derive(Debug)]
pub(super) struct Published {
    /// What is believed.
    pub(super) keys: Keys,
    /// Keys that cannot be, and why. They hold up nothing: what has left the set is not believed for their sake.
    pub(super) unusable: Vec<KeysError>,
}

/// Why there are none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum KeysError {
    #[error("jwks.json is no set of public keys (RFC 7517): {0}")]
    Set(String),
    #[error("issuers.yaml is no list of issuers: {0}")]
    Issuers(String),
    #[error("jwks.json has no keys")]
    Empty,
    #[error("a key of jwks.json has no kid")]
    Nameless,
    #[error("key {0} of jwks.json is none of RS256, ES256, ES384 and EdDSA, by its alg and what it is")]
    Algorithm(String),
    #[error("issuers.yaml gives no issuer to key {0}")]
    Unlisted(String),
}

#[derive(Deserialize)]
struct List {
    issuers: Vec<Issuer>,
}

#[derive(Deserialize)]
struct Issuer {
    name: String,
    kid: Option<String>,
}

impl Keys {
    /// Reads both documents.
    pub(super) fn read(jwks: &[u8], issuers: &[u8]) -> Result<Published, KeysError> {
        let set: JwkSet = serde_json::from_slice(jwks).map_err(|error| KeysError::Set(error.to_string()))?;
        let text = std::str::from_utf8(issuers).unwrap_or_default();
        let list: List =
            serde_saphyr::from_str(text).map_err(|error| KeysError::Issuers(error.to_string()))?;
        let (mut keys, mut unusable) = (Vec::new(), Vec::new());
        for jwk in &set.keys {
            match TrustedKey::of(jwk, &list) {
                Ok(key) => keys.push(key),
                Err(error) => unusable.push(error),
            }
        }
        match unusable.first() {
            Some(error) if keys.is_empty() => Err(error.clone()),
            None if keys.is_empty() => Err(KeysError::Empty),
            _ => Ok(Published { keys: Self(keys), unusable }),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &TrustedKey> {
        self.0.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl TrustedKey {
    fn of(jwk: &Jwk, list: &List) -> Result<Self, KeysError> {
        let id = jwk.common.key_id.clone().ok_or(KeysError::Nameless)?;
        let unsupported = || KeysError::Algorithm(id.clone());
        let algorithm = jwk.common.key_algorithm.and_then(algorithm_of).ok_or_else(unsupported)?;
        let key = DecodingKey::from_jwk(jwk).map_err(|_| unsupported())?;
        if key.family() != algorithm.family() {
            return Err(unsupported());
        }
        let issuer = list.issuers.iter().find(|issuer| issuer.kid.as_ref() == Some(&id));
        let issuer = issuer.ok_or_else(|| KeysError::Unlisted(id.clone()))?.name.clone();
        Ok(Self { id, algorithm, issuer, key })
    }
}

/// What tokens can be signed by. A shared secret is none of them: it is in no public set.
fn algorithm_of(named: KeyAlgorithm) -> Option<Algorithm> {
    Some(match named {
        KeyAlgorithm::RS256 => Algorithm::RS256,
        KeyAlgorithm::ES256 => Algorithm::ES256,
        KeyAlgorithm::ES384 => Algorithm::ES384,
        KeyAlgorithm::EdDSA => Algorithm::EdDSA,
        _ => return None,
    })
}

impl fmt::Debug for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, algorithm, issuer, .. } = self;
        f.debug_struct("TrustedKey")
            .field("id", id)
            .field("algorithm", algorithm)
            .field("issuer", issuer)
            .finish()
    }
}
