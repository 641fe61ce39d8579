//! From what the file says to what is meant: every rule that the API server, the kubelet or keystow itself would otherwise
//! hold against each pod later.
//!
//! Every function tells all it finds and yields `None` where something is wrong, so the mistakes of one part hide none of
//! another.

use serde_json::{Map, Value};

use super::raw::{
    Amount, Field, Listed, RawFile, RawInjection, RawMap, RawPrefixRule, RawResources, RawVolume,
};
use super::report::{Place, Report};
use super::{Configuration, Kubernetes};
use super::{creator, fetching, provider, stores};
use crate::domain::{AnnotationDomain, ImageReference, InvalidQuantity, Layout, Quantity, StoragePrefix};
use crate::inject::{Fetching, KubernetesVersion, LocalModeRule, NamePattern, PrefixRule, Settings, Volume};

/// What the init container takes where nothing is configured.
const REQUESTS: [(&str, &str); 2] = [("cpu", "10m"), ("memory", "16Mi")];
const LIMITS: [(&str, &str); 1] = [("memory", "64Mi")];
/// Resources that a container which only fetches can need.
const RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

pub(super) fn file(raw: RawFile, report: &mut Report) -> Option<Configuration> {
    let domain = text(raw.annotation_domain, "bsycorp.com", report, AnnotationDomain::new);
    let layout = text(raw.layout, "keystow", report, |word| {
        Layout::read(word).ok_or_else(|| format!("`{word}` is not one of keystow, kees"))
    });
    let kubernetes = text(raw.kubernetes_version, "1.35", report, kubernetes_version);
    let injection = match raw.injection {
        Field::Given(_, raw) => injection(raw, report),
        Field::Absent(place) => injection(RawInjection::absent(&place), report),
        Field::Wrong => None,
    };
    let store_names = stores::names(&raw.stores);
    let stores = stores::read(raw.stores, report);
    let identities = creator::read(raw.creator, store_names.as_deref(), stores.as_ref(), report);
    let provider = provider::read(raw.provider, stores.as_ref(), report);
    let prefixes = list(raw.prefixes).and_then(|(_, rules)| {
        let rules: Vec<_> = rules.into_iter().map(|rule| prefix_rule(rule?, report)).collect();
        rules.into_iter().collect::<Option<Vec<_>>>()
    });
    let namespaces = match raw.local_mode {
        Field::Given(_, raw) => list(raw.namespaces).and_then(|(_, listed)| patterns(listed, report)),
        Field::Absent(_) => Some(Vec::new()),
        Field::Wrong => None,
    };
    let (kubernetes, (image, resources, volume, fetching)) = (kubernetes?, injection?);
    let settings = Settings {
        domain: domain?,
        layout: layout?,
        kubernetes: kubernetes.assumed(),
        image,
        resources,
        volume,
        fetching,
        stores: stores?,
        prefixes: prefixes?,
        local_mode: LocalModeRule { namespaces: namespaces? },
    };
    Some(Configuration { settings, kubernetes, identities: identities?, provider: provider? })
}

/// Text with a default and a rule.
pub(super) fn text<T, E: std::fmt::Display>(
    field: Field<String>,
    default: &str,
    report: &mut Report,
    rule: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let (place, text) = field.or(|| default.to_owned())?;
    report.check(&place, rule(&text))
}

/// A list that is empty where it is absent.
fn list<T>(field: Field<Vec<T>>) -> Option<(Place, Vec<T>)> {
    field.or(Vec::new)
}

fn kubernetes_version(text: &str) -> Result<Kubernetes, String> {
    if text == "auto" {
        return Ok(Kubernetes::Auto);
    }
    let digits = text.strip_prefix("1.").filter(|minor| minor.bytes().all(|b| b.is_ascii_digit()));
    digits
        .and_then(|minor| minor.parse().ok())
        .map(|minor| Kubernetes::Fixed(KubernetesVersion(minor)))
        .ok_or_else(|| format!("`{text}` is not auto, or a version such as \"1.35\""))
}

impl RawInjection {
    fn absent(at: &Place) -> Self {
        let field = |key: &str| at.child(key, at.line);
        Self {
            image: Field::Absent(field("image")),
            resources: Field::Absent(field("resources")),
            volume: Field::Absent(field("volume")),
            proxy: Field::Absent(field("proxy")),
            deadline: Field::Absent(field("deadline")),
        }
    }
}

fn injection(raw: RawInjection, report: &mut Report) -> Option<(String, Value, Volume, Fetching)> {
    let image = text(raw.image, concat!("keystow:", env!("CARGO_PKG_VERSION")), report, |image| {
        ImageReference::new(image).map_err(|rule| format!("`{image}` {rule}"))
    });
    let resources = match raw.resources {
        Field::Given(_, raw) => resources(raw, report),
        Field::Absent(_) => Some(default_resources()),
        Field::Wrong => None,
    };
    let volume = match raw.volume {
        Field::Given(_, raw) => volume(raw, report),
        Field::Absent(_) => Some(Volume { medium: MEMORY.to_owned(), size_limit: SIZE_LIMIT.to_owned() }),
        Field::Wrong => None,
    };
    let fetching = fetching::read(raw.proxy, raw.deadline, report);
    Some((image?.as_str().to_owned(), resources?, volume?, fetching?))
}

fn default_resources() -> Value {
    let map = |amounts: &[(&str, &str)]| {
        amounts.iter().map(|(name, amount)| ((*name).to_owned(), Value::from(*amount))).collect::<Map<_, _>>()
    };
    let lists = [("requests".to_owned(), map(&REQUESTS).into()), ("limits".to_owned(), map(&LIMITS).into())];
    Value::Object(Map::from_iter(lists))
}

/// Requests and limits: amounts that a container can have, and no request above its limit.
fn resources(raw: RawResources, report: &mut Report) -> Option<Value> {
    let requests = amounts(raw.requests, report);
    let limits = amounts(raw.limits, report);
    let (requests, limits) = (requests?, limits?);
    for (name, place, request) in requests.iter().flatten() {
        let mut limits = limits.iter().flatten();
        let limit = limits.find(|(limited, _, limit)| limited == name && request > limit);
        if let Some((_, _, limit)) = limit {
            let message =
                format!("{request} is above the limit of {limit}: lower the request, or raise the limit");
            report.add(place, message);
        }
    }
    let mut resources = Map::new();
    for (list, amounts) in [("requests", requests), ("limits", limits)] {
        let Some(amounts) = amounts else { continue };
        let amounts = amounts.into_iter().map(|(name, _, amount)| (name, Value::from(amount.as_str())));
        resources.insert(list.to_owned(), Value::Object(amounts.collect()));
    }
    Some(Value::Object(resources))
}

type Amounts = Vec<(String, Place, Quantity)>;

/// The amounts of a list that is there; those that are wrong are told and left out, so that the rest is compared.
fn amounts(field: Field<RawMap<Amount>>, report: &mut Report) -> Option<Option<Amounts>> {
    let Some((_, RawMap(entries))) = field.optional()? else { return Some(None) };
    let mut amounts = Amounts::new();
    for (name, place, amount) in entries {
        if !RESOURCES.contains(&name.as_str()) {
            let message = match crate::domain::nearest(&name, &RESOURCES) {
                Some(near) => format!("is not a resource; did you mean {near}?"),
                None => format!("is not a resource that it can need; known here: {}", RESOURCES.join(", ")),
            };
            report.add(&place, message);
            continue;
        }
        let Some(amount) = amount else { continue };
        let read = if name == "cpu" { quantity(&amount) } else { bytes(&amount) };
        if let Some(amount) = report.check(&place, read) {
            amounts.push((name, place, amount));
        }
    }
    Some(Some(amounts))
}

/// Why an amount cannot be meant.
#[derive(Debug, thiserror::Error)]
enum WrongAmount {
    #[error(transparent)]
    Invalid(#[from] InvalidQuantity),
    #[error("`{0}` is below zero: leave it out for none")]
    Negative(String),
    #[error(
        "`{0}` is no whole number of bytes: `m` is a thousandth; 1024 * 1024 bytes are `Mi`, a million is `M`"
    )]
    Fraction(String),
    #[error("`{0}` leaves no room for a secret: write an amount such as {SIZE_LIMIT}")]
    Nothing(String),
}

fn quantity(amount: &Amount) -> Result<Quantity, WrongAmount> {
    let quantity = Quantity::new(&amount.0)?;
    if quantity.is_negative() { Err(WrongAmount::Negative(amount.0.clone())) } else { Ok(quantity) }
}

fn bytes(amount: &Amount) -> Result<Quantity, WrongAmount> {
    let quantity = quantity(amount)?;
    if quantity.is_whole() { Ok(quantity) } else { Err(WrongAmount::Fraction(amount.0.clone())) }
}

const MEMORY: &str = "Memory";
const SIZE_LIMIT: &str = "4Mi";

fn volume(raw: RawVolume, report: &mut Report) -> Option<Volume> {
    let medium = text(raw.medium, MEMORY, report, |medium| match medium {
        MEMORY | "" => Ok(medium.to_owned()),
        other => Err(format!("`{other}` is not {MEMORY}, or \"\" for the node's disk")),
    });
    let size_limit = raw.size_limit.or(|| Amount(SIZE_LIMIT.to_owned())).and_then(|(place, amount)| {
        let read = bytes(&amount).and_then(|bytes| {
            if bytes.is_zero() { Err(WrongAmount::Nothing(amount.0.clone())) } else { Ok(bytes) }
        });
        report.check(&place, read)
    });
    Some(Volume { medium: medium?, size_limit: size_limit?.as_str().to_owned() })
}

fn prefix_rule(raw: RawPrefixRule, report: &mut Report) -> Option<PrefixRule> {
    const WHY: &str = "a rule says which namespaces may name which prefixes";
    let namespaces = raw.namespaces.required(WHY, report);
    let allow = raw.allow.required(WHY, report);
    let namespaces = namespaces.and_then(|(place, listed)| {
        some(&place, listed.len(), report)?;
        patterns(listed, report)
    });
    let allow = allow.and_then(|(place, listed)| {
        some(&place, listed.len(), report)?;
        each(listed, report, |text| {
            let is_prefix = text.starts_with('/') && StoragePrefix::new(text).is_ok();
            let is_prefix = is_prefix.then(|| text.to_owned());
            is_prefix.ok_or_else(|| {
                format!("`{text}` is not a storage prefix that begins with / and has no `.` and `..`, such as /veza/")
            })
        })
    });
    Some(PrefixRule { namespaces: namespaces?, allow: allow? })
}

/// Some entry there must be.
pub(super) fn some(place: &Place, length: usize, report: &mut Report) -> Option<()> {
    if length == 0 {
        report.add(place, "is empty: a rule needs at least one".to_owned());
    }
    (length > 0).then_some(())
}

fn patterns(listed: Vec<Option<Listed>>, report: &mut Report) -> Option<Vec<NamePattern>> {
    each(listed, report, |text| {
        NamePattern::new(text).ok_or_else(|| {
            format!("`{text}` is of no namespace: write lower-case letters, digits and `-`, and `*` for any of them")
        })
    })
}

pub(super) fn each<T>(
    listed: Vec<Option<Listed>>,
    report: &mut Report,
    rule: impl Fn(&str) -> Result<T, String>,
) -> Option<Vec<T>> {
    let checked: Vec<Option<T>> = listed
        .into_iter()
        .map(|entry| entry.and_then(|entry| report.check(&entry.at, rule(&entry.text))))
        .collect();
    checked.into_iter().collect()
}
