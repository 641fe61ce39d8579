//! Every key pair, with the `openssl` of the system.

use keystow::domain::{Modulus, NamedCurve, Recipe, SecretValue};

use super::{derived, fresh};
use crate::support::judges::openssl;
use crate::support::programs;

fn assert_pair(title: &str, values: &[SecretValue], is_digested: bool) {
    let [public, private] = values else { panic!("a pair") };
    openssl::assert_pair(title, public.expose(), private.expose(), is_digested);
}

#[test]
fn openssl_takes_every_pair() {
    if !programs::has("openssl_takes_every_pair", "openssl", "openssl") {
        return;
    }
    for (title, recipe) in [
        ("(2048 bit)", Recipe::Rsa(Modulus::Bits2048)),
        ("(3072 bit)", Recipe::Rsa(Modulus::Bits3072)),
        ("(4096 bit)", Recipe::Rsa(Modulus::Bits4096)),
        ("P-256", Recipe::Ec(NamedCurve::P256)),
        ("P-384", Recipe::Ec(NamedCurve::P384)),
        ("ED25519", Recipe::Ed25519),
    ] {
        assert_pair(title, &fresh(&recipe), recipe != Recipe::Ed25519);
    }
}

#[test]
fn openssl_takes_every_pair_of_local_mode() {
    if !programs::has("openssl_takes_every_pair_of_local_mode", "openssl", "openssl") {
        return;
    }
    for (title, kind) in [
        ("(2048 bit)", "RSA,size=4096"),
        ("P-256", "EC,size=256"),
        ("P-384", "EC,size=384"),
        ("ED25519", "ED25519"),
    ] {
        let values = derived(&["public", "private"], &format!("kind=DYNAMIC,type={kind}"));
        assert_pair(title, &values, kind != "ED25519");
    }
}
