//! Pods are created without pause while certificates turn over and replicas come and go: none is lost.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::cluster::{Cluster, SOON, certificates, leader, metric};
use super::creation::Creation;
use super::support::balancer::Balancer;
use super::support::measured::measured;
use super::support::wait::until;
use super::support::webhook::Webhook;

/// Lifetimes of which a test sees several; a drain of several times the balancer's lag.
const MANAGED: &[&str] = &[
    "--self-managed",
    "--ca-lifetime=90s",
    "--leaf-lifetime=30s",
    "--ca-settle=5s",
    "--drain-delay=1s",
    "--grace=20s",
];
const PODS: usize = 2000;
/// A leader that died is followed within this.
const FAIL_OVER: Duration = Duration::from_secs(20);

fn endpoint(webhook: &Webhook) -> (std::net::SocketAddr, std::net::SocketAddr) {
    (webhook.address(), webhook.admin())
}

/// When a certificate in PEM ends, in seconds since 1970.
fn end(pem: &str) -> i64 {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    X509Certificate::from_der(&der).unwrap().1.validity().not_after.timestamp()
}

/// Whether each of the replicas serves this leaf, told by when it ends.
async fn serve(replicas: &[Webhook], leaf: &str) -> bool {
    for replica in replicas {
        let expiry = metric(replica, "keystow_certificate_expiry_timestamp_seconds").await;
        #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 are exact")]
        if expiry != end(leaf) as f64 {
            return false;
        }
    }
    true
}

/// Waits until every replica serves the leaf of the Secret and is trusted, and yields the leaf.
async fn all_serve(cluster: &Cluster, replicas: &[Webhook]) -> String {
    let served = async || {
        let leaf = cluster.secret_key("tls.crt").await.filter(|leaf| !leaf.is_empty())?;
        for replica in replicas {
            if metric(replica, "keystow_certificate_trusted").await != 1.0 {
                return None;
            }
        }
        serve(replicas, &leaf).await.then_some(leaf)
    };
    until(SOON, served).await.expect("a leaf that all replicas serve")
}

/// Waits for another leaf than `before`, and yields it.
async fn another_leaf(cluster: &Cluster, replicas: &[Webhook], before: &str) -> String {
    let other = async || cluster.secret_key("tls.crt").await.filter(|leaf| leaf != before);
    until(2 * SOON, other).await.expect("another leaf");
    all_serve(cluster, replicas).await
}

/// Waits for another CA than `before` that signs, and until the replicas serve with it.
async fn another_ca(cluster: &Cluster, replicas: &[Webhook], before: &str) {
    let other = async || cluster.secret_key("ca.crt").await.filter(|ca| ca != before);
    until(3 * SOON, other).await.expect("another CA");
    all_serve(cluster, replicas).await;
    let bundle = cluster.ca_bundle().await;
    assert!(certificates(&bundle) >= 2 && bundle.contains(before), "the CA before stays for its leaves");
}

/// Waits until one of the replicas is called, and yields which.
async fn called(replicas: &[Webhook]) -> usize {
    let before = [replicas[0].requests(None).await, replicas[1].requests(None).await];
    let found = async || {
        for (index, replica) in replicas.iter().enumerate() {
            if replica.requests(None).await > before[index] {
                return Some(index);
            }
        }
        None
    };
    until(SOON, found).await.expect("a replica that is called")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_killed_replicas_and_a_rollout_lose_no_pod() {
    let Some(cluster) = Cluster::start("rotation").await else { return };
    let mut replicas = Vec::new();
    for name in ["one", "two"] {
        replicas.push(cluster.installation.replica(name, MANAGED).await);
    }
    let mut balancer = Balancer::start(&[]).await;
    replicas.iter().for_each(|replica| balancer.add(endpoint(replica), false));
    cluster.installation.apply_configuration(balancer.address()).await;
    for replica in &replicas {
        replica.becomes_ready().await;
    }
    cluster.injects().await;
    let (pods, configurations) = (cluster.pods(), cluster.configurations());
    let name = cluster.installation.configuration();
    let creation = Creation::start(&pods, &configurations, &name, balancer.address());

    let ca = cluster.secret_key("ca.crt").await.unwrap();
    let leaf = all_serve(&cluster, &replicas).await;
    let leaf = another_leaf(&cluster, &replicas, &leaf).await;

    // SIGKILL of the leader: the Lease is not given back.
    let mut dead = replicas.remove(leader(&replicas).await);
    let killed = Instant::now();
    dead.kill().await;
    leader(&replicas).await;
    let followed = killed.elapsed();
    measured(format_args!("time after which a killed leader was followed: {followed:?}"));
    assert!(followed <= FAIL_OVER, "{followed:?}");
    replicas.push(cluster.installation.replica("three", MANAGED).await);
    balancer.add(endpoint(&replicas[1]), false);
    replicas[1].becomes_ready().await;
    another_leaf(&cluster, &replicas, &leaf).await;

    another_ca(&cluster, &replicas, &ca).await;

    // SIGKILL of the one that API servers call: what is in flight is cut.
    let mut dead = replicas.remove(called(&replicas).await);
    let killed_too = Instant::now();
    dead.kill().await;
    replicas.push(cluster.installation.replica("four", MANAGED).await);
    balancer.add(endpoint(&replicas[1]), false);
    replicas[1].becomes_ready().await;
    creation.reaches(creation.created() + 100).await;

    // As a Deployment rolls: first the new one, ready, then the old one goes.
    for name in ["five", "six"] {
        let new = cluster.installation.replica(name, MANAGED).await;
        balancer.add(endpoint(&new), false);
        new.becomes_ready().await;
        replicas.push(new);
        let mut old = replicas.remove(0);
        old.terminate().await;
        assert_eq!(old.exit_code().await, Some(0), "{:?}", old.log().last());
    }
    // The Lease was given back: nobody had to wait for its end.
    leader(&replicas).await;
    creation.reaches((creation.created() + 100).max(PODS)).await;
    creation.stop().await.lost_nothing("rotation", &[killed, killed_too]);
}

/// As kubelet writes a mounted Secret: files are links into a directory that is swapped whole.
fn mount(volume: &Path, generation: u32, files: &[(&str, &str)]) {
    let directory = volume.join(format!("..generation-{generation}"));
    std::fs::create_dir_all(&directory).unwrap();
    for (name, text) in files {
        std::fs::write(directory.join(name), text).unwrap();
        let link = volume.join(name);
        if !link.is_symlink() {
            symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
    symlink(directory.file_name().unwrap(), volume.join("..data_tmp")).unwrap();
    std::fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
}

struct Issuer(CertifiedIssuer<'static, KeyPair>);

impl Issuer {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A leaf that ends in this year, mounted.
    fn mount(&self, volume: &Path, generation: u32, year: i32) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        let leaf = params.signed_by(&key, &self.0).unwrap().pem();
        mount(volume, generation, &[("tls.crt", &leaf), ("tls.key", &key.serialize_pem())]);
        leaf
    }
}

/// As cert-manager's CA injector does.
async fn write_bundle(cluster: &Cluster, cas: &[&Issuer]) {
    let bundle: String = cas.iter().map(|ca| ca.0.pem()).collect();
    let mut configuration =
        cluster.configurations().get(&cluster.installation.configuration()).await.unwrap();
    let webhooks = configuration.webhooks.as_mut().unwrap();
    webhooks[0].client_config.ca_bundle = Some(k8s_openapi::ByteString(bundle.into_bytes()));
    let name = cluster.installation.configuration();
    let parameters = kube::api::PostParams::default();
    cluster.configurations().replace(&name, &parameters, &configuration).await.unwrap();
}

/// Waits until both serve this leaf.
async fn both_serve(replicas: &[Webhook], leaf: &str) {
    let served = async || serve(replicas, leaf).await.then_some(());
    until(SOON, served).await.expect("a leaf that both serve");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swapped_files_and_a_change_to_self_managed_lose_no_pod() {
    let Some(cluster) = Cluster::start("files").await else { return };
    let volume = cluster.installation.files().path("mounted");
    let (first, second) = (Issuer::new(), Issuer::new());
    first.mount(&volume, 1, 2080);
    let (cert, key) = (volume.join("tls.crt"), volume.join("tls.key"));
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let flags = ["--tls-cert", cert, "--tls-key", key, "--tls-interval=500ms", "--drain-delay=1s"];
    let mut replicas = [
        Webhook::spawn(cluster.installation.files().clone(), "one.log", &flags, &[]).await,
        Webhook::spawn(cluster.installation.files().clone(), "two.log", &flags, &[]).await,
    ];
    let mut balancer = Balancer::start(&[endpoint(&replicas[0]), endpoint(&replicas[1])]).await;
    cluster.installation.apply_configuration(balancer.address()).await;
    write_bundle(&cluster, &[&first]).await;
    cluster.injects().await;
    let (pods, configurations) = (cluster.pods(), cluster.configurations());
    let name = cluster.installation.configuration();
    let creation = Creation::start(&pods, &configurations, &name, balancer.address());

    for generation in 2..6 {
        creation.reaches(creation.created() + 300).await;
        let leaf = first.mount(&volume, generation, 2080 + i32::try_from(generation).unwrap());
        both_serve(&replicas, &leaf).await;
    }
    // Another CA: it is trusted before it is served with, and the old one until nobody serves with it.
    write_bundle(&cluster, &[&first, &second]).await;
    creation.reaches(creation.created() + 300).await;
    let leaf = second.mount(&volume, 6, 2090);
    both_serve(&replicas, &leaf).await;
    creation.reaches(creation.created() + 200).await;
    write_bundle(&cluster, &[&second]).await;
    creation.reaches(creation.created() + 300).await;

    let mut managed = Vec::new();
    // The other mode, as a Deployment rolls. Those from before are trusted until they are gone.
    for (name, old) in ["three", "four"].into_iter().zip(&mut replicas) {
        let new = cluster.installation.replica(name, MANAGED).await;
        balancer.add(endpoint(&new), false);
        new.becomes_ready().await;
        old.terminate().await;
        assert_eq!(old.exit_code().await, Some(0), "{:?}", old.log().last());
        managed.push(new);
    }
    creation.reaches((creation.created() + 100).max(PODS)).await;
    creation.stop().await.lost_nothing("files", &[]);
    let opened = balancer.connections();
    assert!(opened.iter().all(|count| *count > 0), "both were called: {opened:?}");
}
