//! Who may read and write what. Whoever is not listed may do nothing.

use super::settings::Caller;
use crate::domain::StoragePath;

/// What somebody wants with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Read,
    Write,
}

impl Verb {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Which of the callers a subject is that may do it: by what follows, it is counted.
pub(super) fn admits(callers: &[Caller], subject: &str, verb: Verb, path: &StoragePath) -> Option<usize> {
    callers.iter().position(|caller| {
        let paths = match verb {
            Verb::Read => &caller.read,
            Verb::Write => &caller.write,
        };
        caller.subject.is(subject) && paths.iter().any(|allowed| path.is_within(allowed))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Subject;

    fn callers() -> Vec<Caller> {
        let caller = |subject: &str, read: &[&str], write: &[&str]| Caller {
            subject: Subject::read(subject).unwrap(),
            read: read.iter().map(ToString::to_string).collect(),
            write: write.iter().map(ToString::to_string).collect(),
        };
        vec![caller("eso", &["/veza/"], &["/veza/pushed"]), caller("team-*", &["/"], &[])]
    }

    #[test]
    fn only_what_is_listed_is_allowed() {
        let admitted = |subject: &str, verb, path: &str| {
            admits(&callers(), subject, verb, &StoragePath::read(path).unwrap())
        };
        assert_eq!(admitted("eso", Verb::Read, "/veza/db"), Some(0));
        assert_eq!(admitted("eso", Verb::Read, "/vezandra/db"), None);
        assert_eq!(admitted("eso", Verb::Write, "/veza/pushed/a"), Some(0));
        assert_eq!(admitted("eso", Verb::Write, "/veza/db"), None);
        assert_eq!(admitted("esoteric", Verb::Read, "/veza/db"), None);
        assert_eq!(admitted("team-a", Verb::Read, "/anything"), Some(1));
        assert_eq!(admitted("team-a", Verb::Write, "/anything"), None);
    }
}
