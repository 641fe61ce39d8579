//! What the provider of External Secrets serves, and to whom.

use super::meant::{each, some, text};
use super::raw::{Field, Listed, RawCaller, RawProvider, RawRate};
use super::report::{Place, Report};
use crate::domain::{SecretName, StoragePrefix, StoreName, nearest, parse_duration};
use crate::inject::Stores;
use crate::provider::{Caller, Provider, Rate, Subject};

/// Reads the section; `Some(None)` where there is none.
pub(super) fn read(
    field: Field<RawProvider>,
    stores: Option<&Stores>,
    report: &mut Report,
) -> Option<Option<Provider>> {
    let Some((_, raw)) = field.optional()? else { return Some(None) };
    let keys = raw.keys.required("the Secret of the keys, as NAMESPACE/NAME", report);
    let keys = keys.and_then(|(place, text)| report.check(&place, secret(&text)));
    let audience = raw.audience.required("what tokens must be for (aud)", report);
    let audience = audience.and_then(|(place, text)| {
        let is_some = if text.trim().is_empty() { Err("is empty".to_owned()) } else { Ok(text) };
        report.check(&place, is_some)
    });
    let leeway = text(raw.leeway, "30s", report, |text| {
        parse_duration(text).map_err(|error| format!("`{text}` is no duration: {error}"))
    });
    let store = match raw.store.optional()? {
        None => Some(None),
        Some((place, name)) => known(&place, &name, stores, report).map(Some),
    };
    let callers = raw.callers.required("who may read what", report).and_then(|(place, callers)| {
        some(&place, callers.len(), report)?;
        let callers: Vec<Option<Caller>> = callers.into_iter().map(|raw| caller(raw?, report)).collect();
        callers.into_iter().collect::<Option<Vec<Caller>>>()
    });
    let rate = match raw.rate.optional()? {
        None => Some(Rate::default()),
        Some((_, raw)) => rate(raw, report),
    };
    let (keys, audience, leeway) = (keys?, audience?, leeway?);
    Some(Some(Provider { keys, audience, leeway, store: store?, callers: callers?, rate: rate? }))
}

fn secret(text: &str) -> Result<(String, String), String> {
    let is_name = |text: &str| SecretName::new(text).is_ok();
    let parts = text.split_once('/').filter(|(namespace, name)| is_name(namespace) && is_name(name));
    let (namespace, name) = parts.ok_or_else(|| format!("`{text}` is not NAMESPACE/NAME of a Secret"))?;
    Ok((namespace.to_owned(), name.to_owned()))
}

fn known(place: &Place, name: &str, stores: Option<&Stores>, report: &mut Report) -> Option<StoreName> {
    // Not there where a store itself is wrong, which has been told.
    let stores = stores?;
    let names: Vec<&str> = stores.iter().map(|(name, _)| name.as_str()).collect();
    let found = stores.iter().find(|(known, _)| known.as_str() == name).map(|(name, _)| name.clone());
    if found.is_none() {
        let hint = match nearest(name, &names) {
            Some(near) => format!("`{name}` is not one of the stores; did you mean {near}?"),
            None => format!("`{name}` is not one of the stores: {}", names.join(", ")),
        };
        report.add(place, hint);
    }
    found
}

fn caller(raw: RawCaller, report: &mut Report) -> Option<Caller> {
    let subject = raw.subject.required("the `sub` of its tokens", report).and_then(|(place, text)| {
        let subject = Subject::read(&text)
            .ok_or_else(|| format!("`{text}` is no subject: write the whole of it, or a beginning and `*`"));
        report.check(&place, subject)
    });
    let read = paths(raw.read, report);
    let write = paths(raw.write, report);
    Some(Caller { subject: subject?, read: read?, write: write? })
}

fn paths(field: Field<Vec<Option<Listed>>>, report: &mut Report) -> Option<Vec<String>> {
    let (_, listed) = field.or(Vec::new)?;
    each(listed, report, |text| {
        let is_prefix = text.starts_with('/') && StoragePrefix::new(text).is_ok();
        let rule =
            || format!("`{text}` is not a path that begins with / and has no `.` and `..`, such as /veza/");
        is_prefix.then(|| text.to_owned()).ok_or_else(rule)
    })
}

fn rate(raw: RawRate, report: &mut Report) -> Option<Rate> {
    let number = |field: Field<super::raw::Amount>, default: u32, report: &mut Report| {
        let (place, amount) = field.or(|| super::raw::Amount(default.to_string()))?;
        let read = amount.0.parse().ok().filter(|number| (1..=1_000_000).contains(number));
        report.check(&place, read.ok_or_else(|| format!("`{}` is not a number from 1 to 1000000", amount.0)))
    };
    let Rate { per_second, burst } = Rate::default();
    let per_second = number(raw.per_second, per_second, report);
    let burst = number(raw.burst, burst, report);
    Some(Rate { per_second: per_second?, burst: burst? })
}
