//! `keystow export`

mod source;

use std::path::PathBuf;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use clap::{Subcommand, ValueEnum};

use super::files::{self, FileArguments};
use super::replica::object_name;
use super::{EX_DATAERR, EX_UNAVAILABLE, Failure, write_result};
use crate::domain::{InvalidDuration, SecretValue, StoragePrefix, parse_duration};
use crate::export::{self, ENCRYPTION_KEY_BYTES, EncryptionProvider, ExternalStore, TerraformOptions};
use crate::handover::{AwsSettings, DynamoDbSettings, NoSettings, StoreSettings, VaultAuth, VaultSettings};

use source::Source;

/// Write the policy that lets pods read exactly what their annotations name, and nothing else.
///
/// Reads manifests as `keystow inject` does: all documents of all files, every kind of workload. What several ask for is
/// granted once, and the same files give the same bytes.
///
/// Without a target it takes the flags of kees' exporter: -i MANIFEST -t TEMPLATE -m MODULE -o OUTPUT.
///
/// Examples:
///   keystow export terraform -f app.yaml --module app -o app-secrets.tf
///   keystow export -i app.yaml -t terraform-secrets.hbs -m app -o app-secrets.tf
///   keystow export vault-policy -f deploy/ --config keystow.yaml | vault policy write app -
///   keystow export rbac -f deploy/ | kubectl apply -f -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    target: Option<Target>,
    #[command(flatten)]
    kees: Terraform,
}

#[derive(Debug, Subcommand)]
enum Target {
    Terraform(Terraform),
    VaultPolicy(VaultPolicy),
    Rbac(Rbac),
    ExternalSecrets(ExternalSecrets),
    EncryptionConfig(EncryptionConfig),
    MutatingAdmissionPolicy(MutatingAdmissionPolicy),
}

/// Terraform: an IAM policy for DynamoDB, Secrets Manager and Parameter Store, attached to the role MODULE_role.
///
/// Uses var.aws_region, var.aws_account_id, var.environment_name and, where no table is configured, var.kees_table_name.
/// A --prefix may have variables in it: --prefix '/${var.environment_name}' is what kees' template has.
///
/// Example:
///   keystow export terraform -f app.yaml --module app --prefix '/${var.environment_name}'
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct Terraform {
    #[command(flatten)]
    source: Source,
    /// What resources are called after.
    #[arg(short, long, value_name = "NAME", default_value = "keystow")]
    module: String,
    /// A Handlebars template, as kees' exporter takes it: moduleName, parameters, storageSuffix.
    #[arg(short, long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// The store that all pods read; without it, the one that the configuration says, or dynamodb.
    #[arg(long, conflicts_with = "template")]
    store: Option<AwsStore>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AwsStore {
    #[value(name = "dynamodb")]
    DynamoDb,
    #[value(name = "secretsmanager")]
    SecretsManager,
    Ssm,
}

/// A policy of Vault or OpenBao, in HCL.
///
/// Example:
///   keystow export vault-policy -f app.yaml --mount secret | vault policy write app -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct VaultPolicy {
    #[command(flatten)]
    source: Source,
    /// The mount of the KV engine, where the configuration does not say it.
    #[arg(long, value_name = "PATH")]
    mount: Option<String>,
    /// The version of the KV engine, where the configuration does not say it.
    #[arg(long, value_name = "VERSION", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    kv_version: u8,
}

/// Kubernetes' ServiceAccounts, Roles with resourceNames, and RoleBindings, for each service account that asks.
///
/// Example:
///   keystow export rbac -f deploy/ | kubectl apply -f -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct Rbac {
    #[command(flatten)]
    source: Source,
    /// Leave out the Role for applications that read by the API what kind=KUBERNETES names: the kubelet delivers it.
    #[arg(long)]
    init_only: bool,
}

/// An ExternalSecret for each Secret that kind=KUBERNETES names.
///
/// Example:
///   keystow export external-secrets -f deploy/ --secret-store vault --key-prefix veza/ | kubectl apply -f -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct ExternalSecrets {
    #[command(flatten)]
    source: Source,
    /// The name of the store that External Secrets reads.
    #[arg(long, value_name = "NAME", value_parser = object_name)]
    secret_store: String,
    /// Its kind.
    #[arg(long, default_value = "ClusterSecretStore", value_parser = ["ClusterSecretStore", "SecretStore"])]
    secret_store_kind: String,
    /// How often it is read.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = interval)]
    refresh_interval: String,
    /// What stands before the Secret's name in the key of the remote object.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    key_prefix: String,
}

/// MutatingAdmissionPolicies (Kubernetes 1.36) that inject the pods of these manifests without a webhook.
///
/// What they cannot stands at the head of the output: a pod that differs from its manifest starts without its secrets.
///
/// Example:
///   keystow export mutating-admission-policy -f deploy/ --config keystow.yaml | kubectl apply -f -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct MutatingAdmissionPolicy {
    #[command(flatten)]
    files: FileArguments,
    /// The operator's configuration file; without it, the defaults.
    #[arg(long, value_name = "FILE", env = "KEYSTOW_CONFIG")]
    config: Option<PathBuf>,
    /// Write into this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The API server's EncryptionConfiguration, with a fresh key: encryption of Secrets at rest in etcd.
///
/// The output is the key. Comments in it say how to enable, verify and rotate it.
///
/// Examples:
///   keystow export encryption-config -o encryption.yaml
///   keystow export encryption-config --rotate encryption.yaml --key-name key2 -o encryption-next.yaml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct EncryptionConfig {
    /// How values are encrypted.
    #[arg(long, default_value = "secretbox", conflicts_with = "rotate")]
    provider: ProviderName,
    /// The name of the fresh key, which etcd shows beside each value.
    #[arg(long, value_name = "NAME", default_value = "key1")]
    key_name: String,
    /// Add the fresh key to this configuration, in the second place.
    #[arg(long, value_name = "FILE")]
    rotate: Option<PathBuf>,
    /// Write into this file, which its owner alone may read, instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ProviderName {
    Secretbox,
    #[value(name = "aescbc")]
    AesCbc,
    #[value(name = "aesgcm")]
    AesGcm,
}

/// As External Secrets reads it: by Go's rules, which know no days.
fn interval(text: &str) -> Result<String, InvalidDuration> {
    let duration = parse_duration(text)?;
    Ok(if text.contains('d') { format!("{}s", duration.as_secs()) } else { text.to_owned() })
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.target {
        None => terraform(&arguments.kees),
        Some(Target::Terraform(arguments)) => terraform(arguments),
        Some(Target::VaultPolicy(arguments)) => vault_policy(arguments),
        Some(Target::Rbac(arguments)) => rbac(arguments),
        Some(Target::ExternalSecrets(arguments)) => external_secrets(arguments),
        Some(Target::EncryptionConfig(arguments)) => encryption_config(arguments),
        Some(Target::MutatingAdmissionPolicy(arguments)) => mutating_admission_policy(arguments),
    }
}

fn terraform(arguments: &Terraform) -> Result<(), Failure> {
    let Terraform { source, module, template, store } = arguments;
    let settings = source.settings()?;
    let store = match store {
        Some(store) => Some(store.settings()),
        None => source.has_no_configuration().then(|| AwsStore::DynamoDb.settings()),
    };
    let manifests = source.read(&settings, store.as_ref())?;
    let text = match template {
        Some(template) => {
            let template = files::read(template)?;
            export::from_template(&manifests.asking, &settings.domain, module, &template).map_err(bad_data)?
        }
        None => {
            Source::warn_of_several(&manifests);
            let prefix = source.prefix()?;
            let raw_prefix = prefix.as_ref().map(StoragePrefix::as_str).filter(|prefix| !prefix.is_empty());
            export::terraform(&manifests.asking, TerraformOptions { module, raw_prefix }).map_err(bad_data)?
        }
    };
    source.write(&text)
}

fn vault_policy(arguments: &VaultPolicy) -> Result<(), Failure> {
    let VaultPolicy { source, mount, kv_version } = arguments;
    let settings = source.settings()?;
    let is_told = mount.is_some() || source.has_no_configuration();
    let store = is_told.then(|| {
        StoreSettings::Vault(VaultSettings {
            address: String::new(),
            mount: mount.clone().unwrap_or_else(|| "secret".to_owned()),
            kv_version: *kv_version,
            namespace: None,
            ca_certificate: None,
            // Nobody logs in here.
            auth: VaultAuth::TokenFile(String::new()),
        })
    });
    let manifests = source.read(&settings, store.as_ref())?;
    Source::warn_of_several(&manifests);
    source.write(&export::vault_policy(&manifests.asking).map_err(bad_data)?)
}

fn rbac(arguments: &Rbac) -> Result<(), Failure> {
    let Rbac { source, init_only } = arguments;
    let settings = source.settings()?;
    let store = source.has_no_configuration().then_some(StoreSettings::Kubernetes(NoSettings {}));
    let manifests = source.read(&settings, store.as_ref())?;
    source.write(&export::rbac(&manifests.asking, *init_only).map_err(bad_data)?)
}

fn external_secrets(arguments: &ExternalSecrets) -> Result<(), Failure> {
    let settings = arguments.source.settings()?;
    let manifests = arguments.source.read(&settings, None)?;
    let store = ExternalStore {
        name: arguments.secret_store.clone(),
        kind: arguments.secret_store_kind.clone(),
        refresh_interval: arguments.refresh_interval.clone(),
        key_prefix: arguments.key_prefix.clone(),
    };
    arguments.source.write(&export::external_secrets(&manifests.asking, &store).map_err(bad_data)?)
}

fn mutating_admission_policy(arguments: &MutatingAdmissionPolicy) -> Result<(), Failure> {
    let MutatingAdmissionPolicy { files, config, output } = arguments;
    let settings = source::settings(config.as_deref())?;
    let read = source::read_files(&files.files)?;
    let texts: Vec<(String, String)> = read.into_iter().map(|file| (file.name, file.text)).collect();
    let text =
        export::mutating_admission_policies(&texts, &files.namespace, &settings).map_err(|errors| {
            let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
            bad_data(told.join("\nerror: "))
        })?;
    source::write(output.as_deref(), &text)
}

fn encryption_config(arguments: &EncryptionConfig) -> Result<(), Failure> {
    let EncryptionConfig { provider, key_name, rotate, output } = arguments;
    let mut key = vec![0; ENCRYPTION_KEY_BYTES];
    SystemRandom::new()
        .fill(&mut key)
        .map_err(|_| Failure::new(EX_UNAVAILABLE, "the system gives no random bytes for a key; try again"))?;
    let key = SecretValue::new(key);
    let text = match rotate {
        Some(file) => {
            let old = files::read(file)?;
            export::rotated_encryption_config(&old, key_name, &key)
                .map_err(|error| Failure::new(EX_DATAERR, format!("{}: {error}", file.display())))?
        }
        None => export::encryption_config(provider.provider(), key_name, &key).map_err(bad_data)?,
    };
    match output {
        Some(file) => files::write(file, &text, true),
        None => write_result(&text),
    }
}

fn bad_data(error: impl std::fmt::Display) -> Failure {
    Failure::new(EX_DATAERR, error)
}

impl AwsStore {
    /// The store without a word on where it is: Terraform's variables say that.
    fn settings(self) -> StoreSettings {
        let none = AwsSettings { region: None, audience: None, role_arn: None, endpoint: None };
        match self {
            Self::DynamoDb => StoreSettings::DynamoDb(DynamoDbSettings {
                table: String::new(),
                region: None,
                audience: None,
                role_arn: None,
                endpoint: None,
            }),
            Self::SecretsManager => StoreSettings::SecretsManager(none),
            Self::Ssm => StoreSettings::Ssm(none),
        }
    }
}

impl ProviderName {
    fn provider(self) -> EncryptionProvider {
        match self {
            Self::Secretbox => EncryptionProvider::Secretbox,
            Self::AesCbc => EncryptionProvider::AesCbc,
            Self::AesGcm => EncryptionProvider::AesGcm,
        }
    }
}
