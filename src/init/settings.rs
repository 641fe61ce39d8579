//! What the environment says: keystow's variables, or kees' where there are none of ours.
//!
//! The environment comes as a map, so nothing here reads the process. Every mistake is reported at once, by
//! variable. With `KEYSTOW_STORE` all is keystow's; without it but with `ENV_LABEL` it is kees' (see [`kees`]).

mod kees;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use kees::ENV_LABEL;

use http::Uri;

use crate::domain::{AnnotationDomain, FileMode, Layout, parse_duration};
use crate::handover::{NoSettings, StoreSettings, View, variable};
use crate::store::{Surroundings, VARIABLES};

/// How long is waited for what is not there yet, unless the environment says otherwise.
const DEADLINE: Duration = Duration::from_secs(60);

/// Where the kubelet reads a container's last words: its default for `terminationMessagePath`.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// Names another file, for containers with another `terminationMessagePath`. The webhook never sets it.
const TERMINATION_LOG_VARIABLE: &str = "KEYSTOW_TERMINATION_LOG";

/// What init is to do, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The store to fetch from. It is opened only where something must be fetched.
    pub store: StoreSettings,
    /// The domain of the annotations.
    pub domain: AnnotationDomain,
    /// Names and defaults of what is written.
    pub layout: Layout,
    /// The downward-API file.
    pub annotations_file: PathBuf,
    /// What is written where: one for all containers, or one for each view.
    pub outputs: Vec<Output>,
    /// The mode of files that no request gives a mode.
    pub file_mode: FileMode,
    /// How long to wait for what is not there yet.
    pub deadline: Duration,
    /// What the store needs to know of the pod.
    pub surroundings: Surroundings,
    /// The pod's UID, by which a lease's holder is told from pods of the same name in other namespaces. Absent in
    /// kees' manifests, where names must do.
    pub pod_uid: Option<String>,
    /// Where to leave the reason of a failure for `kubectl describe pod`.
    pub termination_log: PathBuf,
}

/// One set of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where `secret.env`, `secret.json`, `files/` and templates go.
    pub directory: PathBuf,
    /// Properties of all secrets.
    pub secrets_file: PathBuf,
    /// Properties of all resources.
    pub resources_file: PathBuf,
    /// Properties of all leases.
    pub leases_file: PathBuf,
    /// The directory of one file a resource.
    pub resources_directory: PathBuf,
    /// The directory of one file a lease.
    pub leases_directory: PathBuf,
    /// The only secrets to write; all without it. Resources and leases are always written.
    pub only: Option<BTreeSet<String>>,
}

/// What is wrong with the environment: every mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    /// At least one.
    pub mistakes: Vec<Mistake>,
}

/// One mistake in the environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// Nobody told init anything.
    #[error(
        "neither KEYSTOW_STORE nor kees' ENV_LABEL is set; run init in a pod that keystow injected, or set one of them"
    )]
    NobodySpeaks,
    /// A variable has a value that it cannot have.
    #[error("{variable}={found} {rule}")]
    Invalid {
        /// The variable.
        variable: &'static str,
        /// Its value, cut to a readable length.
        found: String,
        /// What is wrong, as the end of a sentence.
        rule: String,
    },
    /// A proxy that would not be used, and silently so. The address is not shown: it may have a password in it.
    #[error("{variable} is not the address of an HTTP proxy, such as http://proxy.example:3128")]
    Proxy {
        /// The variable.
        variable: &'static str,
    },
}

/// By which clients of stores find their proxy, in capitals or small letters.
const PROXIES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// Where last words go, even where nothing else in the environment is right.
pub(super) fn termination_log(environment: &HashMap<String, String>) -> PathBuf {
    environment
        .get(TERMINATION_LOG_VARIABLE)
        .filter(|path| !path.is_empty())
        .map_or(TERMINATION_LOG, String::as_str)
        .into()
}

/// The environment as it is being read, and what is wrong with it so far.
struct Reader<'e> {
    environment: &'e HashMap<String, String>,
    mistakes: Vec<Mistake>,
}

impl<'e> Reader<'e> {
    /// A variable that is set to nothing is not set.
    fn text(&self, variable: &str) -> Option<&'e str> {
        self.environment.get(variable).map(String::as_str).filter(|text| !text.is_empty())
    }

    fn path(&mut self, variable: &'static str, default: impl Into<PathBuf>) -> PathBuf {
        self.read(variable, absolute).unwrap_or_else(|| default.into())
    }

    fn read<T>(
        &mut self,
        variable: &'static str,
        read: impl FnOnce(&'e str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(variable)?;
        read(text)
            .map_err(|rule| {
                let found = text.chars().take(128).flat_map(char::escape_debug).collect();
                self.mistakes.push(Mistake::Invalid { variable, found, rule });
            })
            .ok()
    }

    fn domain(&mut self, variable: &'static str) -> AnnotationDomain {
        let read = |text: &str| AnnotationDomain::new(text).map_err(|_| "is not a DNS name".to_owned());
        self.read(variable, read).unwrap_or_default()
    }

    fn file_mode(&mut self, default: FileMode) -> FileMode {
        let read = |text: &str| FileMode::parse(text).map_err(|rule| rule.to_string());
        self.read(variable::FILE_MODE, read).unwrap_or(default)
    }

    fn check_proxies(&mut self) {
        for variable in PROXIES {
            let is_wrong = self.text(variable).is_some_and(|text| !is_proxy(text));
            if is_wrong {
                self.mistakes.push(Mistake::Proxy { variable });
            }
        }
    }

    fn surroundings(&mut self) -> Surroundings {
        Surroundings {
            token_file: self.read(variable::TOKEN_FILE, absolute),
            namespace: self.text(variable::POD_NAMESPACE).map(str::to_owned),
            pod_name: self.text(variable::POD_NAME).map(str::to_owned),
            aws_sts_endpoint: None,
            variables: VARIABLES
                .into_iter()
                .filter_map(|name| Some((name, self.text(name)?.to_owned())))
                .collect(),
        }
    }

    fn deadline(&mut self, default: Duration) -> Duration {
        let read = |text: &str| parse_duration(text).map_err(|rule| format!("is no duration: {rule}"));
        self.read(variable::DEADLINE, read).unwrap_or(default)
    }
}

/// `http://proxy:3128`, or `proxy:3128` as curl takes it.
fn is_proxy(text: &str) -> bool {
    let is_address =
        |text: &str| text.parse::<Uri>().is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    match text.split_once("://") {
        Some(("http" | "https", _)) => is_address(text),
        Some(_) => false,
        None => is_address(&format!("http://{text}")),
    }
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    if path.is_absolute() { Ok(path.to_owned()) } else { Err("is not an absolute path".to_owned()) }
}

impl Settings {
    /// Reads the environment.
    pub fn from_environment(environment: &HashMap<String, String>) -> Result<Self, SettingsError> {
        let mut reader = Reader { environment, mistakes: Vec::new() };
        let settings = if reader.text(variable::STORE).is_some() {
            Self::keystow(&mut reader)
        } else if let Some(label) = reader.text(kees::ENV_LABEL) {
            kees::read(label, &mut reader)
        } else {
            return Err(SettingsError { mistakes: vec![Mistake::NobodySpeaks] });
        };
        if !matches!(settings.store, StoreSettings::Local(_) | StoreSettings::Kubernetes(_)) {
            reader.check_proxies();
        }
        if reader.mistakes.is_empty() {
            Ok(settings)
        } else {
            Err(SettingsError { mistakes: reader.mistakes })
        }
    }

    fn keystow(reader: &mut Reader<'_>) -> Self {
        let store = reader
            .read(variable::STORE, |text| {
                serde_json::from_str(text).map_err(|error| format!("is not the settings of a store: {error}"))
            })
            .unwrap_or(StoreSettings::Local(NoSettings {}));
        let layout = reader
            .read(variable::LAYOUT, |text| {
                Layout::read(text).ok_or_else(|| "is not one of keystow, kees".to_owned())
            })
            .unwrap_or_default();
        let annotations = Path::new(layout.annotations_directory()).join(Layout::ANNOTATIONS_FILE);
        let directory = reader.path(variable::PATH, layout.directory());
        let outputs = reader
            .read(variable::VIEWS, |text| read_views(text, layout))
            .unwrap_or_else(|| vec![Output::of(layout, &directory, None)]);
        Self {
            store,
            domain: reader.domain(variable::ANNOTATION_DOMAIN),
            layout,
            annotations_file: reader.path(variable::ANNOTATIONS_FILE, annotations),
            outputs,
            file_mode: reader.file_mode(FileMode::OWNER),
            deadline: reader.deadline(DEADLINE),
            surroundings: reader.surroundings(),
            pod_uid: reader.text(variable::POD_UID).map(str::to_owned),
            termination_log: termination_log(reader.environment),
        }
    }

    /// The names that no resource, lease or template may have: theirs are files in the same directory.
    pub(super) fn taken_files(&self) -> Vec<&str> {
        let own = self.outputs.iter().flat_map(|output| {
            [&output.secrets_file, &output.resources_file, &output.leases_file]
                .into_iter()
                .filter_map(|path| path.file_name()?.to_str())
        });
        self.layout.taken_files().iter().copied().chain(own).collect()
    }
}

fn read_views(text: &str, layout: Layout) -> Result<Vec<Output>, String> {
    let views: Vec<View> =
        serde_json::from_str(text).map_err(|error| format!("is not a list of views: {error}"))?;
    if views.is_empty() {
        return Err("is an empty list".to_owned());
    }
    let mut directories = BTreeSet::new();
    let mut outputs = Vec::with_capacity(views.len());
    for view in views {
        let directory = PathBuf::from(&view.directory);
        if !directory.is_absolute() {
            return Err(format!("has a directory {} that is not an absolute path", view.directory));
        }
        if !directories.insert(directory.clone()) {
            return Err(format!("has the directory {} twice", view.directory));
        }
        outputs.push(Output::of(layout, &directory, Some(view.secrets.into_iter().collect())));
    }
    Ok(outputs)
}

impl Output {
    /// A layout's files in a directory.
    pub fn of(layout: Layout, directory: &Path, only: Option<BTreeSet<String>>) -> Self {
        Self {
            directory: directory.to_owned(),
            secrets_file: directory.join(layout.secrets_file()),
            resources_file: directory.join(layout.resources_file()),
            leases_file: directory.join(layout.leases_file()),
            resources_directory: directory.to_owned(),
            leases_directory: directory.to_owned(),
            only,
        }
    }
}

impl std::error::Error for SettingsError {}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the environment does not say what to do:")?;
        for mistake in &self.mistakes {
            write!(f, "\n- {mistake}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn read(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let environment =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::from_environment(&environment)
    }

    #[test]
    fn a_proxy_that_would_not_be_used_is_refused_without_its_password() {
        let vault = r#"{"vault":{"address":"https://vault:8200","mount":"a","auth":{"tokenFile":"/t"}}}"#;
        for (proxy, is_right) in [
            ("http://user:hunter2@proxy:3128", true),
            ("https://proxy", true),
            ("proxy:3128", true),
            ("", true),
            ("ftp://user:hunter2@proxy:21", false),
            ("socks5://proxy:1080", false),
            ("::user:hunter2 nonsense", false),
        ] {
            let found = read(&[("KEYSTOW_STORE", vault), ("HTTPS_PROXY", proxy)]);
            assert_eq!(found.is_ok(), is_right, "{proxy}");
            if let Err(error) = found {
                assert!(
                    error.to_string().contains("HTTPS_PROXY") && !error.to_string().contains("hunter2"),
                    "{error}"
                );
            }
        }
        assert!(read(&[("KEYSTOW_STORE", r#"{"local":{}}"#), ("HTTPS_PROXY", "ftp://proxy")]).is_ok());
    }

    #[test]
    fn the_store_is_enough() {
        let settings = read(&[("KEYSTOW_STORE", r#"{"local":{}}"#)]).unwrap();
        assert_eq!(settings.annotations_file, Path::new("/annotations/annotations"));
        assert_eq!(settings.outputs, [Output::of(Layout::Keystow, Path::new("/secret"), None)]);
        assert_eq!(settings.outputs[0].secrets_file, Path::new("/secret/secret"));
        assert_eq!((settings.file_mode, settings.deadline), (FileMode::OWNER, DEADLINE));
    }

    #[test]
    fn every_variable_is_read() {
        let settings = read(&[
            ("KEYSTOW_STORE", r#"{"kubernetes":{}}"#),
            ("KEYSTOW_ANNOTATION_DOMAIN", "example.org"),
            ("KEYSTOW_ANNOTATIONS_FILE", "/a/b"),
            ("KEYSTOW_LAYOUT", "kees"),
            ("KEYSTOW_PATH", "/elsewhere"),
            ("KEYSTOW_FILE_MODE", "0444"),
            ("KEYSTOW_DEADLINE", "1m30s"),
            ("POD_NAME", "web-0"),
            ("POD_UID", "8d4a"),
            ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/web"),
        ])
        .unwrap();
        assert_eq!(settings.domain.as_str(), "example.org");
        assert_eq!(settings.annotations_file, Path::new("/a/b"));
        assert_eq!(settings.outputs[0].leases_file, Path::new("/elsewhere/leases.properties"));
        assert_eq!((settings.file_mode, settings.deadline), (FileMode::ALL, Duration::from_secs(90)));
        assert_eq!(settings.surroundings.pod_name.as_deref(), Some("web-0"));
        assert_eq!(settings.pod_uid.as_deref(), Some("8d4a"));
        let role = settings.surroundings.variables.get("AWS_ROLE_ARN").map(String::as_str);
        assert_eq!(role, Some("arn:aws:iam::123456789012:role/web"));
    }

    #[test]
    fn views_are_outputs_of_their_own() {
        let settings = read(&[
            ("KEYSTOW_STORE", r#"{"local":{}}"#),
            ("KEYSTOW_VIEWS", r#"[{"directory":"/v/0","secrets":["a"]},{"directory":"/v/1","secrets":[]}]"#),
        ])
        .unwrap();
        assert_eq!(settings.outputs.len(), 2);
        assert_eq!(settings.outputs[0].only, Some(BTreeSet::from(["a".to_owned()])));
        assert_eq!(settings.outputs[1].secrets_file, Path::new("/v/1/secret"));
    }

    #[test]
    fn nobody_speaks() {
        assert_eq!(read(&[("KEYSTOW_STORE", "")]).unwrap_err().mistakes, [Mistake::NobodySpeaks]);
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let error = read(&[
            ("KEYSTOW_STORE", r#"{"floppy":{}}"#),
            ("KEYSTOW_ANNOTATION_DOMAIN", "Not A Name"),
            ("KEYSTOW_ANNOTATIONS_FILE", "relative"),
            ("KEYSTOW_LAYOUT", "other"),
            ("KEYSTOW_PATH", "also/relative"),
            ("KEYSTOW_FILE_MODE", "0999"),
            ("KEYSTOW_VIEWS", "[]"),
            ("KEYSTOW_DEADLINE", "soon"),
        ])
        .unwrap_err();
        assert_eq!(error.mistakes.len(), 8, "{error}");
        for name in ["STORE", "DOMAIN", "ANNOTATIONS_FILE", "LAYOUT", "PATH", "MODE", "VIEWS", "DEADLINE"] {
            assert!(error.to_string().contains(name), "{name}: {error}");
        }
    }

    #[test]
    fn views_have_absolute_directories_of_their_own() {
        for wrong in [
            r#"[{"directory":"v","secrets":[]}]"#,
            r#"[{"directory":"/v","secrets":[]},{"directory":"/v","secrets":[]}]"#,
            "{}",
        ] {
            let error = read(&[("KEYSTOW_STORE", r#"{"local":{}}"#), ("KEYSTOW_VIEWS", wrong)]).unwrap_err();
            assert_eq!(error.mistakes.len(), 1, "{wrong}");
        }
    }
}
