//! `resource.D/NAME`: a value of the store that nobody generates.

use super::name::RequestName;
use super::parameters::{Findings, Parameters};
use super::path::StorageKey;
use super::reference;
use super::secret::read_local_value;
use super::value::LocalValue;

/// One `resource.D/NAME` annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceRequest {
    /// What follows the `/`.
    pub name: RequestName,
    /// The key in the store where it is not the name without its field.
    pub storage_key: Option<StorageKey>,
    /// The value in local mode.
    pub local_value: Option<LocalValue>,
}

impl ResourceRequest {
    pub(super) fn read(name: RequestName, annotation: &str, value: &str, findings: &mut Findings) -> Self {
        let mut parameters = Parameters::split(annotation, value, findings);
        let storage_key = parameters.take_as("storageKey", StorageKey::of_value);
        let local_value = read_local_value(&mut parameters);
        if let (Some(field), None) = (name.field(), &storage_key) {
            // Kees drops the field, and the data is stored like that.
            parameters.warn(&format!(
                "read from `{}`, without `_{field}`: a resource's field is no part of its storage key; storageKey=… says another",
                name.bare()
            ));
        }
        parameters.finish(&reference::names(&reference::RESOURCE));
        Self { name, storage_key, local_value }
    }

    /// The key in the store, below the prefix.
    pub fn key(&self) -> &str {
        self.storage_key.as_ref().map_or(self.name.bare(), StorageKey::as_str)
    }
}
