//! The annotations that steer: `init.D/…` (kees' controls) and `inject.D/…`.

use std::time::Duration;

use super::annotation::{AnnotationDomain, Family, init, inject};
use super::duration::parse_duration;
use super::name::{
    ContainerName, EnvName, InvalidText, MountPath, RequestName, ServiceAccountName, StoreName,
};
use super::parameters::{Findings, read_flag};
use super::path::StoragePrefix;
use super::problem::{Fault, Found};

/// Files are not renewed more often.
pub const SHORTEST_REFRESH: Duration = Duration::from_secs(1);

/// `init.D/local-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LocalMode {
    /// `false`: the store.
    #[default]
    Remote,
    /// `true`: predictable values, for development.
    Local,
    /// `remote-then-local`: the store, and a predictable value for what is definitely not in it.
    RemoteThenLocal,
}

/// The `init.D/…` annotations of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Storage {
    /// `storage-prefix`; `None` where the pod names none.
    pub prefix: Option<StoragePrefix>,
    /// `local-mode`.
    pub local_mode: LocalMode,
}

/// The `inject.D/…` annotations of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Injection {
    /// `service-account`: the account to run as.
    pub service_account: Option<ServiceAccountName>,
    /// `containers`: who receives secrets; `None` for all.
    pub containers: Option<Vec<ContainerName>>,
    /// `init-position`.
    pub init_position: InitPosition,
    /// `store`: the store to read from; `None` for the operator's default.
    pub store: Option<StoreName>,
    /// `path`: the mount directory; `None` for the layout's own.
    pub path: Option<MountPath>,
    /// `format`: what is written besides resources and leases; `None` for the layout's own.
    pub formats: Option<Formats>,
    /// `encoding`; `None` for the layout's own.
    pub encoding: Option<Encoding>,
    /// `refresh`: how often the files are renewed; `None` for never.
    pub refresh: Option<Duration>,
    /// `template.NAME`, by name.
    pub templates: Vec<Template>,
    /// `template-env.NAME`, by name.
    pub template_envs: Vec<TemplateEnv>,
}

/// `inject.D/init-position`: where our init container stands among the pod's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InitPosition {
    /// Before all others.
    #[default]
    First,
    /// After all others.
    Last,
}

/// A form in which secrets are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// `secret`: Java properties.
    Properties,
    /// `secret.env`: kubelet's environment file.
    Dotenv,
    /// `secret.json`: one object.
    Json,
    /// `files/NAME`: one file a secret.
    Files,
}

/// A set of formats, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formats(Vec<Format>);

/// `inject.D/encoding`: how values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// As they are; keys as PEM.
    #[default]
    Plain,
    /// What the store holds, in base64; keys as base64 of DER (kees).
    Base64,
}

/// `inject.D/template.NAME`: a file to render from the pod's secrets, resources and leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The file's name in the mount directory.
    pub name: RequestName,
    /// The template's text.
    pub source: String,
}

/// `inject.D/template-env.NAME`: a variable that also gets what the template gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateEnv {
    /// The template's name.
    pub template: RequestName,
    /// The variable.
    pub env: EnvName,
}

impl LocalMode {
    /// The annotation's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Remote => "false",
            Self::Local => "true",
            Self::RemoteThenLocal => "remote-then-local",
        }
    }
}

impl Format {
    const ALLOWED: &str = "properties, dotenv, json, files";

    /// Reads the annotation's word.
    pub fn read(text: &str) -> Option<Self> {
        Some(match text {
            "properties" => Self::Properties,
            "dotenv" => Self::Dotenv,
            "json" => Self::Json,
            "files" => Self::Files,
            _ => return None,
        })
    }
}

impl Formats {
    /// Whether `format` is one of them.
    pub fn has(&self, format: Format) -> bool {
        self.0.contains(&format)
    }

    /// Reads a comma list; an unknown word is given back.
    pub fn read(list: &str) -> Result<Self, &str> {
        let mut formats = Vec::new();
        for word in list.split(',').map(str::trim) {
            formats.push(Format::read(word).ok_or(word)?);
        }
        formats.sort_unstable();
        formats.dedup();
        Ok(Self(formats))
    }
}

impl Default for Formats {
    fn default() -> Self {
        Self(vec![Format::Properties])
    }
}

impl Encoding {
    /// Reads the annotation's word.
    pub fn read(text: &str) -> Option<Self> {
        match text {
            "plain" => Some(Self::Plain),
            "base64" => Some(Self::Base64),
            _ => None,
        }
    }
}

/// One steering annotation that is being read.
struct Control<'a, 'f> {
    annotation: String,
    word: &'static str,
    value: &'a str,
    findings: &'f mut Findings,
}

impl<'a> Control<'a, '_> {
    fn one_of<T>(self, allowed: &'static str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let value = read(self.value);
        if value.is_none() {
            let found = Found::new(self.value);
            self.findings.problem(&self.annotation, Fault::NotOneOf { parameter: self.word, found, allowed });
        }
        value
    }

    fn text<T>(self, read: impl FnOnce(&'a str) -> Result<T, InvalidText>) -> Option<T> {
        match read(self.value) {
            Ok(value) => Some(value),
            Err(rule) => {
                self.invalid(&rule.to_string());
                None
            }
        }
    }

    fn invalid(self, rule: &str) {
        let fault =
            Fault::Invalid { parameter: self.word, found: Found::new(self.value), rule: rule.to_owned() };
        self.findings.problem(&self.annotation, fault);
    }
}

impl Storage {
    /// Reads one `init.D/…` annotation into its field.
    pub(super) fn read(
        &mut self,
        domain: &AnnotationDomain,
        key: &str,
        value: &str,
        findings: &mut Findings,
    ) {
        let annotation = domain.key(Family::Init, key);
        let value = value.trim();
        match key {
            init::LOCAL_MODE => {
                let control = Control { annotation, word: init::LOCAL_MODE, value, findings };
                let mode = control.one_of("true, false, remote-then-local", |text| match text {
                    "false" => Some(LocalMode::Remote),
                    "true" => Some(LocalMode::Local),
                    "remote-then-local" => Some(LocalMode::RemoteThenLocal),
                    _ => None,
                });
                self.local_mode = mode.unwrap_or_default();
            }
            init::STORAGE_PREFIX => {
                let control = Control { annotation, word: init::STORAGE_PREFIX, value, findings };
                self.prefix = control.text(StoragePrefix::new);
            }
            other => warn_unknown(Family::Init, &annotation, other, findings),
        }
    }
}

impl Injection {
    /// Whether `inject.D/enabled` opts the pod out. Read before all else: a pod that is opted out is nobody's
    /// business, right or wrong.
    pub(super) fn is_opted_out(key: &str, value: &str) -> bool {
        key == inject::ENABLED && value.trim() == "false"
    }

    /// Reads one `inject.D/…` annotation into its field.
    pub(super) fn read(
        &mut self,
        domain: &AnnotationDomain,
        key: &str,
        value: &str,
        findings: &mut Findings,
    ) {
        let annotation = domain.key(Family::Inject, key);
        if let Some(name) = key.strip_prefix(inject::TEMPLATE_PREFIX) {
            return self.read_template(&annotation, name, value, findings);
        }
        if let Some(name) = key.strip_prefix(inject::TEMPLATE_ENV_PREFIX) {
            return self.read_template_env(annotation, name, value, findings);
        }
        let Some(word) = inject::ALL.into_iter().find(|known| *known == key) else {
            return warn_unknown(Family::Inject, &annotation, key, findings);
        };
        let control = Control { annotation, word, value: value.trim(), findings };
        match word {
            inject::CONTAINERS => self.containers = read_containers(control),
            inject::ENABLED => {
                control.one_of("true, false", read_flag);
            }
            inject::ENCODING => self.encoding = control.one_of("plain, base64", Encoding::read),
            inject::FORMAT => self.formats = control.one_of(Format::ALLOWED, |list| Formats::read(list).ok()),
            inject::INIT_POSITION => {
                let position = control.one_of("first, last", |text| match text {
                    "first" => Some(InitPosition::First),
                    "last" => Some(InitPosition::Last),
                    _ => None,
                });
                self.init_position = position.unwrap_or_default();
            }
            inject::PATH => self.path = control.text(MountPath::read),
            inject::REFRESH => self.refresh = read_refresh(control),
            inject::SERVICE_ACCOUNT => self.service_account = control.text(ServiceAccountName::new),
            inject::STORE => self.store = control.text(StoreName::new),
            _ => {}
        }
    }

    fn read_template(&mut self, annotation: &str, name: &str, value: &str, findings: &mut Findings) {
        match RequestName::new(name) {
            Ok(name) => self.templates.push(Template { name, source: value.to_owned() }),
            Err(InvalidText(rule)) => findings.problem(annotation, Fault::Name(rule)),
        }
    }

    fn read_template_env(&mut self, annotation: String, name: &str, value: &str, findings: &mut Findings) {
        let template = match RequestName::new(name) {
            Ok(template) => template,
            Err(InvalidText(rule)) => return findings.problem(&annotation, Fault::Name(rule)),
        };
        let control = Control { annotation, word: "template-env", value: value.trim(), findings };
        let env = control.text(EnvName::new);
        self.template_envs.extend(env.map(|env| TemplateEnv { template, env }));
    }
}

fn warn_unknown(family: Family, annotation: &str, key: &str, findings: &mut Findings) {
    let message = match AnnotationDomain::nearest_control(family, key) {
        Some(near) => format!("not a known annotation and is ignored; did you mean {near}?"),
        None => "not a known annotation and is ignored".to_owned(),
    };
    findings.warn(annotation, &message);
}

fn read_containers(control: Control<'_, '_>) -> Option<Vec<ContainerName>> {
    let names: Result<Vec<_>, _> =
        control.value.split(',').map(|name| ContainerName::new(name.trim())).collect();
    match names {
        Ok(mut names) => {
            names.sort_unstable();
            names.dedup();
            Some(names)
        }
        Err(_) => {
            control.invalid("is not a comma list of container names");
            None
        }
    }
}

fn read_refresh(control: Control<'_, '_>) -> Option<Duration> {
    match parse_duration(control.value) {
        Ok(duration) if duration >= SHORTEST_REFRESH => Some(duration),
        Ok(_) => {
            control.invalid("is shorter than 1s");
            None
        }
        Err(rule) => {
            control.invalid(&format!("is no duration: {rule}"));
            None
        }
    }
}
