//! What was written is read the same; what is half-written is told, without a word of any key.

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};

use super::super::decide::{Step, Timing};
use super::super::issue;
use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + 20_000 * DAY
}

fn names() -> Vec<String> {
    vec!["keystow-webhook.keystow.svc".to_owned(), "127.0.0.1".to_owned()]
}

/// Everything there can be: a CA that signs, one that will, and a retired one.
fn everything() -> Material {
    let timing = Timing::default();
    let steps = [Step::Prepare, Step::Promote, Step::Prepare, Step::Promote, Step::Prepare];
    steps
        .iter()
        .fold(Material::default(), |material, step| timing.apply(step, &material, &names(), now()).unwrap())
}

fn written(material: &Material) -> Data {
    let mut data = Data::new();
    material.write(&mut data);
    data
}

fn text(data: &Data, key: &str) -> String {
    String::from_utf8(data[key].0.clone()).unwrap()
}

fn set(data: &mut Data, key: &str, value: &str) {
    data.insert(key.to_owned(), ByteString(value.as_bytes().to_vec()));
}

/// Reads it with `change` made to it; yields also the key of the one fault that is found.
fn with(change: impl FnOnce(&mut Data)) -> (Material, &'static str) {
    let mut data = written(&everything());
    change(&mut data);
    let (material, faults) = Material::read(&data, Names::All(&names()));
    let [fault] = faults.as_slice() else { panic!("one fault: {faults:?}") };
    let shown = format!("{faults:?} {material:?}");
    for key in ["tls.key", "ca.key", "next-ca.key"] {
        let secret = written(&everything());
        for line in text(&secret, key).lines().filter(|line| !line.starts_with('-')) {
            assert!(!shown.contains(line), "{shown}");
        }
        let there = data.get(key).map(|value| String::from_utf8_lossy(&value.0).into_owned());
        let lines = there.iter().flat_map(|there| there.lines());
        for line in lines.filter(|line| line.len() > 20 && !line.starts_with('-')) {
            assert!(!shown.contains(line), "{shown}");
        }
    }
    (material, fault.key)
}

#[test]
fn what_was_written_is_read_the_same() {
    let material = everything();
    let (read, faults) = Material::read(&written(&material), Names::All(&names()));
    assert_eq!(faults, []);
    assert_eq!(read.retired, material.retired);
    assert_eq!(read.retired.len(), 1);
    assert_eq!(read.next, material.next);
    let (current, before) = (read.current.unwrap(), material.current.unwrap());
    assert_eq!((current.ca, current.authority), (before.ca, before.authority));
    let leaf = |leaf: Option<Leaf>| leaf.unwrap().pair.certified.cert.clone();
    assert_eq!(leaf(current.leaf), leaf(before.leaf));
}

#[test]
fn an_empty_secret_says_nothing() {
    for data in [Data::new(), written(&Material::default())] {
        let (material, faults) = Material::read(&data, Names::All(&names()));
        assert!(material.current.is_none() && material.next.is_none() && material.retired.is_empty());
        assert_eq!(faults, []);
    }
    // The API server wants both in a Secret of the type kubernetes.io/tls.
    assert_eq!(written(&Material::default()).keys().collect::<Vec<_>>(), ["tls.crt", "tls.key"]);
}

#[test]
fn keys_of_others_stay() {
    let mut data = Data::new();
    set(&mut data, "theirs", "1");
    set(&mut data, "next-ca.crt", "old");
    Material::default().write(&mut data);
    assert_eq!(text(&data, "theirs"), "1");
    assert!(!data.contains_key("next-ca.crt"));
}

#[test]
fn a_half_written_leaf_is_none_and_the_ca_stays() {
    for key in ["tls.crt", "tls.key"] {
        let (material, fault) = with(|data| drop(data.remove(key)));
        assert!(material.leaf().is_none() && material.current.unwrap().authority.is_some());
        assert_eq!(fault, "tls.crt");
        let (material, _) = with(|data| {
            let half = text(data, key)[..100].to_owned();
            set(data, key, &half);
        });
        assert!(material.leaf().is_none());
    }
}

#[test]
fn a_broken_key_is_not_quoted() {
    for (key, fault) in [("tls.key", "tls.crt"), ("ca.key", "ca.key"), ("next-ca.key", "next-ca.key")] {
        for (from, to) in [("-----END", "----END"), ("-----BEGIN", "\n"), ("M", "*")] {
            let (_, found) = with(|data| {
                let broken = text(data, key).replace(from, to).replace('\n', " ");
                set(data, key, &broken);
            });
            assert_eq!(found, fault);
        }
    }
}

#[test]
fn a_leaf_for_other_names_or_of_another_ca_is_none() {
    let (read, faults) = Material::read(&written(&everything()), Names::All(&["other.example".to_owned()]));
    assert!(read.leaf().is_none());
    assert!(faults[0].reason.contains("other.example"), "{faults:?}");
    let (material, _) = with(|data| {
        let other = written(&everything());
        for key in ["tls.crt", "tls.key"] {
            data.insert(key.to_owned(), other[key].clone());
        }
    });
    assert!(material.leaf().is_none());
}

#[test]
fn a_ca_without_its_key_cannot_sign_but_its_leaf_serves() {
    let (material, fault) = with(|data| drop(data.remove("ca.key")));
    let current = material.current.unwrap();
    assert!(current.authority.is_none() && current.leaf.is_some());
    assert_eq!(fault, "ca.key");
    let (material, fault) = with(|data| {
        let other = text(data, "next-ca.key");
        set(data, "ca.key", &other);
    });
    assert!(material.current.unwrap().authority.is_none());
    assert_eq!(fault, "ca.key");
}

#[test]
fn a_next_ca_is_whole_or_not_there() {
    let (material, fault) = with(|data| drop(data.remove("next-ca.key")));
    assert!(material.next.is_none());
    assert_eq!(fault, "next-ca.key");
    let (material, fault) = with(|data| set(data, "next-ca.crt", "not PEM"));
    assert!(material.next.is_none());
    assert_eq!(fault, "next-ca.crt");
}

#[test]
fn a_certificate_that_is_no_ca_is_none() {
    let (material, fault) = with(|data| {
        let leaf = text(data, "tls.crt");
        set(data, "ca.crt", &leaf);
    });
    assert!(material.current.is_none());
    assert_eq!(fault, "ca.crt");
}

#[test]
fn retired_cas_come_in_pairs() {
    for broken in ["words", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let (material, fault) = with(|data| {
            let more = text(data, "retired.crt") + broken;
            set(data, "retired.crt", if broken == "words" { broken } else { &more });
        });
        assert!(material.retired.is_empty(), "{broken}");
        assert_eq!(fault, "retired.crt");
    }
}

#[test]
fn a_leaf_that_somebody_else_issued_under_our_ca_is_served() {
    let authority = issue::authority(365 * DAY, now()).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_der(authority.ca.der(), authority.signing_key().unwrap());
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(names()).unwrap();
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(2024, 12, 1);
    let leaf = params.signed_by(&key, &issuer.unwrap()).unwrap();
    let mut data = Data::new();
    set(&mut data, "ca.crt", &authority.ca.pem());
    set(&mut data, "ca.key", str::from_utf8(authority.key.expose()).unwrap());
    set(&mut data, "tls.crt", &leaf.pem());
    set(&mut data, "tls.key", &key.serialize_pem());
    let (material, faults) = Material::read(&data, Names::All(&names()));
    assert_eq!(faults, []);
    assert!(material.leaf().is_some());
}
