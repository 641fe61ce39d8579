//! An error and all that it came from, as one line for people.
//!
//! Invariant: what a library quotes of what it read - an object of the API server, a kubeconfig, JSON - is not said.
//! Such an error is told by what it is and where, and the errors around it lose the quotation, too, since many print
//! their cause within themselves.

use std::error::Error as StdError;
use std::iter::successors;

use kube::config::KubeconfigError;
use kube::core::Status;

type Cause = dyn StdError + 'static;

/// An error and everything it came from, on one line, each once: some libraries print their cause themselves.
#[must_use]
pub fn chain(error: &Cause) -> String {
    let all: Vec<&Cause> = successors(Some(error), |error: &&Cause| StdError::source(*error)).collect();
    let quoting = all.iter().enumerate().find_map(|(at, error)| Some((at, without_values(*error)?)));
    let mut texts: Vec<String> = all.iter().map(ToString::to_string).collect();
    if let Some((at, instead)) = quoting {
        texts.truncate(at + 1);
        let quotation = texts[at].clone();
        for text in &mut texts {
            *text = text.replace(&quotation, &instead);
        }
    }
    texts
        .into_iter()
        .reduce(|line, text| if line.contains(&text) { line } else { line + ": " + &text })
        .unwrap_or_default()
}

/// What is said instead of an error's own words, where those may quote what was read.
fn without_values(error: &Cause) -> Option<String> {
    if let Some(error) = downcast::<kube::Error>(error) {
        return of_api_server(error);
    }
    if let Some(KubeconfigError::Parse(error)) = downcast(error) {
        return Some(format!("the kubeconfig cannot be read: {}", of_yaml(error)));
    }
    if let Some(error) = downcast(error) {
        return Some(of_yaml(error));
    }
    downcast::<serde_json::Error>(error)
        .map(|error| format!("it is not JSON as expected at line {} column {}", error.line(), error.column()))
}

fn of_yaml(error: &serde_saphyr::Error) -> String {
    let line = error.location().map(|location| format!(" at line {}", location.line()));
    format!("it is not YAML as expected{}", line.unwrap_or_default())
}

/// Whether the client made this of an answer that it could not read: the message is that answer as it came.
#[must_use]
pub fn is_raw(status: &Status) -> bool {
    status.reason == "Failed to parse error data"
}

fn of_api_server(error: &kube::Error) -> Option<String> {
    match error {
        kube::Error::Api(status) if is_raw(status) => {
            Some(format!("status {} without a reason that can be read", status.code))
        }
        kube::Error::Api(status) => {
            let said = [&status.message, &status.reason].into_iter().find(|text| !text.is_empty());
            Some(format!("{} ({})", said.map_or("refused", String::as_str), status.code))
        }
        kube::Error::SerdeError(error) => {
            let (line, column) = (error.line(), error.column());
            Some(format!("the answer is not what was asked for, at line {line} column {column}"))
        }
        _ => None,
    }
}

/// The error, or the one in the box that it is.
fn downcast<E: StdError + 'static>(error: &Cause) -> Option<&E> {
    error.downcast_ref().or_else(|| error.downcast_ref::<Box<E>>().map(Box::as_ref))
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher;
    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    enum Outer {
        #[error("cannot do it")]
        Boxed(#[source] Box<kube::Error>),
        #[error("cannot do it: {0}")]
        Twice(#[source] std::io::Error),
    }

    fn unreadable() -> kube::Error {
        kube::Error::SerdeError(serde_json::from_str::<u8>("\"hunter2\"").unwrap_err())
    }

    #[test]
    fn each_cause_is_said_once() {
        let error = Outer::Twice(std::io::Error::other("no space"));
        assert_eq!(chain(&error), "cannot do it: no space");
    }

    #[test]
    fn what_was_read_is_not_quoted() {
        let said = "the answer is not what was asked for, at line 1 column 9";
        assert_eq!(chain(&unreadable()), said);
        assert_eq!(chain(&Outer::Boxed(Box::new(unreadable()))), format!("cannot do it: {said}"));
        let watched = chain(&watcher::Error::InitialListFailed(unreadable()));
        assert_eq!(watched, format!("failed to perform initial object list: {said}"));
        let raw = Status::failure("hunter2", "Failed to parse error data").with_code(502);
        let raw = chain(&kube::Error::Api(raw.boxed()));
        assert_eq!(raw, "status 502 without a reason that can be read");
        let json = serde_json::from_str::<u8>("\"hunter2\"").unwrap_err();
        assert_eq!(chain(&json), "it is not JSON as expected at line 1 column 9");
        let yaml = serde_saphyr::from_str::<u8>("hunter2").unwrap_err();
        assert_eq!(chain(&yaml), "it is not YAML as expected at line 1");
    }

    #[test]
    fn what_the_api_server_says_is_said() {
        let status = Status::failure("leases \"x\" not found", "NotFound").with_code(404);
        assert_eq!(chain(&kube::Error::Api(status.boxed())), "leases \"x\" not found (404)");
    }
}
