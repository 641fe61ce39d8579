//! Alerts and dashboard: the metrics that they name exist, with the label values that they look for, and every alert has its
//! section in the runbook. So has every Event that the creator and the rotation write.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;

use super::objects::text;
use super::support::wait::until;
use super::support::webhook::{Files, Webhook, get};
use super::tools::shipped;

/// Metrics of others: Prometheus itself, kube-state-metrics, the API server, the kubelet.
const OF_OTHERS: [&str; 6] = [
    "apiserver_admission_webhook_rejection_count",
    "container_cpu_usage_seconds_total",
    "container_memory_working_set_bytes",
    "kube_deployment_spec_replicas",
    "kube_deployment_status_replicas_available",
    "up",
];

/// Labels that keystow sets itself, whose values are closed sets.
const OWN_LABELS: [&str; 4] = ["change", "outcome", "reason", "step"];

/// Those that are there once a Secret asks for rotation: `tests/rotate/metrics.rs` finds them on the page of a controller.
const OF_SECRETS: [&str; 4] = [
    "keystow_rotation_failing",
    "keystow_rotation_keys",
    "keystow_rotation_next_change_timestamp_seconds",
    "keystow_rotation_signing_since_timestamp_seconds",
];

const KEYSTOW: &str = env!("CARGO_BIN_EXE_keystow");

/// How long a program may take to serve its metrics.
const BOUND: Duration = Duration::from_secs(60);

/// The pages of metrics of all programs that have one, which have just started, with all that the manifests ask for. No API
/// server is there.
async fn page() -> String {
    let provider = "provider: {keys: a/b, audience: a, callers: [{subject: a}]}";
    let files = Files::new(KEYSTOW, &format!("injection: {{image: 'keystow:test'}}\n{provider}\n"));
    let kubeconfig = files.path("kubeconfig");
    let cluster = json!({"server": "https://127.0.0.1:1"});
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "nobody",
        "clusters": [{"name": "nobody", "cluster": cluster}],
        "contexts": [{"name": "nobody", "context": {"cluster": "nobody", "user": ""}}],
    });
    fs::write(&kubeconfig, text.to_string()).unwrap();
    let flags = ["--self-managed", "--find-uninjected", "--pod-name=any"];
    let environment = [("KUBECONFIG", kubeconfig.to_str().unwrap())];
    let webhook = Webhook::spawn(Arc::clone(&files), "log", &flags, &environment).await;
    let file = |name: &str| files.path(name).to_str().unwrap().to_owned();
    let (configuration, tls) = (file("config.yaml"), file("provider-tls"));
    let mut page = webhook.metrics().await;
    page += &page_of(&kubeconfig, &["create", "--config", &configuration]).await;
    page += &page_of(&kubeconfig, &["rotate", "--config", &configuration]).await;
    for metric in OF_SECRETS {
        writeln!(page, "{metric}{{secret_namespace=\"iam\",secret=\"iam-signing-keys\"}} 0").unwrap();
    }
    let provide = ["provide", "--config", &configuration, "--self-signed", &tls, "--listen=127.0.0.1:0"];
    page + &page_of(&kubeconfig, &provide).await
}

/// The page of a program without a webhook, which is given these arguments.
async fn page_of(kubeconfig: &Path, arguments: &[&str]) -> String {
    // Free a moment ago.
    let admin: SocketAddr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // Killed by the kernel should this process be killed, and with its value otherwise.
    let mut program = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", KEYSTOW])
        .args(arguments)
        .args(["--pod-name=any", "--namespace=keystow", &format!("--admin={admin}")])
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let page = until(BOUND, || {
        let ended = program.try_wait().unwrap();
        assert!(ended.is_none(), "{arguments:?} ended: {ended:?}");
        get(admin, "/metrics")
    });
    page.await.expect("its metrics").1
}

/// A metric that an expression names, with what is asked of its labels.
#[derive(Debug)]
struct Selector<'e> {
    metric: &'e str,
    matchers: &'e str,
}

/// The selectors of an expression: names that are metrics by their prefix, or by the brace or bracket that follows.
fn selectors(expression: &str) -> Vec<Selector<'_>> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(word) {
        let (metric, after) =
            rest[start..].split_at(rest[start..].find(|c| !word(c)).unwrap_or(rest.len() - start));
        rest = after;
        let matchers = after.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        if let Some((matchers, after)) = matchers {
            rest = after;
            found.push(Selector { metric, matchers });
        } else if metric.starts_with("keystow_") || after.starts_with('[') {
            found.push(Selector { metric, matchers: "" });
        }
    }
    found
}

/// What is wrong with an expression, by the page of metrics.
fn mistakes(expression: &str, page: &str) -> Vec<String> {
    let mut mistakes = Vec::new();
    let found = selectors(expression);
    if found.is_empty() {
        mistakes.push(format!("no metric is named in {expression}"));
    }
    for Selector { metric, matchers } in found {
        if OF_OTHERS.contains(&metric) {
            continue;
        }
        let samples: Vec<&str> = page
            .lines()
            .filter(|line| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .collect();
        if samples.is_empty() {
            mistakes.push(format!("there is no metric {metric}"));
        }
        for matcher in matchers.split(", ") {
            let Some((label, values)) = matcher.split_once('=') else { continue };
            let values = values.trim_start_matches('~').trim_matches('"');
            for value in values.split('|').filter(|_| OWN_LABELS.contains(&label)) {
                let sample = format!("{label}=\"{value}\"");
                if !samples.iter().any(|line| line.contains(&sample)) {
                    mistakes.push(format!("{metric} has no {sample}"));
                }
            }
        }
    }
    mistakes
}

#[test]
fn mistakes_in_expressions_are_seen() {
    let page = "a_total{outcome=\"x\"} 0\nkeystow_b_bucket{le=\"1\"} 0\nkeystow_leader 0\n";
    for expression in [
        "sum by (le) (rate(keystow_b_bucket[5m]))",
        "a_total{job=\"j\", outcome=\"x\"} / time() > 7 * 86400",
        "a_total{outcome=~\"x\"} and max(keystow_leader) == 0",
    ] {
        assert!(mistakes(expression, page).is_empty(), "{expression}: {:?}", mistakes(expression, page));
    }
    for expression in [
        "vector(1)",
        "keystow_c > 0",
        "rate(c_total[5m])",
        "a_total{outcome=\"y\"}",
        "a_total{outcome=~\"x|y\"}",
        "keystow_b",
    ] {
        assert_eq!(mistakes(expression, page).len(), 1, "{expression}");
    }
}

fn rules() -> Vec<Value> {
    let text = fs::read_to_string(shipped("chart/monitoring/prometheusrule.yaml")).unwrap();
    let rule: Value = serde_saphyr::from_str(&text).unwrap();
    let groups = rule["spec"]["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&fs::read_to_string(shipped("chart/monitoring/dashboard.json")).unwrap()).unwrap()
}

#[tokio::test]
async fn metrics_of_the_alerts_exist() {
    let page = page().await;
    for rule in rules() {
        let found = mistakes(text(&rule["expr"]), &page);
        assert!(found.is_empty(), "{}: {found:?}", rule["alert"]);
    }
}

#[tokio::test]
async fn metrics_of_the_dashboard_exist_and_all_metrics_are_shown() {
    let page = page().await;
    let dashboard = dashboard();
    let mut shown = String::new();
    for panel in dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        for target in panel["targets"].as_array().unwrap() {
            let found = mistakes(text(&target["expr"]), &page);
            assert!(found.is_empty(), "{}: {found:?}", panel["title"]);
            shown.push_str(text(&target["expr"]));
        }
    }
    let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    for family in families {
        assert!(shown.contains(family), "{family} is on no panel");
    }
}

/// The README's table has each metric once, under the name that is scraped.
#[tokio::test]
async fn the_readme_has_every_metric() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `keystow_"));
    let told: Vec<&str> = rows.filter_map(|row| row.split(['{', '`']).next()).collect();
    let page = page().await;
    // Both programs have some of them.
    let there: BTreeSet<&str> = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next()?.strip_prefix("keystow_"))
        .map(|name| {
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
        })
        .collect();
    assert_eq!(told.iter().copied().collect::<BTreeSet<_>>(), there);
    assert_eq!(told.len(), there.len(), "each once: {told:?}");
}

/// Panels do not lie upon one another, and each has a number of its own.
#[test]
fn panels_of_the_dashboard_have_a_place_each() {
    let dashboard = dashboard();
    let mut taken = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(numbers.insert(panel["id"].as_u64().unwrap()), "{}", panel["title"]);
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24, "{} is too wide", panel["title"]);
        for place in (x..x + w).flat_map(|column| (y..y + h).map(move |line| (column, line))) {
            assert!(taken.insert(place), "{} lies on another panel", panel["title"]);
        }
    }
}

/// The title of each section of the runbook that is about an alert.
fn sections(runbook: &str) -> BTreeSet<&str> {
    runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .filter(|title| title.starts_with("Keystow"))
        .collect()
}

#[test]
fn every_alert_says_what_to_do() {
    let runbook = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbook.md")).unwrap();
    let rules = rules();
    let alerts: BTreeSet<&str> = rules.iter().map(|rule| text(&rule["alert"])).collect();
    assert_eq!(alerts, sections(&runbook));
    for rule in &rules {
        let name = text(&rule["alert"]);
        assert!(matches!(text(&rule["labels"]["severity"]), "warning" | "critical"), "{name}");
        for field in ["summary", "description"] {
            assert!(text(&rule["annotations"][field]).ends_with('.'), "{name}: {field}");
        }
        let anchor = format!("docs/runbook.md#{}", name.to_lowercase());
        assert_eq!(text(&rule["annotations"]["runbook"]), anchor);
    }
    for section in runbook.split("\n## Keystow").skip(1) {
        let name = section.lines().next().unwrap();
        for part in ["**What it means.**", "**What still works.**", "**Look at.**", "**Do.**"] {
            assert!(section.contains(part), "Keystow{name} has no {part}");
        }
        assert!(section.contains("```sh\n"), "Keystow{name} has no commands");
    }
}

/// What the creator writes beside pods, and what their authors then search the runbook for.
const EVENTS: [&str; 8] = [
    "SecretsGenerated",
    "LeaseAssigned",
    "SecretsWaiting",
    "SecretsInvalid",
    "SecretIncomplete",
    "LeaseExhausted",
    "LeaseConflict",
    "LeaseUnsupported",
];

/// What the rotation writes beside Secrets and workloads.
const EVENTS_OF_THE_ROTATION: [&str; 7] = [
    "KeysAdopted",
    "KeyPublished",
    "KeySigns",
    "KeyRetired",
    "KeyRevoked",
    "RotationFailed",
    "SecretChanged",
];

#[test]
fn every_event_says_what_to_do() {
    let runbook = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbook.md")).unwrap();
    let rows: Vec<&str> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|word| EVENTS.contains(word) || EVENTS_OF_THE_ROTATION.contains(word))
        .collect();
    assert_eq!(rows, [&EVENTS[..], &EVENTS_OF_THE_ROTATION].concat(), "the tables of Events");
}
