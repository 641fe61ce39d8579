//! A running provider, the keys of its callers, and a client that sends what External Secrets Operator sends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::fixture::{Cluster, WITHIN, issuers};
use crate::support::control_plane::ControlPlane;
use crate::support::gate::Gate;
use crate::support::https::{self, Answer};
use crate::support::installation::{kubeconfig, token};
use crate::support::process::{Process, addresses, get};
use crate::support::wait::until;
use crate::support::webhook::Files;

const KEYSTOW: &str = env!("CARGO_BIN_EXE_keystow");
const ACCOUNT: &str = "keystow-provider";
const ROLE: &str = include_str!("../../webhook-config/provider/role.yaml");
pub(crate) const KEYS: &str = "iam-signing-keys";
pub(crate) const AUDIENCE: &str = "keystow";
/// What may change hands in these tests: values of the store `kubernetes` in the namespace of the test.
pub(crate) const VALUE: &str = "kölsch \"quoted\"\n";

/// A provider beside `keystow rotate`, in one namespace.
pub(crate) struct Provider {
    pub(crate) cluster: Cluster,
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// The way to the API server.
    pub(crate) gate: Gate,
    ca: String,
    _files: Arc<Files>,
}

/// Something with which tokens are signed.
#[derive(Clone)]
pub(crate) struct Signer {
    pub(crate) id: String,
    pub(crate) issuer: String,
    key: EncodingKey,
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl Signer {
    pub(crate) fn claims(&self) -> Value {
        json!({"iss": self.issuer, "aud": AUDIENCE, "sub": "external-secrets", "exp": now() + 300})
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::ES256) };
        encode(&header, claims, &self.key).unwrap()
    }
}

impl Provider {
    /// `None` where there is no control plane. `test` is a DNS label. Keys last for as long as `overlap` says.
    pub(crate) async fn start(test: &'static str, rate: &str) -> Option<Self> {
        let cluster = Cluster::start(test).await?;
        let annotations =
            [("type", "EC"), ("size", "256"), ("every", "90d"), ("publish", "1s"), ("overlap", "600s")];
        cluster.create(KEYS, &annotations, &[]).await;
        cluster.done(&["--secret", KEYS]).await;
        rights(cluster.plane, test).await;
        let configuration = format!(
            "stores: {{default: cluster, cluster: {{kubernetes: {{}}}}}}\n\
             provider:\n  keys: {test}/{KEYS}\n  audience: {AUDIENCE}\n  rate: {rate}\n  callers:\n  \
             - {{subject: external-secrets, read: [/veza/], write: [/veza/pushed/]}}\n  \
             - {{subject: \"team-*\", read: [/team/]}}\n"
        );
        let files = Files::new(KEYSTOW, &configuration);
        let gate = Gate::shut(SocketAddr::from(([127, 0, 0, 1], cluster.plane.port()))).await;
        gate.set_open(true);
        let credentials = token(cluster.plane, test, ACCOUNT, None).await;
        kubeconfig(cluster.plane, &files.path("kubeconfig"), gate.address(), &credentials);
        let path = |name: &str| files.path(name).to_str().unwrap().to_owned();
        let (configuration, tls, kubeconfig) = (path("config.yaml"), path("tls"), path("kubeconfig"));
        let arguments = [
            "provide",
            "--config",
            &configuration,
            "--listen=127.0.0.1:0",
            "--admin=127.0.0.1:0",
            "--self-signed",
            &tls,
            "--self-signed-name=127.0.0.1",
            "--namespace",
            test,
            "--pod-name=provider",
            "--drain-delay=0s",
        ];
        let environment = [("KUBECONFIG", kubeconfig.as_str())];
        let log = files.path("provider.log");
        let mut process = Process::start(files.program(), &arguments, &environment, log);
        let [address, admin] = process.says(|log| addresses(log, ["provider", "admin"])).await;
        let ca = std::fs::read_to_string(files.path("tls/ca.crt")).unwrap();
        let provider = Self { cluster, process, address, admin, gate, ca, _files: files };
        let ready = until(WITHIN, async || get(admin, "/readyz").await.filter(|(status, _)| *status == 200));
        assert!(ready.await.is_some(), "{}", provider.process.log_text());
        Some(provider)
    }

    /// Puts a value into the store, as the creator does.
    pub(crate) async fn store(&self, secret: &str, key: &str, value: &str) {
        let value = keystow::domain::SecretValue::new(value.as_bytes().to_vec());
        self.cluster.create(secret, &[], &[(key, &value)]).await;
    }

    /// The keys as they lie in the Secret, in order.
    pub(crate) async fn signers(&self) -> Vec<Signer> {
        let data = self.cluster.data(KEYS).await;
        let signer = |line: &Value| {
            let pem = &data[line["signingKey"].as_str().unwrap()];
            let der = pem::parse(pem).unwrap().into_contents();
            Signer {
                id: line["kid"].as_str().unwrap().to_owned(),
                issuer: line["name"].as_str().unwrap().to_owned(),
                key: EncodingKey::from_ec_der(&der),
            }
        };
        issuers(&data).iter().map(signer).collect()
    }

    /// Asks for a path as External Secrets does, whose documentation has the key put into the URL as it is.
    pub(crate) async fn read(&self, path: &str, token: &str) -> Answer {
        let authorization = format!("Bearer {token}");
        let headers = [
            ("User-Agent", "Go-http-client/1.1"),
            ("Accept-Encoding", "identity"),
            ("Content-Type", "application/json"),
            ("Authorization", authorization.as_str()),
        ];
        self.send(&format!("GET /webhook?key={path}"), &headers, b"").await
    }

    pub(crate) async fn send(&self, what: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        https::request(self.address, &self.ca, what, headers, body).await
    }

    /// Waits until a token is answered so, for no longer than a rotation may take to be followed.
    pub(crate) async fn is_answered(&self, token: &str, status: u16) {
        let answered = until(Duration::from_secs(5), async || {
            (self.read("/veza/db_password", token).await.status == status).then_some(())
        });
        assert!(answered.await.is_some(), "not within 5 s: {}", self.process.log_text());
    }

    /// A counter of its metrics.
    pub(crate) async fn counted(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let page = crate::support::process::metrics(self.admin).await;
        crate::support::metrics::sum(&page, &format!("keystow_provider_{name}"), labels)
    }
}

/// The right that is shipped, and for the store `kubernetes` what its Secrets need.
async fn rights(plane: &ControlPlane, namespace: &str) {
    plane.service_account(namespace, ACCOUNT, &[]).await.unwrap();
    let role = ROLE.replace("namespace: keystow", &format!("namespace: {namespace}"));
    let metadata = json!({"name": "provider-store", "namespace": namespace});
    let store = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata,
        "rules": [{
            "apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "create", "patch"],
        }],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "provider-store"},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}],
    });
    for manifest in [role, store.to_string(), binding.to_string()] {
        plane.kubectl(&["apply", "-f", "-"], &manifest).await.unwrap();
    }
}
