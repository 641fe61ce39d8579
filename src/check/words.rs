//! What names tell about values: whether something is a credential, and of what kind.

/// Kinds of credentials, by how long one must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credential {
    /// For HMAC, signatures, encryption: as random as 32 bytes.
    Key,
    /// A password or token.
    Password,
}

impl Credential {
    /// The fewest bytes.
    pub(super) fn shortest(self) -> usize {
        match self {
            Self::Key => 32,
            Self::Password => 12,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Password => "password or token",
        }
    }
}

const KEYS: [&str; 10] = [
    "jwt",
    "hmac",
    "signing",
    "encryption",
    "encrypt",
    "cookie",
    "session",
    "secretkey",
    "masterkey",
    "cipher",
];
const PASSWORDS: [&str; 11] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "pass",
    "secret",
    "token",
    "apikey",
    "credential",
    "credentials",
    "pepper",
];
/// Names of what stands beside a credential and is none.
const OTHERS: [&str; 53] = [
    "user",
    "username",
    "host",
    "hostname",
    "port",
    "url",
    "uri",
    "endpoint",
    "database",
    "dbname",
    "name",
    "email",
    "public",
    "crt",
    "cert",
    "certificate",
    "id",
    "issuer",
    "audience",
    "region",
    "algorithm",
    "alg",
    "file",
    "path",
    "ttl",
    "expiry",
    "expires",
    "timeout",
    "lifetime",
    "interval",
    "days",
    "hours",
    "minutes",
    "seconds",
    "length",
    "min",
    "max",
    "size",
    "count",
    "enabled",
    "required",
    "type",
    "kind",
    "mode",
    "format",
    "header",
    "prefix",
    "suffix",
    "version",
    "store",
    "provider",
    "class",
    "domain",
];
/// Keys that say nothing by themselves.
const PLAIN: [&str; 5] = ["value", "data", "key", "secret", "content"];

/// What a key of a Secret holds, as far as names tell; the Secret's own name where the key's says nothing.
pub(super) fn credential(secret: &str, key: &str) -> Option<Credential> {
    let words = words(key);
    if words.last().is_some_and(|last| OTHERS.contains(&last.as_str())) {
        return None;
    }
    if words.len() == 1 && PLAIN.contains(&words[0].as_str()) {
        return of_words(&self::words(secret)).or_else(|| of_words(&words));
    }
    of_words(&words)
}

/// Whether a variable of this name should not stand in a manifest.
pub(super) fn is_secret_variable(name: &str) -> bool {
    credential("", name).is_some()
}

fn of_words(words: &[String]) -> Option<Credential> {
    let joined = words.concat();
    let has = |known: &[&str]| words.iter().any(|word| known.contains(&word.as_str()));
    let is_pair = |first: &str, second: &str| words.windows(2).any(|two| two[0] == first && two[1] == second);
    if is_pair("api", "key") || joined.contains("apikey") {
        return Some(Credential::Password);
    }
    if is_pair("secret", "key") || is_pair("private", "key") || is_pair("master", "key") || has(&KEYS) {
        return Some(Credential::Key);
    }
    if has(&PASSWORDS) || joined.contains("password") || joined.contains("passwd") {
        return Some(Credential::Password);
    }
    None
}

/// The words of a name, in lower case: `dbPassword`, `db_password` and `DB-PASSWORD` have the same.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for char in name.chars() {
        if !char.is_ascii_alphanumeric() || (char.is_ascii_uppercase() && was_lower) {
            words.push(String::new());
        }
        if let (true, Some(last)) = (char.is_ascii_alphanumeric(), words.last_mut()) {
            last.push(char.to_ascii_lowercase());
        }
        was_lower = char.is_ascii_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_credentials_from_what_stands_beside_them() {
        for (secret, key, expected) in [
            ("db", "password", Some(Credential::Password)),
            ("db", "dbPassword", Some(Credential::Password)),
            ("db", "POSTGRES_PASSWORD", Some(Credential::Password)),
            ("db", "username", None),
            ("db", "host", None),
            ("jwt-secret", "secret-key", Some(Credential::Key)),
            ("jwt-secret", "value", Some(Credential::Key)),
            ("mail-password", "value", Some(Credential::Password)),
            ("stuff", "value", None),
            ("app", "api-key", Some(Credential::Password)),
            ("app", "session_secret", Some(Credential::Key)),
            ("app", "signing_public", None),
            ("app", "api-key-id", None),
            ("app", "token-url", None),
            ("app", "compass", None),
            ("app", "TOKEN_TTL", None),
            ("app", "PASSWORD_MIN_LENGTH", None),
        ] {
            assert_eq!(credential(secret, key), expected, "{secret} {key}");
        }
    }
}
