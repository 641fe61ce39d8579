//! Both halves of a key pair.

use crate::domain::{KeyHalf, SecretValue};

/// A key pair in DER (X.509 SubjectPublicKeyInfo, and PKCS#8 version 1, which OpenSSL and Java read without more ado), or
/// an OpenPGP key in ASCII armour.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) public: SecretValue,
    pub(super) private: SecretValue,
}

impl Pair {
    pub(super) fn new(public: &[u8], private: &[u8]) -> Self {
        Self { public: SecretValue::new(public.to_vec()), private: SecretValue::new(private.to_vec()) }
    }

    pub(super) fn half(&self, half: KeyHalf) -> &SecretValue {
        match half {
            KeyHalf::Public => &self.public,
            KeyHalf::Private => &self.private,
        }
    }
}
