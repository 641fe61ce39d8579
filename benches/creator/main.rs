//! The creator with ten thousand annotated pods on a real API server: what it takes of memory, time and requests.
//!
//! Flow: a control plane, the creator's account with the shipped rights → pods of a hundred Deployments in ten namespaces,
//! each Deployment with a key pair of its own, and a tenth of the pods with a lease → the creator as a process → when every
//! pod had its turn, figures on stdout; they go into `benches/RESULTS.md` by hand. Everything is on loopback, is bounded and
//! ends with this process.
//!
//! `cargo bench --bench creator` builds what is measured; `cargo test --bench creator` runs the development build, whose
//! memory is alike and whose time is not.

#[path = "../../tests/support/mod.rs"]
mod support;

#[path = "../load/screen.rs"]
#[allow(dead_code, reason = "the part of it that this needs")]
mod screen;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use support::control_plane::{ControlPlane, ControlPlaneError};
use support::creator::{Creator, Creators};
use support::metrics;
use support::wait::until;

const PODS: usize = 10_000;
const NAMESPACES: usize = 10;
const DEPLOYMENTS: usize = 100;
/// One pod of so many has a lease.
const LEASED: usize = 10;
/// In MiB.
const MEMORY: u64 = 64;
/// For each part.
const WITHIN: Duration = Duration::from_secs(10 * 60);
/// Requests of our own at once.
const AT_ONCE: usize = 32;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async {
        match ControlPlane::start().await {
            Ok(plane) => {
                measure(&plane).await;
                ExitCode::SUCCESS
            }
            Err(ControlPlaneError::Missing(missing)) => {
                screen::remark(&format!("skipped: {missing}"));
                ExitCode::SUCCESS
            }
            Err(error) => {
                screen::error(&error.to_string());
                ExitCode::FAILURE
            }
        }
    })
}

async fn measure(plane: &ControlPlane) {
    let configuration = "stores: {cluster: {kubernetes: {}}}\n";
    let creators = Creators::new(plane, "keystow", env!("CARGO_BIN_EXE_keystow"), configuration).await;
    let mut idle = creators.replica("idle", &[], &[]).await;
    leads(&idle).await;
    let base = idle.peak() >> 10;
    // In order, so that the Lease is free.
    idle.terminate().await;
    assert_eq!(idle.exit_code().await, Some(0), "{}", idle.log_text());

    screen::error(&format!("    {PODS} pods are created"));
    create(plane, &creators).await;
    let before = Asked::of(plane).await;
    let began = Instant::now();
    let creator = creators.replica("creator", &["--resync=10s"], &[]).await;
    leads(&creator).await;
    let led = began.elapsed();
    let served = async || {
        let page = creator.metrics().await;
        let count = |name: &str| metrics::sum(&page, &format!("keystow_creator_{name}"), &[]) as usize;
        let all = count("duration_seconds_count") >= PODS && count("leases_assigned_total") >= PODS / LEASED;
        all.then(|| count("failures_total"))
    };
    let failures =
        until(WITHIN, served).await.unwrap_or_else(|| panic!("not served: {}", creator.log_text()));
    let took = began.elapsed();
    // Comparisons of leases with pods, too.
    let since = creator.counted("resync_timestamp_seconds", &[]).await;
    let compared = async || (creator.counted("resync_timestamp_seconds", &[]).await > since).then_some(());
    until(WITHIN, compared).await.expect("another comparison");
    let asked = Asked::of(plane).await.since(&before);
    report(&creator, base, led, took, failures, &asked);
}

fn report(creator: &Creator, base: u64, led: Duration, took: Duration, failures: usize, asked: &Asked) {
    screen::title(&format!(
        "{PODS} pods of {DEPLOYMENTS} Deployments in {NAMESPACES} namespaces, {} of them with a lease; store kubernetes",
        PODS / LEASED
    ));
    let peak = creator.peak() >> 10;
    let mut table = screen::Table::new(["what", "found"]);
    table.row(["peak of memory, MiB".into(), peak.to_string()]);
    table.row(["the same without pods, MiB".into(), base.to_string()]);
    table.row(["from start to leading, s".into(), format!("{:.1}", led.as_secs_f64())]);
    table.row(["from start to all served, s".into(), format!("{:.1}", took.as_secs_f64())]);
    table.row(["turns that left something open".into(), failures.to_string()]);
    for (what, count) in asked.rows() {
        table.row([what.into(), count.to_string()]);
    }
    table.write();
    screen::budget(&format!("at most {MEMORY} MiB"), peak <= MEMORY);
    screen::budget("one watch of pods, no list", asked.pod_lists == 0 && asked.pod_watches == 1);
}

/// What the API server counted.
struct Asked {
    pod_lists: usize,
    pod_watches: usize,
    reads: usize,
    creations: usize,
    changes: usize,
    lists: usize,
    events: usize,
}

impl Asked {
    async fn of(plane: &ControlPlane) -> Self {
        let page = plane.metrics().await.expect("the metrics of the API server");
        let count = |metric: &str, resource: &str, verb: &str| {
            metrics::sum(&page, &format!("apiserver_{metric}"), &[("resource", resource), ("verb", verb)])
                as usize
        };
        let total = |resource: &str, verb: &str| count("request_total", resource, verb);
        Self {
            pod_lists: total("pods", "LIST"),
            pod_watches: count("longrunning_requests", "pods", "WATCH"),
            reads: total("secrets", "GET"),
            creations: total("secrets", "POST"),
            changes: total("secrets", "PATCH") + total("secrets", "DELETE"),
            lists: total("secrets", "LIST"),
            events: total("events", "POST"),
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            pod_lists: self.pod_lists - before.pod_lists,
            pod_watches: self.pod_watches.saturating_sub(before.pod_watches),
            reads: self.reads - before.reads,
            creations: self.creations - before.creations,
            changes: self.changes - before.changes,
            lists: self.lists - before.lists,
            events: self.events - before.events,
        }
    }

    fn rows(&self) -> [(&'static str, usize); 7] {
        [
            ("lists of pods", self.pod_lists),
            ("watches of pods", self.pod_watches),
            ("Secrets read", self.reads),
            ("Secrets created", self.creations),
            ("Secrets changed or deleted", self.changes),
            ("lists of Secrets", self.lists),
            ("Events", self.events),
        ]
    }
}

async fn create(plane: &ControlPlane, creators: &Creators<'_>) {
    let client = plane.client().await.expect("a client");
    for number in 0..NAMESPACES {
        let name = namespace(number);
        plane.namespace(&name, &[("inject.bsycorp.com/enabled", "true")], &[]).await.expect("a namespace");
        creators.may_keep_secrets_in(&name).await;
    }
    let pods = stream::iter(0..PODS).map(|number| {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace(number % NAMESPACES));
        async move { pods.create(&PostParams::default(), &pod(number)).await.map(drop) }
    });
    pods.buffer_unordered(AT_ONCE).for_each(|created| async { created.expect("a created pod") }).await;
}

fn namespace(number: usize) -> String {
    format!("pods-{number}")
}

/// A Deployment is in one namespace.
fn pod(number: usize) -> Pod {
    let deployment = number % DEPLOYMENTS;
    let mut annotations = json!({
        "init.bsycorp.com/storage-prefix": "/shop",
        format!("secret.bsycorp.com/app-{deployment}_private"): "kind=DYNAMIC,type=EC,size=256",
    });
    // Of each namespace as many.
    if (number / NAMESPACES).is_multiple_of(LEASED) {
        let last = PODS / LEASED / NAMESPACES - 1;
        annotations["lease.bsycorp.com/shard"] = json!(format!("kind=INDEX,rangeStart=0,rangeEnd={last}"));
    }
    let pod = json!({
        "metadata": {"name": format!("app-{deployment}-{number}"), "annotations": annotations},
        "spec": {"containers": [{"name": "app", "image": "registry.example/app:1"}]},
    });
    serde_json::from_value(pod).expect("a pod")
}

async fn leads(creator: &Creator) {
    let leads = until(WITHIN, async || creator.leads().await.then_some(())).await;
    leads.expect("a creator that leads");
}
