//! Somebody else's mutating webhook: a small HTTPS server in this process that answers a pod with a patch.
//!
//! HTTP/1.1, one request after another on a connection, no bounds: the API server is its only client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Makes the operations of a JSON Patch for a pod.
pub(crate) type Patch = fn(&Value) -> Value;

/// A running webhook; it ends when this is dropped.
pub(crate) struct Mutator {
    address: SocketAddr,
    certificate_pem: String,
    calls: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Mutator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Mutator {
    /// Starts one that patches every pod with what `patch` makes for it.
    pub(crate) async fn start(patch: Patch) -> Self {
        let key = KeyPair::generate().expect("a key");
        let parameters = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .expect("a key pair");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let calls = Arc::new(AtomicUsize::new(0));
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let task = tokio::spawn(accept(listener, acceptor, patch, Arc::clone(&calls)));
        Self { address, certificate_pem: certificate.pem(), calls, task }
    }

    /// How often it was called.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// The configuration `name` that sends the pods of the namespaces with the label `key`=`value` to it.
    pub(crate) fn configuration(&self, name: &str, key: &str, value: &str) -> Value {
        let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [{
                "name": "mutator.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "failurePolicy": "Fail", "timeoutSeconds": 10, "rules": [rule],
                "clientConfig": {
                    "url": format!("https://{}/mutate", self.address),
                    "caBundle": STANDARD.encode(&self.certificate_pem),
                },
                "namespaceSelector": {"matchLabels": {key: value}},
            }],
        })
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, patch: Patch, calls: Arc<AtomicUsize>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, calls) = (acceptor.clone(), Arc::clone(&calls));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(async |request| {
                calls.fetch_add(1, Ordering::Relaxed);
                answer(request, patch).await
            });
            let http = hyper::server::conn::http1::Builder::new();
            // A connection that breaks is the API server's to complain about.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, patch: Patch) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    let operations = patch(&review["request"]["object"]);
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {
            "uid": review["request"]["uid"], "allowed": true,
            "patchType": "JSONPatch", "patch": STANDARD.encode(operations.to_string()),
        },
    });
    let response = Response::new(Full::from(answer.to_string()));
    let (mut parts, body) = response.into_parts();
    parts.headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    Ok(Response::from_parts(parts, body))
}
