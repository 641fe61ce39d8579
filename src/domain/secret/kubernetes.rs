//! Parameters of `kind=KUBERNETES`: a Secret object, and exactly one place for it.

use super::{KubernetesSecret, KubernetesTarget};
use crate::domain::name::{EnvName, FileMode, MountPath, SecretKey, SecretName};
use crate::domain::parameters::Parameters;
use crate::domain::reference;

const KNOWN: [&str; 10] = reference::names(&reference::KUBERNETES);

const ONE_TARGET: &str = "give exactly one target: key and env, or envFrom=true, or path";

impl KubernetesSecret {
    pub(super) fn read(mut parameters: Parameters<'_, '_>) -> Option<Self> {
        let secret = parameters.require("secret", "the name of a Secret in the pod's namespace");
        let secret = secret.and_then(|found| parameters.check("secret", found, SecretName::new));
        let optional = parameters.take_flag("optional");
        let target = read_target(&mut parameters);
        parameters.ignore(
            &["type", "size", "storageKey", "localModeValue", "userId"],
            "it says nothing about kind=KUBERNETES",
        );
        parameters.finish(&KNOWN);
        Some(Self { secret: secret?, optional, target: target? })
    }
}

fn read_target(parameters: &mut Parameters<'_, '_>) -> Option<KubernetesTarget> {
    let key = parameters.take("key");
    let env = parameters.take("env");
    let env_from = parameters.take_flag("envFrom");
    let path = parameters.take("path");
    if usize::from(env.is_some()) + usize::from(env_from) + usize::from(path.is_some()) != 1 {
        parameters.conflict(ONE_TARGET);
        for also in ["prefix", "mode"] {
            parameters.take(also);
        }
        return None;
    }
    if !env_from {
        parameters.ignore(&["prefix"], "it goes with envFrom=true");
    }
    if path.is_none() {
        parameters.ignore(&["mode"], "it goes with path");
    }
    let missing_key = key.is_none();
    let key = key.map(|found| parameters.check("key", found, SecretKey::new));
    if let Some(found) = env {
        if missing_key {
            parameters.missing("key", "env takes one key of the Secret");
        }
        let env = parameters.check("env", found, EnvName::new);
        Some(KubernetesTarget::Env { key: key??, env: env? })
    } else if let Some(found) = path {
        let path = parameters.check("path", found, MountPath::read);
        let mode = match parameters.take("mode") {
            Some(found) => parameters.check("mode", found, FileMode::parse),
            None => Some(FileMode::OWNER),
        };
        // A key that is there but wrong was reported; all keys instead of it would show too much.
        let key = match key {
            Some(key) => Some(key?),
            None => None,
        };
        Some(KubernetesTarget::Path { path: path?, key, mode: mode? })
    } else {
        if !missing_key {
            parameters.conflict("key does not go with envFrom=true, which takes all keys");
        }
        let prefix = match parameters.take("prefix").filter(|prefix| !prefix.is_empty()) {
            Some(found) => Some(parameters.check("prefix", found, EnvName::new)?),
            None => None,
        };
        Some(KubernetesTarget::EnvFrom { prefix })
    }
}
