//! The image as it would be pushed: an OCI layout, a directory of blobs that are named by their digest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use serde_json::Value;
use tempfile::TempDir;

use super::source;
use super::support::programs::skip;

/// What the image is made of, as far as this repository goes.
const SOURCES: [&str; 4] = ["Cargo.lock", "Cargo.toml", "Dockerfile", "tests/image/build.sh"];

/// An image for one platform.
pub(crate) struct Layout {
    directory: PathBuf,
    manifest: Value,
}

impl Layout {
    /// Finds it; where it was not built, or something has changed since, says that `test` is skipped.
    pub(crate) fn or_skip(test: &str) -> Option<Self> {
        // Cargo's own directory for tests is in its target directory, as the image is.
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?.join("image/oci");
        match missing(&directory) {
            None => Some(Self::read(directory)),
            Some(missing) => {
                skip(
                    test,
                    "container image",
                    format!("{missing}; tests/image/build.sh builds it with buildah"),
                );
                None
            }
        }
    }

    fn read(directory: PathBuf) -> Self {
        let index = fs::read(directory.join("index.json")).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        let manifests = index["manifests"].as_array().unwrap();
        assert_eq!(manifests.len(), 1, "{index}");
        let manifest = serde_json::from_slice(&fs::read(blob(&directory, &manifests[0])).unwrap()).unwrap();
        Self { directory, manifest }
    }

    /// How it is to be run, and what it says of itself.
    pub(crate) fn config(&self) -> Value {
        let config = fs::read(blob(&self.directory, &self.manifest["config"])).unwrap();
        serde_json::from_slice(&config).unwrap()
    }

    /// The command that it starts.
    pub(crate) fn entry_point(&self) -> Vec<String> {
        serde_json::from_value(self.config()["config"]["Entrypoint"].clone()).unwrap()
    }

    /// The number of its user and that of its group.
    pub(crate) fn user(&self) -> (u32, u32) {
        let config = self.config();
        let user = config["config"]["User"].as_str().unwrap();
        let (user, group) = user.split_once(':').unwrap_or_else(|| panic!("{user} names no group"));
        (user.parse().unwrap(), group.parse().unwrap())
    }

    /// How many bytes a node pulls.
    pub(crate) fn compressed(&self) -> u64 {
        self.layers().iter().map(|layer| layer.metadata().unwrap().len()).sum()
    }

    /// The archives that make up its files, the lowest first.
    pub(crate) fn layers(&self) -> Vec<PathBuf> {
        let layers = self.manifest["layers"].as_array().unwrap();
        layers.iter().map(|layer| blob(&self.directory, layer)).collect()
    }

    /// Its files, in a directory that everybody may enter and that goes with the value.
    pub(crate) fn unpack(&self) -> TempDir {
        let root = TempDir::with_prefix("image-").unwrap();
        for layer in self.layers() {
            let mut tar = Command::new("tar");
            tar.arg("--extract").arg("--same-permissions").arg("--file").arg(layer).arg("--directory");
            let output = tar.arg(root.path()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        open(root.path());
        root
    }
}

/// Lets everybody enter and read `directory`.
pub(crate) fn open(directory: &Path) {
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory, everybody).unwrap();
}

/// What `descriptor` points to.
fn blob(directory: &Path, descriptor: &Value) -> PathBuf {
    let digest = descriptor["digest"].as_str().unwrap();
    directory.join("blobs").join(digest.replacen(':', "/", 1))
}

/// Why there is no image that could be tried, if there is none.
fn missing(directory: &Path) -> Option<String> {
    let changed = |file: &Path| file.metadata().and_then(|file| file.modified());
    let Ok(built) = changed(&directory.join("index.json")) else {
        return Some("no container image was built".to_owned());
    };
    let sources = source::files("src", |_| true).into_iter().chain(SOURCES.map(PathBuf::from));
    let newer = |file: &PathBuf| changed(&source::root().join(file)).is_ok_and(|at: SystemTime| at > built);
    let newer = sources.into_iter().find(newer)?;
    Some(format!("the container image is older than {}", newer.display()))
}
