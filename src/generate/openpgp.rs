//! OpenPGP keys as kees makes them, of an RSA key that is there already.
//!
//! ```text
//! PKCS#8 ─▶ numbers ─┬─▶ public key, user id, self-certification ─▶ armour ─┐
//!                    └─▶ locked: AES-256 under the password ──────▶ armour ─┴─▶ both read again, and compared
//! ```
//!
//! One version 4 primary key (RFC 9580) of algorithm 1, RSA, that certifies, signs and encrypts, never expires and has no
//! subkey, with one user id. Everything is chosen so that GnuPG 2.2 and 2.4 read it: the private half is protected by an
//! iterated and salted hash, AES-256 in CFB mode and a SHA-1 check (usage 254), and of encryption it announces the first
//! version of integrity protection alone. The same input gives the same bytes: RSA signatures of this padding are not
//! random, and salts and times are arguments.
//!
//! Invariant: the private key is used by aws-lc-rs alone, which finds its primes, signs and locks it in constant time.
//! The OpenPGP library gets public numbers, a digest's signature and what is locked already; so its own RSA, whose time
//! tells of the key (RUSTSEC-2023-0071), has nothing to tell, and its buffers, which are not wiped, have nothing to hide.
//! What remains unwiped is the AES key that is derived from the password: a digest on the stack, until it is written over.
//!
//! Deliberately absent: reading keys that others made, subkeys, expiry, revocation.

mod locked;
mod numbers;

use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::rsa;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use pgp::composed::{ArmorOptions, Deserializable as _, SignedKeyDetails, SignedPublicKey, SignedSecretKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::errors::{Error, Result};
use pgp::packet::{
    Features, KeyFlags, PacketHeader, PacketTrait as _, PublicKey, SecretKey, Signature, SignatureConfig,
    SignatureType, Subpacket, SubpacketData, UserId,
};
use pgp::types::{
    CompressionAlgorithm, Fingerprint, KeyDetails, KeyId, KeyVersion, Mpi, PacketHeaderVersion, Password,
    PublicParams, SignatureBytes, SigningKey, Tag, Timestamp,
};

use self::numbers::Numbers;
use super::pair::Pair;
use crate::domain::SecretValue;

/// What makes two locked forms of one key under one password differ: the salt of the hash, and the cipher's first block.
pub(super) type Salt = [u8; 24];

/// Everything that an OpenPGP key is made of.
pub(super) struct Plan<'a> {
    /// The RSA key, in PKCS#8.
    pub(super) private: &'a SecretValue,
    /// `user<email>`.
    pub(super) user_id: &'a str,
    /// Seconds since 1970, of the key and its certification.
    pub(super) created: u32,
    /// What the private half is locked under.
    pub(super) password: &'a SecretValue,
    pub(super) salt: Salt,
}

impl Plan<'_> {
    /// Both halves in ASCII armour; none where the RSA key cannot be read or what was made does not pass its test.
    pub(super) fn carry_out(&self) -> Option<Pair> {
        let numbers = Numbers::read(self.private.expose())?;
        let key = rsa::KeyPair::from_pkcs8(self.private.expose()).ok()?;
        let locked = locked::lock(&numbers, self.password, &self.salt)?;
        let public = self.public_key(&numbers).ok()?;
        let user = UserId::from_str(PacketHeaderVersion::New, self.user_id).ok()?;
        let certification = self.certify(&Signer { public: &public, key: &key }, &user).ok()?;
        let details = SignedKeyDetails::new(vec![], vec![], vec![user.into_signed(certification)], vec![]);
        let whole = SignedSecretKey::new(SecretKey::new(public, locked).ok()?, details, vec![], vec![]);
        let armour = Pair::new(
            &whole.to_public_key().to_armored_bytes(ArmorOptions::default()).ok()?,
            &whole.to_armored_bytes(ArmorOptions::default()).ok()?,
        );
        self.is_sound(&armour, &numbers).then_some(armour)
    }

    fn public_key(&self, numbers: &Numbers<'_>) -> Result<PublicKey> {
        let mut body = vec![4];
        body.extend(self.created.to_be_bytes());
        body.push(PublicKeyAlgorithm::RSA.into());
        body.extend(numbers.public());
        let length = u32::try_from(body.len())?;
        PublicKey::try_from_reader(PacketHeader::new_fixed(Tag::PublicKey, length), body.as_slice())
    }

    fn certify(&self, signer: &Signer<'_>, user: &UserId) -> Result<Signature> {
        let mut flags = KeyFlags::default();
        flags.set_certify(true);
        flags.set_sign(true);
        flags.set_encrypt_comms(true);
        flags.set_encrypt_storage(true);
        let mut features = Features::new();
        features.set_seipd_v1(true);
        let ciphers =
            [SymmetricKeyAlgorithm::AES256, SymmetricKeyAlgorithm::AES192, SymmetricKeyAlgorithm::AES128];
        let hashes = [HashAlgorithm::Sha512, HashAlgorithm::Sha384, HashAlgorithm::Sha256];
        let compressions =
            [CompressionAlgorithm::ZLIB, CompressionAlgorithm::ZIP, CompressionAlgorithm::Uncompressed];
        let mut config =
            SignatureConfig::v4(SignatureType::CertPositive, signer.algorithm(), signer.hash_alg());
        config.hashed_subpackets = [
            SubpacketData::SignatureCreationTime(Timestamp::from_secs(self.created)),
            SubpacketData::IssuerFingerprint(signer.fingerprint()),
            SubpacketData::KeyFlags(flags),
            SubpacketData::Features(features),
            SubpacketData::PreferredSymmetricAlgorithms(ciphers.as_slice().into()),
            SubpacketData::PreferredHashAlgorithms(hashes.as_slice().into()),
            SubpacketData::PreferredCompressionAlgorithms(compressions.as_slice().into()),
            SubpacketData::IsPrimary(true),
        ]
        .into_iter()
        .map(Subpacket::regular)
        .collect::<Result<_>>()?;
        config.unhashed_subpackets =
            vec![Subpacket::regular(SubpacketData::IssuerKeyId(signer.legacy_key_id()))?];
        // The key is not locked yet: no password.
        config.sign_certification(signer, signer.public, &Password::empty(), user.tag(), user)
    }

    /// Whether what was written is what was meant: read again, the certification holds for the public half, and the
    /// password opens the private one.
    fn is_sound(&self, armour: &Pair, numbers: &Numbers<'_>) -> bool {
        let public = SignedPublicKey::from_armor_single(armour.public.expose());
        let private = SignedSecretKey::from_armor_single(armour.private.expose());
        let (Ok((public, _)), Ok((private, _))) = (public, private) else { return false };
        public.verify_bindings().is_ok()
            && private.to_public_key() == public
            && locked::holds(private.primary_key.secret_params(), numbers, self.password)
    }
}

/// Signs for the OpenPGP library, which sees digests and signatures.
#[derive(Debug)]
struct Signer<'a> {
    public: &'a PublicKey,
    key: &'a rsa::KeyPair,
}

impl SigningKey for Signer<'_> {
    fn sign(&self, _: &Password, hash: HashAlgorithm, digest: &[u8]) -> Result<SignatureBytes> {
        if hash != self.hash_alg() {
            return Err(Error::from("only SHA-256 is signed".to_owned()));
        }
        let refused = |_| Error::from("the digest was not signed".to_owned());
        let digest = Digest::import_less_safe(digest, &SHA256).map_err(refused)?;
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign_digest(&RSA_PKCS1_SHA256, &digest, &mut signature).map_err(refused)?;
        Ok(SignatureBytes::Mpis(vec![Mpi::from_slice(&signature)]))
    }

    fn hash_alg(&self) -> HashAlgorithm {
        HashAlgorithm::Sha256
    }
}

impl KeyDetails for Signer<'_> {
    fn version(&self) -> KeyVersion {
        self.public.version()
    }

    fn legacy_key_id(&self) -> KeyId {
        self.public.legacy_key_id()
    }

    fn fingerprint(&self) -> Fingerprint {
        self.public.fingerprint()
    }

    fn algorithm(&self) -> PublicKeyAlgorithm {
        self.public.algorithm()
    }

    fn created_at(&self) -> Timestamp {
        self.public.created_at()
    }

    fn legacy_v3_expiration_days(&self) -> Option<u16> {
        self.public.legacy_v3_expiration_days()
    }

    fn public_params(&self) -> &PublicParams {
        self.public.public_params()
    }
}

#[cfg(test)]
mod tests;
