//! Fresh values: how many, how long, and of which characters.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::domain::NamedCurve;

fn make_now(recipe: &Recipe) -> Vec<SecretValue> {
    make(recipe, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap()
}

#[test]
fn each_part_has_a_value_and_no_two_makes_are_alike() {
    for recipe in [
        Recipe::Rsa(Modulus::Bits2048),
        Recipe::Ec(NamedCurve::P256),
        Recipe::Ec(NamedCurve::P384),
        Recipe::Ed25519,
        #[cfg(feature = "gpg")]
        Recipe::Gpg { size: Modulus::Bits2048, user_id: "mail<mail@example.org>".to_owned() },
        Recipe::Random { bits: 128 },
        Recipe::ApiKey { bits: 128 },
        Recipe::Password { bits: 128 },
    ] {
        let (one, other) = (make_now(&recipe), make_now(&recipe));
        assert_eq!(one.len(), recipe.parts().len(), "{recipe:?}");
        for (one, other) in one.iter().zip(&other) {
            assert_ne!(one, other, "{recipe:?}");
        }
        assert!(!format!("{one:?}").contains(|c: char| c.is_ascii_digit()), "{one:?}");
    }
}

#[test]
fn both_parties_of_an_api_key_have_one_value() {
    let values = make_now(&Recipe::ApiKey { bits: 256 });
    assert_eq!(values[0], values[1]);
    assert_eq!(values[0].expose().len(), 32);
}

#[test]
fn lengths_are_an_eighth_of_the_size_as_in_local_mode() {
    for bits in 1..=8192 {
        let (random, password) = (make_now(&Recipe::Random { bits }), make_now(&Recipe::Password { bits }));
        let length = usize::from(bits / 8);
        assert_eq!((random[0].expose().len(), password[0].expose().len()), (length, length), "{bits}");
        assert!(password[0].expose().iter().all(u8::is_ascii_alphanumeric), "{bits}");
    }
}

#[test]
fn passwords_have_every_digit() {
    // A digit is missing in 8192 characters once in 10^56 tries.
    let seen: BTreeSet<u8> =
        (0..8).flat_map(|_| make_now(&Recipe::Password { bits: 8192 })[0].expose().to_vec()).collect();
    assert_eq!(seen, BASE62.iter().copied().collect());
}

#[cfg(feature = "gpg")]
#[test]
fn times_that_an_openpgp_key_cannot_have_are_told() {
    let recipe = Recipe::Gpg { size: Modulus::Bits2048, user_id: "a<b@c>".to_owned() };
    let first = SystemTime::UNIX_EPOCH;
    for time in [first - Duration::from_secs(1), first + Duration::from_secs(1 << 32)] {
        assert_eq!(make(&recipe, time), Err(GenerateError::Clock));
    }
}

#[cfg(not(feature = "gpg"))]
#[test]
fn without_the_feature_an_openpgp_key_is_refused_with_a_hint() {
    let recipe = Recipe::Gpg { size: Modulus::Bits2048, user_id: "a<b@c>".to_owned() };
    let error = make(&recipe, SystemTime::UNIX_EPOCH).unwrap_err();
    assert!(error.to_string().contains("build keystow with the feature `gpg`"), "{error}");
}
