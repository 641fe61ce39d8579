//! Secret Manager of Google Cloud and Azure Key Vault behind a faulty line: fakes made by hand, with the identity of the
//! node. Their answers are made up from their vendors' references; the faults are real.

use std::any::Any;
use std::marker::PhantomData;

use keystow::domain::{SecretValue, StoragePrefix};
use keystow::handover::{AzureSettings, GcpSettings, StoreSettings};
use keystow::store::{self, Address, Created, Deleted, Surroundings};

use super::{NAMES, Served, faults, value};
use crate::pod::Pod;
use crate::support::fakes::ALLOWED;
use crate::support::fakes::key_vault::KeyVault;
use crate::support::fakes::login::Login;
use crate::support::fakes::secret_manager::{PROJECT, SecretManager};
use crate::support::faults::answers::{azure, azure_throttled, gcp, gcp_throttled};
use crate::support::faults::{Answer, Faults, Seen};

struct Cloud<K> {
    line: Faults,
    prefix: String,
    settings: StoreSettings,
    login: (&'static str, String),
    ca: tempfile::TempDir,
    _services: Box<dyn Any + Send + Sync>,
    kind: PhantomData<K>,
}

/// What is different between the two.
trait Kind: Sized + Send + Sync + 'static {
    async fn start() -> (Faults, StoreSettings, (&'static str, String), Box<dyn Any + Send + Sync>);
    fn reads(path: &str) -> bool;
    fn throttled() -> Answer;
    fn expired() -> Answer;
}

struct Google;

impl Kind for Google {
    async fn start() -> (Faults, StoreSettings, (&'static str, String), Box<dyn Any + Send + Sync>) {
        let (service, login) = (SecretManager::start().await, Login::of_google_node(ALLOWED).await);
        let line = Faults::before(service.address()).served_as(&["127.0.0.1"]).start().await;
        let settings = GcpSettings {
            project: PROJECT.to_owned(),
            audience: None,
            service_account: None,
            endpoint: Some(line.url()),
        };
        let node = ("GCE_METADATA_HOST", login.address().to_string());
        (line, StoreSettings::Gcp(settings), node, Box::new((service, login)))
    }

    fn reads(path: &str) -> bool {
        path.contains(":access")
    }

    fn throttled() -> Answer {
        gcp_throttled()
    }

    fn expired() -> Answer {
        gcp(401, "UNAUTHENTICATED")
    }
}

struct Azure;

impl Kind for Azure {
    async fn start() -> (Faults, StoreSettings, (&'static str, String), Box<dyn Any + Send + Sync>) {
        let (service, login) = (KeyVault::start().await, Login::of_azure_node(ALLOWED, None).await);
        let line = Faults::before(service.address()).served_as(&["127.0.0.1"]).start().await;
        let settings =
            AzureSettings { vault_url: line.url(), tenant_id: None, client_id: None, audience: None };
        let node = ("AZURE_POD_IDENTITY_AUTHORITY_HOST", format!("http://{}", login.address()));
        (line, StoreSettings::Azure(settings), node, Box::new((service, login)))
    }

    fn reads(path: &str) -> bool {
        path.starts_with("/secrets/")
    }

    fn throttled() -> Answer {
        azure_throttled()
    }

    fn expired() -> Answer {
        azure(401, "Unauthorized")
    }
}

impl<K: Kind> Cloud<K> {
    /// As the creator does it: there is nobody else who could.
    async fn put(&self, name: &str, old: Option<&str>, new: &str) {
        let ca = self.ca.path().join("ca.crt");
        let variables =
            [(self.login.0, self.login.1.clone()), ("SSL_CERT_FILE", ca.display().to_string())].into();
        let surroundings = Surroundings { variables, ..Surroundings::default() };
        let store = store::open(&self.settings, &surroundings).await.expect("a store");
        let prefix = StoragePrefix::new(&self.prefix).expect("a prefix");
        let secret = |text: &str| SecretValue::new(text.as_bytes().to_vec());
        let address = Address::value(prefix.join(name));
        if let Some(old) = old {
            assert_eq!(store.delete(&address, &secret(old)).await, Ok(Deleted::Gone));
        }
        assert_eq!(store.create(&[(address, secret(new))]).await, Ok(Created::Ours));
    }
}

impl<K: Kind> Served for Cloud<K> {
    async fn start(test: &str) -> Option<Self> {
        let (line, settings, login, services) = K::start().await;
        let ca = tempfile::tempdir().expect("a directory");
        std::fs::write(ca.path().join("ca.crt"), line.ca_pem()).expect("a file with the CA");
        let prefix = super::prefix(test);
        let cloud = Self { line, prefix, settings, login, ca, _services: services, kind: PhantomData };
        for name in NAMES {
            cloud.put(name, None, &value(name)).await;
        }
        Some(cloud)
    }

    fn line(&self) -> &Faults {
        &self.line
    }

    fn prefix(&self) -> &str {
        &self.prefix
    }

    fn pod(&self, annotations: &[(&str, &str)]) -> Pod {
        let settings = serde_json::to_string(&self.settings).expect("settings in JSON");
        let mut pod = Pod::new(&settings, annotations);
        pod.give("SSL_CERT_FILE", "ca.crt", self.line.ca_pem());
        pod.set(self.login.0, self.login.1.clone());
        pod
    }

    fn reads(seen: &Seen) -> bool {
        K::reads(&seen.path)
    }

    fn throttled() -> Answer {
        K::throttled()
    }

    fn expired() -> Answer {
        K::expired()
    }

    async fn change(&self, new: &str) {
        self.put(NAMES[0], Some(&value(NAMES[0])), new).await;
    }
}

mod google {
    use super::*;

    faults!(Cloud<Google>:
        a_fault_that_passes_is_not_seen_by_the_application,
        a_fault_that_stays_is_told_for_every_value,
    );
}

mod key_vault {
    use super::*;

    faults!(Cloud<Azure>:
        a_fault_that_passes_is_not_seen_by_the_application,
        a_fault_that_stays_is_told_for_every_value,
    );
}
