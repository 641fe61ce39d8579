//! Tokens of every kind of key, and every way in which one is not to be believed.

use std::time::SystemTime;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;
use crate::domain::{NamedCurve, Recipe};
use crate::generate::fresh;
use crate::rotation::Material;

const NOW: u32 = 1_700_000_000;

/// A key with which a token can be signed, and what is public of it.
struct Signer {
    der: Vec<u8>,
    id: String,
    algorithm: Algorithm,
    public: Value,
}

impl Signer {
    fn new(recipe: &Recipe) -> Self {
        let der = fresh::make(recipe, SystemTime::UNIX_EPOCH).unwrap().pop().unwrap();
        let Material::Pair { public, algorithm, .. } = Material::of_pkcs8(&der).unwrap() else { panic!() };
        let public = serde_json::to_value(public).unwrap();
        Self { der: der.expose().to_vec(), id: public["kid"].as_str().unwrap().to_owned(), algorithm, public }
    }

    fn issuer(&self) -> String {
        format!("issuer/{}", self.id)
    }

    fn key(&self) -> EncodingKey {
        match self.algorithm {
            Algorithm::EdDSA => EncodingKey::from_ed_der(&self.der),
            _ => EncodingKey::from_ec_der(&self.der),
        }
    }

    fn claims(&self) -> Value {
        json!({"iss": self.issuer(), "aud": "keystow", "sub": "eso", "exp": NOW + 60, "nbf": NOW})
    }

    fn token(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(self.algorithm) };
        encode(&header, claims, &self.key()).unwrap()
    }
}

fn keys(signers: &[&Signer]) -> Keys {
    let public: Vec<&Value> = signers.iter().map(|signer| &signer.public).collect();
    let issuers: Vec<Value> =
        signers.iter().map(|signer| json!({"name": signer.issuer(), "kid": signer.id})).collect();
    let text = |value: Value| value.to_string().into_bytes();
    Keys::read(&text(json!({"keys": public})), &text(json!({"issuers": issuers}))).unwrap().keys
}

fn verified(token: &str, keys: &Keys) -> Result<String, Refused> {
    let expected = Expected { audience: "keystow".to_owned(), leeway: 30.0 };
    verify(token, keys, &expected, f64::from(NOW)).map(|verified| verified.subject)
}

fn with(claims: &Value, field: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(field);
    } else {
        claims[field] = value;
    }
    claims
}

#[test]
fn a_token_of_each_algorithm_is_believed() {
    for recipe in [Recipe::Ed25519, Recipe::Ec(NamedCurve::P256), Recipe::Ec(NamedCurve::P384)] {
        let signer = Signer::new(&recipe);
        assert_eq!(verified(&signer.token(&signer.claims()), &keys(&[&signer])), Ok("eso".into()));
    }
}

#[test]
fn each_claim_that_is_not_right_refuses() {
    let signer = Signer::new(&Recipe::Ed25519);
    let (keys, claims) = (keys(&[&signer]), signer.claims());
    let cases = [
        ("iss", json!("issuer"), Refused::Issuer),
        ("iss", Value::Null, Refused::Issuer),
        ("aud", json!("somebody"), Refused::Audience),
        ("aud", json!(["a", "b"]), Refused::Audience),
        ("aud", Value::Null, Refused::Audience),
        ("exp", json!(NOW - 30), Refused::Expired),
        ("exp", Value::Null, Refused::Expired),
        ("exp", json!("tomorrow"), Refused::Malformed),
        ("nbf", json!(NOW + 31), Refused::NotYet),
        ("sub", json!(""), Refused::Subject),
        ("sub", Value::Null, Refused::Subject),
    ];
    for (field, value, refused) in cases {
        let token = signer.token(&with(&claims, field, value.clone()));
        assert_eq!(verified(&token, &keys), Err(refused), "{field}: {value}");
    }
    let right = [
        ("aud", json!(["a", "keystow"])),
        ("exp", json!(NOW - 29)),
        ("exp", json!(f64::from(NOW) + 0.5)),
        ("nbf", json!(NOW + 30)),
        ("nbf", Value::Null),
    ];
    for (field, value) in right {
        let token = signer.token(&with(&claims, field, value.clone()));
        assert_eq!(verified(&token, &keys), Ok("eso".into()), "{field}: {value}");
    }
}

#[test]
fn an_issuer_is_believed_for_its_own_key_alone() {
    let (one, other) = (Signer::new(&Recipe::Ed25519), Signer::new(&Recipe::Ed25519));
    let keys = keys(&[&one, &other]);
    let token = one.token(&with(&one.claims(), "iss", json!(other.issuer())));
    assert_eq!(verified(&token, &keys), Err(Refused::Issuer));
}

#[test]
fn a_key_that_is_gone_verifies_nothing() {
    let (old, new) = (Signer::new(&Recipe::Ed25519), Signer::new(&Recipe::Ed25519));
    let token = old.token(&old.claims());
    assert_eq!(verified(&token, &keys(&[&new, &old])), Ok("eso".into()));
    assert_eq!(verified(&token, &keys(&[&new])), Err(Refused::UnknownKey));
    // Nor under the id of one that is there.
    let header = Header { kid: Some(new.id.clone()), ..Header::new(Algorithm::EdDSA) };
    let forged = encode(&header, &new.claims(), &old.key()).unwrap();
    assert_eq!(verified(&forged, &keys(&[&new])), Err(Refused::Signature));
}

#[test]
fn without_an_id_the_key_is_found() {
    let (one, other) = (Signer::new(&Recipe::Ed25519), Signer::new(&Recipe::Ed25519));
    let token = encode(&Header::new(Algorithm::EdDSA), &other.claims(), &other.key()).unwrap();
    assert_eq!(verified(&token, &keys(&[&one, &other])), Ok("eso".into()));
}

/// A token that is put together by hand.
fn forged(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(sign(text.as_bytes())))
}

#[test]
fn the_algorithm_is_the_keys_and_never_the_headers() {
    let signer = Signer::new(&Recipe::Ec(NamedCurve::P256));
    let (keys, claims) = (keys(&[&signer]), signer.claims());
    for word in ["none", "None", "NONE", ""] {
        let token = forged(&json!({"alg": word, "kid": signer.id}), &claims, |_| Vec::new());
        assert_eq!(verified(&token, &keys), Err(Refused::Malformed), "{word}");
    }
    // What is public of the key, in every form in which a careless library might take it for a shared secret.
    let jwk = signer.public.to_string();
    let x = URL_SAFE_NO_PAD.decode(signer.public["x"].as_str().unwrap()).unwrap();
    let y = URL_SAFE_NO_PAD.decode(signer.public["y"].as_str().unwrap()).unwrap();
    let point = [&[4], &x[..], &y[..]].concat();
    let pem = pem::encode(&pem::Pem::new("PUBLIC KEY", point.clone()));
    for secret in [jwk.as_bytes(), &point, pem.as_bytes(), signer.id.as_bytes()] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let sign = |text: &[u8]| hmac::sign(&key, text).as_ref().to_vec();
        let token = forged(&json!({"alg": "HS256", "kid": signer.id}), &claims, sign);
        assert_eq!(verified(&token, &keys), Err(Refused::Algorithm));
    }
    let token = forged(&json!({"alg": "ES384", "kid": signer.id}), &claims, |_| vec![0; 96]);
    assert_eq!(verified(&token, &keys), Err(Refused::Algorithm));
}

#[test]
fn what_is_no_token_is_refused() {
    let signer = Signer::new(&Recipe::Ed25519);
    let (keys, token) = (keys(&[&signer]), signer.token(&signer.claims()));
    let parts: Vec<&str> = token.split('.').collect();
    let none = [
        "",
        "a.b.c",
        "...",
        parts[0],
        &format!("{}.{}", parts[0], parts[1]),
        &format!("{token}.{}", parts[2]),
    ];
    for text in none {
        assert_eq!(verified(text, &keys), Err(Refused::Malformed), "{text}");
    }
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    assert!(verified(&unsigned, &keys).is_err());
    let critical = json!({"alg": "EdDSA", "kid": signer.id, "crit": ["b64"], "b64": false});
    assert_eq!(
        verified(&forged(&critical, &signer.claims(), |_| vec![0; 64]), &keys),
        Err(Refused::Malformed)
    );
}

#[test]
fn a_key_that_cannot_be_used_is_left_out_alone() {
    use crate::provider::keys::KeysError;
    let signer = Signer::new(&Recipe::Ed25519);
    let issuers = json!({"issuers": [{"name": "i", "kid": signer.id}]}).to_string();
    let read = |jwks: Value, issuers: &str| {
        Keys::read(jwks.to_string().as_bytes(), issuers.as_bytes())
            .map(|published| (published.keys.len(), published.unusable.len()))
    };
    assert_eq!(read(json!({"keys": [signer.public]}), &issuers), Ok((1, 0)));
    let nameless = with(&signer.public, "kid", Value::Null);
    assert_eq!(read(json!({"keys": [nameless, signer.public]}), &issuers), Ok((1, 1)));
    assert_eq!(read(json!({"keys": []}), &issuers), Err(KeysError::Empty));
    assert_eq!(
        read(json!({"keys": [signer.public]}), "issuers: []"),
        Err(KeysError::Unlisted(signer.id.clone()))
    );
    let without_id = with(&signer.public, "kid", Value::Null);
    assert_eq!(read(json!({"keys": [without_id]}), &issuers), Err(KeysError::Nameless));
    let shared = json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": signer.id});
    assert_eq!(read(json!({"keys": [shared]}), &issuers), Err(KeysError::Algorithm(signer.id.clone())));
    let misnamed = with(&signer.public, "alg", json!("RS256"));
    assert_eq!(read(json!({"keys": [misnamed]}), &issuers), Err(KeysError::Algorithm(signer.id.clone())));
    assert!(matches!(read(json!([]), &issuers), Err(KeysError::Set(_))));
    assert!(matches!(read(json!({"keys": [signer.public]}), "x"), Err(KeysError::Issuers(_))));
}
