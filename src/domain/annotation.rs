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
    pub(in crate::domain) const LOCAL_MODE: &str = "local-mode";
    pub(in crate::domain) const STORAGE_PREFIX: &str = "storage-prefix";
    pub(in crate::domain) const ALL: [&str; 2] = [LOCAL_MODE, STORAGE_PREFIX];
}

/// Keys of the `inject.D/` family.
pub(super) mod inject {
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
    pub(in crate::domain) const ALL: [&str; 12] = [
        CONTAINERS,
        ENABLED,
        ENCODING,
        FORMAT,
        INIT_POSITION,
        PATH,
        REFRESH,
        SERVICE_ACCOUNT,
        STATUS,
        STORE,
        "template.NAME",
        "template-env.NAME",
    ];
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
