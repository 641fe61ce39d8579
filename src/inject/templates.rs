//! What can be said of a pod's templates before there are values: their syntax, and the names in them.
//!
//! Invariant: a template is refused only where rendering it must fail, whatever the values are. A name that may be
//! unknown, in a branch that may not be taken, is warned of; one that is asked after (`is defined`, `default`), or
//! computed, is the template's own business.

use super::plan::{DenialKind, Findings, Planner};
use crate::domain::{Delivery, Family, Found, SecretRequest, nearest};
use crate::template::{self, Named, What};

impl Planner<'_> {
    /// Denies what cannot be rendered.
    pub(super) fn check_templates(&self, findings: &mut Findings<'_>) {
        for template in &self.requests.injection.templates {
            let key = format!("template.{}", template.name);
            if let Err(reason) = template::check(&template.source) {
                findings.fault_of(DenialKind::InvalidAnnotation, Family::Inject, &key, reason);
                continue;
            }
            for named in template::names(&template.source) {
                let Some(problem) = self.unknown(&named) else { continue };
                let line = named.line;
                if named.is_certain {
                    let message = format!("line {line} names {problem}");
                    findings.fault_of(DenialKind::InvalidAnnotation, Family::Inject, &key, message);
                } else {
                    let message = format!("line {line} fails where it is reached: it names {problem}");
                    findings.warn_of(Family::Inject, &key, &message);
                }
            }
        }
    }

    /// What is wrong with a name, as the end of a sentence; nothing where the pod asks for it.
    fn unknown(&self, named: &Named<'_>) -> Option<String> {
        let requests = self.requests;
        let (family, name) = match named.what {
            What::Other(name) => {
                let families = ["secret", "resource", "lease"];
                let meant =
                    nearest(name, &families).map_or(String::new(), |near| format!("; did you mean {near}?"));
                return Some(format!("{name}, and a template knows secret, resource and lease{meant}"));
            }
            What::Value(family, name) => (family, name),
        };
        let secrets = || requests.stored().map(|(request, _)| request.name.as_str());
        let known: Vec<&str> = match family {
            Family::Resource => requests.resources.iter().map(|request| request.name.as_str()).collect(),
            Family::Lease => requests.leases.iter().map(|request| request.name.as_str()).collect(),
            Family::Secret | Family::Init | Family::Inject => secrets().collect(),
        };
        if known.contains(&name) {
            return None;
        }
        let is_native = |request: &SecretRequest| {
            request.name.as_str() == name && matches!(request.delivery, Delivery::Kubernetes(_))
        };
        let why = if family == Family::Secret && requests.secrets.iter().any(is_native) {
            "which is kind=KUBERNETES: the init container does not have it".to_owned()
        } else {
            let meant = nearest(name, &known).map_or(String::new(), |near| format!("; did you mean {near}?"));
            format!("which no annotation asks for{meant}")
        };
        Some(format!("{}['{}'], {why}", family.word(), Found::new(name)))
    }
}
