//! The cluster's version where the configuration leaves it to the API server: asked once at start, within a bound.
//!
//! Deliberately absent: asking again. A cluster that is upgraded gains what the new version can once the webhook restarts.

use std::time::Duration;

use crate::cluster::{Cluster, ClusterError, ClusterSettings};
use crate::inject::{KubernetesVersion, Settings};

use super::{Configuration, Kubernetes};

/// How long the API server may take.
const WITHIN: Duration = Duration::from_secs(10);
/// What to do where it does not answer.
macro_rules! next_step {
    () => {
        "check that the API server can be reached from here, or set kubernetesVersion to the cluster's version, such as \"1.35\""
    };
}

/// Why the cluster's version is not known.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// It says something that is no version.
    #[error(
        "kubernetesVersion is auto, and the API server calls itself {found}; set kubernetesVersion to what it is"
    )]
    Answer {
        /// What it says.
        found: String,
    },
    /// There is no API server to ask.
    #[error("kubernetesVersion is auto, and there is nobody to ask; {}", next_step!())]
    Cluster(#[source] ClusterError),
    /// It did not answer in time.
    #[error("kubernetesVersion is auto, and the API server did not answer within {}s; {}", WITHIN.as_secs(), next_step!())]
    Late,
    /// It cannot be reached, or refuses.
    #[error("kubernetesVersion is auto, and the API server cannot be asked; {}", next_step!())]
    Unreachable(#[source] Box<kube::Error>),
}

/// The settings of this cluster. A version that is configured needs no API server, and none is looked for.
///
/// # Errors
///
/// When the version is `auto` and the API server does not tell it.
pub async fn settle(
    configuration: Configuration,
    cluster: &ClusterSettings,
) -> Result<Settings, VersionError> {
    let version = match configuration.kubernetes() {
        Kubernetes::Fixed(version) => version,
        Kubernetes::Auto => {
            let asked =
                tokio::time::timeout(WITHIN, ask(cluster)).await.map_err(|_| VersionError::Late)??;
            tracing::info!(version = %asked, "the API server told its version");
            asked
        }
    };
    Ok(configuration.into_settings(version))
}

async fn ask(settings: &ClusterSettings) -> Result<KubernetesVersion, VersionError> {
    let cluster = Cluster::join(settings).await.map_err(VersionError::Cluster)?;
    let asked = cluster.client().apiserver_version().await;
    let version = asked.map_err(|error| VersionError::Unreachable(Box::new(error)))?;
    read(&version.major, &version.minor)
        .ok_or_else(|| VersionError::Answer { found: format!("{}.{}", version.major, version.minor) })
}

/// Some providers write `27+`.
fn read(major: &str, minor: &str) -> Option<KubernetesVersion> {
    let minor = minor.strip_suffix('+').unwrap_or(minor).parse().ok()?;
    (major == "1").then_some(KubernetesVersion(minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_mark_their_versions() {
        assert_eq!(read("1", "36"), Some(KubernetesVersion(36)));
        assert_eq!(read("1", "27+"), Some(KubernetesVersion(27)));
        for (major, minor) in [("2", "0"), ("1", ""), ("1", "x"), ("", "35")] {
            assert_eq!(read(major, minor), None, "{major}.{minor}");
        }
    }
}
