//! The stand-in for a node: that it does what kubelet does, without a cluster.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::support::control_plane::shared_or_skip;
use crate::support::node::env_file::{self, EnvFileError};
use crate::support::node::{
    ClusterSource, FileView, Image, MemorySource, Node, NodeError, RunningPod, expansion, go_quote,
};
use crate::support::wait::until;

/// A pod in namespace `shop` with `spec`, whose annotations and labels need quoting.
fn pod(spec: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "name": "web-0", "namespace": "shop", "uid": "1234",
            "annotations": {"b": "say \"hi\"\n", "a": "plain"}, "labels": {"app": "web"},
        },
        "spec": spec,
    }))
    .expect("a pod")
}

fn source() -> MemorySource {
    MemorySource::default()
        .with_secret("shop", "db", &[("user", b"app"), ("password", b"s3cret"), ("not.a-name", b"x")])
        .with_config_map("shop", "settings", &[("MODE", b"fast"), ("user", b"from-map")])
}

fn node() -> Node<MemorySource> {
    Node::new(source()).with_image("host", Image::host()).with_deadline(Duration::from_secs(30))
}

/// Runs a shell command in container `app`, and returns its stdout.
async fn shell(pod: &RunningPod<'_, MemorySource>, command: &str) -> String {
    let finished = pod.exec("app", &["sh", "-c", command]).await.expect("a started command");
    assert_eq!(finished.code, Some(0), "{command}: {}", finished.stderr);
    finished.stdout
}

#[test]
fn strings_are_quoted_as_go_does() {
    let table = [
        ("", r#""""#),
        ("plain, k=v", r#""plain, k=v""#),
        ("say \"hi\" \\ 'there'", r#""say \"hi\" \\ 'there'""#),
        ("\x07\x08\x0c\n\r\t\x0b", r#""\a\b\f\n\r\t\v""#),
        ("\0\x01\x1f\x7f", r#""\x00\x01\x1f\x7f""#),
        ("grüße 世界 😀", r#""grüße 世界 😀""#),
        ("e\u{301} \u{301}", "\"e\u{301} \u{301}\""),
        ("\u{80}\u{9f}\u{ad}", r#""\u0080\u009f\u00ad""#),
        ("\u{a0}\u{2003}\u{3000}", r#""\u00a0\u2003\u3000""#),
        ("\u{200b}\u{200d}\u{2028}\u{feff}", r#""\u200b\u200d\u2028\ufeff""#),
        ("\u{e000}\u{fffd}\u{ffff}", "\"\\ue000\u{fffd}\\uffff\""),
        ("\u{f0000}\u{10ffff}", r#""\U000f0000\U0010ffff""#),
    ];
    for (text, quoted) in table {
        assert_eq!(go_quote::quote(text), quoted, "{text:?}");
    }
}

#[test]
fn references_are_expanded() {
    let lookup = |name: &str| match name {
        "A" => Some("1"),
        "EMPTY" => Some(""),
        "NESTED" => Some("$(A)"),
        _ => None,
    };
    let table = [
        ("$(A)-$(A)", "1-1"),
        ("$(EMPTY)", ""),
        ("$(NESTED)", "$(A)"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("$é$(A)", "$é1"),
    ];
    for (text, expanded) in table {
        assert_eq!(expansion::expand(text, lookup), expanded, "{text}");
    }
}

#[test]
fn environment_files_are_read_strictly() {
    let text =
        "# comment\n\n  A='one'\nB='two\nlines\\n $A'  # why\nC= 'dropped'\nD='cr\r\nlf'\nE=''\nA='again'";
    let value = |key| env_file::lookup(text, key);
    assert_eq!(value("A").unwrap(), "one");
    assert_eq!(value("B").unwrap(), "two\nlines\\n $A");
    assert_eq!(value("C").unwrap(), "");
    assert_eq!(value("D").unwrap(), "cr\nlf");
    assert_eq!(value("E").unwrap(), "");
    assert_eq!(value("F").unwrap(), "");
}

#[test]
fn malformed_environment_files_are_refused() {
    let long = format!("A='{}'", "x".repeat(64 * 1024 - 4));
    let table = [
        ("A", EnvFileError::NoEquals(1)),
        ("\n='x'", EnvFileError::NoName(2)),
        ("A ='x'", EnvFileError::BlankBeforeEquals(1)),
        ("A=x", EnvFileError::NotQuoted(1)),
        ("A=\"x\"", EnvFileError::NotQuoted(1)),
        ("A='it'\\''s'", EnvFileError::Trailing(1)),
        ("B='x'y", EnvFileError::Trailing(1)),
        ("\nA='x\ny", EnvFileError::NotClosed(2)),
        (long.as_str(), EnvFileError::LineTooLong(1)),
    ];
    for (text, error) in table {
        assert_eq!(env_file::lookup(text, "A").unwrap_err(), error, "{text:.40}");
    }
    // What comes after the name that is looked for is not read.
    assert_eq!(env_file::lookup("A='x'\nB", "A").unwrap(), "x");
    assert_eq!(env_file::lookup(&long[..long.len() - 2], "B").unwrap_err(), EnvFileError::NotClosed(1));
}

#[tokio::test]
async fn volumes_are_laid_out_as_kubelet_does() {
    let node = node();
    let volumes = json!([
        {"name": "info", "downwardAPI": {"items": [
            {"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}},
            {"path": "sub/label", "mode": 0o400, "fieldRef": {"fieldPath": "metadata.labels['app']"}}]}},
        {"name": "db", "secret": {"secretName": "db", "defaultMode": 0o400}},
        {"name": "one", "secret": {"secretName": "db", "items": [{"key": "user", "path": "a/b", "mode": 0o440}]}},
        {"name": "none", "secret": {"secretName": "nobody", "optional": true}},
        {"name": "all", "projected": {"defaultMode": 0o644, "sources": [
            {"serviceAccountToken": {"path": "token", "audience": "vault"}},
            {"configMap": {"name": "settings", "items": [{"key": "MODE", "path": "mode"}]}}]}},
        {"name": "work", "emptyDir": {"medium": "Memory"}},
    ]);
    let mounts = json!([
        {"name": "info", "mountPath": "/info"}, {"name": "db", "mountPath": "/db"},
        {"name": "one", "mountPath": "/one"}, {"name": "none", "mountPath": "/none"},
        {"name": "all", "mountPath": "/var/run/all"}, {"name": "work", "mountPath": "/work"},
        {"name": "db", "mountPath": "/etc/password", "subPath": "password"},
    ]);
    let spec = json!({"volumes": volumes, "containers": [{"name": "app", "volumeMounts": mounts}]});
    let running = node.run(pod(&spec)).await.unwrap();
    let view = running.view("app").await.unwrap();
    let seen: Vec<(&str, u32, String)> =
        view.files.iter().map(|(path, file)| (path.to_str().unwrap(), file.mode, file.text())).collect();
    let expected = [
        ("/db/not.a-name", 0o400, "x"),
        ("/db/password", 0o400, "s3cret"),
        ("/db/user", 0o400, "app"),
        ("/etc/password", 0o400, "s3cret"),
        ("/info/annotations", 0o644, "a=\"plain\"\nb=\"say \\\"hi\\\"\\n\""),
        ("/info/sub/label", 0o400, "web"),
        ("/one/a/b", 0o440, "app"),
        ("/var/run/all/mode", 0o644, "fast"),
        ("/var/run/all/token", 0o644, "made-up-token:shop:default:vault"),
    ];
    assert_eq!(seen, expected.map(|(path, mode, text)| (path, mode, text.to_string())));
    // And a process in the container's place sees the same.
    let listed =
        shell(&running, "cat /etc/password /one/a/b; stat -L -c %a /db/user /work; ls /secret 2>&1; true");
    assert_eq!(listed.await, "s3cretapp400\n777\nls: cannot access '/secret': No such file or directory\n");
}

#[tokio::test]
async fn an_update_swaps_what_changed() {
    let node = node();
    let spec = json!({
        "volumes": [{"name": "info", "downwardAPI": {"items": [
            {"path": "annotations", "fieldRef": {"fieldPath": "metadata.annotations"}}]}}],
        "containers": [{"name": "app", "volumeMounts": [{"name": "info", "mountPath": "/info"}]}],
    });
    let mut running = node.run(pod(&spec)).await.unwrap();
    let mut changed = running.pod().clone();
    changed.metadata.annotations = Some([("a".to_string(), "new".to_string())].into());
    running.update(changed).await.unwrap();
    let view = running.view("app").await.unwrap();
    assert_eq!(view.text("/info/annotations").as_deref(), Some("a=\"new\""));
    let entries = running.volume("info").unwrap().read_dir().unwrap().count();
    assert_eq!(entries, 3, "the file, ..data, and one directory behind it");
}

#[tokio::test]
async fn what_is_missing_keeps_a_pod_from_starting() {
    let node = node();
    let volume = |volume: Value| json!({"volumes": [volume], "containers": [{"name": "app"}]});
    let missing = volume(json!({"name": "v", "secret": {"secretName": "nobody"}}));
    let error = node.run(pod(&missing)).await.unwrap_err();
    assert!(matches!(error, NodeError::NoObject { kind: "Secret", .. }), "{error}");
    let items = json!([{"key": "nothing", "path": "x"}]);
    let no_key = volume(json!({"name": "v", "secret": {"secretName": "db", "items": items}}));
    let error = node.run(pod(&no_key)).await.unwrap_err();
    assert_eq!(error.to_string(), "Secret db has no key nothing");
    let error = node.run(pod(&volume(json!({"name": "v", "hostPath": {"path": "/"}})))).await.unwrap_err();
    assert!(matches!(error, NodeError::Unsupported(_)), "{error}");
}

#[tokio::test]
async fn the_environment_follows_kubelets_rules() {
    let node = node().with_api_server(6443);
    let env = json!([
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "ACCOUNT", "valueFrom": {"fieldRef": {"fieldPath": "spec.serviceAccountName"}}},
        {"name": "NOTE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['a']"}}},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
        {"name": "ABSENT", "valueFrom": {"secretKeyRef": {"name": "db", "key": "none", "optional": true}}},
        {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "MODE"}}},
        {"name": "URL", "value": "$(DB_user):$(PASSWORD)@$(LATER) $$(POD) $(KUBERNETES_SERVICE_PORT)"},
        {"name": "LATER", "value": "late"}, {"name": "TWICE", "value": "1"}, {"name": "TWICE", "value": "2"},
    ]);
    let env_from = json!([
        {"configMapRef": {"name": "settings"}}, {"prefix": "DB_", "secretRef": {"name": "db"}},
        {"secretRef": {"name": "nobody", "optional": true}},
    ]);
    let spec = json!({
        "serviceAccountName": "shopkeeper",
        "containers": [{"name": "app", "env": env, "envFrom": env_from}],
    });
    let running = node.run(pod(&spec)).await.unwrap();
    let view = running.view("app").await.unwrap();
    let expected = json!({
        "ACCOUNT": "shopkeeper", "DB_not.a-name": "x", "DB_password": "s3cret", "DB_user": "app",
        "KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "6443", "LATER": "late",
        "MODE": "fast", "NOTE": "plain", "PASSWORD": "s3cret", "POD": "web-0", "TWICE": "2",
        "URL": "app:s3cret@$(LATER) $(POD) 6443", "user": "from-map",
    });
    assert_eq!(serde_json::to_value(&view.env).unwrap(), expected);
    // A shell would drop the name that is no identifier.
    let environment = running.exec("app", &["env"]).await.unwrap().stdout;
    let set: Vec<&str> = environment.lines().collect();
    for line in ["URL=app:s3cret@$(LATER) $(POD) 6443", "DB_not.a-name=x", "HOSTNAME=web-0"] {
        assert!(set.contains(&line), "{line} is not in {set:?}");
    }
}

#[tokio::test]
async fn an_init_container_fetches_and_the_app_reads() {
    let node = node();
    let script = "id -u; umask 077; echo hello >/secret/greeting; echo \"WORD='it is \\$1'\" >/secret/env; \
                  echo fetched >/dev/termination-log; cp /proc/self/environ /tmp/x";
    let limits = json!({"runAsUser": 65532, "runAsNonRoot": true, "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]}});
    let spec = json!({
        "volumes": [{"name": "secrets", "emptyDir": {}}],
        "initContainers": [{"name": "fetch", "image": "host", "command": ["sh", "-c"], "args": [script],
            "securityContext": limits, "volumeMounts": [{"name": "secrets", "mountPath": "/secret"}]}],
        "containers": [{"name": "app", "securityContext": {"runAsUser": 65532},
            "env": [
                {"name": "WORD", "valueFrom": {"fileKeyRef":
                    {"volumeName": "secrets", "path": "env", "key": "WORD"}}},
                {"name": "NONE", "valueFrom": {"fileKeyRef":
                    {"volumeName": "secrets", "path": "env", "key": "NONE", "optional": true}}}],
            "volumeMounts": [{"name": "secrets", "mountPath": "/secret", "readOnly": true}]}],
    });
    let running = node.run(pod(&spec)).await.unwrap();
    let fetch = running.init("fetch").unwrap();
    assert_eq!((fetch.stdout.as_str(), fetch.termination_message.as_str()), ("65532\n", "fetched\n"));
    let view = running.view("app").await.unwrap();
    assert_eq!(view.env.get("WORD").map(String::as_str), Some("it is $1"));
    assert_eq!(view.env.get("NONE"), None);
    let greeting: &FileView = &view.files[Path::new("/secret/greeting")];
    assert_eq!((greeting.mode, greeting.text().as_str()), (0o600, "hello\n"));
    assert_eq!(shell(&running, "cat /secret/greeting; ! touch /secret/new").await, "hello\n");
    assert!(!Path::new("/secret/greeting").exists(), "the host's own root was written to");
}

#[tokio::test]
async fn a_failing_init_container_says_why() {
    let node = node();
    let init = |policy: &str| {
        json!({"initContainers": [{"name": "fetch", "image": "host", "terminationMessagePolicy": policy,
            "command": ["sh", "-c", "echo no store >&2; exit 69"]}], "containers": [{"name": "app"}]})
    };
    for (policy, message) in [("File", ""), ("FallbackToLogsOnError", "no store\n")] {
        let NodeError::InitFailed { container, finished } = node.run(pod(&init(policy))).await.unwrap_err()
        else {
            panic!("another error");
        };
        assert_eq!((container.as_str(), finished.code), ("fetch", Some(69)));
        assert_eq!(finished.termination_message, message);
    }
}

#[tokio::test]
async fn a_container_is_held_to_its_security_context() {
    let node = node();
    let spec = json!({
        "securityContext": {"fsGroup": 2000, "runAsGroup": 3000, "supplementalGroups": [4000]},
        "volumes": [{"name": "db", "secret": {"secretName": "db", "defaultMode": 0o400}},
                    {"name": "work", "emptyDir": {}}],
        "containers": [{"name": "app",
            "securityContext": {"runAsUser": 1000, "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]}, "allowPrivilegeEscalation": false},
            "volumeMounts": [{"name": "db", "mountPath": "/db"}, {"name": "work", "mountPath": "/work"}]}],
    });
    let running = node.run(pod(&spec)).await.unwrap();
    let writes =
        "touch /work/mine; ! touch /db/user; ! touch /new; ! touch /usr/new; echo ok >/dev/termination-log";
    shell(&running, &format!("({writes}) 2>/dev/null")).await;
    assert_eq!(shell(&running, "cat /db/user; grep -c '^CapEff:.0*$' /proc/self/status").await, "app1\n");
    let ids = shell(&running, "id -u; id -g").await;
    assert_eq!(ids, "1000\n3000\n");
    let root = json!({"containers": [{"name": "app", "securityContext": {"runAsNonRoot": true}}]});
    let root = node.run(pod(&root)).await.unwrap();
    let error = root.exec("app", &["true"]).await.unwrap_err();
    assert!(matches!(error, NodeError::RunsAsRoot(_)), "{error}");
}

#[tokio::test]
async fn a_sidecar_runs_as_long_as_its_pod() {
    let node = node();
    let spec = json!({
        "volumes": [{"name": "work", "emptyDir": {}}],
        "initContainers": [
            {"name": "refresh", "image": "host", "restartPolicy": "Always",
             "command": ["sh", "-c", "echo up; exec tail -f /dev/null"]},
            {"name": "after", "image": "host", "command": ["true"]}],
        "containers": [{"name": "app"}],
    });
    let running = node.run(pod(&spec)).await.unwrap();
    let sidecar = running.sidecar("refresh").unwrap();
    assert!(sidecar.all_running());
    let process = format!("/proc/{}", sidecar.pids()[0]);
    until(Duration::from_secs(30), async || (!running.sidecar_log("refresh").is_empty()).then_some(())).await;
    assert_eq!(running.sidecar_log("refresh"), "up\n");
    assert_eq!(running.init("after").unwrap().code, Some(0));
    drop(running);
    assert!(!Path::new(&process).exists());
}

#[tokio::test]
async fn a_container_that_does_not_end_is_ended() {
    let node = node().with_deadline(Duration::from_millis(300));
    let spec =
        json!({"containers": [{"name": "app", "image": "host", "command": ["tail", "-f", "/dev/null"]}]});
    let running = node.run(pod(&spec)).await.unwrap();
    let error = running.run_container("app").await.unwrap_err();
    assert!(matches!(error, NodeError::TimedOut { .. }), "{error}");
}

#[tokio::test]
async fn a_pod_of_a_cluster_talks_to_its_api_server() {
    let test = "a_pod_of_a_cluster_talks_to_its_api_server";
    let Some(plane) = shared_or_skip(test).await else { return };
    plane.namespace("stand-in", &[], &[]).await.unwrap();
    let client = plane.client().await.unwrap();
    let whoami = ["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"];
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "web-0"},
        "spec": {"containers": [{"name": "app", "image": "kubectl:1", "args": whoami,
            "securityContext": {"runAsUser": 1000}}]},
    }))
    .unwrap();
    let pod = Api::namespaced(client.clone(), "stand-in").create(&PostParams::default(), &pod).await.unwrap();
    let node = Node::new(ClusterSource(client))
        .with_api_server(plane.port())
        .with_image("kubectl:1", Image::program(&plane.binaries().kubectl));
    let running = node.run(pod).await.unwrap();
    let finished = running.run_container("app").await.unwrap();
    assert_eq!(finished.stdout, "system:serviceaccount:stand-in:default", "{}", finished.stderr);
    let token = Path::new("/var/run/secrets/kubernetes.io/serviceaccount/token");
    let token = &running.view("app").await.unwrap().files[token];
    assert_eq!(token.mode, 0o600, "every container has the same user, who alone may read the token");
}

#[tokio::test]
async fn an_image_is_a_program_of_the_host() {
    let program = Path::new("/bin/echo").canonicalize().unwrap();
    let node = node().with_image("keystow:test", Image::program(program).with_user(65532));
    let spec = json!({"containers": [
        {"name": "app", "image": "keystow:test", "args": ["from", "$(WHO)"], "env": [{"name": "WHO", "value": "me"}]},
        {"name": "other", "image": "unknown"}]});
    let running = node.run(pod(&spec)).await.unwrap();
    assert_eq!(running.run_container("app").await.unwrap().stdout, "from me\n");
    assert_eq!(shell(&running, "id -u").await, "65532\n");
    let error = running.run_container("other").await.unwrap_err();
    assert!(matches!(error, NodeError::UnknownImage { .. }), "{error}");
}
