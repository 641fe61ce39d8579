//! Tokens (RFC 7519) that lie in Secrets for who cannot ask for one: what is in them, and when a new one is due.
//!
//! A token is renewed after half of its life, as soon as another key signs, and as soon as it says something else than what
//! is asked for. Deliberately absent: the signature, which needs chance.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::json;

use super::set::{Identity, Window};
use crate::domain::{SecretValue, TokenRequest};

/// The part of a token that is signed, and how long it is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsigned {
    /// Header and claims.
    pub text: String,
    /// When it expires, in Unix seconds.
    pub expires: i64,
}

#[derive(Deserialize)]
struct Header {
    kid: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    iat: i64,
    exp: i64,
}

/// The token that a key is to sign now, by this algorithm (RFC 7518).
#[must_use]
pub fn unsigned(request: &TokenRequest, key: &Identity, algorithm: &str, now: Window) -> Unsigned {
    // By the slower clock it begins, and by that its life is counted: it never outlives the overlap.
    let issued = now.earliest.as_second();
    let expires = issued.saturating_add(i64::try_from(request.lifetime.as_secs()).unwrap_or(i64::MAX));
    let header = json!({"alg": algorithm, "typ": "JWT", "kid": key.id});
    let claims = json!({
        "iss": key.issuer, "aud": request.audience, "sub": request.subject, "iat": issued, "exp": expires,
    });
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    Unsigned { text: format!("{}.{}", part(header), part(claims)), expires }
}

/// When the next token is due, in Unix seconds; none where it is due now.
#[must_use]
pub fn due(token: Option<&SecretValue>, request: &TokenRequest, key: &Identity, now: Window) -> Option<i64> {
    let text = std::str::from_utf8(token?.expose()).ok()?;
    let mut parts = text.trim().split('.');
    let header: Header = part(parts.next()?)?;
    let claims: Claims = part(parts.next()?)?;
    let is_as_asked = header.kid == key.id
        && claims.iss == key.issuer
        && claims.aud == request.audience
        && claims.sub == request.subject
        && claims.exp - claims.iat == i64::try_from(request.lifetime.as_secs()).unwrap_or(i64::MAX);
    let due = claims.iat + (claims.exp - claims.iat) / 2;
    // One from the future was written by a clock that is wrong.
    let is_fresh = now.latest.as_second() < due && claims.iat <= now.latest.as_second();
    (is_as_asked && is_fresh).then_some(due)
}

fn part<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::domain::SecretName;

    fn window(earliest: i64, latest: i64) -> Window {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        Window { earliest: at(earliest), latest: at(latest) }
    }

    #[test]
    fn a_token_is_due_at_half_its_life_and_when_anything_is_different() {
        let key = |id: &str| Identity {
            id: id.to_owned(),
            issuer: format!("i/{id}"),
            created: Timestamp::UNIX_EPOCH,
        };
        let request = TokenRequest {
            keys: SecretName::new("keys").unwrap(),
            audience: "keystow".to_owned(),
            subject: "eso".to_owned(),
            lifetime: Duration::from_secs(100),
        };
        let Unsigned { text, expires } = unsigned(&request, &key("a"), "EdDSA", window(1_000, 1_003));
        assert_eq!(expires, 1_100, "by the slower clock");
        let token = SecretValue::new(format!("{text}.signature").into_bytes());
        let due = |request: &TokenRequest, id: &str, now| due(Some(&token), request, &key(id), now);
        assert_eq!(due(&request, "a", window(1_010, 1_010)), Some(1_050));
        assert_eq!(due(&request, "a", window(1_010, 1_050)), None);
        assert_eq!(due(&request, "a", window(900, 900)), None, "from the future");
        assert_eq!(due(&request, "b", window(1_010, 1_010)), None, "another key signs");
        let other = TokenRequest { subject: "x".to_owned(), ..request.clone() };
        assert_eq!(due(&other, "a", window(1_010, 1_010)), None);
        let longer = TokenRequest { lifetime: Duration::from_secs(200), ..request.clone() };
        assert_eq!(due(&longer, "a", window(1_010, 1_010)), None);
        assert_eq!(super::due(None, &request, &key("a"), window(1, 1)), None);
        let nonsense = SecretValue::new(b"a.b.c".to_vec());
        assert_eq!(super::due(Some(&nonsense), &request, &key("a"), window(1, 1)), None);
    }
}
