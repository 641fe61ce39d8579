//! The environment of a container, by kubelet's rules.
//!
//! First `envFrom` in order, then `env` in order; what comes later wins. A literal value is expanded with what was
//! set before it, then with the service variables. What is optional and missing is not set at all. Since Kubernetes
//! 1.34 a key of an `envFrom` that is no identifier is set like any other.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVarSource, FileKeySelector, Pod};

use super::source::{Data, SecretSource};
use super::{NodeError, env_file, expansion, fields, namespace_of};

/// Environment variables by name.
pub(crate) type Env = BTreeMap<String, String>;

/// What a container's environment is made of, beside the container.
pub(super) struct Surroundings<'a, S> {
    pub(super) pod: &'a Pod,
    pub(super) source: &'a S,
    /// Where each volume is, for `fileKeyRef`.
    pub(super) volumes: &'a BTreeMap<String, PathBuf>,
    /// The variables of Services, which any other goes before.
    pub(super) services: &'a Env,
}

impl<S: SecretSource> Surroundings<'_, S> {
    /// The whole environment of `container`.
    pub(super) async fn environment(&self, container: &Container) -> Result<Env, NodeError> {
        let mut env = Env::new();
        for from in container.env_from.iter().flatten() {
            env.extend(self.all_of(from).await?);
        }
        for variable in container.env.iter().flatten() {
            let literal = variable.value.as_deref().filter(|value| !value.is_empty());
            let value = match (literal, &variable.value_from) {
                (Some(literal), _) => Some(self.expand(literal, &env)),
                (None, Some(from)) => self.one_of(from).await?,
                (None, None) => Some(String::new()),
            };
            if let Some(value) = value {
                env.insert(variable.name.clone(), value);
            }
        }
        for (name, value) in self.services {
            env.entry(name.clone()).or_insert_with(|| value.clone());
        }
        Ok(env)
    }

    /// `text` with its `$(NAME)` replaced.
    pub(super) fn expand(&self, text: &str, env: &Env) -> String {
        expansion::expand(text, |name| env.get(name).or_else(|| self.services.get(name)).map(String::as_str))
    }

    async fn all_of(&self, from: &EnvFromSource) -> Result<Env, NodeError> {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let (kind, name, optional, data) = if let Some(secret) = &from.secret_ref {
            ("Secret", &secret.name, secret.optional, self.secret(&secret.name).await?)
        } else if let Some(map) = &from.config_map_ref {
            ("ConfigMap", &map.name, map.optional, self.config_map(&map.name).await?)
        } else {
            return Ok(Env::new());
        };
        match data {
            Some(data) => {
                data.into_iter().map(|(key, value)| Ok((format!("{prefix}{key}"), text(value)?))).collect()
            }
            None if optional == Some(true) => Ok(Env::new()),
            None => Err(NodeError::no_object(kind, name)),
        }
    }

    async fn one_of(&self, from: &EnvVarSource) -> Result<Option<String>, NodeError> {
        if let Some(field) = &from.field_ref {
            return fields::env_field(self.pod, &field.field_path).map(Some);
        }
        if let Some(file) = &from.file_key_ref {
            return self.file_key(file);
        }
        let (kind, name, key, optional, data) = if let Some(secret) = &from.secret_key_ref {
            ("Secret", &secret.name, &secret.key, secret.optional, self.secret(&secret.name).await?)
        } else if let Some(map) = &from.config_map_key_ref {
            ("ConfigMap", &map.name, &map.key, map.optional, self.config_map(&map.name).await?)
        } else {
            return Err(NodeError::Unsupported("resourceFieldRef in an environment".into()));
        };
        let optional = optional == Some(true);
        match data.map(|mut data| data.remove(key)) {
            Some(Some(value)) => text(value).map(Some),
            _ if optional => Ok(None),
            Some(None) => Err(NodeError::no_key(kind, name, key)),
            None => Err(NodeError::no_object(kind, name)),
        }
    }

    /// The value of a key in a file of a volume. An empty value counts as none, and a file that is missing or
    /// malformed is an error even where the key is optional.
    fn file_key(&self, from: &FileKeySelector) -> Result<Option<String>, NodeError> {
        let volume = self.volumes.get(&from.volume_name).ok_or_else(|| NodeError::EnvFile {
            path: PathBuf::from(&from.path),
            problem: format!("there is no volume {}", from.volume_name),
        })?;
        let problem = |problem: String| NodeError::EnvFile { path: PathBuf::from(&from.path), problem };
        let inside = Path::new(&from.path).components().all(|part| matches!(part, Component::Normal(_)));
        if !inside {
            return Err(problem("it is not inside its volume".into()));
        }
        let content =
            fs::read_to_string(volume.join(&from.path)).map_err(|error| problem(error.to_string()))?;
        let value =
            env_file::lookup(&content, &from.key).map_err(|error| problem(format!("malformed: {error}")))?;
        match value.is_empty() {
            false => Ok(Some(value)),
            true if from.optional == Some(true) => Ok(None),
            true => Err(problem(format!("it has no key {}", from.key))),
        }
    }

    async fn secret(&self, name: &str) -> Result<Option<Data>, NodeError> {
        self.source.secret(namespace_of(self.pod), name).await
    }

    async fn config_map(&self, name: &str) -> Result<Option<Data>, NodeError> {
        self.source.config_map(namespace_of(self.pod), name).await
    }
}

/// A container's environment is text: the runtime's interface takes nothing else.
fn text(value: Vec<u8>) -> Result<String, NodeError> {
    String::from_utf8(value).map_err(|_| NodeError::NotText)
}
