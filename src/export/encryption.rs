//! The API server's EncryptionConfiguration, which encrypts Secrets at rest in etcd, with a fresh key.
//!
//! The key comes from outside, as all randomness. What is printed *is* the key: it goes to a file that only the API server
//! reads, and to nowhere else.
//!
//! ```text
//! new      [PROVIDER key1] [identity]            written with key1; what is there already is still read
//! rotated  [PROVIDER key1, key2 (fresh)] […]     every API server learns key2 before any writes with it
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::domain::SecretValue;
use crate::yaml::{self, Duplicates};

/// How values are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncryptionProvider {
    /// XSalsa20 and Poly1305.
    Secretbox,
    /// AES-CBC with padding.
    AesCbc,
    /// AES-GCM, whose key must be changed every 200,000 writes.
    AesGcm,
}

/// Why there is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncryptionError {
    /// A name for a key that would not be one.
    #[error("`{0}` is no name for a key: letters, digits, `-`, `_` and `.`, without a `:`")]
    KeyName(String),
    /// What is to be rotated is not YAML.
    #[error("it is not YAML: {0}")]
    Syntax(String),
    /// What is to be rotated is something else.
    #[error(
        "it is no EncryptionConfiguration: it has no provider with keys (secretbox, aescbc or aesgcm); write one without --rotate"
    )]
    NoKeys,
    /// The key that would be added is there.
    #[error("a key {0} is there already; choose another --key-name")]
    Taken(String),
    /// YAML cannot be written.
    #[error("cannot write YAML: {0}; please report this")]
    Yaml(String),
}

impl EncryptionProvider {
    const ALL: [Self; 3] = [Self::Secretbox, Self::AesCbc, Self::AesGcm];

    /// Its field in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Secretbox => "secretbox",
            Self::AesCbc => "aescbc",
            Self::AesGcm => "aesgcm",
        }
    }
}

/// How long a key is, in bytes, for every provider.
pub const ENCRYPTION_KEY_BYTES: usize = 32;

const NEW: &str = "\
# This file holds the key that Secrets are encrypted with: mode 0600, on the hosts of the API servers, in no repository,
# and in a backup that is kept apart from those of etcd. Without it, what etcd holds cannot be read.
#
# Enable: copy it to every API server's host, mount it there, and start each API server with
#   --encryption-provider-config=/etc/kubernetes/enc/encryption.yaml
# Encrypt what is there already, once every API server has it:
#   kubectl get secrets --all-namespaces -o json | kubectl replace -f -
# Verify, on a host of etcd: the value begins with k8s:enc:@PROVIDER@:v1:@KEY@
#   etcdctl get /registry/secrets/default/NAME | hexdump -C | head
# Then take `identity` out, so that nothing unencrypted is read any more, and restart them again.
# Rotate: keystow export encryption-config --rotate encryption.yaml --key-name NEXT
";

const ROTATED: &str = "\
# The key @KEY@ is new and comes second: every API server can read what it encrypts, and none writes with it yet.
#   1. Give this file to every API server, and restart each.
#   2. Put @KEY@ first, and restart each: from now on it encrypts.
#   3. Encrypt everything anew: kubectl get secrets --all-namespaces -o json | kubectl replace -f -
#   4. Take the old key out, restart each, and destroy it, once no backup of etcd needs it.
";

/// A configuration that encrypts Secrets with this key.
///
/// # Errors
///
/// When the key's name is none.
pub fn encryption_config(
    provider: EncryptionProvider,
    key_name: &str,
    key: &SecretValue,
) -> Result<Zeroizing<String>, EncryptionError> {
    let entry = entry(key_name, key)?;
    let configuration = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{
            "resources": ["secrets"],
            "providers": [{provider.word(): {"keys": [entry]}}, {"identity": {}}],
        }],
    });
    render(&NEW.replace("@PROVIDER@", provider.word()), key_name, &configuration)
}

/// The configuration `text` with this key in the second place of every provider that has keys.
///
/// # Errors
///
/// When `text` is no such configuration, or has a key of that name.
pub fn rotated_encryption_config(
    text: &str,
    key_name: &str,
    key: &SecretValue,
) -> Result<Zeroizing<String>, EncryptionError> {
    let mut configuration = yaml::parse(text, Duplicates::Refused).map_err(EncryptionError::Syntax)?;
    let resources = configuration.get_mut("resources").and_then(Value::as_array_mut);
    let mut is_added = false;
    for resource in resources.into_iter().flatten() {
        let providers = resource.get_mut("providers").and_then(Value::as_array_mut);
        // The first one writes; others are there to read what is old.
        let Some(first) = providers.and_then(|providers| providers.first_mut()) else { continue };
        let keys = EncryptionProvider::ALL.iter().find_map(|provider| {
            let is_its = first.get(provider.word()).is_some();
            is_its.then_some(provider.word())
        });
        let keys = keys.and_then(|word| first[word].get_mut("keys")?.as_array_mut());
        let Some(keys) = keys.filter(|keys| !keys.is_empty()) else { continue };
        if keys.iter().any(|known| known.get("name").and_then(Value::as_str) == Some(key_name)) {
            return Err(EncryptionError::Taken(key_name.to_owned()));
        }
        keys.insert(1, entry(key_name, key)?);
        is_added = true;
    }
    if is_added { render(ROTATED, key_name, &configuration) } else { Err(EncryptionError::NoKeys) }
}

fn entry(name: &str, key: &SecretValue) -> Result<Value, EncryptionError> {
    // It stands between colons in what etcd holds.
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !is_name {
        return Err(EncryptionError::KeyName(name.to_owned()));
    }
    Ok(json!({"name": name, "secret": STANDARD.encode(key.expose())}))
}

fn render(guide: &str, key_name: &str, configuration: &Value) -> Result<Zeroizing<String>, EncryptionError> {
    let yaml = Zeroizing::new(yaml::to_yaml(configuration).map_err(EncryptionError::Yaml)?);
    Ok(Zeroizing::new(format!("{}{}", guide.replace("@KEY@", key_name), *yaml)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SecretValue {
        SecretValue::new(vec![byte; ENCRYPTION_KEY_BYTES])
    }

    fn read(text: &str) -> Value {
        yaml::parse(text, Duplicates::Refused).unwrap()
    }

    #[test]
    fn a_new_configuration_encrypts_with_its_key_and_still_reads_what_is_not_encrypted() {
        for provider in EncryptionProvider::ALL {
            let text = encryption_config(provider, "key1", &key(7)).unwrap();
            let resource = &read(&text)["resources"][0];
            assert_eq!(resource["resources"], json!(["secrets"]));
            let first = &resource["providers"][0][provider.word()]["keys"];
            assert_eq!(*first, json!([{"name": "key1", "secret": STANDARD.encode([7; 32])}]));
            assert_eq!(resource["providers"][1], json!({"identity": {}}));
            assert!(text.contains(&format!("k8s:enc:{}:v1:key1", provider.word())));
        }
    }

    #[test]
    fn a_rotated_one_has_the_fresh_key_second() {
        let old = encryption_config(EncryptionProvider::AesCbc, "key1", &key(1)).unwrap();
        let text = rotated_encryption_config(&old, "key2", &key(2)).unwrap();
        let keys = &read(&text)["resources"][0]["providers"][0]["aescbc"]["keys"];
        let names: Vec<_> =
            keys.as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["key1", "key2"]);
        assert_eq!(
            rotated_encryption_config(&text, "key2", &key(3)).unwrap_err(),
            EncryptionError::Taken("key2".to_owned())
        );
    }

    #[test]
    fn what_is_no_configuration_is_told() {
        for (text, error) in [
            ("kind: Pod", EncryptionError::NoKeys),
            ("resources: [{resources: [secrets], providers: [{identity: {}}]}]", EncryptionError::NoKeys),
            ("resources: [{resources: [secrets], providers: [{kms: {name: a}}]}]", EncryptionError::NoKeys),
        ] {
            assert_eq!(rotated_encryption_config(text, "key2", &key(2)).unwrap_err(), error, "{text}");
        }
        for wrong in ["", "a:b", "a b"] {
            let told = encryption_config(EncryptionProvider::Secretbox, wrong, &key(1)).unwrap_err();
            assert_eq!(told, EncryptionError::KeyName(wrong.to_owned()));
        }
    }
}
