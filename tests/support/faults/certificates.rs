//! The certificates of a proxy: one that is right, and those that no client may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// Which certificate a handshake gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presented {
    /// Of the CA, in force, for the right names.
    Right,
    /// For a name that nobody asks for.
    WrongName,
    /// In force until 2021.
    Expired,
    /// Of another CA.
    Unknown,
}

/// All of them, and which is presented now.
#[derive(Debug)]
pub(super) struct Certificates {
    ca_pem: String,
    /// In the order of [`Presented`].
    keys: [Arc<CertifiedKey>; 4],
    presented: AtomicU8,
}

impl Certificates {
    pub(super) fn new(names: &[String]) -> Result<Self, rcgen::Error> {
        let ca = authority("CA of a faulty line")?;
        let wrong = ["wrong.example".to_owned()];
        let keys = [
            leaf(&ca, names, 2099)?,
            leaf(&ca, &wrong, 2099)?,
            leaf(&ca, names, 2021)?,
            leaf(&authority("CA of nobody")?, names, 2099)?,
        ];
        let presented = AtomicU8::new(Presented::Right as u8);
        Ok(Self { ca_pem: ca.pem(), keys: keys.map(Arc::new), presented })
    }

    pub(super) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    pub(super) fn present(&self, presented: Presented) {
        self.presented.store(presented as u8, Ordering::Relaxed);
    }

    /// What does handshakes with them.
    pub(super) fn acceptor(self: &Arc<Self>) -> TlsAcceptor {
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_no_client_auth();
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(self) as _;
        let mut config = config.with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A session that is resumed would skip the certificate.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        TlsAcceptor::from(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.keys[usize::from(self.presented.load(Ordering::Relaxed))]))
    }
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)
}

fn leaf(
    ca: &CertifiedIssuer<'static, KeyPair>,
    names: &[String],
    end: i32,
) -> Result<CertifiedKey, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(names.to_vec())?;
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(end, 1, 1);
    let leaf = parameters.signed_by(&key, ca)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a private key in PKCS#8");
    let key = aws_lc_rs::sign::any_supported_type(&key).expect("a key that signs");
    Ok(CertifiedKey::new(vec![leaf.der().clone()], key))
}
