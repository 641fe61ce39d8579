//! Vault behind a faulty line, with a login by the token of a service account, which passes the line too.

use keystow::handover::{StoreSettings, VaultAuth};
use serde_json::json;

use super::{NAMES, Served, faults, value};
use crate::pod::Pod;
use crate::support::faults::answers::{vault_denied, vault_throttled};
use crate::support::faults::{Answer, Faults, Seen};

#[path = "../../stores/vault/world.rs"]
#[allow(dead_code, reason = "it is the world of other tests too")]
mod world;

use world::{Engine, World, login};

pub(crate) struct Mount {
    world: &'static World,
    line: Faults,
    prefix: String,
}

impl Mount {
    async fn put(&self, name: &str, value: &str) {
        // The part behind the last underscore is a field.
        let (object, field) = name.rsplit_once('_').unwrap_or((name, "value"));
        let path = format!("{}/data{}/{object}", Engine::Two.mount(), self.prefix);
        self.world.vault.write(&path, &json!({"data": {field: value}})).await;
    }
}

impl Served for Mount {
    async fn start(test: &str) -> Option<Self> {
        let world = World::shared(test).await?;
        let line = Faults::before(world.address()).served_as(&["127.0.0.1"]).start().await;
        let mount = Self { world, line, prefix: super::prefix(test) };
        for name in NAMES {
            mount.put(name, &value(name)).await;
        }
        Some(mount)
    }

    fn line(&self) -> &Faults {
        &self.line
    }

    fn prefix(&self) -> &str {
        &self.prefix
    }

    fn pod(&self, annotations: &[(&str, &str)]) -> Pod {
        let auth = VaultAuth::Kubernetes(login(Engine::Two.role(), "kubernetes"));
        let mut settings = self.world.settings(Engine::Two, auth);
        settings.address = self.line.url();
        settings.ca_certificate = Some(self.line.ca_pem().to_owned());
        let store = serde_json::to_string(&StoreSettings::Vault(settings)).expect("settings in JSON");
        let mut pod = Pod::new(&store, annotations);
        pod.set("KEYSTOW_TOKEN_FILE", self.world.token_file("app").display().to_string());
        pod
    }

    fn reads(seen: &Seen) -> bool {
        !seen.path.ends_with("/login")
    }

    fn throttled() -> Answer {
        vault_throttled()
    }

    fn expired() -> Answer {
        vault_denied()
    }

    async fn change(&self, value: &str) {
        self.put(NAMES[0], value).await;
    }
}

faults!(Mount);
