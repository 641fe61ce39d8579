//! Terraform for the stores of AWS: a policy document, a policy and its attachment a service, as kees' template has them.
//!
//! ```text
//! data     aws_iam_policy_document        MODULE_ddb_secrets_policy_data       what may be read
//! resource aws_iam_policy                 MODULE_ddb_secrets_policy
//! resource aws_iam_role_policy_attachment MODULE_ddb_secrets_policy_attachment to aws_iam_role.MODULE_role
//! ```
//!
//! With `secretsmanager` or `ssm` in place of `ddb` for the other two. Variables are kees': `var.environment_name` in the
//! policy's name, `var.aws_region`, `var.aws_account_id`, and `var.kees_table_name` where no table is configured.
//!
//! Invariant: a key is named as it is. One that IAM could take for a pattern or a variable is escaped, or refused where it
//! cannot be.
//!
//! Deliberately absent: roles, trust policies and tables, which are there before any pod asks for something; JSON policies,
//! which Terraform makes of this.

use std::collections::{BTreeMap, BTreeSet};

use super::ExportError;
use super::grants::{Grants, Indices};
use super::hcl::{Hcl, literal, quoted};
use crate::domain::StoragePath;
use crate::handover::StoreSettings;
use crate::workload::Asking;

/// What the module is called, and what its paths begin with.
#[derive(Debug, Clone, Copy)]
pub struct TerraformOptions<'a> {
    /// The name that resources begin with.
    pub module: &'a str,
    /// The beginning of paths that is written as it is, with variables such as `${var.environment_name}` in it.
    pub raw_prefix: Option<&'a str>,
}

/// A table, or a service, in a region.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Service {
    DynamoDb { region: Option<String>, table: Option<String> },
    SecretsManager { region: Option<String> },
    Ssm { region: Option<String> },
}

/// The Terraform of everything that is asked for in stores of AWS.
///
/// # Errors
///
/// When nothing is, or a name cannot be written into a policy.
pub fn terraform(asking: &[Asking<'_>], options: TerraformOptions<'_>) -> Result<String, ExportError> {
    if !is_identifier(options.module) {
        return Err(ExportError::Module(options.module.to_owned()));
    }
    let mut services: BTreeMap<Service, Vec<&Asking<'_>>> = BTreeMap::new();
    for asking in asking {
        if let Some(service) = asking.store.and_then(Service::of) {
            services.entry(service).or_default().push(asking);
        }
    }
    let mut documents: BTreeMap<&str, Vec<(Service, Grants)>> = BTreeMap::new();
    for (service, asking) in services {
        let grants = Grants::of(asking);
        if !grants.is_empty() {
            documents.entry(service.word()).or_default().push((service, grants));
        }
    }
    if documents.is_empty() {
        return Err(ExportError::nothing(asking, "dynamodb, secretsmanager or ssm"));
    }
    let mut hcl = Hcl::default();
    for (word, statements) in documents {
        let name = format!("{}_{word}_secrets_policy", options.module);
        let mut outcome = Ok(());
        hcl.gap();
        hcl.block(&format!("data \"aws_iam_policy_document\" \"{name}_data\""), |hcl| {
            for (service, grants) in &statements {
                hcl.gap();
                outcome =
                    std::mem::replace(&mut outcome, Ok(())).and(service.statements(grants, options, hcl));
            }
        });
        outcome?;
        policy(&name, options.module, &mut hcl);
    }
    Ok(hcl.into_text())
}

fn policy(name: &str, module: &str, hcl: &mut Hcl) {
    hcl.gap();
    hcl.block(&format!("resource \"aws_iam_policy\" \"{name}\""), |hcl| {
        let shown = name[module.len() + 1..].replace('_', "-");
        hcl.attribute("name", &format!("\"${{var.environment_name}}-{module}-{shown}\""));
        hcl.attribute("policy", &format!("data.aws_iam_policy_document.{name}_data.json"));
    });
    hcl.gap();
    hcl.block(&format!("resource \"aws_iam_role_policy_attachment\" \"{name}_attachment\""), |hcl| {
        hcl.attribute("role", &format!("aws_iam_role.{module}_role.id"));
        hcl.attribute("policy_arn", &format!("aws_iam_policy.{name}.arn"));
    });
}

/// What Terraform takes for a name.
fn is_identifier(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

impl Service {
    fn of(store: &StoreSettings) -> Option<Self> {
        Some(match store {
            StoreSettings::DynamoDb(settings) => Self::DynamoDb {
                region: settings.region.clone(),
                table: Some(settings.table.clone()).filter(|table| !table.is_empty()),
            },
            StoreSettings::SecretsManager(settings) => {
                Self::SecretsManager { region: settings.region.clone() }
            }
            StoreSettings::Ssm(settings) => Self::Ssm { region: settings.region.clone() },
            StoreSettings::Local(_)
            | StoreSettings::Kubernetes(_)
            | StoreSettings::Vault(_)
            | StoreSettings::Gcp(_)
            | StoreSettings::Azure(_) => return None,
        })
    }

    fn word(&self) -> &'static str {
        match self {
            Self::DynamoDb { .. } => "ddb",
            Self::SecretsManager { .. } => "secretsmanager",
            Self::Ssm { .. } => "ssm",
        }
    }

    fn statements(
        &self,
        grants: &Grants,
        options: TerraformOptions<'_>,
        hcl: &mut Hcl,
    ) -> Result<(), ExportError> {
        match self {
            Self::DynamoDb { region, table } => {
                let table = table.as_deref().map_or_else(|| "${var.kees_table_name}".to_owned(), literal);
                let arn = format!("\"{}table/{table}\"", arn("dynamodb", region.as_deref()));
                dynamodb(&arn, grants, options, hcl)
            }
            Self::SecretsManager { region } => {
                statement(&["secretsmanager:BatchGetSecretValue"], ["\"*\"".to_owned()], hcl);
                let arn = format!("{}secret:", arn("secretsmanager", region.as_deref()));
                let objects = grants.flat_objects();
                let arns: Result<Vec<_>, _> = objects
                    .iter()
                    // What AWS adds to every name.
                    .map(|path| Ok(format!("\"{arn}{}-??????\"", name_of(path, options)?)))
                    .collect();
                hcl.gap();
                statement(&["secretsmanager:GetSecretValue"], arns?, hcl);
                Ok(())
            }
            Self::Ssm { region } => {
                let arn = format!("{}parameter/", arn("ssm", region.as_deref()));
                let objects = grants.flat_objects();
                let arns: Result<Vec<_>, _> = objects
                    .iter()
                    .map(|path| {
                        let name = name_of(path, options)?;
                        Ok(format!("\"{arn}{}\"", name.strip_prefix('/').unwrap_or(&name)))
                    })
                    .collect();
                statement(&["ssm:GetParameters"], arns?, hcl);
                Ok(())
            }
        }
    }
}

fn arn(service: &str, region: Option<&str>) -> String {
    let region = region.map_or_else(|| "${var.aws_region}".to_owned(), literal);
    format!("arn:aws:{service}:{region}:${{var.aws_account_id}}:")
}

fn statement(actions: &[&str], resources: impl IntoIterator<Item = String>, hcl: &mut Hcl) {
    hcl.block("statement", |hcl| {
        hcl.list("actions", actions.iter().map(|action| quoted(action)));
        hcl.list("resources", resources);
    });
}

/// One statement for values and one for leases: init asks for them apart, and a condition is about all keys of a request.
fn dynamodb(
    table: &str,
    grants: &Grants,
    options: TerraformOptions<'_>,
    hcl: &mut Hcl,
) -> Result<(), ExportError> {
    let values: Result<Vec<_>, _> =
        grants.values.keys().map(|path| Ok(format!("\"{}\"", key(path.as_str(), options)?))).collect();
    let values = values?;
    if !values.is_empty() {
        leading_keys(table, "StringEquals", values, hcl);
    }
    let mut leases = BTreeSet::new();
    for (series, indices) in &grants.leases {
        let escaped = pattern(series.as_str(), options)?;
        match indices {
            Indices::Few(few) => {
                leases.extend(few.iter().map(|index| format!("\"{escaped}.{index}\"")));
                leases.insert(format!("\"{escaped}.of-*\""));
            }
            Indices::Many => drop(leases.insert(format!("\"{escaped}.*\""))),
        }
    }
    if !leases.is_empty() {
        hcl.gap();
        leading_keys(table, "StringLike", leases, hcl);
    }
    Ok(())
}

fn leading_keys(table: &str, test: &str, keys: impl IntoIterator<Item = String>, hcl: &mut Hcl) {
    hcl.block("statement", |hcl| {
        hcl.list("actions", [quoted("dynamodb:GetItem"), quoted("dynamodb:BatchGetItem")]);
        hcl.list("resources", [table.to_owned()]);
        hcl.gap();
        hcl.block("condition", |hcl| {
            hcl.attribute("test", &quoted(&format!("ForAllValues:{test}")));
            hcl.attribute("variable", &quoted("dynamodb:LeadingKeys"));
            hcl.list("values", keys);
        });
        hcl.gap();
        // All of no keys are allowed: a request without any would pass.
        hcl.block("condition", |hcl| {
            hcl.attribute("test", &quoted("Null"));
            hcl.attribute("variable", &quoted("dynamodb:LeadingKeys"));
            hcl.list("values", [quoted("false")]);
        });
    });
}

/// A path as it is in the store.
fn key(path: &str, options: TerraformOptions<'_>) -> Result<String, ExportError> {
    written(path, options, literal)
}

/// A path where IAM reads patterns.
fn pattern(path: &str, options: TerraformOptions<'_>) -> Result<String, ExportError> {
    written(path, options, |text| literal(text).replace('*', "&{*}").replace('?', "&{?}"))
}

/// A path between Terraform's quotes. `plain` is applied to all but the prefix's variables.
fn written(
    path: &str,
    options: TerraformOptions<'_>,
    plain: impl Fn(&str) -> String,
) -> Result<String, ExportError> {
    let (mut raw, rest) = match options.raw_prefix.and_then(|raw| Some((raw, path.strip_prefix(raw)?))) {
        Some((raw, rest)) => (raw, rest),
        None => ("", path),
    };
    let mut text = String::new();
    while let Some((before, variable)) = raw.find("${").map(|at| raw.split_at(at)) {
        let (variable, after) = variable.split_at(variable.find('}').map_or(variable.len(), |end| end + 1));
        text.push_str(&plain(before));
        text.push_str(variable);
        raw = after;
    }
    // IAM's variables, in its own spelling and in Terraform's.
    if rest.contains("${") || path.contains("&{") {
        return Err(ExportError::unnameable(path, "IAM would take `${` or `&{` for a variable"));
    }
    Ok(text + &plain(raw) + &plain(rest))
}

/// A path as a part of an ARN, where everything is a pattern.
fn name_of(path: &StoragePath, options: TerraformOptions<'_>) -> Result<String, ExportError> {
    if path.as_str().contains(['*', '?']) {
        return Err(ExportError::unnameable(path.as_str(), "no name of this service has `*` or `?` in it"));
    }
    key(path.as_str(), options)
}
