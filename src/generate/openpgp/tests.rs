//! OpenPGP keys as the library itself reads them. What GnuPG makes of them is in `tests/creator/`.

use pgp::types::VerifyingKey as _;

use super::*;
use crate::domain::{Modulus, Recipe};
use crate::generate::fresh;

const CREATED: u32 = 1_700_000_000;

pub(super) fn rsa_key() -> SecretValue {
    let recipe = Recipe::Rsa(Modulus::Bits2048);
    fresh::make(&recipe, std::time::SystemTime::UNIX_EPOCH).unwrap().swap_remove(1)
}

fn made(salt: Salt) -> (SecretValue, SecretValue, Pair) {
    let (private, password) = (rsa_key(), SecretValue::new(b"base62".to_vec()));
    let plan =
        Plan { private: &private, user_id: "mail<m@x.org>", created: CREATED, password: &password, salt };
    let armour = plan.carry_out().unwrap();
    (private, password, armour)
}

fn read(armour: &Pair) -> (SignedPublicKey, SignedSecretKey) {
    let public = SignedPublicKey::from_armor_single(armour.public.expose()).unwrap().0;
    (public, SignedSecretKey::from_armor_single(armour.private.expose()).unwrap().0)
}

#[test]
fn the_key_is_what_kees_makes() {
    let (.., armour) = made([7; 24]);
    let (public, private) = read(&armour);
    let key = &public.primary_key;
    assert_eq!((key.version(), key.algorithm()), (KeyVersion::V4, PublicKeyAlgorithm::RSA));
    assert_eq!(key.created_at().as_secs(), CREATED);
    assert!(public.public_subkeys.is_empty() && private.secret_subkeys.is_empty());
    let [user] = public.details.users.as_slice() else { panic!("one user") };
    assert_eq!(user.id.as_str(), Some("mail<m@x.org>"));
    let [certification] = user.signatures.as_slice() else { panic!("one certification") };
    let flags = certification.key_flags();
    assert!(flags.certify() && flags.sign() && flags.encrypt_comms() && flags.encrypt_storage());
    assert!(!flags.authentication() && !flags.shared() && !flags.group());
    assert_eq!(certification.key_expiration_time(), None);
    assert_eq!(certification.hash_alg(), Some(HashAlgorithm::Sha256));
    assert_eq!(certification.created().map(Timestamp::as_secs), Some(CREATED));
    assert_eq!(private.primary_key.secret_params().string_to_key_id(), 254);
}

#[test]
fn the_library_opens_it_with_the_password_alone_and_signs_with_it() {
    let (_, password, armour) = made([7; 24]);
    let (public, private) = read(&armour);
    let digest = aws_lc_rs::digest::digest(&SHA256, b"message");
    let sign = |password: &[u8]| {
        private.primary_key.sign(&Password::from(password), HashAlgorithm::Sha256, digest.as_ref())
    };
    public
        .primary_key
        .verify(HashAlgorithm::Sha256, digest.as_ref(), &sign(password.expose()).unwrap())
        .unwrap();
    assert!(sign(b"base63").is_err());
}

#[test]
fn the_same_input_gives_the_same_bytes_and_a_salt_changes_the_private_half_alone() {
    let private = rsa_key();
    let password = SecretValue::new(b"base62".to_vec());
    let armour = |salt| {
        Plan { private: &private, user_id: "a<b>", created: 0, password: &password, salt }
            .carry_out()
            .unwrap()
    };
    let (one, same, other) = (armour([1; 24]), armour([1; 24]), armour([2; 24]));
    assert_eq!((&one.public, &one.private), (&same.public, &same.private));
    assert_eq!(one.public, other.public);
    assert_ne!(one.private, other.private);
}

#[test]
fn what_was_broken_on_the_way_does_not_pass() {
    let (private, password, armour) = made([7; 24]);
    let numbers = Numbers::read(private.expose()).unwrap();
    let test = |password: &SecretValue, armour: &Pair| {
        let plan = Plan { private: &private, user_id: "", created: 0, password, salt: [0; 24] };
        plan.is_sound(armour, &numbers)
    };
    assert!(test(&password, &armour));
    assert!(!test(&SecretValue::new(b"other".to_vec()), &armour));
    let (.., other) = made([7; 24]);
    let mixed = Pair { public: other.public, private: armour.private.clone() };
    assert!(!test(&password, &mixed));
    assert!(!test(&password, &Pair::new(armour.public.expose(), &armour.private.expose()[..900])));
    assert!(!test(&password, &Pair::new(b"", b"")));
}

#[test]
fn an_rsa_key_that_cannot_be_read_gives_none() {
    let password = SecretValue::new(Vec::new());
    for private in [Vec::new(), b"no DER".to_vec()] {
        let private = SecretValue::new(private);
        let plan =
            Plan { private: &private, user_id: "a<b>", created: 0, password: &password, salt: [0; 24] };
        assert!(plan.carry_out().is_none());
    }
}
