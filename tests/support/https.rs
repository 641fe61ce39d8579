//! A client that speaks TLS to a server on loopback: what is needed to say what no API server would say.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// No exchange takes longer.
const BOUND: Duration = Duration::from_secs(30);

/// An answer over HTTP/1.1.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Connects over HTTP/1.1 on TLS, trusting `ca_pem`.
pub(crate) async fn connect(address: SocketAddr, ca_pem: &str) -> TlsStream<TcpStream> {
    try_connect(address, ca_pem).await.expect("a handshake")
}

/// As [`connect`], where it may fail: the error of a handshake holds a [`rustls::Error`].
pub(crate) async fn try_connect(address: SocketAddr, ca_pem: &str) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::IpAddress(address.ip().into());
    within("the handshake", connector(ca_pem).connect(name, stream)).await
}

/// What makes TLS of connections, trusting `ca_pem`.
pub(crate) fn connector(ca_pem: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for ca in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots.add(ca.expect("CAs in PEM")).expect("a CA certificate");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Posts `body` to `/mutate` on a connection of its own.
pub(crate) async fn post(address: SocketAddr, ca_pem: &str, media_type: &str, body: &[u8]) -> Answer {
    post_with(address, ca_pem, &[("content-type", media_type)], body).await
}

/// As [`post`], with these headers.
pub(crate) async fn post_with(
    address: SocketAddr,
    ca_pem: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    request(address, ca_pem, "POST /mutate?timeout=10s", headers, body).await
}

/// Sends a request, `METHOD TARGET`, on a connection of its own.
pub(crate) async fn request(
    address: SocketAddr,
    ca_pem: &str,
    what: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut stream = connect(address, ca_pem).await;
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "{what} HTTP/1.1\r\nhost: {address}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let (mut reader, mut writer) = tokio::io::split(&mut stream);
    // A server may answer and close before it has read everything.
    let write = async {
        let _ = writer.write_all(head.as_bytes()).await;
        let _ = writer.write_all(body).await;
        let _ = writer.flush().await;
    };
    let (text, ()) = within("an answer", async { tokio::join!(read_to_close(&mut reader), write) }).await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer { status: status.unwrap_or_else(|| panic!("no status: {head:?}")), body: body.to_owned() }
}

/// What comes until the other side closes, however it does.
pub(crate) async fn read_to_close(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let _ = within("the server to close", stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(BOUND, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}
