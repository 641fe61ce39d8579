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

/// Every kind of store that somebody logs in to.
const STORES: &str = "stores:
  default: cluster
  cluster: {kubernetes: {}}
  dev: {local: {}}
  table: {dynamodb: {table: secrets, audience: sts, roleArn: 'arn:aws:iam::123456789012:role/pods'}}
  manager: {secretsmanager: {audience: sts}}
  parameters: {ssm: {audience: sts}}
  chain: {ssm: {}}
  by-role: {vault: {address: 'https://v', mount: kv, auth: {kubernetes: {role: pods, mount: k, audience: vault}}}}
  by-jwt: {vault: {address: 'https://v', mount: kv, auth: {jwt: {role: pods, mount: j, audience: vault}}}}
  by-file: {vault: {address: 'https://v', mount: kv, auth: {tokenFile: /token}}}
  gcp: {gcp: {project: p}}
  azure: {azure: {vaultUrl: 'https://a', clientId: pods}}
";

#[test]
fn the_creator_is_somebody_else_in_stores_that_say_so() {
    const ROLE: &str = "arn:aws:iam::123456789012:role/creator";
    const ACCOUNT: &str = "creator@p.iam.gserviceaccount.com";
    let identities = format!(
        "creator:
  identities: {{table: '{ROLE}', manager: '{ROLE}', parameters: '{ROLE}', by-role: creator, by-jwt: creator, gcp: {ACCOUNT}, azure: creator}}
"
    );
    let configuration = read(&format!("{STORES}{identities}")).unwrap();
    let pods = read(STORES).unwrap().creator_stores();
    let creators = configuration.creator_stores();
    assert_eq!(creators.len(), 11);
    for (name, settings) in &creators {
        let text = |settings: &StoreSettings| serde_json::to_string(settings).unwrap();
        let (creator, pods) = (text(settings), text(&pods[name]));
        if ["cluster", "dev", "chain", "by-file"].contains(&name.as_str()) {
            assert_eq!(creator, pods);
        } else {
            assert!(creator.contains("creator") && !creator.contains("pods"), "{name}: {creator}");
        }
    }
    // What pods are told is what the stores say.
    let settings = configuration.offline();
    assert!(settings.stores.iter().all(|(name, store)| pods[name] == *store));
}

#[test]
fn without_identities_the_creator_is_who_pods_are() {
    for none in ["", "creator: {}\n", "creator: {identities: {}}\n", "creator:\n  identities:\n"] {
        let configuration = read(&format!("{STORES}{none}")).unwrap();
        let creators = configuration.creator_stores();
        assert!(configuration.offline().stores.iter().all(|(name, store)| creators[name] == *store));
    }
    assert_eq!(read("").unwrap().creator_stores().len(), 1);
}

#[test]
fn an_identity_that_a_store_cannot_have_is_told() {
    for (name, identity, words) in [
        ("cluster", "a", "is of the kind kubernetes, where the creator is its own service account"),
        ("dev", "a", "is of the kind local, where nobody logs in"),
        ("by-file", "a", "logs in with a tokenFile, and so with no role"),
        ("chain", "arn:aws:iam::123456789012:role/a", "is of a store without an audience"),
        ("table", "creator", "`creator` is not a role such as arn:aws:iam::123456789012:role/NAME"),
        ("manager", "arn:aws:iam::1:user/a", "is not a role such as"),
        ("parameters", "''", "`` is not a role such as"),
        ("by-role", "a b", "`a b` is not a name: it is empty, or has blanks in it"),
        ("gcp", "creator", "`creator` is not a service account such as"),
        ("azure", "''", "`` is not a name: it is empty"),
        ("azure", "1", "1 is a number here: write it in quotes"),
        ("tabel", "a", "is not one of the stores; did you mean table?"),
        ("default", "cluster", "is not one of the stores: azure"),
    ] {
        let mistakes =
            read(&format!("{STORES}creator: {{identities: {{{name}: {identity}}}}}\n")).unwrap_err();
        assert_eq!(mistakes.len(), 1, "{name}: {mistakes:?}");
        assert_eq!(mistakes[0].path, format!("/creator/identities/{name}"));
        assert!(mistakes[0].message.contains(words), "{name}: {}", mistakes[0].message);
    }
}

/// Whoever mends the store is then told of the identity, if that is wrong too.
#[test]
fn a_store_that_is_wrong_itself_is_known_by_its_name() {
    let file = "stores: {prod: {dynamodb: {}}}\ncreator: {identities: {prod: a, prd: b}}\n";
    assert_eq!(
        told(file),
        [
            "1 /stores/prod/dynamodb/table: is missing: the table, such as prod-kube-secret",
            "2 /creator/identities/prd: is not one of the stores; did you mean prod?",
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
