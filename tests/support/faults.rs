//! What may go wrong between a client and a server, at a test's command: an HTTP/1.1 proxy on loopback.
//!
//! Flow: [`Faults::before`] a real server → the client is sent to [`Faults::url`] → a test scripts faults ([`Faults::next`],
//! [`Faults::always`]), cuts the line ([`Faults::refuse`]) or changes the certificate ([`Faults::present`]) → what came is
//! in [`Faults::requests`], so that budgets of requests can be tested. What no fault is meant for is passed on as it is.
//!
//! ```text
//! client ── plain or TLS with a CA of the proxy's own ──▶ Faults ── plain or TLS with a given CA ──▶ server
//! ```
//!
//! Invariants: a fault is used up by the first request that its filter takes, and scripts are asked in the order in which
//! they were given; a request is counted when its head has come, whatever becomes of it. The listener, its connections and
//! all that is stalled end with the value.
//!
//! Deliberately absent: HTTP/2 (clients that could speak it are told by ALPN that the server does not), and faults below TCP.

pub(crate) mod answers;
mod certificates;
mod line;
mod pass;
mod script;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;
use hyper::body::Bytes;
use tokio::task::JoinSet;

pub(crate) use certificates::Presented;
pub(crate) use script::Seen;

use certificates::Certificates;
use line::Line;
use pass::Upstream;
use script::Script;

/// What becomes of a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// This is answered, and the server never asked.
    Answer(Answer),
    /// The server's answer breaks off after half of its body: the connection is reset.
    Reset,
    /// As [`Fault::Reset`], but the connection is closed in order.
    Short,
    /// Half of the body of the server's answer, with a Content-Length that fits: a whole answer that cannot be read.
    Truncated,
    /// Nothing happens for so long; then the request is passed on. It ends when the client goes.
    Stall(Duration),
}

/// An answer that is no server's.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

impl From<Answer> for Fault {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

/// What a proxy is to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Before {
    address: String,
    /// The CA of the server, in PEM; none where it is plain.
    server_ca: Option<String>,
    host: Option<String>,
    names: Vec<String>,
}

impl Before {
    /// The server speaks TLS with a certificate of this CA for the host in its address.
    pub(crate) fn tls(mut self, ca_pem: &str) -> Self {
        self.server_ca = Some(ca_pem.to_owned());
        self
    }

    /// The server is told this host in place of the one that the client names.
    pub(crate) fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// The client is served over TLS, with a certificate for these names or addresses.
    pub(crate) fn served_as(mut self, names: &[&str]) -> Self {
        self.names = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Starts it.
    pub(crate) async fn start(self) -> Faults {
        let upstream = Upstream::new(self.address, self.server_ca.as_deref(), self.host);
        let certificates =
            (!self.names.is_empty()).then(|| Arc::new(Certificates::new(&self.names).expect("certificates")));
        let shared = Arc::new(Shared { upstream, script: Mutex::default() });
        let (line, listener) = Line::listen().await;
        let mut tasks = JoinSet::new();
        tasks.spawn(listener.accept(Arc::clone(&shared), certificates.clone()));
        Faults { line, shared, certificates, _tasks: tasks }
    }
}

/// What connections share.
struct Shared {
    upstream: Upstream,
    script: Mutex<Script>,
}

/// A running proxy.
pub(crate) struct Faults {
    line: Line,
    shared: Arc<Shared>,
    certificates: Option<Arc<Certificates>>,
    _tasks: JoinSet<()>,
}

impl Faults {
    /// A proxy before the server at `address` (`HOST:PORT`).
    #[allow(clippy::needless_pass_by_value, reason = "an address or its text, written down at once")]
    pub(crate) fn before(address: impl ToString) -> Before {
        Before { address: address.to_string(), ..Before::default() }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.line.address()
    }

    /// What a client is given; `localhost` or 127.0.0.1 should be among the names that it is served as.
    pub(crate) fn url(&self) -> String {
        match self.certificates {
            Some(_) => format!("https://{}", self.address()),
            None => format!("http://{}", self.address()),
        }
    }

    /// The CA of its certificates.
    pub(crate) fn ca_pem(&self) -> &str {
        self.certificates.as_ref().expect("a proxy that speaks TLS").ca_pem()
    }

    /// These become of the next requests that `filter` takes, one each.
    pub(crate) fn next(
        &self,
        filter: impl Fn(&Seen) -> bool + Send + 'static,
        faults: impl IntoIterator<Item = Fault>,
    ) {
        self.script().next(Box::new(filter), faults.into_iter().collect());
    }

    /// This becomes of every request that `filter` takes from now on.
    pub(crate) fn always(&self, filter: impl Fn(&Seen) -> bool + Send + 'static, fault: impl Into<Fault>) {
        self.script().always(Box::new(filter), fault.into());
    }

    /// All that is scripted is forgotten. What is stalled stays so.
    pub(crate) fn clear(&self) {
        self.script().clear();
    }

    /// How many scripted faults have not come yet; those for always do not count.
    pub(crate) fn left(&self) -> usize {
        self.script().left()
    }

    /// Every request so far, in the order of their coming.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.script().seen().to_vec()
    }

    /// How many requests so far `filter` takes.
    pub(crate) fn count(&self, filter: impl Fn(&Seen) -> bool) -> usize {
        self.script().seen().iter().filter(|seen| filter(seen)).count()
    }

    /// Forgets the requests so far.
    pub(crate) fn forget(&self) {
        self.script().forget();
    }

    /// Refuses connections from now on, and cuts those that there are. The port stays taken.
    pub(crate) async fn refuse(&self) {
        self.line.set_open(false).await;
    }

    /// Takes connections again.
    pub(crate) async fn listen(&self) {
        self.line.set_open(true).await;
    }

    /// The certificate of the handshakes to come.
    pub(crate) fn present(&self, presented: Presented) {
        self.certificates.as_ref().expect("a proxy that speaks TLS").present(presented);
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.shared.script.lock().expect("no panic")
    }
}

/// Takes every request.
pub(crate) fn all(_: &Seen) -> bool {
    true
}

/// Headers as a map.
fn headers(pairs: &[(&'static str, String)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, String)| {
        (http::HeaderName::from_static(name), value.parse().expect("the value of a header"))
    };
    pairs.iter().map(pair).collect()
}
