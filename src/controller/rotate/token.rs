//! A Secret that holds a token: its turn.
//!
//! Flow: read it and the Secret of its keys → is it still what is asked for, by the key that signs → sign another → one write.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use k8s_openapi::jiff::Timestamp;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

use super::turn::{ATTEMPTS, TurnError, Turner};
use crate::domain::{Agreement, Rotation, SecretValue, TokenRequest};
use crate::rotation::tokens::{Unsigned, due, unsigned};
use crate::rotation::{Found, Material, Ring, Window, private_key};
use crate::store::kubernetes::{Changes, SecretObject, Written};

/// Where it lies in the data.
pub(super) const TOKEN: &str = "token";

/// What came of it.
#[derive(Debug, Clone)]
pub struct TokenOutcome {
    /// The Secret's uid.
    pub uid: String,
    /// The key that signed a new one; none where the old one is good.
    pub signed_by: Option<String>,
    /// When the next one is due.
    pub next: Timestamp,
    /// What time it was.
    pub now: Window,
}

impl Turner {
    /// Lets a Secret have a token that is good.
    ///
    /// # Errors
    ///
    /// When it could not be made; then nothing was changed.
    pub(super) async fn token(&self, namespace: &str, name: &str) -> Result<TokenOutcome, TurnError> {
        for _ in 0..ATTEMPTS {
            let (object, now) = self.read(namespace, name).await?;
            let request = TokenRequest::read(&self.domain, |key| object.annotations.get(key).cloned());
            let request = request.map_err(TurnError::Annotations)?.ok_or(TurnError::NotAsked)?;
            let (keys, _) =
                self.read(namespace, request.keys.as_str()).await.map_err(|error| match error {
                    TurnError::Absent => TurnError::NoKeys(request.keys.clone()),
                    other => other,
                })?;
            let ring = self.ring(&keys, &request, now)?;
            let key = ring.set().signing.key.clone();
            let next = |seconds: i64| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
            if let Some(seconds) = due(object.data.get(TOKEN), &request, &key, now) {
                return Ok(TokenOutcome { uid: object.uid, signed_by: None, next: next(seconds), now });
            }
            let material = ring.signing_material().ok_or_else(|| TurnError::NoKeys(request.keys.clone()))?;
            let Material::Pair { private, algorithm, .. } = material else {
                return Err(TurnError::NoKeys(request.keys.clone()));
            };
            let Unsigned { text, expires } = unsigned(&request, &key, &format!("{algorithm:?}"), now);
            let signature = sign(private, *algorithm, text.as_bytes()).ok_or(TurnError::Signature)?;
            let token = Zeroizing::new(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)));
            let token = SecretValue::new(token.as_bytes().to_vec());
            if self.put(&object, &token).await? == Written::Done {
                let life = i64::try_from(request.lifetime.as_secs()).unwrap_or(i64::MAX);
                let next = next(expires - life / 2);
                return Ok(TokenOutcome { uid: object.uid, signed_by: Some(key.id), next, now });
            }
        }
        Err(TurnError::Contended)
    }

    /// The keys as they are; whoever keeps them is another turn.
    fn ring(&self, keys: &SecretObject, request: &TokenRequest, now: Window) -> Result<Ring, TurnError> {
        let none = || TurnError::NoKeys(request.keys.clone());
        let annotations = keys.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let rotation =
            Rotation::read(&self.domain, annotations, Agreement::Needed).map_err(TurnError::Annotations)?;
        let rotation = rotation.ok_or_else(none)?;
        // Who may write a Secret beside the keys may not be whoever it likes.
        if !rotation.admits(&request.subject) {
            return Err(TurnError::NotFor { keys: request.keys.clone(), subject: request.subject.clone() });
        }
        if request.lifetime > rotation.overlap {
            return Err(TurnError::Outlives { lifetime: request.lifetime, overlap: rotation.overlap });
        }
        let notes = keys.annotations.get(&self.domain.keys_key()).map(String::as_str);
        // Those that nobody keeps yet would be told another issuer later.
        let notes = Some(notes.ok_or_else(none)?);
        let found = Found {
            place: (&keys.namespace, &keys.name),
            data: &keys.data,
            notes,
            created: keys.created.unwrap_or(now.latest),
        };
        Ring::read(found, &rotation, now, &mut String::new, None)?.ok_or_else(none)
    }

    async fn put(&self, object: &SecretObject, token: &SecretValue) -> Result<Written, TurnError> {
        if object.is_immutable {
            return Err(TurnError::Immutable);
        }
        if self.is_dry() {
            return Ok(Written::Done);
        }
        let changes = Changes { data: BTreeMap::from([(TOKEN, Some(token))]), ..Changes::default() };
        Ok(self.connection.write_secret(object, &changes).await?)
    }
}

/// The signature of a JWS (RFC 7518); none where the key is no such key.
fn sign(private: &SecretValue, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
    let der = private_key(private).ok()?;
    let chance = SystemRandom::new();
    let ecdsa = |signing| {
        let pair = EcdsaKeyPair::from_pkcs8(signing, &der);
        let pair = pair.or_else(|_| EcdsaKeyPair::from_private_key_der(signing, &der)).ok()?;
        Some(pair.sign(&chance, message).ok()?.as_ref().to_vec())
    };
    match algorithm {
        Algorithm::RS256 => {
            let pair = RsaKeyPair::from_pkcs8(&der).or_else(|_| RsaKeyPair::from_der(&der)).ok()?;
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &chance, message, &mut signature).ok()?;
            Some(signature)
        }
        Algorithm::ES256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::ES384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::EdDSA => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).ok()?;
            Some(pair.sign(message).as_ref().to_vec())
        }
        _ => None,
    }
}
