//! What the webhook tells the init container: environment variables, and the settings that travel in them.
//!
//! The init container learns everything from these and from the annotations file; it reads no configuration of
//! the operator. Nothing here is secret: it is in the pod's manifest.

mod object_name;
mod place;

use serde::{Deserialize, Serialize};

pub use object_name::{AZURE, Alphabet, GCP, KUBERNETES, object_name, path_of};
pub use place::Place;

/// Whether the init container of this build derives OpenPGP keys in local mode: it takes the feature `gpg`. What the
/// webhook admits is what its own build does, as for stores ([`StoreSettings::is_carried`]).
pub const IS_GPG_CARRIED: bool = cfg!(feature = "gpg");

/// Names of the environment variables.
pub mod variable {
    /// `metadata.name`; kees has it too.
    pub const POD_NAME: &str = "POD_NAME";
    /// `metadata.namespace`.
    pub const POD_NAMESPACE: &str = "POD_NAMESPACE";
    /// `metadata.uid`.
    pub const POD_UID: &str = "POD_UID";
    /// [`super::StoreSettings`] as JSON.
    pub const STORE: &str = "KEYSTOW_STORE";
    /// The domain of the annotations.
    pub const ANNOTATION_DOMAIN: &str = "KEYSTOW_ANNOTATION_DOMAIN";
    /// The downward-API file.
    pub const ANNOTATIONS_FILE: &str = "KEYSTOW_ANNOTATIONS_FILE";
    /// The word of a [`crate::domain::Layout`].
    pub const LAYOUT: &str = "KEYSTOW_LAYOUT";
    /// The directory to write into.
    pub const PATH: &str = "KEYSTOW_PATH";
    /// Octal mode of the files.
    pub const FILE_MODE: &str = "KEYSTOW_FILE_MODE";
    /// A JSON list of [`super::View`], where containers see different secrets; absent where all see all.
    pub const VIEWS: &str = "KEYSTOW_VIEWS";
    /// How long to wait for what is not there yet, as a Go duration.
    pub const DEADLINE: &str = "KEYSTOW_DEADLINE";
    /// The projected service-account token with the store's audience.
    pub const TOKEN_FILE: &str = "KEYSTOW_TOKEN_FILE";
}

/// What a group of containers sees, and where it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct View {
    /// The directory in the init container.
    pub directory: String,
    /// The names of the secrets; resources and leases are in every view.
    pub secrets: Vec<String>,
}

/// A store that the operator configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreSettings {
    /// Predictable values derived from names, for development.
    Local(NoSettings),
    /// Secret objects in the pod's namespace.
    Kubernetes(NoSettings),
    /// kees' table.
    DynamoDb(DynamoDbSettings),
    /// AWS Secrets Manager.
    SecretsManager(AwsSettings),
    /// AWS Systems Manager Parameter Store.
    Ssm(AwsSettings),
    /// HashiCorp Vault and OpenBao.
    Vault(VaultSettings),
    /// Google Cloud Secret Manager.
    Gcp(GcpSettings),
    /// Azure Key Vault.
    Azure(AzureSettings),
}

/// Settings of a store that has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// Settings of [`StoreSettings::DynamoDb`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DynamoDbSettings {
    /// The table, `<env>-kube-secret` under kees.
    pub table: String,
    /// As for every AWS service. Not flattened: serde cannot refuse unknown fields of a flattened struct.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The audience of the web-identity token; absent where the pod's account has another identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The role to assume with that token; absent where the EKS webhook sets `AWS_ROLE_ARN`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// Another endpoint than AWS' own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// Settings of an AWS service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AwsSettings {
    /// The region; absent: the SDK's own chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The audience of the web-identity token; absent where the pod's account has another identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The role to assume with that token; absent where the EKS webhook sets `AWS_ROLE_ARN`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// Another endpoint than AWS' own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// Settings of [`StoreSettings::Vault`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultSettings {
    /// `https://host:8200`.
    pub address: String,
    /// The mount of the KV engine.
    pub mount: String,
    /// 1 or 2.
    #[serde(default = "VaultSettings::default_version")]
    pub kv_version: u8,
    /// The namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The certificate of the CA that signed Vault's, in PEM, where it is not one that systems know. Not secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_certificate: Option<String>,
    /// How to log in.
    pub auth: VaultAuth,
}

impl VaultSettings {
    fn default_version() -> u8 {
        2
    }
}

/// How to log in to Vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VaultAuth {
    /// The Kubernetes auth method.
    Kubernetes(VaultLogin),
    /// The JWT auth method.
    Jwt(VaultLogin),
    /// A file with a token, which somebody else keeps fresh.
    TokenFile(String),
}

/// A login with a service-account token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultLogin {
    /// The role.
    pub role: String,
    /// The mount of the auth method.
    pub mount: String,
    /// The audience of the token.
    pub audience: String,
}

/// Settings of [`StoreSettings::Gcp`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GcpSettings {
    /// The project.
    pub project: String,
    /// The workload-identity provider, which is also the token's audience; absent on GKE's own identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The service account to become, by its e-mail address; absent where the identity itself has the rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// Another endpoint than Google's own. One of plain HTTP is an emulator, where nobody logs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// Settings of [`StoreSettings::Azure`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AzureSettings {
    /// `https://NAME.vault.azure.net`.
    pub vault_url: String,
    /// The tenant; absent where the workload-identity webhook sets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// The client; absent where the workload-identity webhook sets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The token's audience; absent where the workload-identity webhook projects it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

impl StoreSettings {
    /// The word of the store's kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::Kubernetes(_) => "kubernetes",
            Self::DynamoDb(_) => "dynamodb",
            Self::SecretsManager(_) => "secretsmanager",
            Self::Ssm(_) => "ssm",
            Self::Vault(_) => "vault",
            Self::Gcp(_) => "gcp",
            Self::Azure(_) => "azure",
        }
    }

    /// Why it cannot hold leases, where it cannot: an index is released only while the holder is still the one that was
    /// looked at, and assigned only while it has none, whoever else is at work.
    pub fn cannot_hold_leases(&self) -> Option<&'static str> {
        match self {
            Self::Kubernetes(_) | Self::DynamoDb(_) => None,
            Self::Vault(settings) if settings.kv_version == 1 => {
                Some("version 1 of Vault's KV engine has no check-and-set; use version 2")
            }
            Self::Vault(_) => None,
            Self::Local(_) => Some("its values are derived from names"),
            Self::SecretsManager(_) | Self::Ssm(_) | Self::Gcp(_) | Self::Azure(_) => Some(
                "it cannot delete a value only while it is the expected one; use dynamodb, kubernetes or vault",
            ),
        }
    }

    /// Whether this build can read it: each kind has a Cargo feature of its own. All of them are known to the
    /// configuration and to the injection, and the init container refuses by name what it does not carry.
    pub fn is_carried(&self) -> bool {
        match self {
            Self::Local(_) => true,
            Self::Kubernetes(_) => cfg!(feature = "kubernetes"),
            Self::DynamoDb(_) => cfg!(feature = "dynamodb"),
            Self::SecretsManager(_) => cfg!(feature = "secretsmanager"),
            Self::Ssm(_) => cfg!(feature = "ssm"),
            Self::Vault(_) => cfg!(feature = "vault"),
            Self::Gcp(_) => cfg!(feature = "gcp"),
            Self::Azure(_) => cfg!(feature = "azure"),
        }
    }

    /// The audience of the service-account token that the store's identity needs.
    pub fn audience(&self) -> Option<&str> {
        match self {
            Self::Local(_) | Self::Kubernetes(_) => None,
            Self::DynamoDb(settings) => settings.audience.as_deref(),
            Self::SecretsManager(settings) | Self::Ssm(settings) => settings.audience.as_deref(),
            Self::Vault(settings) => match &settings.auth {
                VaultAuth::Kubernetes(login) | VaultAuth::Jwt(login) => Some(&login.audience),
                VaultAuth::TokenFile(_) => None,
            },
            Self::Gcp(settings) => settings.audience.as_deref(),
            Self::Azure(settings) => settings.audience.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_need_a_store_that_deletes_only_what_is_expected() {
        let vault = |version| {
            format!(
                r#"{{"vault":{{"address":"https://vault:8200","mount":"secret","kvVersion":{version},"auth":{{"tokenFile":"/t"}}}}}}"#
            )
        };
        for (text, told) in [
            (r#"{"kubernetes":{}}"#, None),
            (r#"{"dynamodb":{"table":"prod-kube-secret"}}"#, None),
            (vault(2).as_str(), None),
            (vault(1).as_str(), Some("use version 2")),
            (r#"{"local":{}}"#, Some("derived from names")),
            (r#"{"secretsmanager":{}}"#, Some("use dynamodb, kubernetes or vault")),
            (r#"{"ssm":{}}"#, Some("use dynamodb, kubernetes or vault")),
            (r#"{"gcp":{"project":"p"}}"#, Some("use dynamodb, kubernetes or vault")),
            (
                r#"{"azure":{"vaultUrl":"https://a.vault.azure.net"}}"#,
                Some("use dynamodb, kubernetes or vault"),
            ),
        ] {
            let settings: StoreSettings = serde_json::from_str(text).unwrap();
            let why = settings.cannot_hold_leases();
            assert_eq!(why.is_some(), told.is_some(), "{text}: {why:?}");
            assert!(why.is_none_or(|why| told.is_some_and(|told| why.contains(told))), "{text}: {why:?}");
        }
    }

    #[test]
    fn settings_are_read_as_they_are_written() {
        for (text, kind, audience) in [
            (r#"{"local":{}}"#, "local", None),
            (
                r#"{"dynamodb":{"table":"prod-kube-secret","region":"eu-west-1","audience":"sts.amazonaws.com"}}"#,
                "dynamodb",
                Some("sts.amazonaws.com"),
            ),
            (
                r#"{"vault":{"address":"https://vault:8200","mount":"secret","kvVersion":2,"auth":{"kubernetes":{"role":"app","mount":"kubernetes","audience":"vault"}}}}"#,
                "vault",
                Some("vault"),
            ),
        ] {
            let settings: StoreSettings = serde_json::from_str(text).unwrap();
            assert_eq!((settings.kind(), settings.audience()), (kind, audience));
            assert_eq!(serde_json::to_string(&settings).unwrap(), text);
        }
        assert!(serde_json::from_str::<StoreSettings>(r#"{"local":{"x":1}}"#).is_err());
    }
}
