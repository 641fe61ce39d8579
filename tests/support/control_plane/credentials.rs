//! The keys and certificates of one control plane, minted for the run and kept in its directory.
//!
//! One CA signs the server's certificate (loopback and the in-cluster names) and the admin's client certificate,
//! whose organisation `system:masters` may do everything. Service-account tokens have a key pair of their own.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};
use serde_json::json;

use super::ControlPlaneError;

/// What the server serves and trusts, and what the admin shows.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) ca_pem: String,
    pub(super) ca: PathBuf,
    pub(super) server_certificate: PathBuf,
    pub(super) server_key: PathBuf,
    pub(super) token_key: PathBuf,
    pub(super) token_public_key: PathBuf,
    admin_certificate: PathBuf,
    admin_key: PathBuf,
}

impl Credentials {
    /// Mints everything into `directory`.
    pub(super) fn mint(directory: &Path) -> Result<Self, ControlPlaneError> {
        let ca = CertifiedIssuer::self_signed(ca_parameters(), KeyPair::generate()?)?;
        let server_key = KeyPair::generate()?;
        let server = server_parameters()?.signed_by(&server_key, &ca)?;
        let admin_key = KeyPair::generate()?;
        let admin = admin_parameters().signed_by(&admin_key, &ca)?;
        let token_key = KeyPair::generate()?;

        let write = |name: &str, text: String| {
            let path = directory.join(name);
            fs::write(&path, text)
                .map_err(ControlPlaneError::io(format!("writing {}", path.display())))
                .map(|()| path)
        };
        Ok(Self {
            ca_pem: ca.pem(),
            ca: write("ca.crt", ca.pem())?,
            server_certificate: write("server.crt", server.pem())?,
            server_key: write("server.key", server_key.serialize_pem())?,
            token_key: write("token.key", token_key.serialize_pem())?,
            token_public_key: write("token.pub", token_key.public_key_pem())?,
            admin_certificate: write("admin.crt", admin.pem())?,
            admin_key: write("admin.key", admin_key.serialize_pem())?,
        })
    }

    /// The text of a kubeconfig (JSON is YAML) with which the admin talks to the server at `address`.
    pub(super) fn kubeconfig(&self, address: &str) -> String {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": address, "certificate-authority": self.ca}}],
            "users": [{"name": "admin", "user": {
                "client-certificate": self.admin_certificate, "client-key": self.admin_key,
            }}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        })
        .to_string()
    }
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn ca_parameters() -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = named("test control plane");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

fn server_parameters() -> Result<CertificateParams, rcgen::Error> {
    let names = ["127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    let mut parameters = CertificateParams::new(names.map(String::from))?;
    parameters.distinguished_name = named("kube-apiserver");
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(parameters)
}

fn admin_parameters() -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = named("admin");
    parameters.distinguished_name.push(DnType::OrganizationName, "system:masters");
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    parameters
}
