//! What a Service is to its clients: one address, behind it the endpoints that are ready.
//!
//! A new connection goes to a ready endpoint, in turn; a connection that exists stays where it is, whatever becomes
//! of its endpoint's readiness. Readiness is asked for at intervals, so endpoints lag behind, as they do in a cluster.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::webhook::get;

/// How far readiness lags behind.
const INTERVAL: Duration = Duration::from_millis(250);

/// A process behind the address.
struct Endpoint {
    webhook: SocketAddr,
    admin: SocketAddr,
    ready: AtomicBool,
    connections: AtomicUsize,
}

type Endpoints = Arc<Mutex<Vec<Arc<Endpoint>>>>;

/// A running balancer; it ends, and its connections with it, when this is dropped.
pub(crate) struct Balancer {
    address: SocketAddr,
    endpoints: Endpoints,
    tasks: JoinSet<()>,
}

impl Balancer {
    /// Starts one before these endpoints (the address to pass connections to, and the one that says whether it is
    /// ready), all of which are ready.
    pub(crate) async fn start(endpoints: &[(SocketAddr, SocketAddr)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let mut balancer = Self { address, endpoints: Endpoints::default(), tasks: JoinSet::new() };
        balancer.tasks.spawn(accept(listener, Arc::clone(&balancer.endpoints)));
        for endpoint in endpoints {
            balancer.add(*endpoint, true);
        }
        balancer
    }

    /// Adds an endpoint, ready from the start or once it says so.
    pub(crate) fn add(&mut self, (webhook, admin): (SocketAddr, SocketAddr), ready: bool) {
        let endpoint =
            Endpoint { webhook, admin, ready: AtomicBool::new(ready), connections: AtomicUsize::new(0) };
        let endpoint = Arc::new(endpoint);
        self.endpoints.lock().expect("no panic").push(Arc::clone(&endpoint));
        self.tasks.spawn(follow(endpoint));
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections each endpoint was given.
    pub(crate) fn connections(&self) -> Vec<usize> {
        let endpoints = self.endpoints.lock().expect("no panic");
        endpoints.iter().map(|endpoint| endpoint.connections.load(Ordering::Relaxed)).collect()
    }
}

/// Asks whether it is ready, again and again.
async fn follow(endpoint: Arc<Endpoint>) {
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        interval.tick().await;
        let answer = get(endpoint.admin, "/readyz").await;
        endpoint.ready.store(answer.is_some_and(|(status, _)| status == 200), Ordering::Relaxed);
    }
}

async fn accept(listener: TcpListener, endpoints: Endpoints) {
    let mut connections = JoinSet::new();
    let mut turn = 0;
    while let Ok((client, _)) = listener.accept().await {
        turn += 1;
        let chosen = {
            let endpoints = endpoints.lock().expect("no panic");
            let ready = endpoints.iter().filter(|endpoint| endpoint.ready.load(Ordering::Relaxed));
            let ready: Vec<_> = ready.collect();
            ready.get(turn % ready.len().max(1)).map(|endpoint| Arc::clone(endpoint))
        };
        // Without a ready endpoint the connection is closed: the client's loss, as in a cluster.
        let Some(endpoint) = chosen else { continue };
        endpoint.connections.fetch_add(1, Ordering::Relaxed);
        connections.spawn(pass(client, endpoint.webhook));
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(mut client: TcpStream, webhook: SocketAddr) {
    let Ok(mut server) = TcpStream::connect(webhook).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    // Either side may break off: the other then sees it.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}
