//! The configuration as YAML with all its defaults, as `--check-config` shows it and as it can be read again.

use serde_json::{Map, Value, json};

use super::Configuration;
use crate::inject::NamePattern;
use crate::provider::Provider;
use crate::yaml;

pub(super) fn yaml(configuration: &Configuration) -> Result<String, String> {
    let settings = &configuration.settings;
    let mut stores = Map::new();
    stores.insert("default".to_owned(), json!(settings.stores.default_name().as_str()));
    for (name, store) in settings.stores.iter() {
        stores.insert(name.as_str().to_owned(), json!(store));
    }
    let prefixes: Vec<Value> = settings
        .prefixes
        .iter()
        .map(|rule| json!({"namespaces": patterns(&rule.namespaces), "allow": rule.allow}))
        .collect();
    let fetching = &settings.fetching;
    let mut injection = json!({
        "image": settings.image,
        "resources": settings.resources,
        "volume": {"medium": settings.volume.medium, "sizeLimit": settings.volume.size_limit},
    });
    let proxy = [
        ("httpsProxy", &fetching.https_proxy),
        ("httpProxy", &fetching.http_proxy),
        ("noProxy", &fetching.no_proxy),
    ];
    let proxy: Map<String, Value> =
        proxy.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value.as_ref()?)))).collect();
    if !proxy.is_empty() {
        injection["proxy"] = proxy.into();
    }
    if let Some(deadline) = &fetching.deadline {
        injection["deadline"] = json!(deadline);
    }
    let mut file = json!({
        "annotationDomain": settings.domain.as_str(),
        "layout": settings.layout.word(),
        "kubernetesVersion": configuration.kubernetes.to_string(),
        "injection": injection,
        "stores": stores,
        "prefixes": prefixes,
        "localMode": {"namespaces": patterns(&settings.local_mode.namespaces)},
    });
    let identities = configuration.identities.iter();
    let identities: Map<String, Value> =
        identities.map(|(store, identity)| (store.as_str().to_owned(), json!(identity.text))).collect();
    if !identities.is_empty() {
        file["creator"] = json!({"identities": identities});
    }
    if let Some(provider) = &configuration.provider {
        file["provider"] = provider_section(provider);
    }
    yaml::to_yaml(&file)
}

fn provider_section(provider: &Provider) -> Value {
    let callers = provider
        .callers
        .iter()
        .map(|caller| json!({"subject": caller.subject.text(), "read": caller.read, "write": caller.write}));
    let (namespace, name) = &provider.keys;
    let mut section = json!({
        "keys": format!("{namespace}/{name}"),
        "audience": provider.audience,
        "leeway": format!("{:?}", provider.leeway),
        "callers": callers.collect::<Vec<_>>(),
        "rate": {"perSecond": provider.rate.per_second, "burst": provider.rate.burst},
    });
    if let Some(store) = &provider.store {
        section["store"] = json!(store.as_str());
    }
    section
}

fn patterns(patterns: &[NamePattern]) -> Vec<&str> {
    patterns.iter().map(NamePattern::as_str).collect()
}
