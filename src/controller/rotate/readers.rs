//! Which workloads read which Secrets by their environment: all that is kept of workloads.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt as _;
use kube::api::DynamicObject;
use kube::runtime::watcher::Event;
use serde_json::Value;

use super::consumers::{Kind, Workload, annotation};
use super::roll::Roll;
use super::turn::Place;
use crate::domain::AnnotationDomain;
use crate::rotation::consumers::{Reference, of_template};

/// What is kept of workloads: who reads what, and by what it is known that something of it changed.
#[derive(Default)]
pub(super) struct Readers {
    by_secret: BTreeMap<Place, BTreeSet<Workload>>,
    known: BTreeMap<Workload, (Vec<Reference>, [Option<String>; 3])>,
}

impl Readers {
    /// Who reads a Secret.
    pub(super) fn of(&self, secret: &Place) -> impl Iterator<Item = &Workload> {
        self.by_secret.get(secret).into_iter().flatten()
    }

    /// A workload came, changed or went; one that reads something else than before has a turn.
    pub(super) fn see(
        &mut self,
        kind: Kind,
        event: Event<DynamicObject>,
        domain: &AnnotationDomain,
        roll: &mut Roll<Workload>,
    ) {
        match event {
            Event::Apply(object) | Event::InitApply(object) => {
                let workload = Workload {
                    kind,
                    namespace: object.namespace().unwrap_or_default(),
                    name: object.name_any(),
                };
                let template = object.data.pointer("/spec/template").unwrap_or(&Value::Null);
                let references = of_template(template, &workload.namespace, domain);
                let keys = [domain.seen_key(), domain.restart_key(), domain.restart_interval_key()];
                let notes = keys.map(|key| annotation(&object, &key));
                let is_known = self
                    .known
                    .get(&workload)
                    .is_some_and(|(known, noted)| *known == references && *noted == notes);
                // Most changes are of its status.
                if is_known {
                    return;
                }
                self.remove(&workload);
                if references.is_empty() {
                    roll.forget(&workload);
                    return;
                }
                for Reference { namespace, secret, .. } in &references {
                    let place = (namespace.clone(), secret.clone());
                    self.by_secret.entry(place).or_default().insert(workload.clone());
                }
                self.known.insert(workload.clone(), (references, notes));
                roll.hurry(workload);
            }
            Event::Delete(object) => {
                let namespace = object.namespace().unwrap_or_default();
                let workload = Workload { kind, namespace, name: object.name_any() };
                self.remove(&workload);
                roll.forget(&workload);
            }
            Event::Init | Event::InitDone => {}
        }
    }

    fn remove(&mut self, workload: &Workload) {
        let Some((references, _)) = self.known.remove(workload) else { return };
        for Reference { namespace, secret, .. } in references {
            let place = (namespace, secret);
            if let Some(readers) = self.by_secret.get_mut(&place) {
                readers.remove(workload);
                if readers.is_empty() {
                    self.by_secret.remove(&place);
                }
            }
        }
    }
}
