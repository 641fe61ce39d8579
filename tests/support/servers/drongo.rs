//! drongo, which stands in for Google Cloud: the REST interface of Secret Manager, among others, at one address.
//!
//! It takes any token and none, refuses nobody for want of a right, answers a list in one page whatever size is asked
//! for, knows no location, does not check payloads for their checksum or send one, and speaks no TLS and no gRPC.

use std::ffi::OsStr;
use std::path::Path;

use ::http::Method;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::{Answer, Server, command, forget, python_or_skip};

/// Pins what `tests/drongo/build.sh` installs.
const REQUIREMENTS: &str = include_str!("../../drongo/requirements.txt");

/// A running drongo.
#[derive(Debug)]
pub(crate) struct Drongo(Server);

impl Drongo {
    /// Starts one of its own; where it was not set up, says that `test` is skipped.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        let python = python_or_skip(test, "drongo", REQUIREMENTS)?;
        Some(Self::started_by(&python).await)
    }

    /// The one of this test process. Its tests keep to projects of their own, and do not reset it.
    pub(crate) async fn shared(test: &str) -> Option<&'static Self> {
        static SHARED: OnceCell<Drongo> = OnceCell::const_new();
        let python = python_or_skip(test, "drongo", REQUIREMENTS)?;
        Some(SHARED.get_or_init(|| Self::started_by(&python)).await)
    }

    async fn started_by(python: &OsStr) -> Self {
        let argv = |port: u16, _: &Path| {
            command(
                python,
                &["-m", "drongo.cli", "server", "--host", "127.0.0.1", "--port", &port.to_string()],
            )
        };
        Self(Server::start("drongo", "/drongo/health", argv).await)
    }

    /// What takes the place of `https://secretmanager.googleapis.com`.
    pub(crate) fn address(&self) -> String {
        self.0.url()
    }

    /// Sends a request: `request(&Method::GET, "/v1/projects/PROJECT/secrets", None)`.
    pub(crate) async fn request(&self, method: &Method, path: &str, body: Option<&Value>) -> Answer {
        self.0.request(method, path, &[], body).await.expect("an answer of drongo")
    }

    /// Makes it forget everything.
    pub(crate) async fn reset(&self) {
        forget(&self.0, "/drongo/reset").await;
    }
}
