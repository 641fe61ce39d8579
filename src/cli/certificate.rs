//! The flags by which a server's certificate is given: files, or a directory to make one in.

use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::ServerName;

use crate::certs::CertificateSource;
use crate::certs::load::{CertPath, KeyPath};
use crate::domain::parse_duration;

const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// Where the certificate comes from.
#[derive(Debug, clap::Args)]
pub(super) struct CertificateArguments {
    /// The certificate chain in PEM. It and the key are read again when they change.
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_key",
        conflicts_with = "self_signed",
        env = "KEYSTOW_TLS_CERT"
    )]
    tls_cert: Option<PathBuf>,
    /// The private key in PEM.
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_cert",
        conflicts_with = "self_signed",
        env = "KEYSTOW_TLS_KEY"
    )]
    tls_key: Option<PathBuf>,
    /// Make a certificate in this directory, for trying it out; ca.crt in it is the caBundle.
    #[arg(long, value_name = "DIRECTORY", env = "KEYSTOW_SELF_SIGNED")]
    self_signed: Option<PathBuf>,
    /// A DNS name or address that the self-signed certificate is for; without it, the name of the Service in namespace
    /// keystow. Can be given several times.
    #[arg(long, value_name = "NAME", requires = "self_signed", value_parser = server_name)]
    self_signed_name: Vec<String>,
    /// How often the certificate's files are looked at.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = interval)]
    pub(super) tls_interval: Duration,
}

impl CertificateArguments {
    /// The source that was chosen, if one was; `service` is the name of the Service, for a self-signed certificate without
    /// names.
    pub(super) fn source(self, service: &str) -> Option<CertificateSource> {
        match (self.tls_cert, self.tls_key, self.self_signed) {
            (Some(cert), Some(key), _) => {
                Some(CertificateSource::Files { cert: CertPath::from(cert), key: KeyPath::from(key) })
            }
            (_, _, Some(directory)) => {
                let mut names = self.self_signed_name;
                if names.is_empty() {
                    names.push(service.to_owned());
                }
                Some(CertificateSource::SelfSigned { directory, names })
            }
            _ => None,
        }
    }
}

/// What a certificate can be for.
pub(super) fn server_name(text: &str) -> Result<String, &'static str> {
    match ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("give a DNS name, such as keystow-webhook.keystow.svc, or an IP address"),
    }
}

/// How often something is done: not all the time.
fn interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text).map_err(|error| error.to_string())?;
    if interval < SHORTEST_INTERVAL { Err("give 100ms or more".to_owned()) } else { Ok(interval) }
}
