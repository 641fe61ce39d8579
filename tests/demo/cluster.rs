//! The demo with a control plane: the API server calls the webhook, and what it stored is run.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, EnvVar, Pod, Secret, VolumeMount};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;

use super::application::{self, Stage, show};
use super::examples::{self, Example, SECRET};
use super::program::{Keystow, Webhook};
use super::support::control_plane::{ControlPlane, at_address};
use super::support::node::ClusterSource;
use super::support::wait::until;
use super::{Failure, Outcome, screen};

const STATUS: &str = "inject.bsycorp.com/status";
/// How long an API server may take to learn of a new webhook configuration.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(30);

pub(crate) async fn demo(keystow: &Keystow, examples: &[Example], stage: &Stage) -> Outcome<()> {
    let start = async {
        ControlPlane::start().await.map_err(|error| Failure::new("starting a control plane", error))
    };
    let plane = screen::step("start etcd and kube-apiserver, on loopback", start).await?;
    let webhook =
        screen::step("start keystow webhook, with a self-signed certificate", keystow.webhook()).await?;
    let client = plane.client().await.map_err(|error| Failure::new("talking to the API server", error))?;
    let objects = "apply MutatingWebhookConfiguration inject-keystow and namespace demo";
    screen::step(objects, apply(&plane, &webhook, &client, examples)).await?;
    let first = Api::<Pod>::namespaced(client.clone(), "demo");
    screen::step("wait until the API server asks the webhook", in_force(&first, &examples[0])).await?;

    for example in examples {
        screen::title(&format!("{}: {}", example.name(), example.shows));
        screen::note(
            "what keystow adds and why, before and after, as `keystow inject --explain` shows it:\n",
        );
        keystow.explain(&example.file).await?;
        if let Some(workload) = &example.workload.template_of {
            screen::note(&format!(
                "no controller runs here: the pod is made from the template of {workload}"
            ));
        }
        let pods = Api::<Pod>::namespaced(client.clone(), "demo");
        let created = screen::step(
            "create the pod, which the API server lets keystow complete",
            create(&pods, example),
        );
        let pod = created.await?;
        show_stored(&pod);
        let node = stage.node(ClusterSource(client.clone())).with_api_server(plane.port());
        show(node, pod, example).await?;
    }
    screen::title("the end");
    screen::step("drain keystow webhook", webhook.drained()).await
}

/// Applies what an operator and the authors would apply.
async fn apply(
    plane: &ControlPlane,
    webhook: &Webhook,
    client: &Client,
    examples: &[Example],
) -> Outcome<()> {
    let step = "applying the manifests";
    let namespace = examples::object("examples", "namespace.yaml")?;
    let labels = examples::labels(&namespace);
    let labels: Vec<(&str, &str)> =
        labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    plane.namespace("demo", &labels, &[]).await.map_err(|error| Failure::new(step, error))?;

    let mut configuration = examples::object("base", "mutatingwebhookconfiguration.yaml")?;
    at_address(&mut configuration, &webhook.address, &webhook.ca_pem);
    let others = examples.iter().flat_map(|example| &example.others);
    for object in std::iter::once(&configuration).chain(others) {
        plane
            .kubectl(&["apply", "-f", "-"], &object.to_string())
            .await
            .map_err(|error| Failure::new(step, error))?;
    }

    let (name, key) = SECRET;
    let secret = json!({"metadata": {"name": name}, "stringData": {key: application::made_up_value()?}});
    let secret: Secret = serde_json::from_value(secret).map_err(|error| Failure::new(step, error))?;
    let secrets = Api::namespaced(client.clone(), "demo");
    secrets.create(&PostParams::default(), &secret).await.map_err(|error| Failure::new(step, error))?;
    Ok(())
}

/// Tries, without creating anything, until a pod comes back injected.
async fn in_force(pods: &Api<Pod>, example: &Example) -> Outcome<()> {
    let step = "waiting for the webhook to be asked";
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let attempt = async || match pods.create(&dry, &example.workload.pod).await {
        Ok(pod) => status(&pod).is_some().then_some(Ok(())),
        Err(error) => Some(Err(Failure::new(step, error))),
    };
    let late = || Err(Failure::new(step, format!("it was not within {IN_FORCE_WITHIN:?}")));
    until(IN_FORCE_WITHIN, attempt).await.unwrap_or_else(late)
}

async fn create(pods: &Api<Pod>, example: &Example) -> Outcome<Pod> {
    let step = format!("creating {}", example.name());
    let created = pods.create(&PostParams::default(), &example.workload.pod).await;
    let pod = created.map_err(|error| Failure::new(step.clone(), error))?;
    match status(&pod) {
        Some(_) => Ok(pod),
        None => Err(Failure::new(step, "the API server stored it without what keystow adds")),
    }
}

fn status(pod: &Pod) -> Option<&str> {
    pod.metadata.annotations.as_ref()?.get(STATUS).map(String::as_str)
}

/// What the API server stored, as far as keystow has to do with it.
fn show_stored(pod: &Pod) {
    let Some(spec) = &pod.spec else { return };
    screen::note(&format!("stored as pod {}:", pod.metadata.name.as_deref().unwrap_or_default()));
    screen::entry("service account", spec.service_account_name.as_deref().unwrap_or_default());
    for container in spec.init_containers.iter().flatten() {
        let text = format!("image {}; {}", container.image.as_deref().unwrap_or_default(), parts(container));
        screen::entry(&format!("init container {}", container.name), &text);
    }
    for container in &spec.containers {
        screen::entry(&format!("container {}", container.name), &parts(container));
    }
    for volume in spec.volumes.iter().flatten() {
        let kind = match volume {
            volume if volume.empty_dir.is_some() => "emptyDir",
            volume if volume.downward_api.is_some() => "downwardAPI",
            volume if volume.secret.is_some() => "secret",
            _ => "projected",
        };
        screen::entry(&format!("volume {}", volume.name), kind);
    }
    screen::entry("annotation inject.…/status", status(pod).unwrap_or_default());
}

/// The mounts of a container, and its variables from Secrets.
fn parts(container: &Container) -> String {
    let mount = |mount: &VolumeMount| {
        let read_only = if mount.read_only == Some(true) { " (read-only)" } else { "" };
        format!("{}{read_only}", mount.mount_path)
    };
    let mounts: Vec<String> = container.volume_mounts.iter().flatten().map(mount).collect();
    let variable = |variable: &EnvVar| {
        let key = variable.value_from.as_ref()?.secret_key_ref.as_ref()?;
        Some(format!("{} from Secret {}, key {}", variable.name, key.name, key.key))
    };
    let variables: Vec<String> = container.env.iter().flatten().filter_map(variable).collect();
    let parts = [("mounts", mounts), ("env", variables)];
    let parts = parts.iter().filter(|(_, list)| !list.is_empty());
    parts.map(|(what, list)| format!("{what} {}", list.join(", "))).collect::<Vec<_>>().join("; ")
}
