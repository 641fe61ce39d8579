//! What the requests of one pod must have in common. Each check is linear in their number.

use std::collections::HashMap;
use std::fmt;

use super::{Grammar, Requests};
use crate::domain::annotation::Family;
use crate::domain::name::{ContainerName, EnvName, MountPath, RequestName, SecretKey};
use crate::domain::options::{Format, LocalMode, TemplateEnv};
use crate::domain::parameters::Findings;
use crate::domain::path::StoragePath;
use crate::domain::problem::Fault;
use crate::domain::secret::{
    Delivery, Generated, KubernetesSecret, KubernetesTarget, Origin, SecretRequest, StoredSecret,
};
use crate::domain::suggest::nearest;

pub(super) fn check(grammar: &Grammar<'_>, requests: &Requests, findings: &mut Findings) {
    let mut agreement = Agreement { grammar, requests, findings };
    agreement.generations();
    agreement.template_environment();
    agreement.environment();
    agreement.environment_file();
    agreement.directories();
    agreement.files();
    agreement.local_values();
}

struct Agreement<'a, 'g> {
    grammar: &'a Grammar<'g>,
    requests: &'a Requests,
    findings: &'a mut Findings,
}

/// What sets a variable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Setter<'a> {
    Secret(&'a RequestName),
    Template(&'a RequestName),
}

impl fmt::Display for Setter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(name) => write!(f, "{name}"),
            Self::Template(name) => write!(f, "template-env.{name}"),
        }
    }
}

/// Who sets a variable, by the containers that it is set in.
#[derive(Default)]
struct Setters<'a> {
    everywhere: Option<Setter<'a>>,
    by_container: HashMap<&'a ContainerName, Setter<'a>>,
}

impl<'a> Setters<'a> {
    /// Notes one more, and gives back one that it meets in some container.
    fn add(&mut self, setter: Setter<'a>, containers: Option<&'a [ContainerName]>) -> Option<Setter<'a>> {
        let mut met = self.everywhere;
        match containers {
            None => {
                met = met.or_else(|| self.by_container.values().min().copied());
                self.everywhere.get_or_insert(setter);
            }
            Some(containers) => {
                for container in containers {
                    met = met.or(self.by_container.insert(container, setter));
                }
            }
        }
        met
    }
}

impl<'a> Agreement<'a, '_> {
    fn conflict(&mut self, family: Family, name: &RequestName, message: String) {
        let annotation = self.grammar.domain.key(family, name.as_str());
        self.findings.problem(&annotation, Fault::Conflict(message));
    }

    fn generated(
        &self,
    ) -> impl Iterator<Item = (&'a RequestName, &'a StoredSecret, &'a Generated)> + use<'a> {
        self.requests.stored().filter_map(|(request, stored)| match &stored.origin {
            Origin::Dynamic(generated) => Some((&request.name, stored, generated)),
            Origin::Reference { .. } => None,
        })
    }

    /// Parts of one generation agree, and different values do not share a place in the store.
    fn generations(&mut self) {
        // What generates several parts under one bare name, by that name.
        let mut several: HashMap<&str, (&RequestName, &Generated)> = HashMap::new();
        for (name, _, generation) in self.generated().filter(|(.., g)| !g.kind().parts().is_empty()) {
            several.entry(name.bare()).or_insert((name, generation));
        }
        let mut places: HashMap<StoragePath, (&RequestName, &Generated)> = HashMap::new();
        for (name, stored, generation) in self.generated() {
            if let Some((first, other)) = several.get(name.bare())
                && name.field().is_some_and(|field| other.kind().parts().contains(&field))
                && !generation.agrees_with(other)
            {
                let message =
                    format!("type, size and userId differ from those of {first}, generated with it");
                self.conflict(Family::Secret, name, message);
                continue;
            }
            let path = self.requests.secret_path(name, stored);
            let (first, other) = *places.entry(path).or_insert((name, generation));
            if first != name && !generation.is_one_value_with(other) {
                let message =
                    format!("has the storageKey of {first}, which is another value: one would be lost");
                self.conflict(Family::Secret, name, message);
            }
        }
    }

    /// No two requests set one variable of one container.
    fn environment(&mut self) {
        let mut variables: HashMap<&EnvName, Setters<'_>> = HashMap::new();
        for request in &self.requests.secrets {
            let Some(env) = request.env() else { continue };
            let setter = Setter::Secret(&request.name);
            if let Some(other) = variables.entry(env).or_default().add(setter, request.containers.as_deref())
            {
                self.conflict(Family::Secret, &request.name, format!("env={env} is also set by {other}"));
            }
        }
        for TemplateEnv { template, env } in &self.requests.injection.template_envs {
            if let Some(other) = variables.entry(env).or_default().add(Setter::Template(template), None) {
                self.conflict_of_template_env(template, format!("{env} is also set by {other}"));
            }
        }
    }

    /// A variable has a template to be made from.
    fn template_environment(&mut self) {
        let templates = &self.requests.injection.templates;
        for TemplateEnv { template, .. } in &self.requests.injection.template_envs {
            if templates.iter().any(|known| known.name == *template) {
                continue;
            }
            let known: Vec<&str> = templates.iter().map(|known| known.name.as_str()).collect();
            let hint = match nearest(template.as_str(), &known) {
                Some(near) => format!("; did you mean template-env.{near}?"),
                None => String::new(),
            };
            self.conflict_of_template_env(template, format!("the pod has no template.{template}{hint}"));
        }
    }

    fn conflict_of_template_env(&mut self, template: &RequestName, message: String) {
        let annotation = self.grammar.domain.key(Family::Inject, &format!("template-env.{template}"));
        self.findings.problem(&annotation, Fault::Conflict(message));
    }

    /// `db.password` and `db-password` would both be `DB_PASSWORD` in `secret.env`.
    fn environment_file(&mut self) {
        let formats = &self.requests.injection.formats;
        if !formats.as_ref().is_some_and(|formats| formats.has(Format::Dotenv)) {
            return;
        }
        let mut lines: HashMap<EnvName, (&RequestName, bool)> = HashMap::new();
        for (request, stored) in self.requests.stored() {
            let given = stored.env.is_some();
            let env = stored.env.clone().unwrap_or_else(|| EnvName::derived_from(&request.name));
            let message = format!("is {env} in secret.env");
            let (first, first_given) = *lines.entry(env).or_insert((&request.name, given));
            // Two that were given are the business of `environment`.
            if first != &request.name && !(given && first_given) {
                self.conflict(
                    Family::Secret,
                    &request.name,
                    format!("{message}, and so is {first}: give one env=…"),
                );
            }
        }
        for TemplateEnv { template, env } in &self.requests.injection.template_envs {
            if let Some((first, false)) = lines.get(env) {
                self.conflict_of_template_env(
                    template,
                    format!("{env} is also the line of {first} in secret.env: give that an env=…"),
                );
            }
        }
    }

    /// Secrets that share a directory share its readers and do not share a file.
    fn directories(&mut self) {
        let mut directories: HashMap<&MountPath, &SecretRequest> = HashMap::new();
        let mut files: HashMap<(&MountPath, &SecretKey), (&RequestName, &KubernetesSecret)> = HashMap::new();
        for request in &self.requests.secrets {
            let Delivery::Kubernetes(secret) = &request.delivery else { continue };
            let KubernetesTarget::Path { path, key, .. } = &secret.target else { continue };
            let first = *directories.entry(path).or_insert(request);
            if first.containers != request.containers {
                let message = format!("shares path={path} with {}, but not its containers", first.name);
                self.conflict(Family::Secret, &request.name, message);
            }
            let Some(key) = key else { continue };
            let (first, other) = *files.entry((path, key)).or_insert((&request.name, secret));
            if other.secret != secret.secret {
                let message = format!("would be the same file below path={path} as {first}");
                self.conflict(Family::Secret, &request.name, message);
            }
        }
    }

    /// Resources, leases and templates are files of one directory.
    fn files(&mut self) {
        let resources = self.requests.resources.iter().map(|r| (&r.name, Family::Resource, ""));
        let leases = self.requests.leases.iter().map(|l| (&l.name, Family::Lease, ""));
        let templates =
            self.requests.injection.templates.iter().map(|t| (&t.name, Family::Inject, "template."));
        let mut seen: HashMap<&RequestName, (Family, &str)> = HashMap::new();
        for (name, family, before) in resources.chain(leases).chain(templates) {
            let domain = self.grammar.domain;
            let annotation = domain.key(family, &format!("{before}{name}"));
            if self.grammar.taken_files.contains(&name.as_str()) {
                let message =
                    format!("the file {name} of the mount directory is keystow's own; take another name");
                self.findings.problem(&annotation, Fault::Conflict(message));
            } else if let Some((other, before)) = seen.insert(name, (family, before)) {
                let message =
                    format!("would be the same file as {}", domain.key(other, &format!("{before}{name}")));
                self.findings.problem(&annotation, Fault::Conflict(message));
            }
        }
    }

    /// In local mode every value must be given or derivable.
    fn local_values(&mut self) {
        if self.requests.storage.local_mode == LocalMode::Local {
            for (family, name, why) in self.requests.underivable() {
                self.conflict(family, name, why.to_owned());
            }
        }
    }
}
