//! Values to files, pure: which files there are, what is in each, and with what mode.
//!
//! | file | when | plain | base64 |
//! |---|---|---|---|
//! | `secret` | format `properties` | Java properties, keys as PEM | `name=base64` lines (kees) |
//! | `resources`, `leases` | always | Java properties | `name=base64` lines |
//! | one file a resource and lease | always | the bytes | the bytes |
//! | `secret.env` | `env=…`, `template-env.…`, or format `dotenv` | kubelet's syntax | kubelet's syntax |
//! | `secret.json` | format `json` | one object of texts | one object of base64 |
//! | `files/NAME` | format `files` | the bytes, keys as PEM | base64 |
//! | one file a template | always | what it gives | what it gives |
//!
//! Java properties, JSON, environment files and templates are text. A secret of type RANDOM is bytes, and stands in
//! them as base64 under either encoding, by its type and not by its value, so that an application knows which it
//! finds. Any other value that is not UTF-8 fails there under `plain`, by name and with the way out, rather than
//! being mangled as under kees. Lines are sorted by name. All failures are
//! reported at once, and none shows a value.

mod environment;
mod properties;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::domain::{
    Encoding, FileMode, Format, Formats, Layout, RequestName, Requests, SecretType, SecretValue, TemplateEnv,
};

use super::fetch::{Fetched, Secret};
use super::settings::{Output, Settings};
use super::template::{self, TemplateError};
use crate::template::pem;

pub use environment::Unwritable;

/// The files of each directory, by their path below it.
pub(super) type Files = BTreeMap<PathBuf, BTreeMap<String, File>>;

/// A file to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) mode: FileMode,
    pub(super) content: SecretValue,
}

/// What cannot be written: every failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderError {
    /// At least one.
    pub failures: Vec<RenderFailure>,
}

/// One thing that cannot be written. Shows no value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum RenderFailure {
    /// A text file cannot hold the value.
    #[error("{name} is not UTF-8 and cannot be in {file}; take encoding=base64, or format=files")]
    NotText {
        /// The request.
        name: String,
        /// The file.
        file: &'static str,
    },
    /// kubelet's environment file cannot hold the value.
    #[error("{name} cannot be in secret.env: {reason}; take another format, or encoding=base64")]
    Environment {
        /// The request.
        name: String,
        /// Why not.
        reason: Unwritable,
    },
    /// kubelet's environment file cannot hold what a template gives.
    #[error("template {name} cannot be the variable {env}: {reason}; read its file instead")]
    TemplateEnvironment {
        /// The template.
        name: String,
        /// The variable.
        env: String,
        /// Why not.
        reason: Unwritable,
    },
    /// A template gave nothing.
    #[error("template {name} {reason}")]
    Template {
        /// The template.
        name: String,
        /// Why.
        reason: String,
    },
    /// A view names a secret that the pod does not ask for.
    #[error(
        "KEYSTOW_VIEWS shows the secret {name} in {directory}, but no annotation asks for it; create the pod anew"
    )]
    UnknownInView {
        /// The secret.
        name: String,
        /// The view's directory.
        directory: String,
    },
}

/// Everything that decides what is written.
struct Rendering<'a> {
    requests: &'a Requests,
    fetched: &'a Fetched,
    mode: FileMode,
    formats: Formats,
    encoding: Encoding,
    files: Files,
    failures: Vec<RenderFailure>,
}

/// Renders every output.
pub(super) fn render(
    settings: &Settings,
    requests: &Requests,
    fetched: &Fetched,
) -> Result<Files, RenderError> {
    let mut rendering = Rendering {
        requests,
        fetched,
        mode: settings.file_mode,
        formats: requests.injection.formats.clone().unwrap_or_default(),
        encoding: requests.injection.encoding.unwrap_or(settings.layout.encoding()),
        files: Files::new(),
        failures: Vec::new(),
    };
    for output in &settings.outputs {
        rendering.output(output);
    }
    let Rendering { files, mut failures, .. } = rendering;
    // Several views may show what cannot be written.
    failures.sort();
    failures.dedup();
    if failures.is_empty() { Ok(files) } else { Err(RenderError { failures }) }
}

impl<'a> Rendering<'a> {
    fn output(&mut self, output: &Output) {
        let fetched = self.fetched;
        let shown =
            |secret: &&Secret| output.only.as_ref().is_none_or(|only| only.contains(secret.name.as_str()));
        let secrets: Vec<&Secret> = fetched.secrets.iter().filter(shown).collect();
        self.check_view(output);
        if self.formats.has(Format::Properties) {
            let lines: Vec<_> = secrets.iter().map(|secret| (&secret.name, self.text(secret))).collect();
            let content = self.properties(&lines, "the properties of all secrets");
            self.put_at(&output.secrets_file, content);
        }
        if self.formats.has(Format::Json) {
            let content = self.json(&secrets);
            self.put(&output.directory, Layout::JSON_FILE.to_owned(), self.mode, content);
        }
        if self.formats.has(Format::Files) {
            for secret in &secrets {
                let name = format!("{}/{}", Layout::FILES_DIRECTORY, secret.name);
                let content = self.encoded(secret);
                self.put(&output.directory, name, secret.mode.unwrap_or(self.mode), content);
            }
        }
        self.resources_and_leases(output);
        let templates = self.templates(&secrets);
        self.environment(output, &secrets, &templates);
        for (name, content) in templates {
            self.put(&output.directory, name.to_string(), self.mode, content);
        }
    }

    /// A pod whose annotations changed after its admission may ask for other secrets than the webhook saw.
    fn check_view(&mut self, output: &Output) {
        let (asked, fetched) = (&self.requests.secrets, &self.fetched.secrets);
        let is_known = |name: &&String| {
            let mut names = asked.iter().map(|s| &s.name).chain(fetched.iter().map(|s| &s.name));
            names.any(|known| known.as_str() == name.as_str())
        };
        let unknown = output.only.iter().flatten().filter(|name| !is_known(name));
        for name in unknown {
            let directory = output.directory.display().to_string();
            self.failures.push(RenderFailure::UnknownInView { name: name.clone(), directory });
        }
    }

    fn resources_and_leases(&mut self, output: &Output) {
        let fetched = self.fetched;
        let resources = fetched.resources.iter().map(|(name, value)| (name, value.clone()));
        let leases = fetched.leases.iter().map(|(name, index)| (name, decimal(*index)));
        let (resources, leases): (Vec<_>, Vec<_>) = (resources.collect(), leases.collect());
        for (list, all, directory, file) in [
            (
                resources,
                &output.resources_file,
                &output.resources_directory,
                "the properties of all resources",
            ),
            (leases, &output.leases_file, &output.leases_directory, "the properties of all leases"),
        ] {
            let lines: Vec<_> =
                list.iter().map(|(name, value)| (*name, self.in_encoding(value.clone()))).collect();
            let content = self.properties(&lines, file);
            self.put_at(all, content);
            for (name, value) in list {
                self.put(directory, name.to_string(), self.mode, value);
            }
        }
    }

    fn environment(
        &mut self,
        output: &Output,
        secrets: &[&Secret],
        templates: &[(&RequestName, SecretValue)],
    ) {
        let all = self.formats.has(Format::Dotenv);
        let mut lines = BTreeMap::new();
        for secret in secrets.iter().filter(|secret| all || secret.env.is_some()) {
            let text = self.text(secret);
            match environment::check(secret.env.is_some(), text.expose()) {
                Ok(()) => drop(lines.insert(environment::name(secret), text)),
                Err(reason) => {
                    self.failures.push(RenderFailure::Environment { name: secret.name.to_string(), reason });
                }
            }
        }
        for TemplateEnv { template, env } in &self.requests.injection.template_envs {
            // A template that this view does not show has no variable either.
            let Some((_, text)) = templates.iter().find(|(name, _)| *name == template) else { continue };
            match environment::check(true, text.expose()) {
                Ok(()) => drop(lines.insert(env.clone(), text.clone())),
                Err(reason) => self.failures.push(RenderFailure::TemplateEnvironment {
                    name: template.to_string(),
                    env: env.to_string(),
                    reason,
                }),
            }
        }
        if all || !lines.is_empty() {
            let content = environment::file(&lines);
            self.put(&output.directory, Layout::ENVIRONMENT_FILE.to_owned(), self.mode, content);
        }
    }

    /// What the templates of a view give.
    fn templates(&mut self, shown: &[&Secret]) -> Vec<(&'a RequestName, SecretValue)> {
        let (requests, fetched) = (self.requests, self.fetched);
        let all: Vec<&Secret> = fetched.secrets.iter().collect();
        let mut contents = Vec::new();
        for template in &requests.injection.templates {
            let rendered = template::render(&template.source, &self.template_values(shown));
            match rendered {
                Ok(content) => contents.push((&template.name, content)),
                // A template over a secret that this view does not show is not for this view.
                Err(TemplateError::Unknown { .. })
                    if template::render(&template.source, &self.template_values(&all)).is_ok() => {}
                Err(error) => self.failures.push(RenderFailure::Template {
                    name: template.name.to_string(),
                    reason: error.to_string(),
                }),
            }
        }
        contents
    }

    fn template_values(&self, secrets: &[&Secret]) -> template::Values<'_> {
        let (secrets, fetched) = (secrets.iter(), self.fetched);
        template::Values {
            secrets: fetched
                .secrets
                .iter()
                .filter(|secret| secrets.clone().any(|shown| shown.name == secret.name))
                .map(|secret| (secret.name.as_str(), text(secret.kind, &secret.value)))
                .collect(),
            resources: fetched.resources.iter().map(|(name, value)| (name.as_str(), value.clone())).collect(),
            leases: fetched.leases.iter().map(|(name, index)| (name.as_str(), *index)).collect(),
        }
    }

    fn properties(&mut self, lines: &[(&RequestName, SecretValue)], file: &'static str) -> SecretValue {
        let mut texts = Vec::with_capacity(lines.len());
        for (name, value) in lines {
            match std::str::from_utf8(value.expose()) {
                Ok(text) => texts.push((name.as_str(), text)),
                Err(_) => self.failures.push(RenderFailure::NotText { name: name.to_string(), file }),
            }
        }
        properties::file(&mut texts)
    }

    fn json(&mut self, secrets: &[&Secret]) -> SecretValue {
        let values: Vec<_> = secrets.iter().map(|secret| (secret.name.as_str(), self.text(secret))).collect();
        let mut object = BTreeMap::new();
        for (name, value) in &values {
            match std::str::from_utf8(value.expose()) {
                Ok(text) => drop(object.insert(*name, text)),
                Err(_) => self
                    .failures
                    .push(RenderFailure::NotText { name: (*name).to_owned(), file: Layout::JSON_FILE }),
            }
        }
        let size: usize = values.iter().map(|(name, value)| name.len() + 6 * value.expose().len() + 8).sum();
        let mut out = Zeroizing::new(Vec::with_capacity(size + 3));
        // Writing a map of texts to memory does not fail; were it to, the file would be empty and not partial.
        if serde_json::to_writer(&mut *out, &object).is_err() {
            out.clear();
        }
        out.push(b'\n');
        SecretValue::new(std::mem::take(&mut *out))
    }

    /// A secret as a part of a text file.
    fn text(&self, secret: &Secret) -> SecretValue {
        match self.encoding {
            Encoding::Plain => text(secret.kind, &secret.value),
            Encoding::Base64 => base64(&secret.value),
        }
    }

    /// A secret as a file of its own.
    fn encoded(&self, secret: &Secret) -> SecretValue {
        match self.encoding {
            Encoding::Plain => plain(secret.kind, &secret.value),
            Encoding::Base64 => base64(&secret.value),
        }
    }

    fn in_encoding(&self, value: SecretValue) -> SecretValue {
        match self.encoding {
            Encoding::Plain => value,
            Encoding::Base64 => base64(&value),
        }
    }

    fn put_at(&mut self, path: &Path, content: SecretValue) {
        // The settings let no path through that has no name.
        if let (Some(directory), Some(name)) =
            (path.parent(), path.file_name().and_then(|name| name.to_str()))
        {
            self.put(directory, name.to_owned(), self.mode, content);
        }
    }

    fn put(&mut self, directory: &Path, name: String, mode: FileMode, content: SecretValue) {
        self.files.entry(directory.to_owned()).or_default().insert(name, File { mode, content });
    }
}

/// A secret under `plain`: keys as PEM, everything else as it is.
fn plain(kind: SecretType, value: &SecretValue) -> SecretValue {
    match kind {
        SecretType::Rsa | SecretType::Ec | SecretType::Ed25519 => pem::armored(value),
        SecretType::Gpg | SecretType::Random | SecretType::Password => value.clone(),
    }
}

/// A secret under `plain` where only text can stand.
fn text(kind: SecretType, value: &SecretValue) -> SecretValue {
    if kind == SecretType::Random { base64(value) } else { plain(kind, value) }
}

fn base64(value: &SecretValue) -> SecretValue {
    SecretValue::new(STANDARD.encode(value.expose()).into_bytes())
}

fn decimal(index: i32) -> SecretValue {
    SecretValue::new(index.to_string().into_bytes())
}

impl std::error::Error for RenderError {}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what was fetched cannot be written:")?;
        for failure in &self.failures {
            write!(f, "\n- {failure}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
