//! The webhook as a real API server sees it: `apiserver_admission_webhook_admission_duration_seconds` while pods are
//! created, beside constant answers, and the calls that a pod costs.
//!
//! What the API server measures is the call and the application of the patch. So the constant answer to compare with
//! is the one that has keystow's own patch; the one without a patch tells what patching costs the API server. For one
//! patch to fit all pods they bring the volume of their API token themselves, where the ServiceAccount plugin would
//! make one with a random name.

use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;
use tokio::task::JoinSet;

use crate::CONTESTANTS;
use crate::managed::control_plane;
use crate::process::{Contestant, Material, Process};
use crate::screen::{self, Table};
use crate::statistics::{Spread, median};
use crate::support::control_plane::ControlPlane;
use crate::support::metrics;
use crate::support::wait::until;
use crate::support::webhook::{TEST_LABEL, apply_configuration};

const CLIENTS: usize = 4;
const ROUNDS: usize = 12;
/// Pods of one turn.
const PODS: usize = 250;
const MOST_RATIO: f64 = 1.25;
const OPT_IN: (&str, &str) = ("inject.bsycorp.com/enabled", "true");
/// How long the API server may take to see a configuration.
const IN_EFFECT_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);
/// The name of the shipped webhook in the API server's metrics.
const WEBHOOK: &str = "inject.bsycorp.com";
const DURATION: &str = "apiserver_admission_webhook_admission_duration_seconds";

/// One contestant with a namespace whose pods are sent to it, and what its turns yielded.
struct Entry {
    contestant: Contestant,
    namespace: &'static str,
    process: Process,
    means: Vec<f64>,
    calls: f64,
    seconds: Vec<f64>,
}

/// How often the API server called, and how long that took it.
#[derive(Clone, Copy)]
struct Called {
    times: f64,
    seconds: f64,
}

pub(crate) async fn measure(material: &Material) {
    screen::title(&format!(
        "Pods created by a real API server, {CLIENTS} clients: {ROUNDS} turns of {PODS} pods each; medians (lowest-highest)"
    ));
    let Some(plane) = control_plane().await else { return };
    let mut entries = Vec::new();
    for contestant in CONTESTANTS {
        entries.push(Entry::start(contestant, &plane, material).await);
    }
    // Not measured: both sides open their connections.
    for entry in &entries {
        create(&plane, entry.namespace, "warm", PODS).await;
    }
    for round in 0..ROUNDS {
        screen::progress(round, ROUNDS);
        for turn in 0..entries.len() {
            let next = (round + turn) % entries.len();
            entries[next].turn(&plane, round).await;
        }
    }
    write(&entries).await;
}

impl Entry {
    async fn start(contestant: Contestant, plane: &ControlPlane, material: &Material) -> Self {
        let namespace = match contestant {
            Contestant::Keystow => "keystow-bench",
            Contestant::SameAnswer => "same-answer",
            Contestant::Allowed => "allowed",
        };
        let process = Process::start(contestant, material).await;
        let labels = [OPT_IN, (TEST_LABEL, namespace)];
        plane.namespace(namespace, &labels, &[]).await.expect("a namespace");
        apply_configuration(
            plane,
            &format!("-{namespace}"),
            namespace,
            process.address,
            Some(&material.ca_pem()),
        )
        .await;
        let entry =
            Self { contestant, namespace, process, means: Vec::new(), calls: 0.0, seconds: Vec::new() };
        let pods = pods(plane, namespace).await;
        let in_effect = until(IN_EFFECT_WITHIN, async || {
            let dry = PostParams { dry_run: true, ..PostParams::default() };
            let created = pods.create(&dry, &pod("canary")).await.ok()?;
            let called = entry.process.metric("keystow_webhook_requests_total").await > 0.0;
            called.then_some(created)
        });
        let created = in_effect.await.expect("the configuration in effect");
        let injected = created.spec.is_some_and(|spec| spec.init_containers.is_some());
        assert_eq!(injected, contestant != Contestant::Allowed, "the canary of {namespace}");
        entry
    }

    async fn turn(&mut self, plane: &ControlPlane, round: usize) {
        let before = called(plane).await;
        let began = std::time::Instant::now();
        create(plane, self.namespace, &round.to_string(), PODS).await;
        self.seconds.push(began.elapsed().as_secs_f64());
        let after = called(plane).await;
        let calls = after.times - before.times;
        self.calls += calls;
        self.means.push((after.seconds - before.seconds) / calls * 1e3);
    }

    /// The mean of its requests as it measures them itself, in microseconds.
    async fn own_mean(&self) -> f64 {
        let duration = "keystow_webhook_request_duration_seconds";
        let sum = self.process.metric(&format!("{duration}_sum")).await;
        sum / self.process.metric(&format!("{duration}_count")).await * 1e6
    }
}

async fn write(entries: &[Entry]) {
    let mut table = Table::new([
        "",
        "mean ms",
        "keystow's mean to it",
        "of it in the webhook, µs",
        "calls/pod",
        "pods/s",
        "peak MiB",
    ]);
    let ratios = |entry: &Entry| -> Vec<f64> {
        entries[0].means.iter().zip(&entry.means).map(|(ours, its)| ours / its).collect()
    };
    let pods = (ROUNDS * PODS) as f64;
    for entry in entries {
        let ratio = match entry.contestant {
            Contestant::Keystow => String::new(),
            _ => format!("{:.2}", Spread::of(&ratios(entry))),
        };
        table.row([
            entry.contestant.name().to_owned(),
            format!("{:.2}", Spread::of(&entry.means)),
            ratio,
            format!("{:.0}", entry.own_mean().await),
            format!("{:.3}", entry.calls / pods),
            format!("{:.0}", PODS as f64 / median(&entry.seconds)),
            format!("{:.1}", entry.process.memory().peak),
        ]);
    }
    table.write();
    let same = entries.iter().find(|entry| entry.contestant == Contestant::SameAnswer);
    let ratio = same.map_or(f64::NAN, |same| median(&ratios(same)));
    screen::budget(&format!("{ratio:.2} of the constant answer, at most {MOST_RATIO}"), ratio <= MOST_RATIO);
    let calls = entries[0].calls / pods;
    screen::budget(&format!("{calls:.3} calls for each pod, 1"), (0.999..1.001).contains(&calls));
}

async fn pods(plane: &ControlPlane, namespace: &str) -> Api<Pod> {
    Api::namespaced(client(plane).await, namespace)
}

async fn client(plane: &ControlPlane) -> Client {
    plane.client().await.expect("a client of the API server")
}

/// Creates pods, each client one after another.
async fn create(plane: &ControlPlane, namespace: &str, prefix: &str, count: usize) {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let pods = pods(plane, namespace).await;
        let names: Vec<String> =
            (client..count).step_by(CLIENTS).map(|index| format!("pod-{prefix}-{index}")).collect();
        clients.spawn(async move {
            for name in names {
                pods.create(&PostParams::default(), &pod(&name)).await.expect("a created pod");
            }
        });
    }
    clients.join_all().await;
}

async fn called(plane: &ControlPlane) -> Called {
    let page = plane.metrics().await.expect("the API server's metrics");
    let sum = |what: &str| metrics::sum(&page, &format!("{DURATION}_{what}"), &[("name", WEBHOOK)]);
    Called { times: sum("count"), seconds: sum("sum") }
}

/// A pod that wants two stored secrets, and one of the cluster's.
fn pod(name: &str) -> Pod {
    let token = json!({"name": "kube-api-access-bench", "projected": {"sources": [
        {"serviceAccountToken": {"path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    ]}});
    let pod = json!({
        "metadata": {"name": name, "annotations": {
            "secret.bsycorp.com/db.password": "kind=REFERENCE,type=PASSWORD",
            "secret.bsycorp.com/signing_private": "kind=DYNAMIC,type=RSA,size=2048",
            "secret.bsycorp.com/jwt": "kind=KUBERNETES,secret=jwt-secret,key=secret-key,env=JWT_SECRET_KEY",
        }},
        "spec": {
            "containers": [{"name": "app", "image": "registry.example/app:1"}],
            "volumes": [token],
        },
    });
    serde_json::from_value(pod).expect("a pod")
}
