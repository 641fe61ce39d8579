//! What an application sees: pods as the API server stored them, run on the stand-in for a node with the built init
//! container, real Secrets and real tokens.

use std::path::Path;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::{Cluster, IMAGE, KEYSTOW, pod, pod_with};
use crate::support::node::{AppView, ClusterSource, Image, Node, NodeError, RunningPod};

impl Cluster {
    pub(super) fn node(&self) -> Node<ClusterSource> {
        Node::new(ClusterSource(self.client.clone()))
            .with_api_server(self.plane.port())
            .with_image(IMAGE, Image::program(KEYSTOW).with_user(65532))
    }

    async fn secret(&self, namespace: &str, name: &str, data: &Value) {
        let secret: Secret =
            serde_json::from_value(json!({"metadata": {"name": name}, "stringData": data})).unwrap();
        let secrets = Api::namespaced(self.client.clone(), namespace);
        secrets.create(&PostParams::default(), &secret).await.unwrap();
    }

    /// Creates the pod, which the init container of this build then serves.
    pub(super) async fn run<'n>(
        &self,
        node: &'n Node<ClusterSource>,
        namespace: &str,
        manifest: &Value,
    ) -> Result<RunningPod<'n, ClusterSource>, NodeError> {
        let stored = self.create(namespace, manifest).await.unwrap();
        node.run(pod(&stored)).await
    }
}

/// The properties that a container reads, sorted as they are written.
fn properties(view: &AppView) -> Vec<(String, String)> {
    let text =
        view.text("/secret/secret").unwrap_or_else(|| panic!("no /secret/secret: {:?}", view.files.keys()));
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    text.lines().map(|line| pair(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

fn names_of(view: &AppView) -> Vec<String> {
    properties(view).into_iter().map(|(name, _)| name).collect()
}

#[tokio::test]
async fn the_kees_pods_application_reads_its_three_secrets() {
    let Some(cluster) = Cluster::start("kees").await else { return };
    cluster.opted_in("kees").await;
    let manifest = pod_with(
        "kees-example",
        &json!({
            "secret.bsycorp.com/signingKey.v1_public": "kind=DYNAMIC,type=RSA,size=2048,foo=bar",
            "secret.bsycorp.com/signingKey.v1_private": "kind=DYNAMIC,type=RSA,size=2048,foo=bar",
            "secret.bsycorp.com/db.password": "kind=REFERENCE,type=PASSWORD,size=128",
        }),
    );
    let node = cluster.node();
    let running = cluster.run(&node, "kees", &manifest).await.unwrap();
    let view = running.view("app").await.unwrap();
    assert_eq!(names_of(&view), ["db.password", "signingKey.v1_private", "signingKey.v1_public"]);
    assert!(properties(&view).iter().all(|(_, value)| !value.is_empty()));
    let value = |name: &str| properties(&view).into_iter().find(|(key, _)| key == name).unwrap().1;
    assert!(value("signingKey.v1_private").contains("BEGIN PRIVATE KEY"), "plain means PEM");
    assert!(value("signingKey.v1_public").contains("BEGIN PUBLIC KEY"), "plain means PEM");
    // By a process in the application's place, which may read and not write.
    let read =
        running.exec("app", &["sh", "-c", "cut -d= -f1 /secret/secret; ! touch /secret/x"]).await.unwrap();
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    assert_eq!(read.stdout, "db.password\nsigningKey.v1_private\nsigningKey.v1_public\n");
    let init = running.init("keystow-init").unwrap();
    for value in properties(&view).iter().map(|(_, value)| value) {
        assert!(!init.stderr.contains(value) && !init.stdout.contains(value), "a value is in the log");
    }
}

#[tokio::test]
async fn user_rpc_has_its_variable_from_the_secret() {
    let Some(cluster) = Cluster::start("user-rpc").await else { return };
    cluster.opted_in("user-rpc").await;
    cluster.plane.service_account("user-rpc", "user-rpc", &[]).await.unwrap();
    cluster.secret("user-rpc", "jwt-secret", &json!({"secret-key": "s3cret-key", "other": "x"})).await;
    let mut manifest = pod_with(
        "user-rpc",
        &json!({
            "secret.bsycorp.com/jwt": "kind=KUBERNETES,secret=jwt-secret,key=secret-key,env=JWT_SECRET_KEY",
            "inject.bsycorp.com/service-account": "user-rpc",
        }),
    );
    manifest["spec"]["containers"][0]["env"] = json!([{"name": "LOG_LEVEL", "value": "info"}]);
    let node = cluster.node();
    let running = cluster.run(&node, "user-rpc", &manifest).await.unwrap();
    let view = running.view("app").await.unwrap();
    assert_eq!(view.env.get("JWT_SECRET_KEY").map(String::as_str), Some("s3cret-key"));
    assert_eq!(view.env.get("LOG_LEVEL").map(String::as_str), Some("info"));
    assert!(!view.env.values().any(|value| value == "x"), "no other key of the Secret");
    let printed = running.exec("app", &["sh", "-c", "echo $JWT_SECRET_KEY"]).await.unwrap();
    assert_eq!(printed.stdout, "s3cret-key\n");
}

#[tokio::test]
async fn the_gateway_reads_the_key_as_files() {
    let Some(cluster) = Cluster::start("gateway").await else { return };
    cluster.opted_in("gateway").await;
    cluster.secret("gateway", "jwt-secret", &json!({"secret-key": "s3cret-key"})).await;
    let annotations =
        json!({"secret.bsycorp.com/jwt": "kind=KUBERNETES,secret=jwt-secret,path=/etc/jwt,mode=0400"});
    let node = cluster.node();
    let key = Path::new("/etc/jwt/secret-key");

    let running = cluster.run(&node, "gateway", &pod_with("root", &annotations)).await.unwrap();
    let view = running.view("app").await.unwrap();
    assert_eq!((view.files[key].mode, view.files[key].text().as_str()), (0o400, "s3cret-key"));
    let tried =
        running.exec("app", &["sh", "-c", "cat /etc/jwt/secret-key; ! touch /etc/jwt/x"]).await.unwrap();
    assert_eq!((tried.code, tried.stdout.as_str()), (Some(0), "s3cret-key"), "{}", tried.stderr);

    // As user 101 it needs the group: kubelet then makes 0400 to 0440.
    let mut manifest = pod_with("grouped", &annotations);
    manifest["spec"]["securityContext"] = json!({"runAsUser": 101, "runAsGroup": 101, "fsGroup": 101});
    let running = cluster.run(&node, "gateway", &manifest).await.unwrap();
    assert_eq!(running.view("app").await.unwrap().files[key].mode, 0o440);
    let read = running.exec("app", &["cat", "/etc/jwt/secret-key"]).await.unwrap();
    assert_eq!((read.code, read.stdout.as_str()), (Some(0), "s3cret-key"), "{}", read.stderr);
}

#[tokio::test]
async fn a_generated_secret_is_a_variable_too() {
    let Some(cluster) = Cluster::start("variable").await else { return };
    cluster.opted_in("variable").await;
    let manifest = pod_with(
        "app",
        &json!({
            "secret.bsycorp.com/api.token": "kind=DYNAMIC,type=PASSWORD,size=128,env=API_TOKEN",
        }),
    );
    let node = cluster.node();
    let running = cluster.run(&node, "variable", &manifest).await.unwrap();
    let view = running.view("app").await.unwrap();
    let [(name, value)] = &properties(&view)[..] else { panic!("not one secret") };
    assert_eq!(name, "api.token");
    assert!(!value.is_empty());
    let env = view.env.get("API_TOKEN").expect("a variable");
    // The properties file escapes what Java would read otherwise.
    assert_eq!(*env, value.replace("\\=", "=").replace("\\:", ":"));
    let printed = running.exec("app", &["sh", "-c", "printf %s \"$API_TOKEN\""]).await.unwrap();
    assert_eq!(printed.stdout, *env);
}

#[tokio::test]
async fn a_container_sees_no_secret_that_is_another_containers() {
    let Some(cluster) = Cluster::start("narrow").await else { return };
    cluster.opted_in("narrow").await;
    cluster.secret("narrow", "native", &json!({"key": "native-value"})).await;
    let mut manifest = pod_with(
        "narrow",
        &json!({
            "secret.bsycorp.com/of.a": "kind=REFERENCE,type=PASSWORD,size=128,containers=a,env=OF_A",
            "secret.bsycorp.com/of.b": "kind=REFERENCE,type=PASSWORD,size=128,containers=b",
            "secret.bsycorp.com/of.both": "kind=REFERENCE,type=PASSWORD,size=128,containers=a|b",
            "secret.bsycorp.com/native": "kind=KUBERNETES,secret=native,key=key,env=NATIVE,containers=b",
        }),
    );
    let container = |name: &str| json!({"name": name, "image": "registry.example/app:1"});
    manifest["spec"]["containers"] = json!([container("a"), container("b"), container("c")]);
    let node = cluster.node();
    let running = cluster.run(&node, "narrow", &manifest).await.unwrap();
    let (a, b, c) = (
        running.view("a").await.unwrap(),
        running.view("b").await.unwrap(),
        running.view("c").await.unwrap(),
    );
    assert_eq!(names_of(&a), ["of.a", "of.both"]);
    assert_eq!(names_of(&b), ["of.b", "of.both"]);
    assert!(!c.files.keys().any(|path| path.starts_with("/secret")), "{:?}", c.files.keys());
    let has = |view: &AppView, name: &str| view.env.contains_key(name);
    assert_eq!((has(&a, "OF_A"), has(&b, "OF_A"), has(&c, "OF_A")), (true, false, false));
    assert_eq!((has(&a, "NATIVE"), has(&b, "NATIVE"), has(&c, "NATIVE")), (false, true, false));
    // Nor anywhere else among what it sees.
    let of_a = a.env["OF_A"].as_bytes();
    for view in [&b, &c] {
        let found = view.files.values().any(|file| file.content.windows(of_a.len()).any(|part| part == of_a));
        assert!(!found, "the value of of.a is in a file");
    }
}

/// The exit code is that of a wrong annotation, and the pod shows which one.
#[tokio::test]
async fn what_cannot_be_served_keeps_the_pod_from_starting_and_says_why() {
    let Some(cluster) = Cluster::start("unserved").await else { return };
    cluster.opted_in("unserved").await;
    let manifest =
        pod_with("app", &json!({"secret.bsycorp.com/db.password": "kind=REFERENCE,type=PASSWORD"}));
    let mut stored = cluster.create("unserved", &manifest).await.unwrap();
    // Changed behind the webhook's back, so that only the init container can notice.
    stored["metadata"]["annotations"]["secret.bsycorp.com/db.password"] = json!("kind=BLAH");
    let node = cluster.node();
    let Err(NodeError::InitFailed { container, finished }) = node.run(pod(&stored)).await else {
        panic!("the pod started");
    };
    assert_eq!((container.as_str(), finished.code), ("keystow-init", Some(64)));
    let message = "secret.bsycorp.com/db.password: kind=BLAH";
    assert!(finished.termination_message.contains(message), "{}", finished.termination_message);
}
