//! The listener, which can be shut so that connections are refused, and sockets that can be reset.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Shared;
use super::certificates::Certificates;
use super::pass::serve;

/// How many connections wait to be taken.
const BACKLOG: u32 = 1024;

/// A port, and whether connections to it are taken.
pub(super) struct Line {
    address: SocketAddr,
    wanted: watch::Sender<bool>,
    is_open: watch::Receiver<bool>,
}

/// The other end of a [`Line`].
pub(super) struct Listener {
    listener: TcpListener,
    wanted: watch::Receiver<bool>,
    is_open: watch::Sender<bool>,
}

impl Line {
    pub(super) async fn listen() -> (Self, Listener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (wanted, is_wanted) = watch::channel(true);
        let (is, is_open) = watch::channel(true);
        (Self { address, wanted, is_open }, Listener { listener, wanted: is_wanted, is_open: is })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens or shuts it, and waits until it is.
    pub(super) async fn set_open(&self, open: bool) {
        self.wanted.send_replace(open);
        self.is_open.clone().wait_for(|is| *is == open).await.expect("a proxy that runs");
    }
}

impl Listener {
    /// Takes connections while it is open.
    pub(super) async fn accept(mut self, shared: Arc<Shared>, certificates: Option<Arc<Certificates>>) {
        let mut connections = JoinSet::new();
        let acceptor = certificates.map(|certificates| certificates.acceptor());
        loop {
            let is_wanted = tokio::select! {
                accepted = self.listener.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
                    connections.spawn(async move {
                        let is_reset = Arc::new(AtomicBool::new(false));
                        let socket = Socket { stream, is_reset: Arc::clone(&is_reset) };
                        match acceptor {
                            None => serve(socket, shared, is_reset).await,
                            Some(acceptor) => {
                                // A client that does not like the certificate goes.
                                if let Ok(stream) = acceptor.accept(socket).await {
                                    serve(stream, shared, is_reset).await;
                                }
                            }
                        }
                    });
                    true
                }
                _ = self.wanted.wait_for(|wanted| !wanted) => false,
            };
            if !is_wanted {
                self = self.shut(&mut connections).await;
            }
            while connections.try_join_next().is_some() {}
        }
    }

    /// Refuses connections until they are wanted again. The port stays bound, so that nobody else gets it.
    async fn shut(mut self, connections: &mut JoinSet<()>) -> Self {
        let address = self.listener.local_addr().expect("an address");
        drop(self.listener);
        connections.shutdown().await;
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("a port that is taken again at once");
        socket.bind(address).expect("the same port");
        self.is_open.send_replace(false);
        // Where nobody is left who could want it, the task ends with the proxy.
        let _ = self.wanted.wait_for(|wanted| *wanted).await;
        let listener = socket.listen(BACKLOG).expect("a listener again");
        self.is_open.send_replace(true);
        Self { listener, ..self }
    }
}

/// A connection that is reset when it ends, where that is asked for.
pub(super) struct Socket {
    stream: TcpStream,
    is_reset: Arc<AtomicBool>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.is_reset.load(Ordering::Relaxed) {
            self.stream.set_zero_linger().expect("a socket that can be reset");
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The end of a stream would be an end in order.
        if self.is_reset.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
