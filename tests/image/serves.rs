//! The webhook in the image, with the configuration that is shipped: it is ready, it injects, it ends when told to.

use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::container::{Container, empty_volume, volume};
use super::layout::Layout;
use super::support::https;
use super::support::wait::until;
use super::support::webhook::get;

const CONFIGURATION: &str = include_str!("../../webhook-config/base/config.yaml");
const REVIEW: &str = include_str!("../data/reviews/01-kees-example.json");
const BOUND: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_webhook_is_ready_injects_and_ends() {
    let Some(image) = Layout::or_skip("the_webhook_is_ready_injects_and_ends") else { return };
    let config = volume(&[("config.yaml", CONFIGURATION)]);
    let certificates = empty_volume();
    let mut container = Container::new(&image);
    container.mount(config.path(), "/etc/keystow");
    container.mount(certificates.path(), "/tls");
    let mut running = container.start(&[
        "webhook",
        "--config=/etc/keystow/config.yaml",
        "--listen=127.0.0.1:0",
        "--admin=127.0.0.1:0",
        "--self-signed=/tls",
        "--self-signed-name=127.0.0.1",
        "--drain-delay=0s",
        "--log-format=json",
    ]);
    let (address, admin) = running.addresses().await;
    let ready = async || get(admin, "/readyz").await.is_some_and(|(status, _)| status == 200).then_some(());
    until(BOUND, ready).await.unwrap_or_else(|| panic!("not ready: {}", running.log()));

    let status = running.status();
    assert_eq!((status["NoNewPrivs"].as_str(), status["Groups"].as_str()), ("1", ""), "{status:?}");
    assert_eq!(u64::from_str_radix(&status["CapEff"], 16), Ok(0), "{status:?}");
    assert!(!status["Uid"].split_whitespace().any(|user| user == "0"), "{status:?}");
    let options = running.root_options();
    assert!(options.split(',').any(|option| option == "ro"), "its root may be written: {options}");

    let ca = fs::read_to_string(certificates.path().join("ca.crt")).unwrap();
    let answer = https::post(address, &ca, "application/json", REVIEW.as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    let asked: Value = serde_json::from_str(REVIEW).unwrap();
    assert_eq!(answer["response"]["uid"], asked["request"]["uid"]);
    assert_eq!(answer["response"]["allowed"], true, "{answer}");
    let patch = STANDARD.decode(answer["response"]["patch"].as_str().unwrap()).unwrap();
    let patch: Vec<Value> = serde_json::from_slice(&patch).unwrap();
    let containers = patch.iter().find(|operation| operation["path"] == "/spec/initContainers").unwrap();
    assert_eq!(containers["value"][0]["name"], "keystow-init", "{patch:?}");

    assert_eq!(running.terminate().await, Some(0), "{}", running.log());
}
