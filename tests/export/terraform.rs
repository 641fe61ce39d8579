//! The exported Terraform against what the init container really asks for: it runs against moto, which writes down every
//! request, and IAM's rules decide on each.

use std::collections::BTreeSet;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::iam::{Policy, Request};
use crate::pod::Pod;
use crate::program::{data, exported, refused};
use crate::support::servers::Moto;
use crate::support::servers::moto::REGION;

const TABLE: &str = "prod-kube-secret";
const ARN: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/prod-kube-secret";
const UID: &str = "0d1c2b3a-0000-4000-8000-000000000001";
const VARIABLES: [(&str, &str); 4] = [
    ("aws_region", REGION),
    ("aws_account_id", "123456789012"),
    ("environment_name", "production"),
    ("kees_table_name", TABLE),
];

/// What the pods of service.yaml read.
const VALUES: [&str; 9] = [
    "/veza/production/shop.signing_private",
    "/veza/production/shop.signing_public",
    "/veza/production/partner.signing_public",
    "/veza/production/api-key.pay_consumer",
    "/veza/production/session",
    "/veza/production/db_password",
    "/veza/production/shared/cache_password",
    "/veza/production/db.url",
    "/veza/production/mail.host",
];

/// What others have, some of it called almost alike.
const NEIGHBOURS: [&str; 18] = [
    "/veza/production/partner.signing_private",
    "/veza/production/api-key.pay_provider",
    "/veza/production/api-key.pay",
    "/veza/production/db",
    "/veza/production/db_passwords",
    "/veza/production/db_passwor",
    "/veza/production/session2",
    "/veza/production/jwt",
    "/veza/production/jwt-secret",
    "/veza/production/db.main_url",
    "/veza/production/db.main",
    "/veza/production/cache",
    "/veza/staging/db_password",
    "/veza/production/leases/shop.snowflake.21",
    "/veza/production/leases/shop.snowflake.-1",
    "/veza/production/leases/shop.snowflake2.3",
    "/veza/production/leases/shop",
    "/veza/production/leases/orders.of-0d1c2b3a-0000-4000-8000-000000000001",
];

/// The annotations of the Deployment in service.yaml, and of the CronJob.
fn annotations() -> Vec<(String, String)> {
    let text = fs::read_to_string(data("service.yaml")).unwrap();
    let lines = text.lines().filter_map(|line| line.trim().split_once(": "));
    let mut found: Vec<(String, String)> = lines
        .filter(|(key, _)| key.contains(".bsycorp.com/"))
        .map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned()))
        .collect();
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 13, "{found:?}");
    found
}

async fn filled(test: &str) -> Option<Moto> {
    let moto = Moto::start(test).await?;
    moto.create_table(TABLE).await;
    for key in VALUES.iter().chain(&NEIGHBOURS) {
        moto.put_item(TABLE, key, &STANDARD.encode(b"MA==")).await;
    }
    Some(moto)
}

/// Every key that a request names.
fn keys(input: &Value) -> Vec<String> {
    let of_batch = input["RequestItems"][TABLE]["Keys"].as_array().into_iter().flatten();
    let keys = of_batch.chain(input.get("Key"));
    keys.map(|key| key["secretName"]["S"].as_str().unwrap().to_owned()).collect()
}

/// Runs the init container, and returns the operations and keys that it asked for.
async fn asked(moto: &Moto) -> Vec<(String, Vec<String>)> {
    let annotations = annotations();
    let annotations: Vec<(&str, &str)> =
        annotations.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let store = json!({"dynamodb": {"table": TABLE, "region": REGION, "endpoint": moto.address()}});
    let mut pod = Pod::new(&store.to_string(), &annotations);
    for (name, value) in [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("POD_UID", UID)]
    {
        pod.set(name, value);
    }
    moto.record().await;
    let ended = pod.run().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let recorded = moto.recorded().await.into_iter();
    recorded
        .map(|(target, input)| {
            let operation = target.strip_prefix("DynamoDB_20120810.").expect("DynamoDB alone is asked");
            (format!("dynamodb:{operation}"), keys(&input))
        })
        .collect()
}

#[tokio::test]
async fn the_terraform_allows_what_the_init_container_asks_for_and_nothing_more() {
    let test = "the_terraform_allows_what_the_init_container_asks_for_and_nothing_more";
    let Some(moto) = filled(test).await else { return };
    let (terraform, _) =
        exported(&["terraform", "-f", data("service.yaml").to_str().unwrap(), "--module", "shop"]);
    let policy = Policy::of_terraform(&terraform, &VARIABLES, "shop_role");

    moto.put_item(TABLE, "/veza/production/leases/shop.snowflake.20", "web-0").await;
    let mut all = BTreeSet::new();
    let by_kees = asked(&moto).await;
    moto.put_item(TABLE, &format!("/veza/production/leases/shop.snowflake.of-{UID}"), "20@cluster").await;
    let by_claim = asked(&moto).await;
    for (action, keys) in by_kees.iter().chain(&by_claim) {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        assert!(!keys.is_empty(), "{action}");
        assert!(policy.allows(Request { action, resource: ARN, keys: &keys }), "{action} {keys:?}");
        all.extend(keys.iter().map(|key| (*key).to_owned()));
    }
    // Nothing is granted in vain: each value, each index of the range, and the claim.
    assert_eq!(all.len(), VALUES.len() + 21 + 1, "{all:?}");

    for neighbour in NEIGHBOURS {
        for action in ["dynamodb:GetItem", "dynamodb:BatchGetItem"] {
            for keys in [&[neighbour][..], &[VALUES[0], neighbour]] {
                assert!(!policy.allows(Request { action, resource: ARN, keys }), "{action} {keys:?}");
            }
        }
    }
    let own = [VALUES[0]];
    for action in
        ["dynamodb:Scan", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:UpdateItem"]
    {
        assert!(!policy.allows(Request { action, resource: ARN, keys: &own }), "{action}");
    }
    let get = "dynamodb:GetItem";
    assert!(!policy.allows(Request { action: get, resource: ARN, keys: &[] }), "without keys");
    for resource in
        [ARN.replace("prod", "test"), ARN.replace("eu-west-1", "us-east-1"), format!("{ARN}/index/i")]
    {
        assert!(!policy.allows(Request { action: get, resource: &resource, keys: &own }), "{resource}");
    }
}

#[test]
fn secrets_manager_and_parameter_store_grant_the_objects_that_may_hold_what_is_asked_for() {
    let variables = &VARIABLES[..3];
    let file = data("service.yaml").display().to_string();
    let secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:";
    let parameter = "arn:aws:ssm:eu-west-1:123456789012:parameter";
    // A pair lies in one object; what somebody else put there, in either.
    let own = [
        "/veza/production/shop.signing",
        "/veza/production/partner.signing",
        "/veza/production/api-key.pay",
        "/veza/production/session",
        "/veza/production/db",
        "/veza/production/db_password",
        "/veza/production/shared/cache",
        "/veza/production/shared/cache_password",
        "/veza/production/db.url",
        "/veza/production/mail.host",
    ];
    let others = [
        "/veza/production/shop",
        "/veza/production/session2",
        "/veza/production/jwt-secret",
        "/veza/staging/db",
    ];
    for (store, action, arn) in
        [("secretsmanager", "secretsmanager:GetSecretValue", secret), ("ssm", "ssm:GetParameters", parameter)]
    {
        let (terraform, _) = exported(&["terraform", "-f", &file, "--module", "shop", "--store", store]);
        let policy = Policy::of_terraform(&terraform, variables, "shop_role");
        let end = if store == "ssm" { "" } else { "-a1B2c3" };
        let allows = |action: &str, name: &str| {
            policy.allows(Request { action, resource: &format!("{arn}{name}{end}"), keys: &[] })
        };
        for name in own {
            assert!(allows(action, name), "{store} {name}");
            assert!(!allows("ssm:PutParameter", name) && !allows("secretsmanager:PutSecretValue", name));
        }
        for name in others {
            assert!(!allows(action, name), "{store} {name}");
        }
        let batch = Request { action: "secretsmanager:BatchGetSecretValue", resource: "*", keys: &[] };
        assert_eq!(policy.allows(batch), store == "secretsmanager");
    }
}

#[test]
fn the_configuration_says_which_store_a_pod_reads() {
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("config.yaml");
    let stores = "stores: {default: a, a: {dynamodb: {table: a-table, region: eu-central-1}}, b: {ssm: {region: eu-west-3}}, c: {kubernetes: {}}}";
    fs::write(&config, stores).unwrap();
    let pods = directory.path().join("pods.yaml");
    let pod = |name: &str, store: &str| {
        format!(
            "---\nkind: Pod\nmetadata: {{name: {name}, annotations: {{secret.bsycorp.com/{name}: 'kind=REFERENCE,type=PASSWORD'{store}}}}}\n"
        )
    };
    fs::write(
        &pods,
        format!(
            "{}{}{}",
            pod("one", ""),
            pod("two", ", inject.bsycorp.com/store: b"),
            pod("three", ", inject.bsycorp.com/store: c")
        ),
    )
    .unwrap();
    let [config, pods] = [config, pods].map(|path| path.display().to_string());
    let (text, _) = exported(&["terraform", "-f", &pods, "--config", &config, "-m", "m"]);
    assert!(
        text.contains("table/a-table") && text.contains(":eu-central-1:") && text.contains("\"/one\""),
        "{text}"
    );
    assert!(text.contains("arn:aws:ssm:eu-west-3:${var.aws_account_id}:parameter/two"), "{text}");
    assert!(!text.contains("three") && !text.contains("kees_table_name"), "{text}");
    let (code, told) = refused(&["vault-policy", "-f", &pods, "--config", &config]);
    assert!(code == Some(65) && told.contains("but from: dynamodb, kubernetes, ssm"), "{told}");
}

#[test]
fn a_prefix_may_be_a_variable_of_terraform() {
    let file = data("service.yaml").display().to_string();
    let (text, _) =
        exported(&["terraform", "-f", &file, "-m", "shop", "--prefix", "/${var.environment_name}"]);
    assert!(text.contains("\"/${var.environment_name}/db_password\""), "{text}");
    let policy = Policy::of_terraform(&text, &VARIABLES, "shop_role");
    let get = |key: &str| policy.allows(Request { action: "dynamodb:GetItem", resource: ARN, keys: &[key] });
    assert!(get("/production/db_password") && get("/production/leases/shop.snowflake.0"));
    assert!(!get("/veza/production/db_password"));
}

#[test]
fn what_stands_beside_a_variable_of_a_prefix_means_itself() {
    let file = data("service.yaml").display().to_string();
    let prefix = r"/a*\b/${var.environment_name}?";
    let (text, _) = exported(&["terraform", "-f", &file, "-m", "shop", "--prefix", prefix]);
    let policy = Policy::of_terraform(&text, &VARIABLES, "shop_role");
    let get = |key: &str| policy.allows(Request { action: "dynamodb:GetItem", resource: ARN, keys: &[key] });
    for (begin, is_allowed) in
        [(r"/a*\b/production?", true), (r"/aX\b/production?", false), (r"/a*\b/productionX", false)]
    {
        assert_eq!(get(&format!("{begin}/leases/shop.snowflake.0")), is_allowed, "{begin}: {text}");
        assert_eq!(get(&format!("{begin}/db_password")), is_allowed, "{begin}: {text}");
    }
}

#[test]
fn what_iam_would_take_for_a_pattern_or_a_variable_means_itself_or_is_refused() {
    let directory = TempDir::new().unwrap();
    let manifest = |annotation: &str| {
        let path = directory.path().join("pod.yaml");
        fs::write(&path, format!("kind: Pod\nmetadata:\n  name: a\n  annotations:\n    {annotation}\n"))
            .unwrap();
        path.display().to_string()
    };
    let secret = |key: &str| {
        manifest(&format!("secret.bsycorp.com/a: 'kind=REFERENCE,type=PASSWORD,storageKey={key}'"))
    };
    let (text, _) = exported(&["terraform", "-f", &secret("a*b?%{x}"), "-m", "m"]);
    let policy = Policy::of_terraform(&text, &VARIABLES, "m_role");
    let get = |policy: &Policy, key: &str| {
        policy.allows(Request { action: "dynamodb:GetItem", resource: ARN, keys: &[key] })
    };
    assert!(get(&policy, "/a*b?%{x}") && !get(&policy, "/axbc%{x}"));
    let lease = manifest("lease.bsycorp.com/a: 'kind=INDEX,rangeStart=0,rangeEnd=1,storageKeyPrefix=s*?'");
    let (text, _) = exported(&["terraform", "-f", &lease, "-m", "m"]);
    let policy = Policy::of_terraform(&text, &VARIABLES, "m_role");
    assert!(
        get(&policy, "/leases/s*?.1") && get(&policy, "/leases/s*?.of-x") && !get(&policy, "/leases/sab.1")
    );
    for key in ["${aws:username}", "&{x}"] {
        let (code, told) = refused(&["terraform", "-f", &secret(key), "-m", "m"]);
        assert!(code == Some(65) && told.contains("for a variable"), "{key}: {told}");
    }
}
