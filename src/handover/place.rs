//! Where a path lies in stores whose objects have fields: what is read there is granted by it, too.
//!
//! | path | `kubernetes` | `vault` |
//! |---|---|---|
//! | `/veza/db_password` | key `password` of the Secret `veza--db` | key `password` of `veza/db` |
//! | `/veza/db` | key `value` of the Secret `veza--db` | key `value` of `veza/db` |
//! | `/veza/db_value` | key `value` of the Secret of the whole path | key `value` of `veza/db` |
//! | `/veza/leases/a_b.7`, a lease | key `value` of the Secret of the whole path | key `value` of the whole path |

use super::object_name::{KUBERNETES, object_name};
use crate::domain::StoragePath;

/// The key of what has no field.
const WHOLE: &str = "value";

/// An object of a store and a key in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place<'p> {
    /// The object's path.
    pub object: StoragePath,
    /// The key in it.
    pub key: &'p str,
}

impl<'p> Place<'p> {
    fn whole(path: &StoragePath) -> Self {
        Self { object: path.clone(), key: WHOLE }
    }

    /// Where the store `kubernetes` has a value.
    pub fn in_kubernetes(path: &'p StoragePath) -> Self {
        // The field `value` of a path would be where the path itself is.
        let field = path.split_field().filter(|(_, field)| *field != WHOLE);
        field.map_or_else(|| Self::whole(path), |(object, key)| Self { object, key })
    }

    /// Where the store `vault` has a value.
    pub fn in_vault(path: &'p StoragePath) -> Self {
        path.split_field().map_or_else(|| Self::whole(path), |(object, key)| Self { object, key })
    }

    /// Where both have what belongs to a lease.
    pub fn of_lease(path: &'p StoragePath) -> Self {
        Self::whole(path)
    }

    /// The Secret object of the store `kubernetes`.
    pub fn secret(&self) -> String {
        object_name(self.object.as_str(), KUBERNETES)
    }
}
