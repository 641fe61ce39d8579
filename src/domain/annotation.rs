//! Annotation keys: the only file that spells them.
//!
//! A key belongs to a family only when the `/` follows the domain: `secret.bsycorp.com/db` is ours,
//! `secret.bsycorp.com.evil/db` is not (kees took both).

use std::fmt;

use super::suggest::nearest;

/// The domain that annotation keys end in, `bsycorp.com` unless configured (kees `ANNOTATION_DOMAIN`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnotationDomain(String);

/// Text that cannot be an annotation domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a DNS name such as bsycorp.com (lower-case letters, digits, `-`, `.`; at most 200 characters)"
)]
pub struct InvalidDomain(String);

/// The families of annotations that keystow reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// `init.D/…`: where and how the store is read (kees' controls).
    Init,
    /// `inject.D/…`: how to inject.
    Inject,
    /// `lease.D/NAME`: an index that no other live pod holds.
    Lease,
    /// `resource.D/NAME`: a value of the store that keystow does not generate.
    Resource,
    /// `secret.D/NAME`: a secret.
    Secret,
}

/// Keys of the `init.D/` family.
pub(super) mod init {
    use super::super::reference;

    pub(in crate::domain) const LOCAL_MODE: &str = "local-mode";
    pub(in crate::domain) const STORAGE_PREFIX: &str = "storage-prefix";
    pub(in crate::domain) const ALL: [&str; 2] = reference::names(&reference::INIT);
}

/// Keys of the `inject.D/` family.
pub(super) mod inject {
    use super::super::reference;

    pub(in crate::domain) const CONTAINERS: &str = "containers";
    pub(in crate::domain) const ENABLED: &str = "enabled";
    pub(in crate::domain) const ENCODING: &str = "encoding";
    pub(in crate::domain) const FORMAT: &str = "format";
    pub(in crate::domain) const INIT_POSITION: &str = "init-position";
    pub(in crate::domain) const PATH: &str = "path";
    pub(in crate::domain) const REFRESH: &str = "refresh";
    pub(in crate::domain) const SERVICE_ACCOUNT: &str = "service-account";
    pub(in crate::domain) const STATUS: &str = "status";
    pub(in crate::domain) const STORE: &str = "store";
    pub(in crate::domain) const TEMPLATE_PREFIX: &str = "template.";
    pub(in crate::domain) const TEMPLATE_ENV_PREFIX: &str = "template-env.";
    pub(in crate::domain) const ALL: [&str; 12] = reference::names(&reference::INJECT);
}

/// Keys of the `rotate.D/` family, on Secrets and on what consumes them.
pub(super) mod rotate {
    pub(in crate::domain) const EVERY: &str = "every";
    pub(in crate::domain) const ISSUER: &str = "issuer";
    pub(in crate::domain) const KEEP: &str = "keep";
    pub(in crate::domain) const KEY: &str = "key";
    pub(in crate::domain) const OVERLAP: &str = "overlap";
    pub(in crate::domain) const PUBLISH: &str = "publish";
    pub(in crate::domain) const SIZE: &str = "size";
    pub(in crate::domain) const TOKENS_FOR: &str = "tokens-for";
    pub(in crate::domain) const TYPE: &str = "type";
    /// What people write on a Secret with keys.
    pub(in crate::domain) const ALL: [&str; 9] =
        [EVERY, ISSUER, KEEP, KEY, OVERLAP, PUBLISH, SIZE, TOKENS_FOR, TYPE];
    /// What people write on a Secret that is to hold a token.
    pub(in crate::domain) const TOKEN_AUDIENCE: &str = "token-audience";
    pub(in crate::domain) const TOKEN_LIFETIME: &str = "token-lifetime";
    pub(in crate::domain) const TOKEN_OF: &str = "token-of";
    pub(in crate::domain) const TOKEN_SUBJECT: &str = "token-subject";
    /// Where keystow notes which keys there are.
    pub(in crate::domain) const KEYS: &str = "keys";
    /// What keystow writes.
    pub(in crate::domain) const NOTES: [&str; 1] = [KEYS];
    /// What people write on what consumes a Secret.
    pub(in crate::domain) const RESTART: &str = "restart";
    pub(in crate::domain) const RESTART_INTERVAL: &str = "restart-interval";
    /// What keystow notes there.
    pub(in crate::domain) const SEEN: &str = "seen";
    pub(in crate::domain) const RESTARTED_AT: &str = "restarted-at";
    pub(in crate::domain) const RESTARTED_FOR: &str = "restarted-for";
    /// What people write on a Secret whose token stores embed.
    pub(in crate::domain) const EMBEDDED_IN: &str = "embedded-in";
    /// What stands beside the keys in a Secret's data.
    pub(in crate::domain) const DOCUMENTS: [&str; 2] = ["issuers.yaml", "jwks.json"];
}

impl Family {
    /// Every family, in alphabetical order of the key prefix.
    pub const ALL: [Self; 5] = [Self::Init, Self::Inject, Self::Lease, Self::Resource, Self::Secret];

    /// The word before the domain.
    pub fn word(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Inject => "inject",
            Self::Lease => "lease",
            Self::Resource => "resource",
            Self::Secret => "secret",
        }
    }
}

impl AnnotationDomain {
    /// Checks that `domain` can stand in an annotation key.
    pub fn new(domain: &str) -> Result<Self, InvalidDomain> {
        let label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // An annotation prefix has at most 253 characters; `resource.` and some room stay free.
        if domain.len() <= 200 && domain.split('.').all(label) {
            Ok(Self(domain.to_owned()))
        } else {
            Err(InvalidDomain(domain.to_owned()))
        }
    }

    /// The domain as it stands in keys.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes a key apart into its family and what follows the `/`; `None` where it is nobody's of ours.
    pub fn classify<'k>(&self, key: &'k str) -> Option<(Family, &'k str)> {
        let (word, rest) = key.split_once('.')?;
        let name = rest.strip_prefix(self.0.as_str())?.strip_prefix('/')?;
        let family = Family::ALL.into_iter().find(|family| family.word() == word)?;
        Some((family, name))
    }

    /// The full key of `name` in `family`.
    pub fn key(&self, family: Family, name: &str) -> String {
        format!("{}.{}/{name}", family.word(), self.0)
    }

    /// The key under which the webhook notes what it did. Never read as an instruction.
    pub fn status_key(&self) -> String {
        self.key(Family::Inject, inject::STATUS)
    }

    /// The key of `rotate.D/NAME`, on Secrets and what consumes them; no family of pods.
    pub(super) fn rotate_key(&self, name: &str) -> String {
        format!("rotate.{}/{name}", self.0)
    }

    /// What follows the `/` in a key of `rotate.D/`.
    pub(super) fn rotate_name<'k>(&self, key: &'k str) -> Option<&'k str> {
        key.strip_prefix("rotate.")?.strip_prefix(self.0.as_str())?.strip_prefix('/')
    }

    /// The key that opts a Secret in to rotation.
    pub fn rotation_key(&self) -> String {
        self.rotate_key(rotate::TYPE)
    }

    /// The key that says how old a Secret may become.
    pub fn rotate_every_key(&self) -> String {
        self.rotate_key(rotate::EVERY)
    }

    /// The key by which a Secret asks for a token.
    pub fn token_of_key(&self) -> String {
        self.rotate_key(rotate::TOKEN_OF)
    }

    /// The key under which the keys of a Secret are noted: which there are, and since when. No secret is in it.
    pub fn keys_key(&self) -> String {
        self.rotate_key(rotate::KEYS)
    }

    /// The key that opts a consumer of Secrets out of restarts.
    pub fn restart_key(&self) -> String {
        self.rotate_key(rotate::RESTART)
    }

    /// The key that says for how long a consumer is left alone after a restart.
    pub fn restart_interval_key(&self) -> String {
        self.rotate_key(rotate::RESTART_INTERVAL)
    }

    /// The key under which it is noted on a consumer what it has read: keyed hashes.
    pub fn seen_key(&self) -> String {
        self.rotate_key(rotate::SEEN)
    }

    /// The key, on a Secret with a token, of the stores of External Secrets that embed it.
    pub fn embedded_in_key(&self) -> String {
        self.rotate_key(rotate::EMBEDDED_IN)
    }

    /// The key, in a pod template, of when it was last restarted.
    pub fn restarted_at_key(&self) -> String {
        self.rotate_key(rotate::RESTARTED_AT)
    }

    /// The key, in a pod template, of what it was restarted for: a keyed hash.
    pub fn restarted_for_key(&self) -> String {
        self.rotate_key(rotate::RESTARTED_FOR)
    }

    /// The key that opts a pod out of the webhook.
    pub fn enabled_key(&self) -> String {
        self.key(Family::Inject, inject::ENABLED)
    }

    /// The family and control key that an almost right key was probably meant to be.
    pub(super) fn nearest_control(family: Family, name: &str) -> Option<&'static str> {
        match family {
            Family::Init => nearest(name, &init::ALL),
            Family::Inject => nearest(name, &inject::ALL),
            Family::Lease | Family::Resource | Family::Secret => None,
        }
    }
}

impl Default for AnnotationDomain {
    fn default() -> Self {
        Self("bsycorp.com".to_owned())
    }
}

impl fmt::Display for AnnotationDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_ours_only_when_the_slash_follows_the_domain() {
        let domain = AnnotationDomain::default();
        assert_eq!(domain.classify("secret.bsycorp.com/db"), Some((Family::Secret, "db")));
        assert_eq!(domain.classify("init.bsycorp.com/local-mode"), Some((Family::Init, "local-mode")));
        for foreign in [
            "secret.bsycorp.com.evil/db",
            "secret.bsycorp.comx/db",
            "secret.bsycorp.com",
            "secrets.bsycorp.com/db",
            "bsycorp.com/db",
            "iam.amazonaws.com/role",
        ] {
            assert_eq!(domain.classify(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn keys_are_taken_apart_as_they_are_put_together() {
        let domain = AnnotationDomain::new("example.org").unwrap();
        for family in Family::ALL {
            assert_eq!(domain.classify(&domain.key(family, "x_y.z")), Some((family, "x_y.z")));
        }
    }

    #[test]
    fn a_domain_is_a_dns_name() {
        for wrong in ["", "a..b", "Bsycorp.com", "a/b", "-a.com", "a-.com", "a b"] {
            assert!(AnnotationDomain::new(wrong).is_err(), "{wrong}");
        }
        assert_eq!(AnnotationDomain::new("a.b-c.d2").unwrap().to_string(), "a.b-c.d2");
    }
}
