//! Vault with its engines, auth methods, roles and policies, and the control plane that it asks who somebody is.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use keystow::handover::{StoreSettings, VaultAuth, VaultLogin, VaultSettings};
use keystow::store::{self, Store, Surroundings};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::support::control_plane::{self, ControlPlane};
use crate::support::servers::{ROOT_TOKEN, Vault};
use crate::support::wait::until;

/// Where the service accounts are.
const NAMESPACE: &str = "vault-tests";
const AUDIENCE: &str = "vault";
const READY_WITHIN: Duration = Duration::from_secs(60);
/// What the suite's paths begin with, and the particular tests'.
const PREFIXES: [&str; 4] = ["suite", "hostile", "nowhere", "particular"];

/// The server of this test process, shared by tests with a runtime each.
pub(super) struct World {
    pub(super) vault: &'static Vault,
    pub(super) plane: &'static ControlPlane,
    /// Of the account that reviews tokens.
    reviewer: String,
    /// In the server's, which goes with it.
    directory: PathBuf,
}

/// A KV engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    One,
    Two,
    /// Version 2, and it refuses whoever names no version.
    Strict,
}

impl Engine {
    pub(super) fn mount(self) -> &'static str {
        match self {
            Self::One => "plain",
            Self::Two => "team/kv",
            Self::Strict => "strict",
        }
    }

    fn version(self) -> u8 {
        if self == Self::One { 1 } else { 2 }
    }

    /// The role, and its policy, of those who may do all that the store does.
    pub(super) fn role(self) -> &'static str {
        match self {
            Self::One => "creator-one",
            Self::Two => "creator-two",
            Self::Strict => "creator-strict",
        }
    }
}

pub(super) fn login(role: &str, mount: &str) -> VaultLogin {
    VaultLogin { role: role.to_owned(), mount: mount.to_owned(), audience: AUDIENCE.to_owned() }
}

/// The policy of that name in the document, for the engine and the prefixes of the tests.
fn policy(name: &str, engine: Engine) -> String {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/stores/vault.md");
    let document = fs::read_to_string(document).unwrap();
    let (_, rest) = document.split_once(&format!("```hcl\n# {name}\n")).expect("a policy of that name");
    let (written, _) = rest.split_once("```").unwrap();
    let mount = if engine == Engine::One { "\"kv/" } else { "\"secret/" };
    assert!(written.contains(mount) && written.contains("veza/"), "{written}");
    let mut all = String::new();
    for prefix in PREFIXES {
        let one = written.replace(mount, &format!("\"{}/", engine.mount()));
        writeln!(all, "{}", one.replace("veza/", &format!("{prefix}/"))).unwrap();
    }
    all
}

impl World {
    /// None where a program is missing, which has been told.
    pub(super) async fn shared(test: &str) -> Option<&'static Self> {
        static SHARED: OnceCell<World> = OnceCell::const_new();
        let plane = control_plane::shared_or_skip(test).await?;
        let vault = Vault::shared(test).await?;
        Some(SHARED.get_or_init(|| Self::set_up(vault, plane)).await)
    }

    async fn set_up(vault: &'static Vault, plane: &'static ControlPlane) -> Self {
        plane.namespace(NAMESPACE, &[], &[]).await.unwrap();
        for account in ["app", "stranger", "reviewer"] {
            plane.service_account(NAMESPACE, account, &[]).await.unwrap();
        }
        let bindings = json!({"apiVersion": "v1", "kind": "List", "items": [
            // Who asks the API server about tokens of others.
            binding("vault-reviews", "system:auth-delegator", &json!({
                "kind": "ServiceAccount", "name": "reviewer", "namespace": NAMESPACE,
            })),
            // Vault asks for the keys that tokens are signed with as nobody in particular.
            binding("vault-keys", "system:service-account-issuer-discovery", &json!({
                "kind": "Group", "name": "system:unauthenticated", "apiGroup": "rbac.authorization.k8s.io",
            })),
        ]});
        plane.kubectl(&["apply", "-f", "-"], &bindings.to_string()).await.unwrap();
        let reviewer = token(plane, "reviewer", None).await;
        let directory = vault.ca_file().with_file_name("tokens");
        fs::create_dir(&directory).unwrap();
        let world = Self { vault, plane, reviewer, directory };
        for account in ["app", "stranger"] {
            world.write_token(account, &token(plane, account, Some(AUDIENCE)).await);
        }
        world.engines().await;
        world.kubernetes_auth("kubernetes").await;
        world.jwt_auth("jwt").await;
        for auth in ["kubernetes", "jwt"] {
            for engine in [Engine::One, Engine::Two, Engine::Strict] {
                world.role(auth, engine.role(), "app", &json!({"token_policies": [engine.role()]})).await;
            }
            world.role(auth, "stranger", "stranger", &json!({})).await;
        }
        world
    }

    async fn engines(&self) {
        for (engine, name) in [
            (Engine::One, "keystow-creator-v1"),
            (Engine::Two, "keystow-creator"),
            (Engine::Strict, "keystow-creator"),
        ] {
            self.mount(engine.mount(), engine.version()).await;
            let policy = json!({"policy": policy(name, engine)});
            self.vault.write(&format!("sys/policies/acl/{}", engine.role()), &policy).await;
        }
        self.vault.write("strict/config", &json!({"cas_required": true})).await;
        let readers =
            [("reader-one", "keystow-reader-v1", Engine::One), ("reader-two", "keystow-reader", Engine::Two)];
        for (role, name, engine) in readers {
            self.vault
                .write(&format!("sys/policies/acl/{role}"), &json!({"policy": policy(name, engine)}))
                .await;
        }
    }

    /// A KV engine. One of version 2 is not there at once.
    pub(super) async fn mount(&self, path: &str, version: u8) {
        let engine = json!({"type": "kv", "options": {"version": version.to_string()}});
        self.vault.write(&format!("sys/mounts/{path}"), &engine).await;
        if version == 2 {
            let ready = until(READY_WITHIN, async || {
                let path = format!("{path}/config");
                let answer = self.vault.request(&Method::GET, &path, ROOT_TOKEN, None).await;
                answer.status.is_success().then_some(())
            });
            ready.await.expect("an engine that is ready");
        }
    }

    /// A Kubernetes auth method, as the document has it.
    pub(super) async fn kubernetes_auth(&self, mount: &str) {
        self.vault.write(&format!("sys/auth/{mount}"), &json!({"type": "kubernetes"})).await;
        let config = json!({
            "kubernetes_host": format!("https://127.0.0.1:{}", self.plane.port()),
            "kubernetes_ca_cert": self.plane.ca_pem(),
            "token_reviewer_jwt": self.reviewer,
            "disable_local_ca_jwt": true,
        });
        self.vault.write(&format!("auth/{mount}/config"), &config).await;
    }

    async fn jwt_auth(&self, mount: &str) {
        self.vault.write(&format!("sys/auth/{mount}"), &json!({"type": "jwt"})).await;
        let config = json!({
            "jwks_url": format!("https://127.0.0.1:{}/openid/v1/jwks", self.plane.port()),
            "jwks_ca_pem": self.plane.ca_pem(),
            "bound_issuer": "https://kubernetes.default.svc.cluster.local",
        });
        self.vault.write(&format!("auth/{mount}/config"), &config).await;
    }

    /// A role of an auth method that an account may log in with.
    pub(super) async fn role(&self, auth: &str, role: &str, account: &str, more: &Value) {
        let mut body = if auth.starts_with("jwt") {
            json!({
                "role_type": "jwt", "user_claim": "sub", "bound_audiences": [AUDIENCE],
                "bound_subject": format!("system:serviceaccount:{NAMESPACE}:{account}"),
            })
        } else {
            json!({
                "bound_service_account_names": [account],
                "bound_service_account_namespaces": [NAMESPACE],
                "audience": AUDIENCE,
            })
        };
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.vault.write(&format!("auth/{auth}/role/{role}"), &body).await;
    }

    /// `HOST:PORT` of the server without TLS.
    pub(super) fn address(&self) -> String {
        self.vault.address().strip_prefix("http://").unwrap().to_owned()
    }

    pub(super) fn ca_pem(&self) -> String {
        fs::read_to_string(self.vault.ca_file()).unwrap()
    }

    /// The settings without TLS.
    pub(super) fn settings(&self, engine: Engine, auth: VaultAuth) -> VaultSettings {
        VaultSettings {
            address: self.vault.address(),
            mount: engine.mount().to_owned(),
            kv_version: engine.version(),
            namespace: None,
            ca_certificate: None,
            auth,
        }
    }

    /// The file with the token of an account, or what a test calls one.
    pub(super) fn token_file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(super) fn write_token(&self, name: &str, token: &str) -> PathBuf {
        let file = self.token_file(name);
        // As the kubelet does it: whole, or not at all.
        let beside = self.token_file(&format!("{name}.new"));
        fs::write(&beside, token).unwrap();
        fs::rename(&beside, &file).unwrap();
        file
    }

    /// A token of an account, for an audience or else for the API server.
    pub(super) async fn token(&self, account: &str, audience: Option<&str>) -> String {
        token(self.plane, account, audience).await
    }

    /// Opens a store as a pod of the account does.
    pub(super) async fn open(&self, settings: &VaultSettings, account: &str) -> Arc<dyn Store> {
        let surroundings =
            Surroundings { token_file: Some(self.token_file(account)), ..Surroundings::default() };
        store::open(&StoreSettings::Vault(settings.clone()), &surroundings).await.unwrap()
    }

    /// Opens a store of an engine as its creator, by Kubernetes auth, at another address.
    pub(super) async fn creator(&self, engine: Engine, url: Option<String>) -> Arc<dyn Store> {
        let mut settings = self.settings(engine, VaultAuth::Kubernetes(login(engine.role(), "kubernetes")));
        settings.address = url.unwrap_or(settings.address);
        self.open(&settings, "app").await
    }
}

fn binding(name: &str, role: &str, subject: &Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    })
}

async fn token(plane: &ControlPlane, account: &str, audience: Option<&str>) -> String {
    let audiences = audience.into_iter().map(str::to_owned).collect();
    let request = TokenRequest {
        spec: TokenRequestSpec { audiences, expiration_seconds: Some(3600), ..TokenRequestSpec::default() },
        ..TokenRequest::default()
    };
    let api: Api<ServiceAccount> = Api::namespaced(plane.client().await.unwrap(), NAMESPACE);
    let made = api.create_token_request(account, &PostParams::default(), &request).await.unwrap();
    made.status.unwrap().token
}
