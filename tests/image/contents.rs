//! What is in the image: the few files, whose they are, how much they weigh; its user, its command, its labels.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use super::layout::Layout;

const PROGRAM: &str = "keystow";
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
/// Most bytes of its files.
const LARGEST: u64 = 30_000_000;

#[test]
fn one_program_and_a_bundle_are_all_that_is_in_it() {
    let Some(image) = Layout::or_skip("one_program_and_a_bundle_are_all_that_is_in_it") else { return };
    let root = image.unpack();
    let mut files = BTreeMap::new();
    collect(root.path(), root.path(), &mut files);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, [BUNDLE, PROGRAM]);
    // Anybody may run the one and read the other, whatever user a pod names; nobody but root may change them.
    assert_eq!((files[PROGRAM].mode, files[BUNDLE].mode), (0o755, 0o644));
    let size = files.values().map(|file| file.size).sum::<u64>();
    // On stderr itself: a figure to follow from build to build.
    let figures = format!("container image: {size} bytes, {} to pull\n", image.compressed());
    std::io::stderr().write_all(figures.as_bytes()).unwrap();
    assert!(size <= LARGEST, "the image has {size} bytes, {LARGEST} are allowed");
    assert!(image.compressed() < size, "its layers are not compressed");
}

#[test]
fn the_program_alone_changes_from_build_to_build() {
    let Some(image) = Layout::or_skip("the_program_alone_changes_from_build_to_build") else { return };
    let files = |layer: &Path| {
        let output =
            std::process::Command::new("tar").arg("--list").arg("--file").arg(layer).output().unwrap();
        let names = String::from_utf8(output.stdout).unwrap();
        names.lines().filter(|name| !name.ends_with('/')).map(String::from).collect::<Vec<_>>()
    };
    let layers: Vec<Vec<String>> = image.layers().iter().map(|layer| files(layer)).collect();
    assert_eq!(layers, [[BUNDLE], [PROGRAM]]);
}

#[test]
fn the_bundle_holds_public_authorities() {
    let Some(image) = Layout::or_skip("the_bundle_holds_public_authorities") else { return };
    let root = image.unpack();
    let bundle = fs::read(root.path().join(BUNDLE)).unwrap();
    let authorities: Vec<_> = CertificateDer::pem_slice_iter(&bundle).collect::<Result<_, _>>().unwrap();
    let mut trusted = rustls::RootCertStore::empty();
    let (added, _) = trusted.add_parsable_certificates(authorities);
    assert!(added > 100, "{added} certificates that rustls takes");
}

#[test]
fn it_runs_the_program_as_a_user_that_is_not_root() {
    let Some(image) = Layout::or_skip("it_runs_the_program_as_a_user_that_is_not_root") else { return };
    let config = &image.config()["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], json!([format!("/{PROGRAM}")]));
    for absent in ["Cmd", "Volumes", "ExposedPorts", "Shell"] {
        assert_eq!(config[absent], Value::Null, "{absent}");
    }
    // Builders add a PATH. Anything more would be a setting that nobody sees.
    let variables = config["Env"].as_array().cloned().unwrap_or_default();
    assert!(
        variables.iter().all(|variable| variable.as_str().unwrap().starts_with("PATH=")),
        "{variables:?}"
    );
}

#[test]
fn it_says_what_it_is() {
    let Some(image) = Layout::or_skip("it_says_what_it_is") else { return };
    let config = image.config();
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    assert_eq!((&config["os"], &config["architecture"]), (&json!("linux"), &json!(architecture)));
    let labels = &config["config"]["Labels"];
    for (label, value) in [
        ("title", env!("CARGO_PKG_NAME")),
        ("description", env!("CARGO_PKG_DESCRIPTION")),
        ("version", env!("CARGO_PKG_VERSION")),
        ("licenses", env!("CARGO_PKG_LICENSE")),
    ] {
        assert_eq!(labels[format!("org.opencontainers.image.{label}")], value, "{labels}");
    }
}

/// A file of the image.
struct File {
    mode: u32,
    size: u64,
}

/// Adds all below `directory` that is not a directory to `files`, by its path from `root`.
fn collect(root: &Path, directory: &Path, files: &mut BTreeMap<String, File>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, File { mode: metadata.mode() & 0o7777, size: metadata.size() });
        }
    }
}
