//! Secret objects behind a faulty line to a real API server, by the token of a service account.

use serde_json::json;

use super::{NAMES, Served, faults, value};
use crate::pod::Pod;
use crate::support::control_plane::{ControlPlane, shared_or_skip};
use crate::support::faults::answers::{kubernetes_expired, kubernetes_throttled};
use crate::support::faults::{Answer, Faults, Seen};

pub(crate) struct Namespace {
    plane: &'static ControlPlane,
    line: Faults,
    prefix: String,
    namespace: String,
    token: String,
}

impl Namespace {
    async fn put(&self, name: &str, value: &str) {
        // The part behind the last underscore is a key.
        let (object, key) = name.rsplit_once('_').unwrap_or((name, "value"));
        let name = format!("{}/{object}", self.prefix.trim_start_matches('/')).replace('/', "--");
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": name, "namespace": self.namespace}, "stringData": {key: value},
        });
        self.plane.kubectl(&["apply", "-f", "-"], &secret.to_string()).await.expect("an applied Secret");
    }
}

impl Served for Namespace {
    async fn start(test: &str) -> Option<Self> {
        let plane = shared_or_skip(test).await?;
        let prefix = super::prefix(test);
        let namespace = format!("faults{}", prefix.replace('/', "-"));
        let namespace = namespace[..namespace.len().min(63)].trim_end_matches('-').to_owned();
        plane.namespace(&namespace, &[], &[]).await.expect("a namespace");
        plane.service_account(&namespace, "app", &[]).await.expect("an account");
        let rights = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
             "metadata": {"name": "app", "namespace": namespace},
             "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
             "metadata": {"name": "app", "namespace": namespace},
             "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "app"},
             "subjects": [{"kind": "ServiceAccount", "name": "app", "namespace": namespace}]},
        ]});
        plane.kubectl(&["apply", "-f", "-"], &rights.to_string()).await.expect("applied rights");
        let token = plane.kubectl(&["create", "token", "app", "--namespace", &namespace], "").await;
        let token = token.expect("a token").trim().to_owned();
        let line = Faults::before(format!("127.0.0.1:{}", plane.port())).tls(plane.ca_pem());
        let line = line.served_as(&["127.0.0.1"]).start().await;
        let namespace = Self { plane, line, prefix, namespace, token };
        for name in NAMES {
            namespace.put(name, &value(name)).await;
        }
        Some(namespace)
    }

    fn line(&self) -> &Faults {
        &self.line
    }

    fn prefix(&self) -> &str {
        &self.prefix
    }

    fn pod(&self, annotations: &[(&str, &str)]) -> Pod {
        let mut pod = Pod::new(r#"{"kubernetes":{}}"#, annotations);
        pod.write("token", &self.token);
        pod.write("ca.crt", self.line.ca_pem());
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "line",
            "clusters": [{"name": "line", "cluster": {
                "server": self.line.url(), "certificate-authority": pod.path("ca.crt"),
            }}],
            "users": [{"name": "app", "user": {"tokenFile": pod.path("token")}}],
            "contexts": [{"name": "line", "context": {"cluster": "line", "user": "app"}}],
        });
        pod.give("KUBECONFIG", "kubeconfig", &config.to_string());
        pod.set("POD_NAMESPACE", &*self.namespace);
        pod
    }

    fn reads(seen: &Seen) -> bool {
        seen.path.contains("/secrets/")
    }

    fn throttled() -> Answer {
        kubernetes_throttled()
    }

    fn expired() -> Answer {
        kubernetes_expired()
    }

    async fn change(&self, value: &str) {
        self.put(NAMES[0], value).await;
    }
}

faults!(Namespace);
