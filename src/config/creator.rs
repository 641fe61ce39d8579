//! Who the creator is in each store. Pods have an identity of their own there, and the creator has another, which may
//! write.
//!
//! ```text
//! /creator/identities/NAME: text ─▶ the one field of that kind of store by which somebody logs in ─▶ StoreSettings
//! ```
//!
//! Invariant: the text follows the rule of the field whose place it takes, so that it is refused in the same words.

use std::collections::BTreeMap;

use super::raw::{Field, RawCreator, RawMap};
use super::report::{Place, Report};
use super::stores::{role_arn, service_account, word};
use crate::domain::{StoreName, nearest};
use crate::handover::{StoreSettings, VaultAuth};
use crate::inject::Stores;

/// The stores in which the creator is somebody else than pods are, as it opens them.
pub(super) type Identities = BTreeMap<StoreName, Identity>;

/// Who the creator is in one store.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// As it was written.
    pub(super) text: String,
    /// The store, with the identity put in.
    pub(super) settings: StoreSettings,
}

/// Reads the section. `names` are those of all stores of the file, also of those that have mistakes of their own; `None`
/// where there are none to compare with.
pub(super) fn read(
    field: Field<RawCreator>,
    names: Option<&[String]>,
    stores: Option<&Stores>,
    report: &mut Report,
) -> Option<Identities> {
    let identities = match field {
        Field::Given(_, raw) => raw.identities,
        Field::Absent(_) => return Some(Identities::new()),
        Field::Wrong => return None,
    };
    let (_, RawMap(entries)) = identities.or(|| RawMap(Vec::new()))?;
    let mut read = Identities::new();
    let mut whole = true;
    for (name, place, text) in entries {
        match identity(&name, &place, text, names, stores, report) {
            Some((name, identity)) => drop(read.insert(name, identity)),
            None => whole = false,
        }
    }
    whole.then_some(read)
}

fn identity(
    name: &str,
    place: &Place,
    text: Option<String>,
    names: Option<&[String]>,
    stores: Option<&Stores>,
    report: &mut Report,
) -> Option<(StoreName, Identity)> {
    let names: Vec<&str> = names?.iter().map(String::as_str).collect();
    if !names.contains(&name) {
        let hint = match nearest(name, &names) {
            Some(near) => format!("is not one of the stores; did you mean {near}?"),
            None => format!("is not one of the stores: {}", names.join(", ")),
        };
        report.add(place, hint);
        return None;
    }
    // Not there where the store itself is wrong, which has been told.
    let (name, settings) = stores?.iter().find(|(known, _)| known.as_str() == name)?;
    let text = text?;
    let settings = report.check(place, identified(settings, &text))?;
    Some((name.clone(), Identity { text, settings }))
}

/// The store as somebody else opens it.
fn identified(store: &StoreSettings, identity: &str) -> Result<StoreSettings, String> {
    let mut identified = store.clone();
    match &mut identified {
        StoreSettings::Local(_) => {
            return Err("is of the kind local, where nobody logs in: take it out".to_owned());
        }
        StoreSettings::Kubernetes(_) => {
            return Err("is of the kind kubernetes, where the creator is its own service account: take it out, and bind the ClusterRole keystow-creator-secrets to that account in the pods' namespaces".to_owned());
        }
        StoreSettings::DynamoDb(of) => of.role_arn = Some(assumed(identity, of.audience.as_deref())?),
        StoreSettings::SecretsManager(of) | StoreSettings::Ssm(of) => {
            of.role_arn = Some(assumed(identity, of.audience.as_deref())?);
        }
        StoreSettings::Vault(of) => match &mut of.auth {
            VaultAuth::Kubernetes(login) | VaultAuth::Jwt(login) => login.role = word(identity)?,
            VaultAuth::TokenFile(_) => {
                return Err("logs in with a tokenFile, and so with no role: take it out, and mount another token at that path for the creator".to_owned());
            }
        },
        StoreSettings::Gcp(of) => of.service_account = Some(service_account(identity)?),
        StoreSettings::Azure(of) => of.client_id = Some(word(identity)?),
    }
    Ok(identified)
}

/// A role of AWS. Without a token of that audience none is assumed, and who wrote one would not learn it.
fn assumed(identity: &str, audience: Option<&str>) -> Result<String, String> {
    let role = role_arn(identity)?;
    let next = "give the store one, or take this out and give the role to the creator's service account (EKS Pod Identity, eks.amazonaws.com/role-arn)";
    audience
        .map(|_| role)
        .ok_or_else(|| format!("is of a store without an audience, which assumes no role: {next}"))
}
