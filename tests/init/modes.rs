//! Files have the modes that they are to have, whatever the umask: 0400 where the reader's user is known, 0440 where it is
//! a group, 0444 else, and a request's own mode before all of them; directories can be searched by everybody.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use super::pod::{Pod, Tree};

const ANNOTATIONS: [(&str, &str); 6] = [
    ("secret.bsycorp.com/a", "kind=DYNAMIC,type=PASSWORD,size=128"),
    ("secret.bsycorp.com/b", "kind=DYNAMIC,type=PASSWORD,size=128,mode=0440"),
    ("resource.bsycorp.com/host", "localModeValue=aA=="),
    ("lease.bsycorp.com/node", "kind=INDEX,rangeStart=0,rangeEnd=9"),
    ("inject.bsycorp.com/format", "properties,dotenv,json,files"),
    ("inject.bsycorp.com/template.url", "{{ secret['a'] }}"),
];

#[tokio::test(flavor = "multi_thread")]
async fn files_and_directories_have_their_modes_under_any_umask() {
    for umask in ["000", "022", "077", "777"] {
        for (variable, mode) in [("0400", 0o400), ("0440", 0o440), ("0444", 0o444)] {
            let mut pod = Pod::new(r#"{"local":{}}"#, &ANNOTATIONS);
            pod.set("KEYSTOW_FILE_MODE", variable);
            pod.prepare(&format!("umask {umask}"));
            let ended = pod.run().await;
            assert_eq!(ended.code, Some(0), "{ended:?}");
            let tree: Tree = pod.tree();
            let modes: Vec<(&str, u32)> =
                tree.iter().map(|(name, (mode, _))| (name.as_str(), *mode)).collect();
            let expected: Vec<(&str, u32)> = [
                "files/a",
                "files/b",
                "host",
                "leases",
                "node",
                "resources",
                "secret",
                "secret.env",
                "secret.json",
                "url",
            ]
            .map(|name| (name, if name == "files/b" { 0o440 } else { mode }))
            .to_vec();
            assert_eq!(modes, expected, "umask {umask}, mode {variable}");
            for directory in directories(&pod.path("secret")) {
                let mode = fs::metadata(&directory).unwrap().mode() & 0o7777;
                assert_eq!(mode, 0o755, "umask {umask}: {directory}");
            }
        }
    }
}

/// All directories, this one too.
fn directories(path: &Path) -> Vec<String> {
    let mut found = vec![path.display().to_string()];
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(directories(&entry.path()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_with_a_group_gives_it_to_the_files() {
    if !super::support::node::user_is_root() {
        return;
    }
    const USER: u32 = 65532;
    const GROUP: u32 = 4242;
    let mut pod = Pod::new(r#"{"local":{}}"#, &ANNOTATIONS);
    pod.set("KEYSTOW_FILE_MODE", "0440");
    pod.run_as(USER, GROUP);
    // As the kubelet prepares an emptyDir for `fsGroup`.
    let volume = pod.path("secret");
    std::os::unix::fs::chown(&volume, Some(USER), Some(GROUP)).unwrap();
    fs::set_permissions(&volume, fs::Permissions::from_mode(0o2777)).unwrap();
    let ended = pod.run().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for name in ["secret", "files/a", "host"] {
        let found = fs::metadata(volume.join(name)).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (USER, GROUP, 0o440), "{name}");
    }
}
