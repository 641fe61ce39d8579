//! Keeps what is served in step with two files.
//!
//! Flow: at each interval both files are read and their content compared with what is served; another content is
//! parsed and, if it is a pair that may be served, swapped in. Otherwise the old pair stays, a metric counts each look
//! that found it so, and the log has one line for each distinct reason.
//!
//! Content is polled, not watched: kubelet replaces a mounted Secret by swapping the `..data` symlink above the files,
//! which a watch on the files does not see. A look between the two halves of an update finds a pair that does not
//! match, and the next look finds the rest.
//!
//! Invariants: what is served was accepted whole; nothing here ends the process.
//!
//! Deliberately absent: deletion of anything, and a second thread of control: [`Reloader::look`] is one step, so tests
//! drive it without a clock.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::MissedTickBehavior;

use super::load::{self, CertPath, Fingerprint, KeyPath, LoadError, Pair};
use super::metrics::{CertificateMetrics, ReloadOutcome};
use super::served::Served;
use crate::telemetry::{Once, chain};

/// How often the files are looked at, unless configured. A mounted Secret is itself up to a minute late.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);

/// What one look at the files found.
#[derive(Debug)]
pub enum Look {
    /// Another pair, but not one to serve; the old one stays.
    Kept(LoadError),
    /// A new pair, served from now on.
    Replaced,
    /// What is served already.
    Unchanged,
}

/// Looks at the files and replaces what is served.
#[derive(Debug)]
pub struct Reloader {
    cert: CertPath,
    key: KeyPath,
    served: Arc<Served>,
    not_after: SystemTime,
    fingerprint: Fingerprint,
    said: Once,
    metrics: CertificateMetrics,
}

impl Reloader {
    /// Loads the pair that is served first.
    ///
    /// # Errors
    ///
    /// When the files hold no pair that may be served at `now`.
    pub async fn open(
        cert: CertPath,
        key: KeyPath,
        now: SystemTime,
        metrics: CertificateMetrics,
    ) -> Result<(Arc<Served>, Self), LoadError> {
        let pem = load::read(&cert, &key).await?;
        let pair = load::parse(&pem, &cert, &key, now)?;
        let served = Arc::new(Served::new(&pair));
        metrics.serves_until(pair.validity.not_after);
        let reloader = Self {
            cert,
            key,
            served: Arc::clone(&served),
            not_after: pair.validity.not_after,
            fingerprint: pem.fingerprint(),
            said: Once::default(),
            metrics,
        };
        Ok((served, reloader))
    }

    /// Looks at the files every `interval`, for ever.
    pub async fn run(mut self, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        // After a suspended process one look is enough.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look(SystemTime::now()).await;
        }
    }

    /// Looks at the files once, as of `now`.
    pub async fn look(&mut self, now: SystemTime) -> Look {
        match self.fresh(now).await {
            Ok(None) => {
                self.unchanged(now);
                Look::Unchanged
            }
            Ok(Some((pair, fingerprint))) => {
                self.replace(&pair, fingerprint);
                Look::Replaced
            }
            Err(error) => {
                self.keep(&error);
                Look::Kept(error)
            }
        }
    }

    async fn fresh(&self, now: SystemTime) -> Result<Option<(Pair, Fingerprint)>, LoadError> {
        let pem = load::read(&self.cert, &self.key).await?;
        let fingerprint = pem.fingerprint();
        if fingerprint == self.fingerprint {
            return Ok(None);
        }
        let pair = load::parse(&pem, &self.cert, &self.key, now)?;
        Ok(Some((pair, fingerprint)))
    }

    fn replace(&mut self, pair: &Pair, fingerprint: Fingerprint) {
        self.served.replace(pair);
        self.metrics.serves_until(pair.validity.not_after);
        self.metrics.looked(ReloadOutcome::Replaced);
        self.not_after = pair.validity.not_after;
        self.fingerprint = fingerprint;
        self.said.clear();
        tracing::info!(cert = %self.cert, "a new certificate is served");
    }

    fn keep(&mut self, error: &LoadError) {
        self.metrics.looked(outcome(error));
        self.say_once(&chain(error), "the new certificate is not served, the old one stays");
    }

    fn unchanged(&mut self, now: SystemTime) {
        if now > self.not_after {
            let reason = format!("the certificate in {} has expired; issue a new pair", self.cert);
            self.say_once(&reason, "the served certificate has expired");
        } else {
            self.said.clear();
        }
    }

    fn say_once(&mut self, reason: &str, message: &'static str) {
        if self.said.is_news(reason) {
            tracing::warn!(reason, "{message}");
        }
    }
}

fn outcome(error: &LoadError) -> ReloadOutcome {
    match error {
        LoadError::ReadCertificate { .. } | LoadError::ReadKey { .. } => ReloadOutcome::Unreadable,
        LoadError::BadCertificate { .. }
        | LoadError::BadCertificatePem { .. }
        | LoadError::BadKeyPem { .. }
        | LoadError::Expired { .. }
        | LoadError::Mismatch { .. }
        | LoadError::NoCertificate { .. }
        | LoadError::NoKey { .. }
        | LoadError::NotYetValid { .. }
        | LoadError::UnsupportedKey { .. } => ReloadOutcome::Refused,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prometheus_client::registry::Registry;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use tempfile::TempDir;

    use super::*;

    struct Files {
        directory: TempDir,
        registry: Registry,
    }

    fn mint(last_year: i32) -> (String, String) {
        let mut params = CertificateParams::new(vec!["keystow.example".to_owned()]).unwrap();
        params.not_after = date_time_ymd(last_year, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    impl Files {
        async fn served() -> (Self, Reloader) {
            let mut files = Self { directory: tempfile::tempdir().unwrap(), registry: Registry::default() };
            let (cert, key) = mint(2100);
            files.write("tls.crt", &cert);
            files.write("tls.key", &key);
            let metrics = CertificateMetrics::register(&mut files.registry);
            let (_, reloader) = Reloader::open(
                CertPath::new(files.path().join("tls.crt")),
                KeyPath::new(files.path().join("tls.key")),
                SystemTime::now(),
                metrics,
            )
            .await
            .unwrap();
            (files, reloader)
        }

        fn path(&self) -> &Path {
            self.directory.path()
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.path().join(name), text).unwrap();
        }

        fn metrics(&self) -> String {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
            text
        }
    }

    #[tokio::test]
    async fn every_outcome_is_at_zero_before_the_first_look() {
        let (files, _reloader) = Files::served().await;
        let metrics = files.metrics();
        for outcome in ["refused", "replaced", "unreadable"] {
            let line = format!("keystow_certificate_reloads_total{{outcome=\"{outcome}\"}} 0");
            assert!(metrics.contains(&line), "{metrics}");
        }
        assert!(metrics.contains("keystow_certificate_expiry_timestamp_seconds 4102444800"), "{metrics}");
    }

    #[tokio::test]
    async fn half_a_swap_keeps_the_old_pair_and_the_other_half_completes_it() {
        let (files, mut reloader) = Files::served().await;
        let (cert, key) = mint(2101);
        assert!(matches!(reloader.look(SystemTime::now()).await, Look::Unchanged));
        files.write("tls.crt", &cert);
        assert!(matches!(reloader.look(SystemTime::now()).await, Look::Kept(LoadError::Mismatch { .. })));
        files.write("tls.key", &key);
        assert!(matches!(reloader.look(SystemTime::now()).await, Look::Replaced));
        assert!(matches!(reloader.look(SystemTime::now()).await, Look::Unchanged));
        let metrics = files.metrics();
        assert!(metrics.contains("reloads_total{outcome=\"refused\"} 1"), "{metrics}");
        assert!(metrics.contains("reloads_total{outcome=\"replaced\"} 1"), "{metrics}");
    }

    #[tokio::test]
    async fn an_expired_pair_is_not_swapped_in() {
        let (files, mut reloader) = Files::served().await;
        let (cert, key) = mint(2001);
        files.write("tls.crt", &cert);
        files.write("tls.key", &key);
        assert!(matches!(reloader.look(SystemTime::now()).await, Look::Kept(LoadError::Expired { .. })));
    }

    #[tokio::test]
    async fn a_file_that_is_gone_is_counted_at_each_look_and_said_once() {
        let (files, mut reloader) = Files::served().await;
        std::fs::remove_file(files.path().join("tls.key")).unwrap();
        reloader.look(SystemTime::now()).await;
        let said = reloader.said.last().map(str::to_owned);
        assert!(said.as_ref().is_some_and(|said| said.contains("tls.key")), "{said:?}");
        reloader.look(SystemTime::now()).await;
        assert_eq!(reloader.said.last(), said.as_deref());
        assert!(files.metrics().contains("reloads_total{outcome=\"unreadable\"} 2"), "{}", files.metrics());
    }

    #[tokio::test]
    async fn the_old_files_coming_back_is_no_reload_and_clears_the_reason() {
        let (files, mut reloader) = Files::served().await;
        let before = std::fs::read_to_string(files.path().join("tls.crt")).unwrap();
        files.write("tls.crt", "not a certificate");
        assert!(matches!(reloader.look(SystemTime::now()).await, Look::Kept(_)));
        files.write("tls.crt", &before);
        assert!(matches!(reloader.look(SystemTime::now()).await, Look::Unchanged));
        assert_eq!(reloader.said.last(), None);
    }

    #[tokio::test]
    async fn a_served_certificate_that_expires_is_said() {
        let (_files, mut reloader) = Files::served().await;
        let later = reloader.not_after + Duration::from_secs(1);
        assert!(matches!(reloader.look(later).await, Look::Unchanged));
        assert!(reloader.said.last().is_some_and(|said| said.contains("expired")));
    }

    #[tokio::test]
    async fn a_swap_of_the_data_symlink_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let generation = |name: &str, last_year| {
            let (cert, key) = mint(last_year);
            std::fs::create_dir(root.join(name)).unwrap();
            std::fs::write(root.join(name).join("tls.crt"), cert).unwrap();
            std::fs::write(root.join(name).join("tls.key"), key).unwrap();
        };
        generation("..1", 2100);
        std::os::unix::fs::symlink("..1", root.join("..data")).unwrap();
        for name in ["tls.crt", "tls.key"] {
            std::os::unix::fs::symlink(Path::new("..data").join(name), root.join(name)).unwrap();
        }
        let (_, mut reloader) = Reloader::open(
            CertPath::new(root.join("tls.crt")),
            KeyPath::new(root.join("tls.key")),
            SystemTime::now(),
            CertificateMetrics::register(&mut Registry::default()),
        )
        .await
        .unwrap();
        generation("..2", 2101);
        assert!(matches!(reloader.look(SystemTime::now()).await, Look::Unchanged));
        // As kubelet does it: a new link beside the old one, renamed over it.
        std::os::unix::fs::symlink("..2", root.join("..data_tmp")).unwrap();
        std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        assert!(matches!(reloader.look(SystemTime::now()).await, Look::Replaced));
    }
}
