//! Names with their rules: Kubernetes names, environment names, paths, file modes.

use std::fmt;

/// Text that breaks the rule of what it was meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not {0}")]
pub struct InvalidText(pub(super) &'static str);

/// Declares a string type with one rule and its words.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $rule:expr, $words:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Checks the rule.
            pub fn new(text: &str) -> Result<Self, InvalidText> {
                let rule: fn(&str) -> bool = $rule;
                if rule(text) { Ok(Self(text.to_owned())) } else { Err(InvalidText($words)) }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text!(
    /// A container's name (RFC 1123 label; Kubernetes `validation.IsDNS1123Label`).
    ContainerName,
    is_label,
    "a container name: at most 63 lower-case letters, digits and `-`"
);
text!(
    /// The name of a Secret object (RFC 1123 subdomain; Kubernetes `validation.IsDNS1123Subdomain`).
    SecretName,
    is_dns_subdomain,
    "the name of a Secret: at most 253 lower-case letters, digits, `-` and `.`"
);
text!(
    /// The name of a ServiceAccount object (RFC 1123 subdomain).
    ServiceAccountName,
    is_dns_subdomain,
    "the name of a ServiceAccount: at most 253 lower-case letters, digits, `-` and `.`"
);
text!(
    /// The name of a store in the operator's configuration.
    StoreName,
    is_label,
    "the name of a store: at most 63 lower-case letters, digits and `-`"
);
text!(
    /// A key of a Secret's data (Kubernetes `validation.IsConfigMapKey`).
    SecretKey,
    |text| (1..=253).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && text != "."
        && !text.starts_with(".."),
    "a key of a Secret: at most 253 letters, digits, `-`, `_` and `.`"
);
text!(
    /// An environment variable's name, by the rule that every supported Kubernetes accepts
    /// (`validation.IsEnvVarName`).
    EnvName,
    is_env_name,
    "an environment variable's name: letters, digits, `_`, `-` and `.`, no digit first"
);
text!(
    /// An absolute directory in a container that something can be mounted at, without a trailing `/`.
    MountPath,
    |text| text.len() <= 512
        && text.len() > 1
        && text.starts_with('/')
        && text[1..].split('/').all(|part| !matches!(part, "" | "." | ".."))
        && !text.contains([':', ',', '\\'])
        && !text.chars().any(char::is_control),
    "an absolute directory below `/`, without `.`, `..`, `:` and `\\`"
);

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether it is an RFC 1123 subdomain, as most names of objects are (Kubernetes `validation.IsDNS1123Subdomain`).
pub fn is_dns_subdomain(text: &str) -> bool {
    let label = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn is_env_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text != "."
        && !text.starts_with("..")
}

impl MountPath {
    /// Checks the rule after taking off one trailing `/`.
    pub(super) fn read(text: &str) -> Result<Self, InvalidText> {
        Self::new(text.strip_suffix('/').unwrap_or(text))
    }
}

impl EnvName {
    /// The environment name that a secret gets in `secret.env` where its annotation names none: upper case,
    /// everything but letters and digits as `_`.
    pub fn derived_from(name: &RequestName) -> Self {
        let mut env = name.as_str().to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        if env.starts_with(|c: char| c.is_ascii_digit()) {
            env.insert(0, '_');
        }
        Self(env)
    }
}

/// Where the `_` before a field is: kees' rule `_[a-z]*` at the end (`Parameter.java`).
pub(super) fn field_mark(text: &str) -> Option<usize> {
    text.rfind('_').filter(|at| text[at + 1..].bytes().all(|b| b.is_ascii_lowercase()))
}

/// What follows the `/` of an annotation key: kees' NAME, with its FIELD where it ends in `_` and lower-case
/// letters. It is also the name of the file and of the line that the value is delivered under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestName {
    text: String,
    bare: usize,
}

impl RequestName {
    /// Checks the rule of annotation names (Kubernetes `validation.IsQualifiedName`) and finds the field.
    pub fn new(text: &str) -> Result<Self, InvalidText> {
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = text.as_bytes();
        if bytes.len() > 63
            || !bytes.iter().copied().all(inner)
            || !ends(bytes.first())
            || !ends(bytes.last())
        {
            return Err(InvalidText(
                "an annotation name: at most 63 letters, digits, `-`, `_` and `.`, a letter or digit at both ends",
            ));
        }
        let bare = field_mark(text).unwrap_or(text.len());
        Ok(Self { text: text.to_owned(), bare })
    }

    /// The whole name: `signingKey.v1_public`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name without its field: `signingKey.v1`.
    pub fn bare(&self) -> &str {
        &self.text[..self.bare]
    }

    /// The field: `public`.
    pub fn field(&self) -> Option<&str> {
        self.text.get(self.bare + 1..)
    }
}

impl fmt::Display for RequestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Permission bits of a file, `0` to `0777`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileMode(u16);

impl FileMode {
    /// Readable by the owner alone.
    pub const OWNER: Self = Self(0o400);
    /// Readable by owner and group.
    pub const GROUP: Self = Self(0o440);
    /// Readable by everybody.
    pub const ALL: Self = Self(0o444);

    /// Reads octal digits: `0400`, `400` or `0o400`.
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        const WORDS: InvalidText = InvalidText("an octal file mode from 0 to 0777, such as 0400");
        let digits = text.strip_prefix("0o").unwrap_or(text);
        if digits.is_empty() || digits.len() > 5 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(WORDS);
        }
        match u16::from_str_radix(digits, 8) {
            Ok(bits) if bits <= 0o777 => Ok(Self(bits)),
            _ => Err(WORDS),
        }
    }

    /// The bits as a number, as Kubernetes writes modes in JSON.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// Whether somebody who is neither the owner nor in the group may read.
    pub fn lets_others_read(self) -> bool {
        self.0 & 0o004 != 0
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_lower_case_letters_after_the_last_underscore() {
        for (text, bare, field) in [
            ("db_password", "db", Some("password")),
            ("signingKey.v1_public", "signingKey.v1", Some("public")),
            ("a_b_c", "a_b", Some("c")),
            ("db_pw2", "db_pw2", None),
            ("db_Pw", "db_Pw", None),
            ("db.password", "db.password", None),
        ] {
            let name = RequestName::new(text).unwrap();
            assert_eq!((name.bare(), name.field()), (bare, field), "{text}");
        }
    }

    #[test]
    fn a_request_name_is_an_annotation_name() {
        let long = "a".repeat(64);
        for wrong in ["", "a/b", "_x", "x_", ".", "..", "a b", "é", long.as_str()] {
            assert!(RequestName::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn modes_are_octal() {
        for (text, bits) in [("0400", 0o400), ("400", 0o400), ("0o440", 0o440), ("0", 0), ("777", 0o777)] {
            assert_eq!(FileMode::parse(text).unwrap().bits(), bits, "{text}");
        }
        for wrong in ["", "0800", "1777", "rw", "-1", "0x1ff", "+400", "000000400"] {
            assert!(FileMode::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(FileMode::parse("400").unwrap().to_string(), "0400");
    }

    #[test]
    fn mount_paths_stay_below_the_root() {
        for wrong in ["", "/", "etc", "/etc/", "/a//b", "/a/../b", "/a/./b", "/a:b", "/a\nb"] {
            assert!(MountPath::new(wrong).is_err(), "{wrong}");
        }
        assert!(MountPath::new("/etc/jwt").is_ok());
    }

    #[test]
    fn kubernetes_names_follow_kubernetes_rules() {
        assert!(SecretName::new("veza-secrets.v1").is_ok() && SecretName::new("Veza").is_err());
        assert!(SecretName::new("a..b").is_err() && SecretName::new("-a").is_err());
        assert!(ContainerName::new("app").is_ok() && ContainerName::new("a.b").is_err());
        assert!(
            SecretKey::new("tls.crt").is_ok()
                && SecretKey::new("..x").is_err()
                && SecretKey::new("").is_err()
        );
        assert!(
            EnvName::new("JWT_SECRET_KEY").is_ok()
                && EnvName::new("1X").is_err()
                && EnvName::new("A=B").is_err()
        );
    }

    #[test]
    fn derived_environment_names_are_legal() {
        for (name, env) in
            [("db.password", "DB_PASSWORD"), ("signingKey.v1_public", "SIGNINGKEY_V1_PUBLIC"), ("1x", "_1X")]
        {
            let derived = EnvName::derived_from(&RequestName::new(name).unwrap());
            assert_eq!(derived.as_str(), env);
            assert!(EnvName::new(derived.as_str()).is_ok());
        }
    }
}
