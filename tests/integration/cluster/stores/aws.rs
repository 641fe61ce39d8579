//! DynamoDB of moto, whose STS gives a session for the pod's token. moto looks at signatures and rights, but not at the
//! token; that it has the right audience is seen in the pod.

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_sdk_dynamodb::{Client, Config};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::{Cluster, IMAGE, KEYSTOW};
use super::{ACCOUNT, HOST, PASSWORD, is_delivered, is_kept_from_the_application, is_renewed};
use crate::support::faults::Faults;
use crate::support::node::Image;
use crate::support::servers::Moto;
use crate::support::servers::moto::REGION;

const TABLE: &str = "prod-kube-secret";
const READER: &str = "arn:aws:iam::123456789012:role/veza";
const ROLES: &[(&str, &[&str])] = &[("veza", &["dynamodb:BatchGetItem"]), ("admin", &["dynamodb:*"])];

/// Somebody who may do everything, with the vendor's own client.
async fn admin(moto: &Moto) -> Client {
    let sts = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(moto.address())
        .build();
    let login = aws_sdk_sts::Client::from_conf(sts).assume_role_with_web_identity();
    let login = login.role_arn("arn:aws:iam::123456789012:role/admin").role_session_name("test");
    let session = login.web_identity_token("token").send().await.unwrap().credentials.unwrap();
    let key = Credentials::new(
        session.access_key_id,
        session.secret_access_key,
        Some(session.session_token),
        None,
        "test",
    );
    let config = Config::builder().behavior_version(BehaviorVersion::latest()).region(Region::new(REGION));
    Client::from_conf(config.endpoint_url(moto.address()).credentials_provider(key).build())
}

async fn create_table(client: &Client) {
    let key =
        KeySchemaElement::builder().attribute_name("secretName").key_type(KeyType::Hash).build().unwrap();
    let name =
        AttributeDefinition::builder().attribute_name("secretName").attribute_type(ScalarAttributeType::S);
    let table = client.create_table().table_name(TABLE).billing_mode(BillingMode::PayPerRequest);
    table.key_schema(key).attribute_definitions(name.build().unwrap()).send().await.unwrap();
}

/// As kees puts it.
async fn put(client: &Client, path: &str, value: &str) {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let item = client.put_item().table_name(TABLE).item("secretName", text(path));
    item.item("secretValue", text(&STANDARD.encode(value))).send().await.unwrap();
}

#[tokio::test]
async fn secrets_of_dynamodb_are_delivered_and_renewed() {
    let test = "store-dynamodb";
    let Some(moto) = Moto::shared_with_roles(test, ROLES).await else { return };
    let settings = format!(
        "{{table: {TABLE}, region: {REGION}, audience: sts.amazonaws.com, roleArn: '{READER}', endpoint: '{}'}}",
        moto.address()
    );
    let configuration =
        format!("injection: {{image: '{IMAGE}'}}\nstores: {{prod: {{dynamodb: {settings}}}}}\n");
    let Some(cluster) = Cluster::start_with(test, &configuration).await else { return };
    cluster.opted_in(test).await;
    cluster.plane.service_account(test, ACCOUNT, &[]).await.unwrap();
    let client = admin(moto).await;
    create_table(&client).await;
    put(&client, "/veza/db_password", PASSWORD).await;
    put(&client, "/veza/db.host", HOST).await;

    // Where STS is, an image says that knows its region's own.
    let sts = Faults::before(moto.address().trim_start_matches("http://")).start().await;
    let image = Image::program(KEYSTOW).with_user(65532).with_env("AWS_ENDPOINT_URL_STS", &sts.url());
    let node = cluster.node().with_image(IMAGE, image);
    let running = is_delivered(&cluster, &node, test, "prod").await;
    is_kept_from_the_application(&running, "sts.amazonaws.com").await;
    let logins = sts.requests();
    assert_eq!(logins.len(), 2, "one of the init container and one of the sidecar: {logins:?}");
    put(&client, "/veza/db_password", "changed").await;
    is_renewed(&running).await;
    assert_eq!(sts.requests().len(), 2, "a session is kept");
}
