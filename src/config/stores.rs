//! Stores: one map entry each, with its kind and what that kind needs.

use std::collections::BTreeMap;

use http::Uri;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::raw::{
    Amount, Field, Raw as _, RawAws, RawAzure, RawDynamoDb, RawGcp, RawMap, RawStore, RawVault, RawVaultAuth,
    RawVaultLogin,
};
use super::report::{Place, Report};
use crate::domain::StoreName;
use crate::handover::{
    AwsSettings, AzureSettings, DynamoDbSettings, GcpSettings, NoSettings, StoreSettings, VaultAuth,
    VaultLogin, VaultSettings,
};
use crate::inject::Stores;
use crate::yaml::Node;

/// The key among the stores that names one of them.
const DEFAULT: &str = "default";
/// Room for several CAs. It is in the environment of a container of every pod.
const LONGEST_CERTIFICATES: usize = 16 * 1024;
/// The store of who configures none.
const CLUSTER: &str = "cluster";

/// The names of all stores of the file, whatever else is wrong with them.
pub(super) fn names(field: &Field<RawMap<Node>>) -> Option<Vec<String>> {
    match field {
        Field::Given(_, RawMap(entries)) => {
            let names = entries.iter().map(|(name, ..)| name.clone());
            let mut names: Vec<String> = names.filter(|name| name != DEFAULT).collect();
            names.sort();
            Some(names)
        }
        Field::Absent(_) => Some(vec![CLUSTER.to_owned()]),
        Field::Wrong => None,
    }
}

pub(super) fn read(field: Field<RawMap<Node>>, report: &mut Report) -> Option<Stores> {
    let (at, RawMap(entries)) = match field {
        Field::Given(place, map) => (place, map),
        Field::Absent(_) => {
            let name = StoreName::new(CLUSTER).ok()?;
            return Stores::new(
                name.clone(),
                BTreeMap::from([(name, StoreSettings::Kubernetes(NoSettings {}))]),
            );
        }
        Field::Wrong => return None,
    };
    let mut default = None;
    let mut by_name = BTreeMap::new();
    let mut names: Vec<String> = Vec::new();
    for (name, place, node) in entries {
        let Some(node) = node else { continue };
        if name == DEFAULT {
            default = Some((place.clone(), String::read(place, node.tree, report)));
            continue;
        }
        let checked = report.check(&place, StoreName::new(&name).map_err(|rule| format!("`{name}` {rule}")));
        let settings = RawStore::read(place, node.tree, report).and_then(|raw| store(raw, report));
        names.push(name);
        if let (Some(name), Some(settings)) = (checked, settings) {
            by_name.insert(name, settings);
        }
    }
    names.sort();
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let default = chosen(&at, default, &known, report)?;
    // Not there where the store itself is wrong, which has been told.
    Stores::new(StoreName::new(&default).ok()?, by_name)
}

/// The name of the default store, one of those that there are.
fn chosen(
    at: &Place,
    default: Option<(Place, Option<String>)>,
    known: &[&str],
    report: &mut Report,
) -> Option<String> {
    match (default, known) {
        (_, []) => {
            report.add(at, "has no store: write one, such as cluster: {kubernetes: {}}".to_owned());
            None
        }
        (Some((place, name)), _) => {
            let name = name?;
            if known.contains(&name.as_str()) {
                return Some(name);
            }
            let message = format!("`{name}` is not one of the stores: {}", known.join(", "));
            report.add(&place, message);
            None
        }
        // With one store there is nothing to choose.
        (None, [only]) => Some((*only).to_owned()),
        (None, _) => {
            let place = at.child(DEFAULT, at.line);
            report.add(
                &place,
                format!("is missing: say which one pods read that name none: {}", known.join(", ")),
            );
            None
        }
    }
}

fn store(raw: RawStore, report: &mut Report) -> Option<StoreSettings> {
    Some(match raw {
        RawStore::Local => StoreSettings::Local(NoSettings {}),
        RawStore::Kubernetes => StoreSettings::Kubernetes(NoSettings {}),
        RawStore::DynamoDb(raw) => StoreSettings::DynamoDb(dynamodb(raw, report)?),
        RawStore::SecretsManager(raw) => StoreSettings::SecretsManager(aws(raw, report)?),
        RawStore::Ssm(raw) => StoreSettings::Ssm(aws(raw, report)?),
        RawStore::Vault(raw) => StoreSettings::Vault(vault(*raw, report)?),
        RawStore::Gcp(raw) => StoreSettings::Gcp(gcp(raw, report)?),
        RawStore::Azure(raw) => StoreSettings::Azure(azure(raw, report)?),
    })
}

fn dynamodb(raw: RawDynamoDb, report: &mut Report) -> Option<DynamoDbSettings> {
    let RawDynamoDb { table: field, region, audience, role_arn, endpoint } = raw;
    let table = required(field, "the table, such as prod-kube-secret", report, table);
    let aws = aws(RawAws { region, audience, role_arn, endpoint }, report);
    let (table, AwsSettings { region, audience, role_arn, endpoint }) = (table?, aws?);
    Some(DynamoDbSettings { table, region, audience, role_arn, endpoint })
}

fn aws(raw: RawAws, report: &mut Report) -> Option<AwsSettings> {
    let region = optional(raw.region, report, region);
    let audience = optional(raw.audience, report, word);
    let role_arn = optional(raw.role_arn, report, role_arn);
    let endpoint = optional(raw.endpoint, report, url);
    Some(AwsSettings { region: region?, audience: audience?, role_arn: role_arn?, endpoint: endpoint? })
}

fn vault(raw: RawVault, report: &mut Report) -> Option<VaultSettings> {
    let address = required(raw.address, "the server, such as https://vault.example.com:8200", report, url);
    let mount = required(raw.mount, "the mount of the KV engine, such as secret", report, mount_path);
    let namespace = optional(raw.namespace, report, mount_path);
    let ca_certificate = optional(raw.ca_certificate, report, certificates);
    let version = raw.kv_version.or(|| Amount("2".to_owned())).and_then(|(place, Amount(text))| {
        let version = match text.as_str() {
            "1" => Ok(1),
            "2" => Ok(2),
            other => Err(format!("`{other}` is not 1 or 2")),
        };
        report.check(&place, version)
    });
    let auth = raw.auth.required("how to log in: one of kubernetes, jwt, tokenFile", report);
    let auth = auth.and_then(|(place, auth)| vault_auth(&place, auth, report));
    Some(VaultSettings {
        address: address?,
        mount: mount?,
        kv_version: version?,
        namespace: namespace?,
        ca_certificate: ca_certificate?,
        auth: auth?,
    })
}

fn vault_auth(at: &Place, raw: RawVaultAuth, report: &mut Report) -> Option<VaultAuth> {
    match (raw.kubernetes, raw.jwt, raw.token_file) {
        (Field::Given(_, login), Field::Absent(_), Field::Absent(_)) => {
            vault_login(login, report).map(VaultAuth::Kubernetes)
        }
        (Field::Absent(_), Field::Given(_, login), Field::Absent(_)) => {
            vault_login(login, report).map(VaultAuth::Jwt)
        }
        (Field::Absent(_), Field::Absent(_), Field::Given(place, file)) => {
            let absolute = file.starts_with('/') && !file.chars().any(char::is_control);
            let file = if absolute { Ok(file) } else { Err(format!("`{file}` is not an absolute path")) };
            report.check(&place, file).map(VaultAuth::TokenFile)
        }
        (Field::Wrong, _, _) | (_, Field::Wrong, _) | (_, _, Field::Wrong) => None,
        _ => {
            report.add(at, "needs one of kubernetes, jwt, tokenFile, and one alone".to_owned());
            None
        }
    }
}

fn vault_login(raw: RawVaultLogin, report: &mut Report) -> Option<VaultLogin> {
    let role = required(raw.role, "the role to log in with", report, word);
    let mount = required(raw.mount, "the mount of the auth method, such as kubernetes", report, mount_path);
    let audience = required(raw.audience, "the audience of the token, such as vault", report, word);
    Some(VaultLogin { role: role?, mount: mount?, audience: audience? })
}

fn gcp(raw: RawGcp, report: &mut Report) -> Option<GcpSettings> {
    let project = required(raw.project, "the project's id", report, word);
    let audience = optional(raw.audience, report, word);
    let service_account = optional(raw.service_account, report, service_account);
    let endpoint = optional(raw.endpoint, report, url);
    Some(GcpSettings {
        project: project?,
        audience: audience?,
        service_account: service_account?,
        endpoint: endpoint?,
    })
}

fn azure(raw: RawAzure, report: &mut Report) -> Option<AzureSettings> {
    let vault_url =
        required(raw.vault_url, "the vault, such as https://NAME.vault.azure.net", report, vault_url);
    let tenant_id = optional(raw.tenant_id, report, word);
    let client_id = optional(raw.client_id, report, word);
    let audience = optional(raw.audience, report, word);
    Some(AzureSettings {
        vault_url: vault_url?,
        tenant_id: tenant_id?,
        client_id: client_id?,
        audience: audience?,
    })
}

pub(super) type Rule = fn(&str) -> Result<String, String>;

fn required(field: Field<String>, what: &str, report: &mut Report, rule: Rule) -> Option<String> {
    let (place, text) = field.required(what, report)?;
    report.check(&place, rule(&text))
}

/// `Some(None)` where it is absent.
pub(super) fn optional(field: Field<String>, report: &mut Report, rule: Rule) -> Option<Option<String>> {
    match field.optional()? {
        Some((place, text)) => report.check(&place, rule(&text)).map(Some),
        None => Some(None),
    }
}

fn obey(text: &str, obeys: bool, rule: &str) -> Result<String, String> {
    if obeys { Ok(text.to_owned()) } else { Err(format!("`{text}` is not {rule}")) }
}

/// An identifier that others gave.
pub(super) fn word(text: &str) -> Result<String, String> {
    let is_word = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    obey(text, is_word, "a name: it is empty, or has blanks in it")
}

fn mount_path(text: &str) -> Result<String, String> {
    let part = |part: &str| !matches!(part, "" | "." | "..") && word(part).is_ok();
    obey(text, text.split('/').all(part), "a path such as secret or team/kv, without a / at its ends")
}

fn region(text: &str) -> Result<String, String> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    obey(text, !text.is_empty() && text.bytes().all(inner), "a region such as eu-west-1")
}

/// DynamoDB's rule for names of tables.
fn table(text: &str) -> Result<String, String> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let is_table = (3..=255).contains(&text.len()) && text.bytes().all(inner);
    obey(text, is_table, "a table's name: 3 to 255 letters, digits, `-`, `_` and `.`")
}

pub(super) fn role_arn(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let is_role = match parts[..] {
        ["arn", partition, "iam", "", account, role] => {
            partition.starts_with("aws")
                && account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit())
                && role.strip_prefix("role/").is_some_and(|name| word(name).is_ok())
        }
        _ => false,
    };
    obey(text, is_role, "a role such as arn:aws:iam::123456789012:role/NAME")
}

/// Certificates that are trusted, in PEM. What it says stays out of the message: it is long, and may be a key.
fn certificates(text: &str) -> Result<String, String> {
    if text.contains("PRIVATE KEY") {
        return Err("has a private key in it, and pods would see it: take it out".to_owned());
    }
    if text.len() > LONGEST_CERTIFICATES {
        return Err(format!("is longer than {LONGEST_CERTIFICATES} bytes, and every pod carries it"));
    }
    let mut roots = RootCertStore::empty();
    let mut read = CertificateDer::pem_slice_iter(text.as_bytes());
    let is_good = read.all(|certificate| certificate.is_ok_and(|certificate| roots.add(certificate).is_ok()));
    if !is_good || roots.is_empty() {
        return Err(
            "is not a CA's certificate in PEM: -----BEGIN CERTIFICATE----- and what follows".to_owned()
        );
    }
    Ok(text.to_owned())
}

/// An account of Google Cloud.
pub(super) fn service_account(text: &str) -> Result<String, String> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':' | b'_');
    let is_account = text.split_once('@').is_some_and(|(name, domain)| {
        !name.is_empty() && name.bytes().all(inner) && domain.bytes().all(inner)
    });
    let is_account = is_account && text.ends_with(".gserviceaccount.com");
    obey(text, is_account, "a service account such as NAME@PROJECT.iam.gserviceaccount.com")
}

/// A Key Vault's address. It is sent tokens, so it speaks TLS.
fn vault_url(text: &str) -> Result<String, String> {
    let text = url(text)?;
    let is_tls = text.starts_with("https://");
    obey(&text, is_tls, "an address that begins with https://")
}

/// A server's address. Who puts credentials into it does not read them in a log.
pub(super) fn url(text: &str) -> Result<String, String> {
    if text.contains('@') {
        return Err("has credentials in its address: take them out".to_owned());
    }
    let is_url = text.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.query().is_none()
    });
    obey(text, is_url, "an address such as https://vault.example.com:8200")
}
