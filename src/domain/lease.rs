//! `lease.D/NAME`: an index that no other live pod holds.

use std::ops::RangeInclusive;

use super::name::{InvalidText, RequestName};
use super::parameters::{Findings, Parameters};
use super::path::StorageKey;

/// The init container finds its pod's index by looking at them, a thousand at once.
const MOST_INDICES: u32 = 100_000;

/// One `lease.D/NAME` annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// What follows the `/`.
    pub name: RequestName,
    /// Where the indices are counted: `<prefix>/leases/<storageKeyPrefix>.<index>`; the bare name without it.
    pub storage_key_prefix: Option<StorageKey>,
    /// The indices, both ends included; never empty.
    pub range: RangeInclusive<i32>,
}

impl LeaseRequest {
    pub(super) fn read(
        name: RequestName,
        annotation: &str,
        value: &str,
        findings: &mut Findings,
    ) -> Option<Self> {
        const WHOLE: &str = "a whole number";
        let mut parameters = Parameters::split(annotation, value, findings);
        let kind = parameters.require("kind", "INDEX").and_then(|found| {
            parameters.check_one_of("kind", found, "INDEX", |text| (text == "INDEX").then_some(()))
        });
        let storage_key_prefix = parameters.take_as("storageKeyPrefix", StorageKey::new);
        let mut bound = |key| {
            let found = parameters.require(key, WHOLE)?;
            parameters.check(key, found, |text| text.parse::<i32>().map_err(|_| InvalidText(WHOLE)))
        };
        let (start, end) = (bound("rangeStart"), bound("rangeEnd"));
        if let (Some(start), Some(end)) = (start, end)
            && start > end
        {
            parameters.conflict(format!("rangeStart={start} is greater than rangeEnd={end}"));
            parameters.finish(&[]);
            return None;
        }
        if let (Some(start), Some(end)) = (start, end)
            && start.abs_diff(end) >= MOST_INDICES
        {
            parameters.conflict(format!(
                "rangeStart={start} to rangeEnd={end} are more than {MOST_INDICES} indices, each of which is looked at"
            ));
            parameters.finish(&[]);
            return None;
        }
        parameters.finish(&["kind", "storageKeyPrefix", "rangeStart", "rangeEnd"]);
        kind?;
        Some(Self { name, storage_key_prefix, range: start?..=end? })
    }

    /// What the indices are counted under.
    pub fn series(&self) -> &str {
        self.storage_key_prefix.as_ref().map_or(self.name.bare(), StorageKey::as_str)
    }
}
