//! The seven pods whose reviews were recorded, and what the API server stores of each. By kubectl, as people do.

use serde_json::{Value, json};

use super::{Cluster, IMAGE, OPT_IN, element, elements, mount, names, status};

const PODS: &str = include_str!("../../data/cluster/pods.yaml");
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What kubectl said to a pod.
struct Said {
    success: bool,
    pod: Value,
    stderr: String,
}

/// The manifest of `name` among the recorded pods.
fn manifest(name: &str) -> &'static str {
    let mut documents = PODS.split("\n---\n");
    let is_it = |document: &&str| document.lines().any(|line| line.trim_end_matches('-').ends_with(name));
    documents.find(is_it).unwrap_or_else(|| panic!("no pod {name}"))
}

impl Cluster {
    /// `kubectl create`, with further arguments.
    async fn kubectl_create(&self, manifest: &str, arguments: &[&str]) -> Said {
        let arguments = [&["create", "-o", "json", "-f", "-"], arguments].concat();
        let output = self.plane.kubectl_output(&arguments, manifest).await.unwrap();
        let pod: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let stderr = String::from_utf8(output.stderr).unwrap();
        Said { success: output.status.success(), pod, stderr }
    }

    /// Creates the recorded pod `name`, and returns what is stored, and what kubectl said on stderr.
    async fn created(&self, name: &str) -> (Value, String) {
        let said = self.kubectl_create(manifest(name), &[]).await;
        assert!(said.success, "{name}: {}", said.stderr);
        let (name, namespace) = (&said.pod["metadata"]["name"], &said.pod["metadata"]["namespace"]);
        let get = ["get", "pod", name.as_str().unwrap(), "-n", namespace.as_str().unwrap(), "-o", "json"];
        let stored = self.plane.kubectl(&get, "").await.unwrap();
        (serde_json::from_str(&stored).unwrap(), said.stderr)
    }

    async fn denied(&self, name: &str) -> String {
        let said = self.kubectl_create(manifest(name), &[]).await;
        assert!(!said.success, "{name} was created: {}", said.pod);
        let get = self.plane.kubectl(&["get", "pod", name, "-n", "demo"], "").await;
        assert!(get.unwrap_err().to_string().contains("not found"), "{name} is stored");
        said.stderr
    }
}

/// One test, since the namespaces of the recorded pods are there once.
#[tokio::test]
async fn the_recorded_pods_are_answered_as_designed() {
    let Some(cluster) = Cluster::start("recorded").await else { return };
    cluster.opted_in("demo").await;
    let restricted = ("pod-security.kubernetes.io/enforce", "restricted");
    cluster.namespace("locked", &[OPT_IN, restricted]).await;
    cluster.plane.service_account("demo", "user-rpc", &["user-rpc-pull"]).await.unwrap();
    cluster.plane.service_account("demo", "envoy-gateway", &[]).await.unwrap();

    let (pod, stderr) = cluster.created("kees-example").await;
    kees_example(&pod, &stderr);
    let (pod, _) = cluster.created("user-rpc-7d9f8c6b5").await;
    user_rpc(&pod);
    let (pod, stderr) = cluster.created("gateway").await;
    gateway(&pod);
    assert!(!stderr.contains("Warning"), "{stderr}");
    let (pod, _) = cluster.created("locked-app").await;
    locked_app(&pod);

    let stderr = cluster.denied("bad").await;
    let message = "secret.bsycorp.com/db.password: kind=BLAH is not one of DYNAMIC, REFERENCE, KUBERNETES";
    assert!(stderr.contains(message), "{stderr}");
    assert!(stderr.contains("admission webhook \"inject.bsycorp.com\" denied the request"), "{stderr}");
    let stderr = cluster.denied("clashing").await;
    assert!(stderr.contains("container app already mounts volume secret-volume at /secret"), "{stderr}");

    dry_run(&cluster).await;
    logged(&cluster);
    let denied = cluster.webhook.requests(Some("denied")).await;
    assert_eq!(denied, 2.0, "bad and clashing");
}

/// The init container, its volumes and mounts, and the application's mount.
fn kees_example(pod: &Value, stderr: &str) {
    assert_eq!(names(pod, "initContainers"), ["keystow-init"]);
    let init = element(pod, "initContainers", "keystow-init");
    assert_eq!((&init["image"], &init["args"]), (&json!(IMAGE), &json!(["init"])));
    let store = init["env"].as_array().unwrap().iter().find(|env| env["name"] == "KEYSTOW_STORE").unwrap();
    assert_eq!(store["value"], r#"{"local":{}}"#);
    let expected = json!({
        "runAsNonRoot": true, "runAsUser": 65532, "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    assert_eq!(init["securityContext"], expected);

    let emptied = json!({"medium": "Memory", "sizeLimit": "4Mi"});
    assert_eq!(element(pod, "volumes", "keystow-secrets")["emptyDir"], emptied);
    let item = &element(pod, "volumes", "keystow-annotations")["downwardAPI"]["items"][0];
    assert_eq!(
        (&item["path"], &item["fieldRef"]["fieldPath"]),
        (&json!("annotations"), &json!("metadata.annotations"))
    );
    assert_eq!(mount(init, "keystow-secrets"), Some(("/secret", false)));
    assert_eq!(mount(init, "keystow-annotations"), Some(("/annotations", true)));
    let token = names(pod, "volumes").into_iter().find(|name| name.starts_with("kube-api-access-")).unwrap();
    assert_eq!(mount(init, token), Some((TOKEN, true)));
    let app = element(pod, "containers", "app");
    assert_eq!(mount(app, "keystow-secrets"), Some(("/secret", true)));
    assert_eq!(mount(app, "keystow-annotations"), None);
    assert_eq!(mount(app, token), Some((TOKEN, true)));

    assert_eq!(status(pod)["containers"], json!(["app"]));
    assert_eq!(status(pod)["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(pod["metadata"]["annotations"]["iam.amazonaws.com/role"], "cluster-app-role");
    let warnings: Vec<&str> = stderr.lines().filter(|line| line.starts_with("Warning: ")).collect();
    assert_eq!(warnings.len(), 2, "one for each half: {stderr}");
    for (warning, half) in warnings.iter().zip(["private", "public"]) {
        let annotation = format!("secret.bsycorp.com/signingKey.v1_{half}");
        assert!(warning.contains(&annotation) && warning.contains("foo"), "{stderr}");
    }
}

/// A variable by reference and another account, and no init container.
fn user_rpc(pod: &Value) {
    let name = pod["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("user-rpc-7d9f8c6b5-") && name.len() > "user-rpc-7d9f8c6b5-".len(), "{name}");
    assert!(elements(pod, "initContainers").is_empty(), "{pod}");
    let reference = json!({"secretKeyRef": {"name": "jwt-secret", "key": "secret-key"}});
    let expected = json!([
        {"name": "LOG_LEVEL", "value": "info"}, {"name": "JWT_SECRET_KEY", "valueFrom": reference},
    ]);
    assert_eq!(element(pod, "containers", "user-rpc")["env"], expected);
    let spec = &pod["spec"];
    assert_eq!(
        (&spec["serviceAccountName"], &spec["serviceAccount"]),
        (&json!("user-rpc"), &json!("user-rpc"))
    );
    assert_eq!(spec["imagePullSecrets"], json!([{"name": "user-rpc-pull"}]));
    assert_eq!(status(pod)["containers"], json!(["user-rpc"]));
}

/// A directory from a Secret in every container, init containers and the sidecar among them included.
fn gateway(pod: &Value) {
    let volume = &element(pod, "volumes", "keystow-secret-jwt")["secret"];
    assert_eq!(*volume, json!({"secretName": "jwt-secret", "defaultMode": 256}));
    assert_eq!(names(pod, "initContainers"), ["wait-for-xds", "log-shipper"]);
    assert_eq!(names(pod, "containers"), ["envoy", "admin"]);
    for container in elements(pod, "initContainers").iter().chain(elements(pod, "containers")) {
        assert_eq!(mount(container, "keystow-secret-jwt"), Some(("/etc/jwt", true)), "{container}");
    }
    assert_eq!(mount(element(pod, "containers", "envoy"), "config"), Some(("/etc/envoy", false)));
    assert_eq!(pod["spec"]["serviceAccountName"], "envoy-gateway");
}

/// The pod's own user and group, in a namespace that holds pods to the restricted standard.
fn locked_app(pod: &Value) {
    assert_eq!(names(pod, "initContainers"), ["keystow-init"]);
    let init = element(pod, "initContainers", "keystow-init");
    assert_eq!(init["securityContext"]["runAsUser"], 10001);
    let env = init["env"].as_array().unwrap();
    let mode = env.iter().find(|env| env["name"] == "KEYSTOW_FILE_MODE").unwrap();
    assert_eq!(mode["value"], "0400", "the reader is known to be user 10001");
    assert_eq!(mount(element(pod, "containers", "app"), "keystow-secrets"), Some(("/secret", true)));
}

/// Patched as ever, and nothing is stored.
async fn dry_run(cluster: &Cluster) {
    let said = cluster.kubectl_create(manifest("dry"), &["--dry-run=server"]).await;
    assert!(said.success, "{}", said.stderr);
    assert_eq!(names(&said.pod, "initContainers"), ["keystow-init"]);
    assert_eq!(status(&said.pod)["containers"], json!(["app"]));
    let get = cluster.plane.kubectl(&["get", "pod", "dry", "-n", "demo"], "").await;
    assert!(get.unwrap_err().to_string().contains("not found"));
}

/// One line a request, by its name or what its name is made from, and no value of an annotation.
fn logged(cluster: &Cluster) {
    let log = cluster.webhook.log();
    let line = |pod: &str| {
        let mut lines = log.iter().filter(|line| line["pod"] == pod && line["message"] == "reviewed");
        lines.next().unwrap_or_else(|| panic!("no line for {pod}: {log:?}")).clone()
    };
    for (pod, outcome) in [
        ("user-rpc-7d9f8c6b5-", "injected"),
        ("kees-example", "injected"),
        ("dry", "injected"),
        ("bad", "denied"),
    ] {
        let line = line(pod);
        assert_eq!((&line["outcome"], &line["namespace"]), (&json!(outcome), &json!("demo")), "{line}");
        assert!(line["uid"].is_string() && line["micros"].is_u64(), "{line}");
    }
    let text = serde_json::to_string(&log).unwrap();
    for value in ["BLAH", "dmFsdWU=", "jwt-secret"] {
        assert!(!text.contains(value), "{value} is in the log");
    }
}

#[tokio::test]
async fn a_dry_run_of_a_bad_pod_is_denied_too() {
    let Some(cluster) = Cluster::start("dry-denied").await else { return };
    cluster.opted_in("dry-denied").await;
    let bad = manifest("bad").replace("namespace: demo", "namespace: dry-denied");
    let said = cluster.kubectl_create(&bad, &["--dry-run=server"]).await;
    assert!(!said.success && said.stderr.contains("kind=BLAH"), "{}", said.stderr);
}
