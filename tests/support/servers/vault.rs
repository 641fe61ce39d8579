//! Vault in its development mode: unsealed, in memory, with a root token that is known.
//!
//! It answers the same over plain HTTP and over TLS, each at an address of its own. The store KV version 2 is at `secret/`;
//! the auth methods approle, cert, jwt, kubernetes and userpass are there to be enabled, and so are a KV version 1 and
//! policies, by [`Vault::write`]. Checks of rights are real: the root token passes all of them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ::http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::super::control_plane::ControlPlane;
use super::super::programs;
use super::{Answer, Server, command, free_address, in_cache};

/// Pins what `tests/vault/build.sh` builds.
const GO_MOD: &str = include_str!("../../vault/go.mod");
const ROOT: &str = "github.com/hashicorp/vault";
const KUBERNETES: &str = "github.com/hashicorp/vault-plugin-auth-kubernetes";

pub(crate) const ROOT_TOKEN: &str = "root";

/// A running Vault.
#[derive(Debug)]
pub(crate) struct Vault {
    server: Server,
    tls: SocketAddr,
}

impl Vault {
    /// Starts one of its own; where it was not built, says that `test` is skipped.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        Some(Self::started_from(&programs_or_skip(test)?).await)
    }

    /// The one of this test process. Its tests keep to paths, roles and mounts of their own.
    pub(crate) async fn shared(test: &str) -> Option<&'static Self> {
        static SHARED: OnceCell<Vault> = OnceCell::const_new();
        let programs = programs_or_skip(test)?;
        Some(SHARED.get_or_init(|| Self::started_from(&programs)).await)
    }

    async fn started_from(programs: &Path) -> Self {
        let tls = free_address();
        let argv = |port: u16, directory: &Path| {
            // Development mode listens with TLS or without; this adds the other.
            let config =
                format!("listener \"tcp\" {{\n address = \"127.0.0.1:{port}\"\n tls_disable = true\n}}\n");
            fs::write(directory.join("config.hcl"), config).expect("a written configuration");
            let [config, certificates, plugins] =
                [directory.join("config.hcl"), directory.to_owned(), programs.join("plugins")];
            command(
                programs.join("vault"),
                &[
                    "server",
                    "-dev",
                    "-dev-tls",
                    "-dev-no-store-token",
                    &format!("-dev-root-token-id={ROOT_TOKEN}"),
                    &format!("-dev-listen-address={tls}"),
                    &format!("-dev-tls-cert-dir={}", certificates.display()),
                    &format!("-dev-plugin-dir={}", plugins.display()),
                    &format!("-config={}", config.display()),
                ],
            )
        };
        // It listens once it is unsealed and has its plugins.
        let server = Server::start("vault", "/v1/sys/health", argv).await;
        Self { server, tls }
    }

    /// `http://127.0.0.1:PORT`
    pub(crate) fn address(&self) -> String {
        self.server.url()
    }

    /// `https://127.0.0.1:PORT`
    pub(crate) fn tls_address(&self) -> String {
        format!("https://{}", self.tls)
    }

    /// A file with the CA of [`Vault::tls_address`].
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.server.directory.join("vault-ca.pem")
    }

    /// Enables the Kubernetes auth method at `mount`, with the API server of `plane`. It is asked about a token with that
    /// token itself, so the token's service account needs the cluster role `system:auth-delegator`.
    pub(crate) async fn enable_kubernetes(&self, mount: &str, plane: &ControlPlane) {
        self.write(&format!("sys/auth/{mount}"), &json!({"type": "kubernetes"})).await;
        let config = json!({
            "kubernetes_host": format!("https://127.0.0.1:{}", plane.port()),
            "kubernetes_ca_cert": plane.ca_pem(),
            "disable_local_ca_jwt": true,
        });
        self.write(&format!("auth/{mount}/config"), &config).await;
    }

    /// Sends a request below `/v1/`, with this token.
    pub(crate) async fn request(
        &self,
        method: &Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> Answer {
        let headers = [("x-vault-token", token)];
        self.server.request(method, &format!("/v1/{path}"), &headers, body).await.expect("an answer of Vault")
    }

    /// Writes with the root token, and returns what it answers: null, or what was made.
    ///
    /// # Panics
    /// When it refuses.
    pub(crate) async fn write(&self, path: &str, body: &Value) -> Value {
        let answer = self.request(&Method::POST, path, ROOT_TOKEN, Some(body)).await;
        assert!(answer.status.is_success(), "writing {path}: {} {}", answer.status, answer.body);
        answer.body
    }

    /// Reads with the root token: what is in `data`, if there is something.
    ///
    /// # Panics
    /// When it refuses.
    pub(crate) async fn read(&self, path: &str) -> Option<Value> {
        let mut answer = self.request(&Method::GET, path, ROOT_TOKEN, None).await;
        if answer.status == StatusCode::NOT_FOUND {
            return None;
        }
        assert!(answer.status.is_success(), "reading {path}: {} {}", answer.status, answer.body);
        Some(answer.body["data"].take())
    }
}

/// The directory of the programs; where there is none, says that `test` is skipped.
fn programs_or_skip(test: &str) -> Option<PathBuf> {
    let version = |module| programs::pinned(GO_MOD, module).expect("a pinned version");
    let name = format!("vault-{}-kubernetes-{}", version(ROOT), version(KUBERNETES));
    let built = in_cache("vault", &name).filter(|directory| directory.join("vault").is_file());
    if built.is_none() {
        programs::skip(test, "vault", "no vault in the cache; tests/vault/build.sh builds it");
    }
    built
}
