//! What a Service is to its clients: one address, behind it the endpoints that are ready.
//!
//! A new connection goes to a ready endpoint, in turn; a connection that exists stays where it is, whatever becomes
//! of its endpoint's readiness. Readiness is asked for at intervals, so endpoints lag behind, as they do in a cluster.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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

/// A running balancer; it ends, and its connections with it, when this is dropped.
pub(crate) struct Balancer {
    address: SocketAddr,
    endpoints: Arc<[Endpoint]>,
    _tasks: JoinSet<()>,
}

impl Balancer {
    /// Starts one before these endpoints (the address to pass connections to, and the one that says whether it is
    /// ready), all of which are ready.
    pub(crate) async fn start(endpoints: &[(SocketAddr, SocketAddr)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let endpoint = |(webhook, admin): &(SocketAddr, SocketAddr)| Endpoint {
            webhook: *webhook,
            admin: *admin,
            ready: AtomicBool::new(true),
            connections: AtomicUsize::new(0),
        };
        let endpoints: Arc<[Endpoint]> = endpoints.iter().map(endpoint).collect();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&endpoints)));
        for index in 0..endpoints.len() {
            tasks.spawn(follow(Arc::clone(&endpoints), index));
        }
        Self { address, endpoints, _tasks: tasks }
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections each endpoint was given.
    pub(crate) fn connections(&self) -> Vec<usize> {
        self.endpoints.iter().map(|endpoint| endpoint.connections.load(Ordering::Relaxed)).collect()
    }
}

async fn follow(endpoints: Arc<[Endpoint]>, index: usize) {
    let endpoint = &endpoints[index];
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        interval.tick().await;
        let answer = get(endpoint.admin, "/readyz").await;
        endpoint.ready.store(answer.is_some_and(|(status, _)| status == 200), Ordering::Relaxed);
    }
}

async fn accept(listener: TcpListener, endpoints: Arc<[Endpoint]>) {
    let mut connections = JoinSet::new();
    let mut turn = 0;
    while let Ok((client, _)) = listener.accept().await {
        turn += 1;
        let count = endpoints.len();
        let in_turn = (0..count).map(|step| (turn + step) % count);
        let chosen = in_turn.into_iter().find(|index| endpoints[*index].ready.load(Ordering::Relaxed));
        // Without a ready endpoint the connection is closed: the client's loss, as in a cluster.
        let Some(index) = chosen else { continue };
        endpoints[index].connections.fetch_add(1, Ordering::Relaxed);
        connections.spawn(pass(client, endpoints[index].webhook));
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(mut client: TcpStream, webhook: SocketAddr) {
    let Ok(mut server) = TcpStream::connect(webhook).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    // Either side may break off: the other then sees it.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}
