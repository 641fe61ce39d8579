//! What a step makes of the material.

use std::time::SystemTime;

use super::decide::{Step, Timing};
use super::issue::{self, IssueError};
use super::material::{Current, Material};

impl Timing {
    /// The material after a step, for a server of these names; the same where the step is not about it.
    ///
    /// # Errors
    ///
    /// When nothing can be issued.
    pub(super) fn apply(
        &self,
        step: &Step,
        material: &Material,
        names: &[String],
        now: SystemTime,
    ) -> Result<Material, IssueError> {
        let mut after = material.clone();
        match step {
            Step::Rest(_) | Step::Publish(_) => {}
            Step::Forget => after.retired.retain(|retired| retired.until >= now),
            Step::Prepare => after.next = Some(issue::authority(self.ca_lifetime, now)?),
            Step::Promote => {
                if let Some(next) = after.next.take() {
                    after.retire_leaf();
                    let leaf = issue::leaf(&next, names, self.leaf_lifetime, now)?;
                    after.current =
                        Some(Current { ca: next.ca.clone(), authority: Some(next), leaf: Some(leaf) });
                }
            }
            Step::Renew => {
                let authority = after.current.as_ref().and_then(|current| current.authority.as_ref());
                let leaf = authority
                    .map(|authority| issue::leaf(authority, names, self.leaf_lifetime, now))
                    .transpose()?;
                let end = |leaf: &super::material::Leaf| leaf.pair.validity.not_after;
                // Where lifetimes were made shorter, the old leaf outlives the new one, and its CA must wait for it.
                if after.leaf().map(end) > leaf.as_ref().map(end) {
                    after.retire_leaf();
                }
                if let (Some(current), Some(leaf)) = (&mut after.current, leaf) {
                    current.leaf = Some(leaf);
                }
            }
        }
        Ok(after)
    }
}
