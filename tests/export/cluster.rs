//! Exported policies where they count: a Role on a real API server, a policy in a real Vault. With them the init container
//! reads what its pod asks for, and what a neighbour asks for is denied.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::pod::{Ended, Pod};
use crate::program::exported;
use crate::support::control_plane::{self, ControlPlane};
use crate::support::servers::Vault;

const UID: &str = "0d1c2b3a-0000-4000-8000-000000000002";

/// What a workload of this account asks for.
struct Asked {
    account: &'static str,
    annotations: &'static [(&'static str, &'static str)],
}

const APP: Asked = Asked {
    account: "app",
    annotations: &[
        ("secret.bsycorp.com/db_password", "kind=REFERENCE,type=PASSWORD"),
        ("secret.bsycorp.com/signing_private", "kind=DYNAMIC,type=RSA,size=2048"),
        ("secret.bsycorp.com/token", "kind=REFERENCE,type=PASSWORD"),
        ("resource.bsycorp.com/db.host", ""),
        ("lease.bsycorp.com/shard", "kind=INDEX,rangeStart=0,rangeEnd=3"),
    ],
};

const NEIGHBOUR: Asked = Asked {
    account: "neighbour",
    annotations: &[
        ("secret.bsycorp.com/mail_password", "kind=REFERENCE,type=PASSWORD"),
        ("secret.bsycorp.com/tokens", "kind=REFERENCE,type=PASSWORD"),
    ],
};

/// Deployments of both, as a file has them.
fn manifests(namespace: &str, prefix: &str) -> (TempDir, String) {
    let directory = TempDir::new().unwrap();
    let mut text = String::new();
    for Asked { account, annotations } in [APP, NEIGHBOUR] {
        let mut all: serde_json::Map<String, Value> =
            annotations.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        all.insert("init.bsycorp.com/storage-prefix".to_owned(), json!(prefix));
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": account, "namespace": namespace},
            "spec": {"template": {"metadata": {"annotations": all}, "spec": {
                "serviceAccountName": account, "containers": [{"name": "a", "image": "a:1"}],
            }}},
        });
        text.push_str(&format!("---\n{deployment}\n"));
    }
    std::fs::write(directory.path().join("workloads.yaml"), text).unwrap();
    let path = directory.path().display().to_string();
    (directory, path)
}

/// A pod of somebody's, whose annotations are somebody else's perhaps.
fn pod(store: &Value, prefix: &str, asked: &Asked) -> Pod {
    let mut annotations = asked.annotations.to_vec();
    annotations.push(("init.bsycorp.com/storage-prefix", prefix));
    let mut pod = Pod::new(&store.to_string(), &annotations);
    pod.set("POD_UID", UID);
    // What is denied is denied at once; nothing is waited for.
    pod.set("KEYSTOW_DEADLINE", "20s");
    pod
}

async fn token(plane: &ControlPlane, namespace: &str, account: &str, audience: Option<&str>) -> String {
    let mut arguments = vec!["create", "token", account, "--namespace", namespace];
    let audience = audience.map(|audience| format!("--audience={audience}"));
    arguments.extend(audience.as_deref());
    plane.kubectl(&arguments, "").await.unwrap().trim().to_owned()
}

#[track_caller]
fn assert_has_all(ended: &Ended, pod: &Pod) {
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let secrets = pod.read("secret");
    for name in ["db_password", "signing_private", "token"] {
        assert!(secrets.contains(&format!("{name}=")), "{name}");
    }
    assert_eq!((pod.read("db.host").as_str(), pod.read("shard").as_str()), ("db.example", "2"));
}

/// Every value of the neighbour's is denied, and the container says so.
#[track_caller]
fn assert_is_denied(ended: &Ended, pod: &Pod) {
    assert_eq!(ended.code, Some(77), "{}", ended.log);
    assert_eq!(ended.last_words.matches("is denied").count(), 2, "{}", ended.last_words);
    pod.assert_nothing_is_written();
}

async fn create_secret(plane: &ControlPlane, namespace: &str, name: &str, key: &str, value: &str) {
    let literal = format!("--from-literal={key}={value}");
    let create = ["create", "secret", "generic", name, "--namespace", namespace, &literal];
    plane.kubectl(&create, "").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_lets_init_read_its_secrets_and_no_neighbours() {
    let test = "the_role_lets_init_read_its_secrets_and_no_neighbours";
    let Some(plane) = control_plane::shared_or_skip(test).await else { return };
    let namespace = "exported-role";
    plane.namespace(namespace, &[], &[]).await.unwrap();
    let (_directory, files) = manifests(namespace, "/veza");
    let (objects, _) = exported(&["rbac", "-f", &files]);
    plane.kubectl(&["apply", "-f", "-"], &objects).await.unwrap();
    let holder = format!("{namespace}/web-0/{UID}/cluster");
    let secrets = [
        ("veza--db", "password", "hunter2", true),
        ("veza--signing", "private", "key", true),
        ("veza--token", "value", "t", true),
        ("veza--db.host", "value", "db.example", true),
        ("veza--leases--shard.2", "value", &holder, true),
        ("veza--mail", "password", "m", false),
        ("veza--tokens", "value", "n", false),
        ("veza--leases--shard.4", "value", "web-1", false),
        ("unrelated", "password", "u", false),
    ];
    for (name, key, value, _) in secrets {
        create_secret(plane, namespace, name, key, value).await;
    }
    let user = format!("--as=system:serviceaccount:{namespace}:app");
    for (name, _, _, is_own) in secrets {
        for (verb, expected) in [("get", is_own), ("update", false), ("delete", false), ("watch", false)] {
            let target = format!("secret/{name}");
            let ask = ["auth", "can-i", verb, &target, "--namespace", namespace, &user];
            let answer = plane.kubectl_output(&ask, "").await.unwrap();
            let answer = String::from_utf8(answer.stdout).unwrap();
            assert_eq!(answer.trim() == "yes", expected, "{verb} {name}: {answer}");
        }
    }
    let token = token(plane, namespace, "app", None).await;
    let store = json!({"kubernetes": {}});
    let own = in_cluster(plane, &token, pod(&store, "/veza", &APP), namespace);
    assert_has_all(&own.run().await, &own);
    let others = in_cluster(plane, &token, pod(&store, "/veza", &NEIGHBOUR), namespace);
    assert_is_denied(&others.run().await, &others);
}

/// The pod talks to the API server with this token.
fn in_cluster(plane: &ControlPlane, token: &str, mut pod: Pod, namespace: &str) -> Pod {
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{"name": "it", "cluster": {
            "server": format!("https://127.0.0.1:{}", plane.port()),
            "certificate-authority-data": base64::Engine::encode(
                &base64::engine::general_purpose::STANDARD, plane.ca_pem()
            ),
        }}],
        "users": [{"name": "it", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": namespace}}],
    });
    pod.set("POD_NAMESPACE", namespace);
    pod.give("KUBECONFIG", "kubeconfig", &kubeconfig.to_string());
    pod
}

/// A KV engine, with the policy of the account `app` and what both accounts' pods ask for in it.
struct Engine {
    mount: &'static str,
    version: u8,
    /// What stands between the mount and a path.
    data: &'static str,
}

const AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";

impl Engine {
    fn body(&self, data: &Value) -> Value {
        if self.version == 2 { json!({"data": data}) } else { data.clone() }
    }

    /// The store, and the role by which its pods log in.
    fn store(&self, vault: &Vault) -> Value {
        json!({"vault": {
            "address": vault.address(), "mount": self.mount, "kvVersion": self.version,
            "auth": {"kubernetes": {"role": self.role(), "mount": "kubernetes", "audience": AUDIENCE}},
        }})
    }

    fn role(&self) -> String {
        format!("app-{}", self.mount)
    }

    async fn set_up(&self, vault: &Vault, namespace: &str) {
        let (_directory, files) = manifests(namespace, "/veza");
        let version = self.version.to_string();
        let arguments = ["vault-policy", "-f", &files, "--mount", self.mount, "--kv-version", &version];
        let (policy, _) = exported(&[&arguments[..], &["--service-account", "app"]].concat());
        vault.write(&format!("sys/policies/acl/{}", self.role()), &json!({"policy": policy})).await;
        let role = json!({
            "bound_service_account_names": ["app"], "bound_service_account_namespaces": [namespace],
            "token_policies": [self.role()],
        });
        vault.write(&format!("auth/kubernetes/role/{}", self.role()), &role).await;
        let holder = format!("{namespace}/web-0/{UID}/cluster");
        let claim = format!("leases/shard.of-{UID}");
        for (path, key, value) in [
            ("db", "password", "hunter2"),
            ("signing", "private", "key"),
            ("token", "value", "t"),
            ("db.host", "value", "db.example"),
            ("leases/shard.2", "value", &holder),
            (&claim, "value", "2@cluster"),
            ("mail", "password", "m"),
            ("tokens", "value", "n"),
        ] {
            let path = format!("{}/{}veza/{path}", self.mount, self.data);
            vault.write(&path, &self.body(&json!({key: value}))).await;
        }
    }

    /// What Vault itself says to the session of `app`.
    async fn answers(&self, vault: &Vault, token: &str) {
        let login = json!({"role": self.role(), "jwt": token});
        let session = vault.write("auth/kubernetes/login", &login).await;
        let session = session["auth"]["client_token"].as_str().unwrap();
        for (method, path, expected) in [
            ("GET", "db", 200),
            ("GET", "mail", 403),
            ("GET", "leases/shard.4", 403),
            ("GET", "tokens", 403),
            ("POST", "db", 403),
            ("DELETE", "db", 403),
        ] {
            let method = method.parse().unwrap();
            let path = format!("{}/{}veza/{path}", self.mount, self.data);
            let body = self.body(&json!({"password": "x"}));
            let body = (method != http::Method::GET).then_some(&body);
            let answer = vault.request(&method, &path, session, body).await;
            assert_eq!(answer.status.as_u16(), expected, "{method} {path}: {}", answer.body);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_of_vault_lets_init_read_its_secrets_and_no_neighbours() {
    let test = "the_policy_of_vault_lets_init_read_its_secrets_and_no_neighbours";
    let Some(plane) = control_plane::shared_or_skip(test).await else { return };
    let Some(vault) = Vault::shared(test).await else { return };
    let namespace = "exported-policy";
    plane.namespace(namespace, &[], &[]).await.unwrap();
    plane.service_account(namespace, "app", &[]).await.unwrap();
    let subject = format!("--serviceaccount={namespace}:app");
    let binding =
        ["create", "clusterrolebinding", namespace, "--clusterrole=system:auth-delegator", &subject];
    plane.kubectl(&binding, "").await.unwrap();
    vault.enable_kubernetes("kubernetes", plane).await;
    vault.write("sys/mounts/plain", &json!({"type": "kv", "options": {"version": "1"}})).await;
    let token = token(plane, namespace, "app", Some(AUDIENCE)).await;
    for engine in [
        Engine { mount: "secret", version: 2, data: "data/" },
        Engine { mount: "plain", version: 1, data: "" },
    ] {
        engine.set_up(vault, namespace).await;
        let store = engine.store(vault);
        let with_token = |asked: &Asked| {
            let mut pod = pod(&store, "/veza", asked);
            pod.set("POD_NAMESPACE", namespace);
            pod.give("KEYSTOW_TOKEN_FILE", "token", &token);
            pod
        };
        let own = with_token(&APP);
        assert_has_all(&own.run().await, &own);
        let others = with_token(&NEIGHBOUR);
        assert_is_denied(&others.run().await, &others);
        engine.answers(vault, &token).await;
    }
}
