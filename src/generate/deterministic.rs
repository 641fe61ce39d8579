//! Local mode: values derived from names. **Insecure on purpose**: whoever knows the name knows the value.
//!
//! ```text
//! name ─▶ bare ─▶ java (kees' generator, bit for bit) ─▶ RANDOM, PASSWORD, lease index
//!          └────▶ stream (SHA-256 in counter mode)    ─▶ RSA, EC, ED25519
//!                 both                                ─▶ GPG
//! ```
//!
//! RANDOM, PASSWORD and lease values are kees' own, so that what was made locally under kees stays what it is;
//! kees' rules are kept even where they are odd: the seed has one more `_field` stripped than the name, a PASSWORD
//! is cut from an integer of `size` *bytes*, and a lease index ignores the range that was asked for. Keys are
//! keystow's own: an RSA key always has 2048 bits, as under kees, and the same name always gives the same key on
//! every machine and in every version. A pair is derived once per [`Deterministic`], whichever half is asked
//! first. A `localModeValue` wins over everything.
//!
//! An OpenPGP key is that RSA key, made on 2010-01-01 and locked under the name's PASSWORD of 128 bits, as under kees;
//! its salt is derived too, where kees' armour was another one each time. It takes the feature `gpg`.
//!
//! Different from kees: a REFERENCE that names neither a value nor a size gets 128 bits, where kees gave an empty
//! value without a word. A REFERENCE says no `userId`: its OpenPGP key is the one of the name, for a user of that name.
//!
//! Deliberately absent: anything random.

mod der;
mod java;
mod keys;
mod primes;
mod stream;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::{
    Generated, GpgPart, KeyHalf, NamedCurve, Origin, RequestName, ResourceRequest, SecretType, SecretValue,
    StoragePrefix, StoredSecret,
};

use self::keys::KeyKind;
use super::GPG_PASSWORD_BITS;
use super::pair::Pair;

/// Derives local values, and remembers the key pairs it derived.
#[derive(Debug, Default)]
pub struct Deterministic {
    pairs: Mutex<HashMap<(KeyKind, String), Arc<Pair>>>,
}

/// Why there is no local value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Underivable {
    /// OpenPGP, in a build without it.
    #[error(
        "local mode derives GPG keys in builds with the feature `gpg` alone; give its localModeValue in base64, or use such a build"
    )]
    Gpg,
    /// A resource, of which nothing but its name is known.
    #[error("local mode cannot derive a resource; give its localModeValue in base64")]
    Resource,
    /// A key whose name does not say which part of it.
    #[error(
        "local mode derives key pairs; end the name in _public or _private (of a GPG key also _password), or give a localModeValue in base64"
    )]
    Half,
    /// The derived key did not pass the check of the cryptography library.
    #[error("the key that was derived from this name is not usable; give its localModeValue in base64")]
    Key,
}

/// The size of a REFERENCE that names none: what kees' examples ask for.
const USUAL_BITS: u16 = 128;

/// 2010-01-01T00:00:00Z, when kees' local OpenPGP keys were made.
#[cfg(feature = "gpg")]
const GPG_CREATED: u32 = 1_262_304_000;

/// What is to be derived.
enum Wanted<'a> {
    Random(u16),
    Password(u16),
    Half(KeyKind, KeyHalf),
    /// A half of an OpenPGP key of this user, else of one of the bare name.
    Gpg(KeyHalf, Option<&'a str>),
}

impl Deterministic {
    /// The local value of a secret.
    pub fn secret(&self, name: &RequestName, stored: &StoredSecret) -> Result<SecretValue, Underivable> {
        if let Some(given) = &stored.local_value {
            return Ok(given.value().clone());
        }
        let wanted = match &stored.origin {
            Origin::Dynamic(generated) => of_generated(generated),
            Origin::Reference { kind, size } => of_reference(*kind, *size, name)?,
        };
        match wanted {
            Wanted::Random(bits) => Ok(SecretValue::new(java::random(name.bare(), bits))),
            Wanted::Password(bits) => Ok(SecretValue::new(java::password(name.bare(), bits))),
            Wanted::Half(kind, half) => Ok(self.pair(kind, name.bare())?.half(half).clone()),
            Wanted::Gpg(half, user_id) => Ok(self.gpg(name.bare(), user_id)?.half(half).clone()),
        }
    }

    /// Cheap beside the RSA key in it, which is remembered.
    #[cfg(feature = "gpg")]
    fn gpg(&self, bare: &str, user_id: Option<&str>) -> Result<Pair, Underivable> {
        use super::openpgp::{Plan, Salt};
        let key = self.pair(KeyKind::Rsa, bare)?;
        let mut salt = Salt::default();
        let length = salt.len();
        salt.copy_from_slice(&stream::Stream::new("OpenPGP salt", bare).take(length));
        let plan = Plan {
            private: &key.private,
            user_id: &user_id.map_or_else(|| format!("{bare}<{bare}@local.invalid>"), str::to_owned),
            created: GPG_CREATED,
            password: &SecretValue::new(java::password(bare, GPG_PASSWORD_BITS)),
            salt,
        };
        plan.carry_out().ok_or(Underivable::Key)
    }

    #[cfg(not(feature = "gpg"))]
    #[allow(clippy::unused_self, reason = "it is the feature's method")]
    fn gpg(&self, _: &str, _: Option<&str>) -> Result<Pair, Underivable> {
        Err(Underivable::Gpg)
    }

    fn pair(&self, kind: KeyKind, bare: &str) -> Result<Arc<Pair>, Underivable> {
        // Held while deriving: the other half is better waited for than derived twice. A poisoned map is a
        // whole map, because entries are put in whole.
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pair) = pairs.get(&(kind, bare.to_owned())) {
            return Ok(Arc::clone(pair));
        }
        let pair = Arc::new(keys::derive(kind, bare).ok_or(Underivable::Key)?);
        pairs.insert((kind, bare.to_owned()), Arc::clone(&pair));
        Ok(pair)
    }
}

/// The local value of a resource: what was given.
pub fn resource(request: &ResourceRequest) -> Result<SecretValue, Underivable> {
    request.local_value.as_ref().map(|given| given.value().clone()).ok_or(Underivable::Resource)
}

/// The local index of a lease, 0 to 765. Kees ignores the requested range, and so two pods may share an index and
/// an index may lie outside the range: good enough to start on a laptop, and nothing more.
pub fn lease_index(prefix: &StoragePrefix, pod: &str) -> u16 {
    java::random(prefix.join(pod).as_str(), 24).into_iter().map(u16::from).sum()
}

fn of_generated(generated: &Generated) -> Wanted<'_> {
    match generated {
        Generated::Rsa { half, .. } => Wanted::Half(KeyKind::Rsa, *half),
        Generated::Ec { curve, half } => Wanted::Half(KeyKind::Ec(*curve), *half),
        Generated::Ed25519 { half } => Wanted::Half(KeyKind::Ed25519, *half),
        // Both parties of an API key have the bare name in common, and so the value.
        Generated::Random { size } | Generated::ApiKey { size, .. } => Wanted::Random(*size),
        Generated::Password { size } => Wanted::Password(*size),
        Generated::Gpg { part, user_id, .. } => of_gpg(*part, Some(user_id)),
    }
}

fn of_gpg(part: GpgPart, user_id: Option<&str>) -> Wanted<'_> {
    match part {
        GpgPart::Public => Wanted::Gpg(KeyHalf::Public, user_id),
        GpgPart::Private => Wanted::Gpg(KeyHalf::Private, user_id),
        GpgPart::Password => Wanted::Password(GPG_PASSWORD_BITS),
    }
}

fn of_reference(
    kind: SecretType,
    size: Option<u16>,
    name: &RequestName,
) -> Result<Wanted<'static>, Underivable> {
    let half = || match name.field() {
        Some("public") => Ok(KeyHalf::Public),
        Some("private") => Ok(KeyHalf::Private),
        _ => Err(Underivable::Half),
    };
    Ok(match kind {
        SecretType::Rsa => Wanted::Half(KeyKind::Rsa, half()?),
        SecretType::Ec => {
            let curve = if size == Some(384) { NamedCurve::P384 } else { NamedCurve::P256 };
            Wanted::Half(KeyKind::Ec(curve), half()?)
        }
        SecretType::Ed25519 => Wanted::Half(KeyKind::Ed25519, half()?),
        SecretType::Random => Wanted::Random(size.unwrap_or(USUAL_BITS)),
        SecretType::Password => Wanted::Password(size.unwrap_or(USUAL_BITS)),
        SecretType::Gpg if name.field() == Some("password") => of_gpg(GpgPart::Password, None),
        SecretType::Gpg => Wanted::Gpg(half()?, None),
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::domain::{AnnotationDomain, Grammar, Parsed, Requests};

    fn requests(annotations: &[(&str, &str)]) -> Requests {
        let domain = AnnotationDomain::default();
        let grammar = Grammar { domain: &domain, taken_files: &[] };
        match grammar.parse(annotations.iter().copied()).unwrap() {
            Parsed::Requests(requests, _) => *requests,
            Parsed::OptedOut => panic!("opted out"),
        }
    }

    fn derive(name: &str, value: &str) -> Result<SecretValue, Underivable> {
        let requests = requests(&[(&format!("secret.bsycorp.com/{name}"), value)]);
        let (request, stored) = requests.stored().next().unwrap();
        Deterministic::default().secret(&request.name, stored)
    }

    #[test]
    fn published_values_of_kees_are_met() {
        let password = derive("app.service.blah", "kind=DYNAMIC,type=PASSWORD,size=128").unwrap();
        assert_eq!(password.expose(), b"8ekD64eU9hDqA5kz");
        let random = derive("app.service.blah", "kind=DYNAMIC,type=RANDOM,size=288").unwrap();
        assert_eq!(STANDARD.encode(random.expose()), "JuTNTwzlgOWVLXk6aG8LQiZ6JXuGlPpaXvEKJkk7jDjsrJpC");
        let prefix = StoragePrefix::new("/env").unwrap();
        assert_eq!((lease_index(&prefix, "web-0"), lease_index(&prefix, "web-1")), (539, 585));
        let requests = requests(&[("resource.bsycorp.com/app.db.main.url", "localModeValue=dmFsdWU=")]);
        assert_eq!(resource(&requests.resources[0]).unwrap().expose(), b"value");
    }

    #[test]
    fn the_seed_is_the_name_without_two_fields() {
        let of = |name| derive(name, "kind=DYNAMIC,type=RANDOM,size=128").unwrap();
        assert_eq!(of("a_b_c"), of("a"));
        assert_eq!(of("a_b"), of("a"));
        assert_ne!(of("a_b2"), of("a"));
    }

    #[test]
    fn both_parties_of_an_api_key_have_one_value() {
        let of = |name| derive(name, "kind=DYNAMIC,type=RANDOM,size=256").unwrap();
        assert_eq!(of("api-key.billing_consumer"), of("api-key.billing_provider"));
        assert_ne!(of("api-key.billing_consumer"), of("api-key.other_consumer"));
    }

    #[test]
    fn a_given_value_wins() {
        for value in [
            "kind=DYNAMIC,type=RANDOM,size=128,localModeValue=Z2l2ZW4=",
            "kind=REFERENCE,type=GPG,localModeValue=Z2l2ZW4=",
        ] {
            assert_eq!(derive("a", value).unwrap().expose(), b"given", "{value}");
        }
    }

    #[test]
    fn a_reference_is_derived_by_type_and_size() {
        let same = |name, reference, generated| {
            assert_eq!(derive(name, reference), derive(name, generated), "{reference}");
        };
        same("a", "kind=REFERENCE,type=RANDOM,size=64", "kind=DYNAMIC,type=RANDOM,size=64");
        same("a", "kind=REFERENCE,type=PASSWORD,size=64", "kind=DYNAMIC,type=PASSWORD,size=64");
        same("a", "kind=REFERENCE,type=PASSWORD", "kind=DYNAMIC,type=PASSWORD,size=128");
        same("a", "kind=REFERENCE,type=RANDOM", "kind=DYNAMIC,type=RANDOM,size=128");
        same("a_public", "kind=REFERENCE,type=EC,size=384", "kind=DYNAMIC,type=EC,size=384");
        same("a_private", "kind=REFERENCE,type=EC", "kind=DYNAMIC,type=EC,size=256");
        same("a_private", "kind=REFERENCE,type=ED25519", "kind=DYNAMIC,type=ED25519");
    }

    #[test]
    fn what_cannot_be_derived_is_refused_with_a_hint() {
        assert_eq!(derive("a", "kind=REFERENCE,type=GPG,size=2048"), Err(Underivable::Half));
        assert_eq!(derive("a", "kind=REFERENCE,type=RSA,size=2048"), Err(Underivable::Half));
        let requests = requests(&[("resource.bsycorp.com/a", "storageKey=b")]);
        assert_eq!(resource(&requests.resources[0]), Err(Underivable::Resource));
    }

    #[cfg(not(feature = "gpg"))]
    #[test]
    fn without_the_feature_an_openpgp_key_is_refused_with_a_hint() {
        let gpg = "kind=DYNAMIC,type=GPG,size=2048,userId=a<b@c>";
        assert_eq!(derive("a_private", gpg), Err(Underivable::Gpg));
        assert!(derive("a_password", gpg).is_ok());
    }

    #[cfg(feature = "gpg")]
    #[test]
    fn an_openpgp_key_is_that_of_its_name_and_never_changes() {
        let of = |name, user: &str, size: u16| {
            derive(name, &format!("kind=DYNAMIC,type=GPG,size={size},userId={user}")).unwrap()
        };
        let print = |value: &SecretValue| {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, value.expose());
            crate::domain::hex(&digest.as_ref()[..8])
        };
        let (public, private) = (of("mail_public", "a<b@c>", 2048), of("mail_private", "a<b@c>", 2048));
        assert_eq!(
            (print(&public), print(&private)),
            ("2ce9ed35d326f16c".to_owned(), "a76fedf6848637d5".to_owned())
        );
        // Whatever size is asked for, as under kees.
        assert_eq!(of("mail_private", "a<b@c>", 4096), private);
        assert_ne!(of("mail_public", "other<b@c>", 2048), public);
        let password = derive("mail", "kind=DYNAMIC,type=PASSWORD,size=128");
        assert_eq!(Ok(of("mail_password", "a<b@c>", 2048)), password);
        let named = of("mail_public", "mail<mail@local.invalid>", 2048);
        assert_eq!(derive("mail_public", "kind=REFERENCE,type=GPG"), Ok(named));
        assert_eq!(derive("mail_password", "kind=REFERENCE,type=GPG"), password);
    }

    #[test]
    fn both_halves_cost_one_derivation() {
        let requests = requests(&[
            ("secret.bsycorp.com/a_public", "kind=DYNAMIC,type=ED25519"),
            ("secret.bsycorp.com/a_private", "kind=DYNAMIC,type=ED25519"),
        ]);
        let local = Deterministic::default();
        for (request, stored) in requests.stored() {
            local.secret(&request.name, stored).unwrap();
        }
        assert_eq!(local.pairs.lock().unwrap().len(), 1);
        assert!(!format!("{local:?}").contains("0x") && format!("{local:?}").contains("<redacted>"));
    }
}
