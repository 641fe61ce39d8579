//! Keys as people put them into Secrets, and what becomes of them.

use std::time::{Duration, SystemTime};

use aws_lc_rs::encoding::{AsDer as _, EcPrivateKeyRfc5915Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use pem::Pem;
use serde_json::Value;

use super::*;
use crate::domain::{Modulus, NamedCurve};
use crate::generate::fresh;
use crate::rotation::step;

type Data = BTreeMap<String, SecretValue>;

fn rotation(recipe: Recipe) -> Rotation {
    Rotation {
        recipe,
        every: Duration::from_secs(1_000),
        publish: Duration::from_secs(10),
        overlap: Duration::from_secs(100),
        keep: 3,
        key: None,
        issuer: None,
        tokens_for: Vec::new(),
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn now(seconds: i64) -> Window {
    Window::of(at(seconds), at(seconds))
}

fn der(recipe: &Recipe) -> SecretValue {
    fresh::make(recipe, SystemTime::UNIX_EPOCH).unwrap().pop().unwrap()
}

fn key(recipe: &Recipe) -> Material {
    match recipe {
        Recipe::Random { .. } | Recipe::Password { .. } => Material::Value(der(recipe)),
        _ => Material::of_pkcs8(&der(recipe)).unwrap(),
    }
}

fn data(entries: &[(&str, &Material)]) -> Data {
    entries.iter().map(|(name, material)| ((*name).to_owned(), material.value().clone())).collect()
}

fn read(
    data: &Data,
    notes: Option<&str>,
    rotation: &Rotation,
    seconds: i64,
) -> Result<Option<Ring>, RingError> {
    let mut number = 0;
    let mut chance = || {
        number += 1;
        format!("chance-{number}")
    };
    let found = Found { place: ("shop", "iam-signing-keys"), data, notes, created: at(0) };
    Ring::read(found, rotation, now(seconds), &mut chance, None)
}

fn id(material: &Material) -> String {
    material.thumbprint().unwrap().to_owned()
}

fn names(ring: &Ring) -> Vec<String> {
    ring.data().into_keys().collect()
}

/// Name and key of each line of `issuers.yaml`, in order.
fn issuers(ring: &Ring) -> Vec<(String, String)> {
    let list = listed(&ring.data()[ISSUERS]);
    list.into_iter().map(|line| (line.name, line.signing_key)).collect()
}

#[test]
fn a_hand_made_old_key_signs_verifies_and_is_pruned() {
    let rotation = Rotation { issuer: Some("https://demo.example".into()), ..rotation(Recipe::Ed25519) };
    let (old, new) = (key(&Recipe::Ed25519), key(&Recipe::Ed25519));
    let mut ring = read(&data(&[("old.key", &old)]), None, &rotation, 2_000).unwrap().unwrap();
    assert_eq!(names(&ring), ["issuers.yaml", "jwks.json", "old.key"]);
    assert_eq!(step(ring.set(), &rotation, now(2_000)), Some(Step::Publish));
    ring.publish(id(&new), new.clone(), &rotation, now(2_000));
    assert_eq!(names(&ring), ["issuers.yaml", "jwks.json", "next.key", "old.key"]);
    assert_eq!(issuers(&ring)[0], ("https://demo.example".to_owned(), "old.key".to_owned()));

    // Another controller goes on.
    let ring_of = |ring: &Ring, seconds| {
        read(&ring.data(), Some(&Notes::write(ring.set())), &rotation, seconds).unwrap().unwrap()
    };
    let mut ring = ring_of(&ring, 2_010);
    assert_eq!(step(ring.set(), &rotation, now(2_010)), Some(Step::Sign));
    ring.take(&Step::Sign, &rotation, now(2_010));
    assert_eq!(names(&ring), ["issuers.yaml", "jwks.json", "new.key", "old.key"]);
    let new_issuer = format!("https://demo.example/{}", id(&new));
    assert_eq!(
        issuers(&ring),
        [
            (new_issuer.clone(), "new.key".to_owned()),
            ("https://demo.example".to_owned(), "old.key".to_owned())
        ]
    );
    assert_eq!((&ring.data()["new.key"], &ring.data()["old.key"]), (new.value(), old.value()));

    let mut ring = ring_of(&ring, 2_120);
    let due = step(ring.set(), &rotation, now(2_120)).unwrap();
    assert_eq!(due, Step::Retire(vec![id(&old)]));
    ring.take(&due, &rotation, now(2_120));
    assert_eq!(names(&ring), ["issuers.yaml", "jwks.json", "new.key"]);
    assert_eq!(issuers(&ring), [(new_issuer, "new.key".to_owned())]);
    assert!(ring.owns("old.key") && ring.owns("old-2.key") && !ring.owns("password"));
}

#[test]
fn public_keys_are_a_set_in_the_order_of_the_keys() {
    let rotation = rotation(Recipe::Rsa(Modulus::Bits2048));
    let (rsa, ec) = (key(&Recipe::Rsa(Modulus::Bits2048)), key(&Recipe::Ec(NamedCurve::P384)));
    let ring = read(&data(&[("new.key", &rsa), ("old.key", &ec)]), None, &rotation, 0).unwrap().unwrap();
    let jwks: Value = serde_json::from_slice(ring.data()[JWKS].expose()).unwrap();
    let keys = jwks["keys"].as_array().unwrap();
    let fields =
        |key: &Value| ["kid", "alg", "use", "kty"].map(|name| key[name].as_str().unwrap().to_owned());
    assert_eq!(fields(&keys[0]), [&id(&rsa), "RS256", "sig", "RSA"]);
    assert_eq!(fields(&keys[1]), [&id(&ec), "ES384", "sig", "EC"]);
    for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
        assert!(keys.iter().all(|key| key.get(private).is_none()), "{private}");
    }
    // RFC 7638, section 3: the members in this order, without anything between them.
    let canonical = format!(r#"{{"e":{},"kty":"RSA","n":{}}}"#, keys[0]["e"], keys[0]["n"]);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes());
    use base64::Engine as _;
    assert_eq!(id(&rsa), base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest));
}

#[test]
fn keys_are_read_as_openssl_writes_them() {
    let pem = |tag: &str, der: &[u8]| SecretValue::new(pem::encode(&Pem::new(tag, der)).into_bytes());
    let rsa = der(&Recipe::Rsa(Modulus::Bits2048));
    let expected = id(&Material::of_pkcs8(&rsa).unwrap());
    // PKCS#8 of 2048 bits is 26 bytes and then PKCS#1.
    let one = Material::read(&pem("RSA PRIVATE KEY", &rsa.expose()[26..])).unwrap();
    assert_eq!(id(&one), expected);
    let ec = der(&Recipe::Ec(NamedCurve::P256));
    let expected = id(&Material::of_pkcs8(&ec).unwrap());
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.expose()).unwrap();
    let sec1: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().unwrap();
    let mut text = pem::encode(&Pem::new("EC PARAMETERS", [6, 0]));
    text.push_str(&pem::encode(&Pem::new("EC PRIVATE KEY", sec1.as_ref())));
    assert_eq!(id(&Material::read(&SecretValue::new(text.into_bytes())).unwrap()), expected);
}

#[test]
fn what_is_no_private_key_is_said_by_its_name() {
    let rotation = rotation(Recipe::Ed25519);
    let pem = |tag: &str| SecretValue::new(pem::encode(&Pem::new(tag, [1, 2, 3])).into_bytes());
    let cases = [
        (SecretValue::new(b"hunter2".to_vec()), MaterialError::NotPem),
        (pem("CERTIFICATE"), MaterialError::NotPem),
        (pem("ENCRYPTED PRIVATE KEY"), MaterialError::Encrypted),
        (pem("PRIVATE KEY"), MaterialError::Unsupported),
    ];
    for (value, source) in cases {
        let data = Data::from([("new.key".to_owned(), value)]);
        let error = read(&data, None, &rotation, 0).unwrap_err();
        assert_eq!(error, RingError::Material { name: "new.key".into(), source });
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[test]
fn a_private_key_that_nobody_spoke_of_is_not_passed_over() {
    let other = key(&Recipe::Ed25519);
    let held = data(&[("tls.key", &other)]);
    let error = read(&held, None, &rotation(Recipe::Ed25519), 0).unwrap_err();
    assert!(matches!(&error, RingError::Unnamed { name, .. } if name == "tls.key"), "{error}");
    let named = Rotation { key: crate::domain::SecretKey::new("tls.key").ok(), ..rotation(Recipe::Ed25519) };
    let ring = read(&held, None, &named, 0).unwrap().unwrap();
    assert_eq!(ring.set().signing.key.id, id(&other));
    assert!(ring.owns("tls.key.old"));
}

#[test]
fn a_value_keeps_its_name_and_nothing_public_is_written_of_it() {
    let recipe = Recipe::Random { bits: 256 };
    let rotation = rotation(recipe.clone());
    let (first, second) = (key(&recipe), key(&recipe));
    let mut ring = read(&data(&[("jwt-secret", &first)]), None, &rotation, 0).unwrap().unwrap();
    ring.publish("b".into(), second.clone(), &rotation, now(990));
    ring.take(&Step::Sign, &rotation, now(1_000));
    assert_eq!(names(&ring), ["jwt-secret", "jwt-secret.old"]);
    assert_eq!(&ring.data()["jwt-secret"], second.value());
    let again = read(&ring.data(), Some(&Notes::write(ring.set())), &rotation, 1_001).unwrap().unwrap();
    assert_eq!(again.set(), ring.set());
    assert!(!Notes::write(ring.set()).contains(std::str::from_utf8(first.value().expose()).unwrap_or("?")));
    let two = data(&[("a", &first), ("b", &second)]);
    assert_eq!(read(&two, None, &rotation, 0).unwrap_err(), RingError::Ambiguous { count: 2 });
}

#[test]
fn lost_notes_keep_every_key_for_longer() {
    let rotation = rotation(Recipe::Ed25519);
    let (old, new) = (key(&Recipe::Ed25519), key(&Recipe::Ed25519));
    let mut ring = read(&data(&[("old.key", &old)]), None, &rotation, 0).unwrap().unwrap();
    ring.publish(id(&new), new, &rotation, now(990));
    ring.take(&Step::Sign, &rotation, now(1_000));
    for notes in [None, Some("{}")] {
        let again = read(&ring.data(), notes, &rotation, 1_050).unwrap().unwrap();
        assert_eq!(again.set().former[0].retires, at(1_050 + 110), "{notes:?}");
        let name = |ring: &Ring| ring.set().identities().map(|key| key.issuer.clone()).collect::<Vec<_>>();
        assert_eq!(name(&again), name(&ring), "the list of issuers says who they are");
    }
}

#[test]
fn a_signer_that_was_taken_away_is_not_replaced_by_a_former_one() {
    let rotation = rotation(Recipe::Ed25519);
    let (old, new) = (key(&Recipe::Ed25519), key(&Recipe::Ed25519));
    let mut ring = read(&data(&[("old.key", &old)]), None, &rotation, 0).unwrap().unwrap();
    ring.publish(id(&new), new, &rotation, now(990));
    ring.take(&Step::Sign, &rotation, now(1_000));
    let notes = Notes::write(ring.set());
    let mut held = ring.data();
    held.remove("new.key");
    assert!(read(&held, Some(&notes), &rotation, 1_001).unwrap().is_none());
    let (another, mut chance) = (key(&Recipe::Ed25519), String::new);
    let found = Found { place: ("shop", "keys"), data: &held, notes: Some(&notes), created: at(0) };
    let first = Some((id(&another), another.clone()));
    let ring = Ring::read(found, &rotation, now(1_001), &mut chance, first).unwrap().unwrap();
    let ids: Vec<&str> = ring.set().identities().map(|key| key.id.as_str()).collect();
    assert_eq!(ids, [id(&another), id(&old)], "and the former one goes on verifying");
    assert_eq!(ring.set().signing.since, at(1_001));
    assert_eq!(ring.data()["old.key"], *old.value());
}

#[test]
fn a_value_that_was_renamed_is_not_replaced_by_one_that_nobody_knows() {
    let recipe = Recipe::Random { bits: 256 };
    let value = key(&recipe);
    let renamed = Rotation { key: Some(crate::domain::SecretKey::new("other").unwrap()), ..rotation(recipe) };
    let ring =
        read(&data(&[("token", &value)]), None, &rotation(Recipe::Random { bits: 256 }), 0).unwrap().unwrap();
    let notes = Notes::write(ring.set());
    let moved = RingError::Moved { name: "other".to_owned(), other: "token".to_owned() };
    assert_eq!(read(&data(&[("token", &value)]), Some(&notes), &renamed, 1).unwrap_err(), moved);
    // Renamed as well, it goes on.
    let ring = read(&data(&[("other", &value)]), Some(&notes), &renamed, 1).unwrap().unwrap();
    assert_eq!(Notes::write(ring.set()), notes);
}
