//! The servers themselves: that each starts, keeps what it is given, refuses what it must, and ends with its handle. What
//! stores do with them is tried elsewhere.

use http::{Method, StatusCode};
use serde_json::json;

use super::support::control_plane::shared_or_skip;
use super::support::https;
use super::support::servers::{Drongo, Moto, ROOT_TOKEN, Vault};

#[tokio::test]
async fn moto_keeps_a_parameter_until_it_is_reset() {
    let Some(moto) = Moto::start("moto_keeps_a_parameter_until_it_is_reset").await else { return };
    let parameter = json!({"Name": "/shop/password", "Value": "a value", "Type": "SecureString"});
    let name = json!({"Name": "/shop/password", "WithDecryption": true});
    assert_eq!(moto.call("ssm", "AmazonSSM.PutParameter", &parameter).await.status, StatusCode::OK);
    let read = moto.call("ssm", "AmazonSSM.GetParameter", &name).await;
    assert_eq!((read.status, &read.body["Parameter"]["Value"]), (StatusCode::OK, &json!("a value")));
    let again = moto.call("ssm", "AmazonSSM.PutParameter", &parameter).await;
    assert_eq!(
        (again.status, &again.body["__type"]),
        (StatusCode::BAD_REQUEST, &json!("ParameterAlreadyExists"))
    );
    moto.reset().await;
    let forgotten = moto.call("ssm", "AmazonSSM.GetParameter", &name).await;
    assert_eq!(
        (forgotten.status, &forgotten.body["__type"]),
        (StatusCode::BAD_REQUEST, &json!("ParameterNotFound"))
    );
}

#[tokio::test]
async fn moto_has_the_other_services_of_aws() {
    let Some(moto) = Moto::shared("moto_has_the_other_services_of_aws").await else { return };
    let secret = json!({"Name": "others", "SecretString": "a value", "ClientRequestToken": "a".repeat(32)});
    let created = moto.call("secretsmanager", "secretsmanager.CreateSecret", &secret).await;
    assert_eq!((created.status, &created.body["Name"]), (StatusCode::OK, &json!("others")));
    let tables = moto.call("dynamodb", "DynamoDB_20120810.ListTables", &json!({})).await;
    assert_eq!((tables.status, tables.body), (StatusCode::OK, json!({"TableNames": []})));
}

#[tokio::test]
async fn drongo_keeps_a_secret_until_it_is_reset() {
    let Some(drongo) = Drongo::start("drongo_keeps_a_secret_until_it_is_reset").await else { return };
    let secrets = "/v1/projects/shop/secrets";
    let create = format!("{secrets}?secretId=password");
    let replication = json!({"replication": {"automatic": {}}});
    let version = json!({"payload": {"data": "YSB2YWx1ZQ=="}});
    let access = format!("{secrets}/password/versions/latest:access");
    assert_eq!(drongo.request(&Method::POST, &create, Some(&replication)).await.status, StatusCode::OK);
    let again = drongo.request(&Method::POST, &create, Some(&replication)).await;
    assert_eq!(
        (again.status, &again.body["error"]["status"]),
        (StatusCode::CONFLICT, &json!("ALREADY_EXISTS"))
    );
    let added =
        drongo.request(&Method::POST, &format!("{secrets}/password:addVersion"), Some(&version)).await;
    assert_eq!(added.status, StatusCode::OK);
    let read = drongo.request(&Method::GET, &access, None).await;
    assert_eq!((read.status, &read.body["payload"]), (StatusCode::OK, &version["payload"]));
    drongo.reset().await;
    let forgotten = drongo.request(&Method::GET, &access, None).await;
    assert_eq!(
        (forgotten.status, &forgotten.body["error"]["status"]),
        (StatusCode::NOT_FOUND, &json!("NOT_FOUND"))
    );
}

#[tokio::test]
async fn vault_keeps_a_secret_and_refuses_other_tokens() {
    let Some(vault) = Vault::shared("vault_keeps_a_secret_and_refuses_other_tokens").await else { return };
    let first = json!({"data": {"password": "a value"}, "options": {"cas": 0}});
    assert_eq!(vault.write("secret/data/shop/database", &first).await["data"]["version"], 1);
    let read = vault.read("secret/data/shop/database").await.expect("the secret");
    assert_eq!(read["data"], json!({"password": "a value"}));
    let again = vault.request(&Method::POST, "secret/data/shop/database", ROOT_TOKEN, Some(&first)).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    assert!(again.body.to_string().contains("check-and-set"), "{}", again.body);
    let refused = vault.request(&Method::GET, "secret/data/shop/database", "no token", None).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(vault.read("secret/data/shop/nothing").await, None);
}

#[tokio::test]
async fn vault_speaks_tls_with_a_certificate_of_its_own_ca() {
    let Some(vault) = Vault::shared("vault_speaks_tls_with_a_certificate_of_its_own_ca").await else {
        return;
    };
    let ca_pem = std::fs::read_to_string(vault.ca_file()).expect("its CA");
    let address = vault.tls_address();
    let address = address.strip_prefix("https://").and_then(|address| address.parse().ok());
    https::try_connect(address.expect("an address"), &ca_pem).await.expect("a handshake");
}

#[tokio::test]
async fn vault_asks_the_api_server_about_a_token_of_kubernetes() {
    let name = "vault_asks_the_api_server_about_a_token_of_kubernetes";
    let Some(plane) = shared_or_skip(name).await else { return };
    let Some(vault) = Vault::start(name).await else { return };
    plane.namespace("vault", &[], &[]).await.expect("a namespace with its service account");
    let binding =
        "create clusterrolebinding vault --clusterrole=system:auth-delegator --serviceaccount=vault:default";
    let kubectl = async |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        plane.kubectl(&words, "").await.expect("kubectl")
    };
    kubectl(binding).await;
    let token = kubectl("create token default --namespace=vault").await;
    vault.enable_kubernetes("kubernetes", plane).await;
    let role = json!({
        "bound_service_account_names": ["default"],
        "bound_service_account_namespaces": ["vault"],
        "audience": "https://kubernetes.default.svc.cluster.local",
    });
    vault.write("auth/kubernetes/role/shop", &role).await;

    let login = |jwt: &str| json!({"role": "shop", "jwt": jwt});
    let granted = vault.write("auth/kubernetes/login", &login(token.trim())).await;
    assert_eq!(granted["auth"]["metadata"]["service_account_namespace"], "vault");
    let (signed, signature) = token.trim().rsplit_once('.').expect("a signed token");
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    let refused = vault.request(&Method::POST, "auth/kubernetes/login", "", Some(&login(&forged))).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.body);
}

#[tokio::test]
async fn a_server_ends_with_its_handle() {
    let Some(drongo) = Drongo::start("a_server_ends_with_its_handle").await else { return };
    let address = drongo.address();
    let address = address.strip_prefix("http://").expect("plain HTTP");
    assert!(tokio::net::TcpStream::connect(address).await.is_ok());
    drop(drongo);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
