//! A running webhook, the authority that signed its certificate, and clients that speak to it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use keystow::certs::CertificateSource;
use keystow::certs::load::{CertPath, KeyPath};
use keystow::certs::tls::provider;
use keystow::shutdown::{self, Trigger};
use keystow::webhook::review::{Answer, Operation, Outcome, Record, Review};
use keystow::webhook::run::{Bound, RunError, Settings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The name that every test calls the server by.
pub(crate) const NAME: &str = "keystow.keystow.svc";
pub(crate) const ANSWER: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#;
/// No test waits longer for anything.
const BOUND: Duration = Duration::from_secs(20);

/// Answers a constant, or panics when the body says so.
struct Double;

impl Review for Double {
    fn answer(&self, body: &[u8]) -> Answer {
        assert_ne!(body, b"panic", "as the test asked");
        let record = Record {
            uid: "705ab4f5".to_owned(),
            namespace: "shop".to_owned(),
            pod: "app-1".to_owned(),
            operation: Operation::Create,
            dry_run: false,
            outcome: Outcome::Injected,
            operations: 3,
            warnings: 0,
        };
        Answer::Reviewed { body: ANSWER.into(), record }
    }
}

/// A CA of a test's own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// PEM texts of a certificate and its key.
pub(crate) struct Minted {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server certificate for the common name of the tests and one more.
    pub(crate) fn server(&self, other: &str) -> Minted {
        self.mint(&[NAME, other], "server", 2100)
    }

    pub(crate) fn expired(&self) -> Minted {
        self.mint(&[NAME], "server", 2001)
    }

    pub(crate) fn client(&self, common_name: &str, dns: &str) -> Minted {
        self.mint(&[dns], common_name, 2100)
    }

    fn mint(&self, names: &[&str], common_name: &str, last_year: i32) -> Minted {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.not_after = date_time_ymd(last_year, 1, 1);
        let key = KeyPair::generate().unwrap();
        Minted { cert: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }
}

impl Minted {
    pub(crate) fn write_to(&self, directory: &Path) {
        std::fs::write(directory.join("tls.crt"), &self.cert).unwrap();
        std::fs::write(directory.join("tls.key"), &self.key).unwrap();
    }
}

/// The files `tls.crt` and `tls.key` of a directory.
pub(crate) fn files_of(directory: &Path) -> CertificateSource {
    CertificateSource::Files {
        cert: CertPath::new(directory.join("tls.crt")),
        key: KeyPath::new(directory.join("tls.key")),
    }
}

/// Settings on free ports, with a drain that does not wait.
pub(crate) fn settings(certificate: CertificateSource) -> Settings {
    let mut settings = Settings::new(certificate);
    settings.listen = ([127, 0, 0, 1], 0).into();
    settings.admin = ([127, 0, 0, 1], 0).into();
    settings.certificate_interval = Duration::from_millis(10);
    settings.drain_delay = Duration::ZERO;
    settings
}

/// A webhook that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) webhook: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) trigger: Trigger,
    pub(crate) end: JoinHandle<Result<(), RunError>>,
    pub(crate) authority: Authority,
    pub(crate) directory: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end.abort();
    }
}

pub(crate) async fn start(adjust: impl FnOnce(&mut Settings)) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.server("first.example").write_to(directory.path());
    start_with(authority, directory, adjust).await
}

/// Starts on the files that are in `directory` already.
pub(crate) async fn start_with(
    authority: Authority,
    directory: TempDir,
    adjust: impl FnOnce(&mut Settings),
) -> Running {
    let mut settings = settings(files_of(directory.path()));
    adjust(&mut settings);
    let bound = Bound::new(settings).await.unwrap();
    let (webhook, admin) = (bound.webhook_address(), bound.admin_address());
    let (trigger, shutdown) = shutdown::channel();
    let end = tokio::spawn(bound.serve(Arc::new(Double), shutdown));
    Running { webhook, admin, trigger, end, authority, directory }
}

impl Running {
    /// How the server ended; fails when it does not.
    pub(crate) async fn ended(&mut self) -> Result<(), RunError> {
        within("the server to end", &mut self.end).await.unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::trusting(&self.authority.pem(), self.webhook)
    }

    /// One good request on a connection of its own.
    pub(crate) async fn good_request(&self) {
        let (mut sender, _connection) = self.client().h2().await;
        let (status, _, body) = send(&mut sender, post("/mutate", full("{}"))).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, ANSWER));
    }

    pub(crate) async fn admin(&self, path: &str) -> (StatusCode, String) {
        let stream = TcpStream::connect(self.admin).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(path).header("host", "admin").body(Empty::<Bytes>::new()).unwrap();
        let response = within("the admin answer", sender.send_request(request)).await.unwrap();
        let status = response.status();
        (status, text(response.into_body()).await)
    }

    /// Waits until the metrics have this line, `keystow_` left out.
    pub(crate) async fn counts(&self, line: &str) {
        let line = format!("keystow_{line}");
        until(&line, async || self.admin("/metrics").await.1.lines().any(|found| found == line)).await;
    }
}

/// Connects to the webhook.
pub(crate) struct Client {
    roots: RootCertStore,
    address: SocketAddr,
    versions: Vec<&'static SupportedProtocolVersion>,
    identity: Option<Minted>,
}

impl Client {
    pub(crate) fn trusting(ca: &str, address: SocketAddr) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
        Self { roots, address, versions: rustls::ALL_VERSIONS.to_vec(), identity: None }
    }

    pub(crate) fn only(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    pub(crate) fn identified(mut self, identity: Minted) -> Self {
        self.identity = Some(identity);
        self
    }

    pub(crate) async fn connect(self, protocols: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let builder = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(self.roots);
        let mut config = match self.identity {
            Some(Minted { cert, key }) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(NAME).unwrap();
        within("the handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await
    }

    pub(crate) async fn h2(self) -> (http2::SendRequest<TestBody>, JoinHandle<hyper::Result<()>>) {
        let stream = self.connect(&["h2"]).await.unwrap();
        let io = TokioIo::new(stream);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        (sender, tokio::spawn(connection))
    }

    /// Writes bytes over HTTP/1.1 and reads until the server closes.
    pub(crate) async fn h1_exchange(self, request: &[u8]) -> String {
        let mut stream = self.connect(&["http/1.1"]).await.unwrap();
        // A server may answer and close before it has read everything.
        let _ = within("the request to be written", stream.write_all(request)).await;
        read_to_close(&mut stream).await
    }
}

pub(crate) async fn read_to_close(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    // How the end looks depends on who closed first; what was read before it is what counts.
    let _ = within("the server to close", stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) type TestBody = BoxBody<Bytes, Infallible>;

pub(crate) fn full(text: impl Into<Bytes>) -> TestBody {
    Full::new(text.into()).boxed()
}

/// A body whose pieces the test sends when it likes.
pub(crate) fn pieces() -> (mpsc::Sender<Bytes>, TestBody) {
    struct Pieces(mpsc::Receiver<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
        }
    }

    let (sender, receiver) = mpsc::channel(1);
    (sender, Pieces(receiver).boxed())
}

pub(crate) fn post(path: &str, body: TestBody) -> Request<TestBody> {
    Request::post(format!("https://{NAME}{path}"))
        .header("content-type", "application/json")
        .body(body)
        .unwrap()
}

pub(crate) async fn send(
    sender: &mut http2::SendRequest<TestBody>,
    request: Request<TestBody>,
) -> (StatusCode, HeaderMap, String) {
    whole(within("an answer", sender.send_request(request)).await.unwrap()).await
}

pub(crate) async fn whole(response: Response<Incoming>) -> (StatusCode, HeaderMap, String) {
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, text(body).await)
}

async fn text(body: Incoming) -> String {
    let bytes = within("the answer's body", body.collect()).await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(BOUND, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let poll = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(what, poll).await;
}
