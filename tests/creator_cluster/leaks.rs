//! No value that a creator makes is in what it says or shows of itself: logs, Events, metrics, its command line, its
//! environment, a core.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;

use super::fixture::{Cluster, SECRETS, WITHIN};
use crate::support::wait::until;

const ASKED: &[(&str, &str)] = &[
    ("secret/rsa_private", "kind=DYNAMIC,type=RSA,size=2048"),
    ("secret/ec_private", "kind=DYNAMIC,type=EC,size=256"),
    ("secret/ed_private", "kind=DYNAMIC,type=ED25519"),
    ("secret/mail_private", "kind=DYNAMIC,type=GPG,size=2048,userId=mail<mail@example.org>"),
    ("secret/noise", "kind=DYNAMIC,type=RANDOM,size=256"),
    ("secret/db_password", "kind=DYNAMIC,type=PASSWORD,size=256"),
    ("secret/api-key-a_consumer", "kind=DYNAMIC,type=RANDOM,size=256"),
    ("secret/half_private", "kind=DYNAMIC,type=RSA,size=2048"),
];
/// All that can be asked for, of libraries too.
const LEVELS: &str =
    "trace,kube=trace,kube_client=trace,kube_runtime=trace,hyper=trace,tower=trace,rustls=trace";

/// How a value may be written down, each as a piece that is long enough to be nothing else.
fn forms(value: &[u8]) -> Vec<String> {
    // A line of PEM in the midst, and else the end: what a key begins with, all keys begin with.
    let text = std::str::from_utf8(value).ok();
    let piece = match text.filter(|text| text.starts_with("-----BEGIN")) {
        Some(armour) => armour.lines().nth(6).unwrap().as_bytes(),
        None => &value[value.len() - value.len().min(24)..],
    };
    let hex =
        |between: &str| piece.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(between);
    let list = |between: &str| piece.iter().map(u8::to_string).collect::<Vec<_>>().join(between);
    let mut forms =
        vec![hex(""), hex("").to_uppercase(), hex(" "), list(", "), list(","), format!("{piece:?}")];
    forms.extend(text.map(|_| String::from_utf8_lossy(piece).into_owned()));
    // base64 at each of the three places that the piece can have, without what its neighbours have a part in.
    for skip in 0..3 {
        let whole = &piece[skip..skip + (piece.len() - skip) / 3 * 3];
        forms.extend([STANDARD.encode(whole), URL_SAFE.encode(whole)]);
    }
    forms
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creator_shows_no_value() {
    let Some(cluster) = Cluster::start("leaks", SECRETS).await else { return };
    let namespace = cluster.namespace("pods").await;
    for (round, format) in ["json", "text"].into_iter().enumerate() {
        let (pod, prefix) = (format!("p-{format}"), format!("/{format}"));
        let half = serde_json::json!({"public": "a-value-that-somebody-put-there"});
        cluster.put(&namespace, &format!("{format}--half"), &half).await;
        let asked = [&[("init/storage-prefix", prefix.as_str())], ASKED].concat();
        cluster.create(&namespace, &cluster.pod(&pod, &asked)).await;
        let flags = ["--log", LEVELS, "--log-format", format];
        let mut creator = cluster.leader(&format!("creator-{format}"), &flags, &[]).await;
        cluster.is_told(&namespace, &pod, "SecretIncomplete").await;
        let made = async || (cluster.secrets(&namespace).await.len() == 14 * (round + 1)).then_some(());
        until(WITHIN, made).await.unwrap_or_else(|| panic!("{}", creator.log_text()));
        let served = async || (creator.counted("duration_seconds_count", &[]).await > 0.5).then_some(());
        until(WITHIN, served).await.expect("a turn");

        let process = format!("/proc/{}", creator.pid());
        let read = |file: &str| fs::read(format!("{process}/{file}")).unwrap();
        let mut shown: Vec<(String, Vec<u8>)> = ["cmdline", "environ", "comm", "status", "maps", "limits"]
            .map(|file| (file.to_owned(), read(file)))
            .into();
        shown.push(("metrics".to_owned(), creator.metrics().await.into_bytes()));
        let limits = String::from_utf8(read("limits")).unwrap();
        let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(cores.split_whitespace().filter(|word| *word == "0").count(), 2, "{cores}");
        // Told to dump its memory, it does not.
        creator.signal("QUIT").await;
        let status = creator.status().await;
        assert!(status.signal() == Some(3) && !status.core_dumped(), "{status}");
        shown.push(("log".to_owned(), creator.log_text().into_bytes()));
        let events: Api<Event> = Api::namespaced(cluster.client.clone(), &namespace);
        let events = events.list(&ListParams::default()).await.unwrap();
        assert!(events.items.len() >= 2);
        shown.push(("Events".to_owned(), serde_json::to_vec(&events).unwrap()));

        for (path, value) in cluster.secrets(&namespace).await {
            for form in forms(&value) {
                for (what, text) in &shown {
                    let text = String::from_utf8_lossy(text);
                    assert!(!text.contains(&form), "{what} ({format}) shows the value of {path}");
                }
            }
        }
        let log = creator.log_text();
        assert!(log.contains("generated"), "it says what it does: {log}");
        assert!(!log.contains("PRIVATE KEY"), "{format}");
    }
}

#[test]
fn a_value_would_be_found() {
    let value = b"\x30\x01\xff0123456789abcdef-0123456789\x00\x01\x02\x03";
    for before in 0..3 {
        let whole = STANDARD.encode([&vec![7; before][..], value, b"after"].concat());
        assert!(forms(value).iter().any(|form| whole.contains(form)), "base64 at {before}: {whole}");
    }
    for text in [format!("{value:?}"), value.iter().map(|byte| format!("{byte:02x}")).collect()] {
        assert!(forms(value).iter().any(|form| text.contains(form.as_str())), "{text}");
    }
}
