//! `keystow init` itself, with Vault behind it: values to files, the last words of a failure, and proxies, which come in
//! the environment of a process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use keystow::handover::{StoreSettings, VaultAuth, VaultSettings, variable};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use super::world::{Engine, World, login};
use crate::support::faults::Faults;
use crate::support::tunnel::Tunnel;

/// A pod that asks for a secret and a pair.
struct Pod {
    directory: TempDir,
    token_file: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Pod {
    fn of(world: &World, prefix: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let annotations = format!(
            "secret.bsycorp.com/db_password=\"kind=REFERENCE,type=PASSWORD\"\n\
             secret.bsycorp.com/db_user=\"kind=REFERENCE,type=PASSWORD\"\n\
             init.bsycorp.com/storage-prefix=\"{prefix}\"\n\
             inject.bsycorp.com/format=\"files\"\n"
        );
        fs::write(directory.path().join("annotations"), annotations).unwrap();
        // The kubelet makes it.
        fs::write(directory.path().join("last-words"), "").unwrap();
        Self { directory, token_file: world.token_file("app"), environment: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    async fn run(&self, settings: &VaultSettings) -> Output {
        let store = serde_json::to_string(&StoreSettings::Vault(settings.clone())).unwrap();
        let inside = |name: &str| self.directory.path().join(name);
        Command::new(env!("CARGO_BIN_EXE_keystow"))
            .arg("init")
            .env_clear()
            .env(variable::STORE, store)
            .env(variable::TOKEN_FILE, &self.token_file)
            .env(variable::ANNOTATIONS_FILE, inside("annotations"))
            .env(variable::PATH, inside("secret"))
            .env(variable::DEADLINE, "3s")
            .env("KEYSTOW_TERMINATION_LOG", inside("last-words"))
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap()
    }

    fn last_words(&self) -> String {
        fs::read_to_string(self.directory.path().join("last-words")).unwrap_or_default()
    }

    fn file(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.directory.path().join("secret/files").join(name)).ok()
    }
}

fn settings(world: &World) -> VaultSettings {
    world.settings(Engine::Two, VaultAuth::Kubernetes(login(Engine::Two.role(), "kubernetes")))
}

#[tokio::test]
async fn values_of_an_object_come_to_files() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let fields = json!({"data": {"user": "app", "password": "hunter2"}});
    world.vault.write("team/kv/data/particular/program/db", &fields).await;
    let pod = Pod::of(world, "/particular/program");
    let output = pod.run(&settings(world)).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(pod.file("db_password").as_deref(), Some("hunter2"));
    assert_eq!(pod.file("db_user").as_deref(), Some("app"));
    assert!(!format!("{output:?}").contains("hunter2"));
}

/// The words in the document are these, but for mount and prefix.
#[tokio::test]
async fn last_words_say_what_to_do() {
    let Some(world) = World::shared(module_path!()).await else { return };
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/stores/vault.md");
    let words_of = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let document = words_of(&fs::read_to_string(document).unwrap());
    let good = settings(world);
    let with = |change: &dyn Fn(&mut VaultSettings)| {
        let mut settings = good.clone();
        change(&mut settings);
        settings
    };
    let auth = |role: &str| VaultAuth::Kubernetes(login(role, "kubernetes"));
    let object = "team/kv/data/particular/production/db";
    world.vault.write("team/kv/data/particular/nested/db", &json!({"data": {"password": {"a": "x"}}})).await;
    let mut undocumented = Vec::new();
    for (prefix, settings, code, word) in [
        ("/particular/production", good.clone(), 65, object),
        ("/particular/nested", good.clone(), 65, "nested JSON"),
        ("/particular//production", good.clone(), 65, "segment"),
        ("/others", good.clone(), 77, "path \"team/kv/data/others/db\" { capabilities = [\"read\"] }"),
        (
            "/particular/production",
            with(&|s| s.auth = auth("nobody")),
            77,
            "the role nobody at auth/kubernetes",
        ),
        ("/particular/production", with(&|s| s.address = world.vault.tls_address()), 69, "caCertificate"),
        (
            "/particular/production",
            with(&|s| s.address = "http://127.0.0.1:9".to_owned()),
            69,
            "no connection",
        ),
        (
            "/particular/production",
            with(&|s| s.kv_version = 1),
            77,
            "path \"team/kv/particular/production/db\"",
        ),
    ] {
        let pod = Pod::of(world, prefix);
        let output = pod.run(&settings).await;
        let words = pod.last_words();
        println!("{words}\n");
        assert_eq!(output.status.code(), Some(code), "{words}");
        assert!(words.contains(word), "{words}");
        assert!(words.contains("db_password") && words.contains("db_user"), "{words}");
        assert_eq!(pod.file("db_user"), None);
        let line = words.lines().find(|line| line.contains("db_password")).unwrap();
        let line = words_of(&line.replace("team/kv", "secret").replace("particular", "veza"));
        if !document.contains(&line) {
            undocumented.push(line);
        }
    }
    assert!(undocumented.is_empty(), "the document has not:\n{}", undocumented.join("\n"));
}

#[tokio::test]
async fn proxies_of_the_environment_are_minded() {
    let Some(world) = World::shared(module_path!()).await else { return };
    world
        .vault
        .write("team/kv/data/particular/proxy/db", &json!({"data": {"user": "u", "password": "p"}}))
        .await;
    let line = Faults::before(world.address()).served_as(&["vault.example"]).start().await;
    let proxy = Tunnel::to(line.address()).await;
    let mut settings = settings(world);
    settings.address = "https://vault.example:8200".to_owned();
    settings.ca_certificate = Some(line.ca_pem().to_owned());
    let pod = || Pod::of(world, "/particular/proxy").with("HTTPS_PROXY", proxy.url());
    let through = pod();
    let output = through.run(&settings).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(through.file("db_user").as_deref(), Some("u"));
    let asked = proxy.asked();
    assert!(!asked.is_empty() && asked.iter().all(|host| host == "vault.example:8200"), "{asked:?}");
    // There is no such host without the proxy.
    let past = pod().with("NO_PROXY", "example");
    let output = past.run(&settings).await;
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert_eq!(proxy.asked(), asked);
}
