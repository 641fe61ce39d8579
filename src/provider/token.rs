//! A token (RFC 7519): who it is of, and whether it is to be believed now. Pure: the time is an argument.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};
use serde::Deserialize;

use super::keys::{Keys, TrustedKey};
use crate::metrics::label;

/// What a token must be for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expected {
    /// One of its `aud`.
    pub(super) audience: String,
    /// How far clocks may differ, in seconds.
    pub(super) leeway: f64,
}

label! {
    /// Why a token is not believed. A closed set: it is a metric label. Callers are not told which.
    pub enum Refused {
        /// There is none.
        Missing = "missing",
        /// It is no token, or says what nobody understands.
        Malformed = "malformed",
        /// Nobody believes its key, or not any more.
        UnknownKey = "unknown_key",
        /// It is not signed by what its key signs by.
        Algorithm = "algorithm",
        /// The signature is not its key's.
        Signature = "signature",
        /// Its issuer is not its key's.
        Issuer = "issuer",
        /// It is for somebody else.
        Audience = "audience",
        /// It has expired, or does not say when.
        Expired = "expired",
        /// It is not valid yet.
        NotYet = "not_yet",
        /// It does not say whose it is.
        Subject = "subject",
    }
}

/// Whose a token is, and which key says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verified {
    pub(super) subject: String,
    pub(super) key: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<Audience>,
    exp: Option<f64>,
    nbf: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Verifies a token at a time, in Unix seconds.
pub(super) fn verify(token: &str, keys: &Keys, expected: &Expected, now: f64) -> Result<Verified, Refused> {
    let header = decode_header(token).map_err(|_| Refused::Malformed)?;
    // Extensions that must be understood (RFC 7515, 4.1.11), of which none is.
    if header.crit.is_some() {
        return Err(Refused::Malformed);
    }
    let candidates = keys.iter().filter(|key| header.kid.as_ref().is_none_or(|id| *id == key.id));
    let mut refused = Refused::UnknownKey;
    for key in candidates {
        match signed(token, key) {
            Ok(claims) => return judge(claims, key, expected, now),
            Err(reason) => refused = reason,
        }
    }
    Err(refused)
}

/// What a token says that this key signed. Only the signature is looked at, by the algorithm of the key.
fn signed(token: &str, key: &TrustedKey) -> Result<Claims, Refused> {
    let mut validation = Validation::new(key.algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    match decode::<Claims>(token, &key.key, &validation) {
        Ok(data) => Ok(data.claims),
        Err(error) => Err(match error.kind() {
            ErrorKind::InvalidAlgorithm => Refused::Algorithm,
            ErrorKind::InvalidSignature => Refused::Signature,
            _ => Refused::Malformed,
        }),
    }
}

fn judge(claims: Claims, key: &TrustedKey, expected: &Expected, now: f64) -> Result<Verified, Refused> {
    if claims.iss.as_ref() != Some(&key.issuer) {
        return Err(Refused::Issuer);
    }
    let is_for_us = match claims.aud {
        Some(Audience::One(audience)) => audience == expected.audience,
        Some(Audience::Many(audiences)) => audiences.contains(&expected.audience),
        None => false,
    };
    if !is_for_us {
        return Err(Refused::Audience);
    }
    if claims.exp.is_none_or(|expires| expires + expected.leeway <= now) {
        return Err(Refused::Expired);
    }
    if claims.nbf.is_some_and(|begins| begins - expected.leeway > now) {
        return Err(Refused::NotYet);
    }
    let subject = claims.sub.filter(|subject| !subject.is_empty()).ok_or(Refused::Subject)?;
    Ok(Verified { subject, key: key.id.clone() })
}

#[cfg(test)]
mod tests;
