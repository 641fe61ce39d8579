//! OpenPGP keys, with the `gpg` of the system: one who has the public half, and one who has both.

use keystow::domain::{Modulus, Recipe, SecretValue};

use super::{CREATED, derived, fresh};
use crate::support::judges::gnupg::{self, Gpg, Key, is_there};

const USER: &str = "mail<mail@example.org>";

/// Tries a key of so many bits.
fn assert_key(values: &[SecretValue], bits: &str, created: u64) {
    let [public, private, password] = values else { panic!("three parts") };
    let key = Key { public: public.expose(), private: private.expose(), password: password.expose() };
    assert_eq!(gnupg::assert_key(&key, bits, USER), created);
}

#[test]
fn gnupg_takes_keys_of_every_size() {
    if !is_there("gnupg_takes_keys_of_every_size") {
        return;
    }
    for (size, bits) in
        [(Modulus::Bits2048, "2048"), (Modulus::Bits3072, "3072"), (Modulus::Bits4096, "4096")]
    {
        let values = fresh(&Recipe::Gpg { size, user_id: USER.to_owned() });
        assert_eq!(values[2].expose().len(), 16);
        assert_key(&values, bits, CREATED);
    }
}

#[test]
fn gnupg_takes_the_key_of_local_mode() {
    if !is_there("gnupg_takes_the_key_of_local_mode") {
        return;
    }
    let parameters = format!("kind=DYNAMIC,type=GPG,size=4096,userId={USER}");
    let values = derived(&["public", "private", "password"], &parameters);
    // 2010-01-01T00:00:00Z, and 2048 bits whatever was asked for.
    assert_key(&values, "2048", 1_262_304_000);
}

#[test]
fn what_the_key_announces_is_what_gnupg_understands() {
    if !is_there("what_the_key_announces_is_what_gnupg_understands") {
        return;
    }
    let values = fresh(&Recipe::Gpg { size: Modulus::Bits2048, user_id: USER.to_owned() });
    let gpg = Gpg::new();
    let file = gpg.file("private", values[1].expose()).display().to_string();
    let packets = String::from_utf8(gpg.run(&["--list-packets", &file])).unwrap();
    for expected in [
        "version 4, algo 1, created 1700000000, expires 0",
        "iter+salt S2K, algo: 9, SHA1 protection, hash: 8",
        "sigclass 0x13",
        "digest algo 8",
        "pref-sym-algos: 9 8 7",
        "pref-hash-algos: 10 9 8",
        "pref-zip-algos: 2 1 0",
        "(features: 01)",
        "(key flags: 0F)",
        "(primary user ID)",
    ] {
        assert!(packets.contains(expected), "{expected}: {packets}");
    }
    assert!(!packets.contains("key expires"), "{packets}");
}
