//! What is missing, told to a person: in full where there is room, and else every name with its reason in short.
//!
//! Invariant: the count comes first and every form begins with what needs a person most, because whoever has too little
//! room keeps the beginning.

use std::fmt;

use super::{Failure, FetchError, Reason};
use crate::store::StoreError;

/// The longest reason that is told in full where there is no room for all.
const LONGEST: usize = 600;

/// What is left for the end of a list that is cut.
const END: usize = 24;

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} values are missing:", self.failures.len(), self.asked)?;
        for failure in &self.failures {
            write!(f, "\n- {failure}")?;
        }
        Ok(())
    }
}

impl FetchError {
    /// The whole message where it has at most so many bytes; else one example of each kind of reason, and behind it
    /// the names of all others that it is true of.
    pub(in crate::init) fn within(&self, room: usize) -> String {
        let whole = self.to_string();
        if whole.len() <= room {
            return whole;
        }
        let groups = self.groups();
        let mut told = format!("{} of {} values are missing:", self.failures.len(), self.asked);
        for group in &groups {
            told.push_str("\n- ");
            told.push_str(cut(&group[0].to_string(), LONGEST));
        }
        for group in groups.iter().filter(|group| group.len() > 1) {
            let (family, _) = parts(&group[0].annotation);
            let start = format!("\n- {} more of {family} {}: ", group.len() - 1, group[0].reason.in_short());
            told.push_str(&start);
            for (index, failure) in group.iter().enumerate().skip(1) {
                let (_, name) = parts(&failure.annotation);
                if told.len() + name.len() + END > room {
                    told.push_str(&format!("… and {} more", group.len() - index));
                    break;
                }
                if index > 1 {
                    told.push_str(", ");
                }
                told.push_str(name);
            }
        }
        told
    }

    /// Which values are missing, and what each needs: the same as long as the same is wrong, whatever words or numbers
    /// of its own a store puts into each answer.
    pub(in crate::init) fn essence(&self) -> String {
        let of = |failure: &Failure| format!("{} {}\n", failure.annotation, failure.reason.in_short());
        self.failures.iter().map(of).collect()
    }

    /// What has the same kind of reason and is of the same family, the worst first.
    fn groups(&self) -> Vec<Vec<&Failure>> {
        let mut groups: Vec<Vec<&Failure>> = Vec::new();
        for failure in &self.failures {
            let key =
                |failure: &Failure| (failure.reason.in_short(), parts(&failure.annotation).0.to_owned());
            match groups.iter_mut().find(|group| key(group[0]) == key(failure)) {
                Some(group) => group.push(failure),
                None => groups.push(vec![failure]),
            }
        }
        groups.sort_by_key(|group| std::cmp::Reverse(group[0].reason.class()));
        groups
    }
}

impl Reason {
    /// Without names, to stand behind a list of them.
    fn in_short(&self) -> &'static str {
        match self {
            Self::Store(StoreError::Denied { .. }) => "are denied",
            Self::Store(StoreError::NotFound { .. }) => "are not in the store",
            Self::Store(StoreError::Invalid { .. }) => "cannot be used",
            Self::Store(StoreError::Unavailable { .. }) => "were not answered",
            Self::NoIndex { .. } => "have no index",
            Self::Local(_) => "cannot be derived",
            Self::NoPodName => "need the pod's name",
            Self::CutShort => "were cut short",
        }
    }
}

/// The family with its domain, and the name.
fn parts(annotation: &str) -> (&str, &str) {
    annotation.split_once('/').unwrap_or(("", annotation))
}

fn cut(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{StoragePath, StoragePrefix};

    fn path(name: &str) -> StoragePath {
        StoragePrefix::ROOT.join(name)
    }

    fn error(absent: usize, denied: usize) -> FetchError {
        let mut failures = Vec::new();
        for number in 0..absent + denied {
            let name = format!("application.database-{number}");
            let error = match number < absent {
                true => {
                    StoreError::not_found(&path(&name), "the item of that name in table prod-kube-secret")
                }
                false => StoreError::denied(path(&name), "no permission for dynamodb:BatchGetItem"),
            };
            failures.push(Failure { annotation: format!("secret.bsycorp.com/{name}"), reason: error.into() });
        }
        FetchError { failures, asked: absent + denied + 3 }
    }

    #[test]
    fn what_fits_is_told_in_full() {
        let error = error(3, 0);
        assert_eq!(error.within(4096), error.to_string());
        assert_eq!(error.within(4096).lines().count(), 4);
    }

    #[test]
    fn without_room_every_name_is_told_and_the_worst_comes_first() {
        let error = error(60, 5);
        assert!(error.to_string().len() > 4096);
        let told = error.within(4096);
        assert!(told.len() <= 4096);
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines[0], "65 of 68 values are missing:");
        assert!(lines[1].starts_with("- secret.bsycorp.com/application.database-60: access to "), "{told}");
        assert!(lines[2].starts_with("- secret.bsycorp.com/application.database-0: /application"), "{told}");
        assert!(lines[3].starts_with("- 4 more of secret.bsycorp.com are denied: application.database-61, "));
        assert!(lines[4].starts_with("- 59 more of secret.bsycorp.com are not in the store: "), "{told}");
        for failure in &error.failures {
            let (_, name) = parts(&failure.annotation);
            assert!(told.contains(&format!("{name}:")) || lines[3..].iter().any(|line| names(line, name)));
        }
    }

    fn names(line: &str, name: &str) -> bool {
        line.rsplit_once(": ").is_some_and(|(_, list)| list.split(", ").any(|found| found == name))
    }

    #[test]
    fn what_does_not_fit_even_so_is_counted() {
        let told = error(900, 1).within(4096);
        assert!(told.len() <= 4096 && told.len() > 3900, "{}", told.len());
        let last = told.lines().last().unwrap();
        let (list, rest) = last.split_once("… and ").unwrap();
        let told = list.split(", ").filter(|name| !name.is_empty()).count();
        let rest: usize = rest.strip_suffix(" more").unwrap().parse().unwrap();
        assert_eq!(told + rest, 899, "{last}");
    }

    #[test]
    fn the_essence_is_the_same_as_long_as_the_same_is_wrong() {
        let of = |reason: &str| {
            let reason = StoreError::unavailable(path("a"), reason).into();
            FetchError { failures: vec![Failure { annotation: "a".to_owned(), reason }], asked: 1 }.essence()
        };
        assert_eq!(of("request 1 timed out"), of("request 2: connection refused"));
        assert_ne!(of("away"), error(1, 0).essence());
    }
}
