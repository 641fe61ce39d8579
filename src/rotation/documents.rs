//! What lies beside the keys for those who verify: the public keys (RFC 7517), and the list of issuers as token issuers
//! take it.
//!
//! | key of the data | holds |
//! |---|---|
//! | `jwks.json` | the public keys, in order; each with `kid`, `alg` and `use` |
//! | `issuers.yaml` | `issuers`: of each key, in order, `name`, `algorithm`, `signingKey` (a key of the data) and `kid` |
//!
//! Both are of key pairs only: of a value there is nothing that everybody may see.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::material::Material;
use super::set::Identity;
use crate::domain::SecretValue;

/// The key of the data with the public keys.
pub const JWKS: &str = "jwks.json";
/// The key of the data with the issuers.
pub const ISSUERS: &str = "issuers.yaml";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Issuers<'a> {
    issuers: Vec<Issuer<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Issuer<'a> {
    name: &'a str,
    algorithm: String,
    signing_key: &'a str,
    kid: &'a str,
}

/// Both documents, of keys in order: who each is, the key of the data where it lies, and what it is made of. Of values
/// there are none.
pub(super) fn documents(keys: &[(&Identity, &str, &Material)]) -> Option<[(&'static str, SecretValue); 2]> {
    let (mut public_keys, mut issuers) = (Vec::new(), Vec::new());
    for (identity, signing_key, material) in keys {
        let Material::Pair { public, algorithm, .. } = material else { return None };
        public_keys.push(public);
        issuers.push(Issuer {
            name: &identity.issuer,
            algorithm: format!("{algorithm:?}"),
            signing_key,
            kid: &identity.id,
        });
    }
    let jwks = format!("{:#}\n", json!({ "keys": public_keys }));
    // Text in lists cannot fail to be YAML.
    let issuers = serde_saphyr::to_string(&Issuers { issuers }).unwrap_or_default();
    Some([(JWKS, SecretValue::new(jwks.into_bytes())), (ISSUERS, SecretValue::new(issuers.into_bytes()))])
}

/// A line of the list of issuers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) signing_key: String,
    pub(super) kid: Option<String>,
}

/// Reads a list of issuers; one that cannot be read says nothing.
pub(super) fn listed(text: &SecretValue) -> Vec<Listed> {
    #[derive(Deserialize)]
    struct List {
        issuers: Vec<Listed>,
    }
    let text = std::str::from_utf8(text.expose()).unwrap_or_default();
    serde_saphyr::from_str::<List>(text).map(|list| list.issuers).unwrap_or_default()
}
