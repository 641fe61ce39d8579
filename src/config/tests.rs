//! What is told of single mistakes, and what files without any mean. Golden files with all of it are in `tests/config/`.

use super::*;

/// What is told of the fields that `text` gets wrong: `line path: message`.
fn told(text: &str) -> Vec<String> {
    let mistakes = read(text).unwrap_err();
    mistakes.iter().map(|mistake| format!("{} {mistake}", mistake.line.unwrap())).collect()
}

#[test]
fn no_file_and_an_empty_file_are_the_defaults() {
    for text in
        ["", "# nothing", "\n  # nothing\n{}", "injection:\nstores:\nprefixes:\nlocalMode: {namespaces: }"]
    {
        let settings = read(text).unwrap_or_else(|mistakes| panic!("{text}: {mistakes:?}")).offline();
        assert_eq!(settings.domain.as_str(), "bsycorp.com");
        assert_eq!(settings.kubernetes, KubernetesVersion::FILE_KEY_REF);
        assert_eq!(settings.image, concat!("keystow:", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn what_is_not_yaml_is_told_with_its_line() {
    let mistakes = read("layout: keystow\nstores: {a\n").unwrap_err();
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert!(mistakes[0].message.starts_with("is not YAML: "), "{mistakes:?}");
    assert!(mistakes[0].line.is_some(), "{mistakes:?}");
    assert_eq!(told("[a]"), ["1 the file: is a list, not a map"]);
}

#[test]
fn a_key_that_is_given_twice_is_told_with_both_lines() {
    assert_eq!(
        told("layout: keystow\n\nlayout: kees\n"),
        ["3 /layout: is given twice, first in line 1; remove one"]
    );
}

#[test]
fn a_request_above_its_limit_is_told() {
    let resources = |requests: &str, limits: &str| {
        format!("injection:\n  resources:\n    requests: {requests}\n    limits: {limits}\n")
    };
    assert_eq!(
        told(&resources("{memory: 1Gi}", "{memory: 1G}")),
        [
            "3 /injection/resources/requests/memory: 1Gi is above the limit of 1G: lower the request, or raise the limit"
        ]
    );
    for fits in
        [("{memory: 1G}", "{memory: 1Gi}"), ("{cpu: 1000m}", "{cpu: 1}"), ("{cpu: 0.1}", "{memory: 1e6}")]
    {
        assert!(read(&resources(fits.0, fits.1)).is_ok(), "{fits:?}");
    }
}

#[test]
fn one_store_needs_no_default_and_more_than_one_do() {
    assert!(read("stores: {dev: {local: {}}}").is_ok());
    assert!(read("stores:\n  dev:\n    local:\n").is_ok());
    assert_eq!(
        told("stores:\n  dev: {local: {}}\n  prod: {kubernetes: {}}\n"),
        ["1 /stores/default: is missing: say which one pods read that name none: dev, prod"]
    );
}

#[test]
fn an_address_with_credentials_is_refused_without_showing_them() {
    let told = told("stores: {v: {gcp: {project: p, endpoint: 'https://user:hunter2@gcp.example'}}}");
    assert_eq!(told, ["1 /stores/v/gcp/endpoint: has credentials in its address: take them out"]);
}

#[test]
fn a_key_vault_speaks_tls() {
    let told = told("stores: {v: {azure: {vaultUrl: 'http://a.vault.azure.net'}}}");
    assert_eq!(
        told,
        [
            "1 /stores/v/azure/vaultUrl: `http://a.vault.azure.net` is not an address that begins with https://"
        ]
    );
}

#[test]
fn auto_is_the_default_version_where_nobody_can_be_asked() {
    let configuration = read("kubernetesVersion: auto").unwrap();
    assert_eq!(configuration.kubernetes(), Kubernetes::Auto);
    assert_eq!(configuration.clone().offline().kubernetes, KubernetesVersion(35));
    assert_eq!(configuration.into_settings(KubernetesVersion(31)).kubernetes, KubernetesVersion(31));
}
