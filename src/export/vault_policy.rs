//! Vault's policy: a path an object, to be read and nothing else.
//!
//! Version 2 of the KV engine has its data below `MOUNT/data/`, version 1 below `MOUNT/`. All keys of an object are read
//! together, so neighbours in one object are not kept apart: only objects are.

use std::collections::BTreeSet;

use super::ExportError;
use super::grants::{Grants, Indices};
use super::hcl::{Hcl, quoted};
use crate::domain::StoragePath;
use crate::handover::{Place, StoreSettings, VaultAuth};
use crate::workload::Asking;

/// The policy of everything that is asked for in Vault.
///
/// # Errors
///
/// When nothing is, or a path cannot be named by a policy.
pub fn vault_policy(asking: &[Asking<'_>]) -> Result<String, ExportError> {
    let mut paths = BTreeSet::new();
    let mut logins = BTreeSet::new();
    for one in asking {
        let Some(StoreSettings::Vault(settings)) = one.store else { continue };
        let data = if settings.kv_version == 1 { "" } else { "data/" };
        let base = format!("{}/{data}", settings.mount.trim_matches('/'));
        let grants = Grants::of([one]);
        for path in objects(&grants)? {
            paths.insert(format!("{base}{path}"));
        }
        let (method, login) = match &settings.auth {
            VaultAuth::Kubernetes(login) => ("kubernetes", login),
            VaultAuth::Jwt(login) => ("JWT", login),
            VaultAuth::TokenFile(_) => continue,
        };
        logins.insert(format!(
            "{}/{}: role {} of the {method} auth method at {}",
            one.workload.namespace, one.account, login.role, login.mount
        ));
    }
    if paths.is_empty() {
        return Err(ExportError::nothing(asking, "vault"));
    }
    let mut hcl = Hcl::default();
    if !logins.is_empty() {
        hcl.comment("For these service accounts, by the roles with which they log in:");
        for login in logins {
            hcl.comment(&login);
        }
    }
    for path in paths {
        hcl.gap();
        hcl.block(&format!("path {}", quoted(&path)), |hcl| {
            hcl.attribute("capabilities", "[\"read\"]");
        });
    }
    Ok(hcl.into_text())
}

/// The paths below the mount, as a policy writes them.
fn objects(grants: &Grants) -> Result<BTreeSet<String>, ExportError> {
    let mut objects = BTreeSet::new();
    for path in grants.values.keys() {
        objects.insert(exact(&Place::in_vault(path).object)?);
    }
    for (series, indices) in &grants.leases {
        let base = exact(&series.index(0))?;
        let base = base.strip_suffix(".0").unwrap_or(&base);
        match indices {
            Indices::Few(few) => {
                objects.extend(few.iter().map(|index| format!("{base}.{index}")));
                objects.insert(format!("{base}.of-*"));
            }
            Indices::Many => drop(objects.insert(format!("{base}.*"))),
        }
    }
    Ok(objects)
}

/// A path that means itself.
fn exact(path: &StoragePath) -> Result<String, ExportError> {
    let text = path.as_str();
    let below = text.strip_prefix('/').ok_or_else(|| {
        ExportError::unnameable(text, "a path in Vault begins with `/`; mend the storage-prefix")
    })?;
    if below.ends_with('*') || below.split('/').any(|segment| segment == "+") {
        return Err(ExportError::unnameable(
            text,
            "a policy of Vault takes a `*` at its end or a segment `+` for a pattern",
        ));
    }
    Ok(below.to_owned())
}
