//! Real servers that hold secrets, for the tests of the stores: found in the cache, started on loopback.
//!
//! Flow: `tests/NAME/build.sh` fills the cache → `start` (one of a test's own) or `shared` (one for the whole test
//! process) → `address`, and what each of them has to put secrets in without the code under test.
//!
//! Invariants: a server ends with its handle, and with the process that started it at the latest; it holds no handle
//! of an async runtime, so tests with a runtime each can share one; nothing of the environment reaches it. Where it was
//! not set up, the test is skipped and named; a server that is there and does not start is a failure.
//!
//! What no server here does: refuse for want of a right (Vault alone does), be slow, or be away. For that there is
//! `gate`, and the handle can be dropped.

mod drongo;
mod http;
pub(crate) mod moto;
mod vault;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::http::{Method, StatusCode};
use tempfile::TempDir;

pub(crate) use drongo::Drongo;
pub(crate) use http::Answer;
pub(crate) use moto::Moto;
pub(crate) use vault::{ROOT_TOKEN, Vault};

use super::programs;
use super::supervisor::{Program, Supervisor};
use super::wait::until;

/// How long a server may take to answer: a second on an idle machine, far more on a busy one.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A free port can be taken by somebody else before the server binds it.
const ATTEMPTS: u32 = 3;

/// A process that answers over HTTP.
#[derive(Debug)]
struct Server {
    processes: Supervisor,
    address: SocketAddr,
    /// Goes when the process has gone.
    directory: PathBuf,
}

impl Server {
    /// Starts what `argv` says for a port and a directory of its own, and waits until `ready` answers with success.
    ///
    /// # Panics
    /// When it does not answer, with what it wrote.
    async fn start(name: &str, ready: &str, argv: impl Fn(u16, &Path) -> Vec<OsString>) -> Self {
        let mut log = String::new();
        for _ in 0..ATTEMPTS {
            let server = Self::spawn(name, &argv);
            if server.answers(ready).await {
                return server;
            }
            log = fs::read_to_string(server.directory.join("log")).unwrap_or_default();
            if !log.to_lowercase().contains("address already in use") {
                break;
            }
        }
        panic!("{name} did not answer at {ready}; it wrote:\n{log}");
    }

    fn spawn(name: &str, argv: impl Fn(u16, &Path) -> Vec<OsString>) -> Self {
        let directory = TempDir::with_prefix(format!("{name}-")).expect("a directory for a server");
        let address = free_address();
        // Settings of whoever runs the tests would change what the server does.
        // A group of its own: what it starts ends with it.
        let environment = ["setsid".into(), "/usr/bin/env".into(), "-i".into(), home(directory.path())];
        let argv = environment.into_iter().chain(argv(address.port(), directory.path())).collect();
        let program = Program { argv, log: directory.path().join("log") };
        let processes = Supervisor::start(&[program], Some(directory.path())).expect("a started server");
        // From here on the supervisor removes the directory.
        Self { processes, address, directory: directory.keep() }
    }

    async fn answers(&self, ready: &str) -> bool {
        let attempt = async || match self.request(&Method::GET, ready, &[], None).await {
            Ok(answer) if answer.status.is_success() => Some(true),
            _ => (!self.processes.all_running()).then_some(false),
        };
        until(READY_WITHIN, attempt).await == Some(true)
    }

    async fn request(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&serde_json::Value>,
    ) -> Result<Answer, http::HttpError> {
        http::exchange(self.address, method, path, headers, body).await
    }

    /// Its address as a URL.
    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn home(directory: &Path) -> OsString {
    let mut variable = OsString::from("HOME=");
    variable.push(directory);
    variable
}

/// An address on loopback that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address")
}

/// The directory `kind/version` in the cache.
fn in_cache(kind: &str, version: &str) -> Option<PathBuf> {
    let cache = programs::cache(|name| env::var_os(name).filter(|value| !value.is_empty()))?;
    Some(cache.join(kind).join(version))
}

/// The Python of what `tests/NAME/build.sh` installed by these requirements; where there is none, says that `test` is
/// skipped.
fn python_or_skip(test: &str, name: &str, requirements: &str) -> Option<OsString> {
    let pin = format!("{name}==");
    let version = requirements.lines().find_map(|line| line.strip_prefix(&pin)?.split_whitespace().next());
    let version = version.expect("a pinned version");
    let same = |directory: &PathBuf| {
        fs::read_to_string(directory.join("requirements.txt"))
            .is_ok_and(|installed| installed == requirements)
    };
    let installed = in_cache(name, &format!("{name}-{version}")).filter(same);
    if installed.is_none() {
        programs::skip(test, name, format!("no {name} in the cache; tests/{name}/build.sh installs it"));
    }
    Some(installed?.join("bin/python").into())
}

/// A program and its arguments.
fn command(program: impl Into<OsString>, arguments: &[&str]) -> Vec<OsString> {
    std::iter::once(program.into()).chain(arguments.iter().map(Into::into)).collect()
}

/// Posts nothing to `path`, where a server forgets all it holds.
async fn forget(server: &Server, path: &str) {
    let answer = server.request(&Method::POST, path, &[], None).await.expect("an answer");
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
}
