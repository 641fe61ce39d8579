//! The value of an annotation: `key=value,key=value…`, kees' grammar as its users meant it.
//!
//! Commas and line ends separate parts, blanks around keys and values are trimmed, the first `=` of a part
//! separates. Kees read parts as Java properties, so `key:value` and `key value` are taken too, with a warning.
//! The last of two parts with one key wins, with a warning. Empty parts say nothing. A value cannot contain a
//! comma.

use super::name::InvalidText;
use super::problem::{Fault, Found, Problem, Warning};
use super::suggest::nearest;

/// The parameter whose value is never shown.
pub const LOCAL_MODE_VALUE: &str = "localModeValue";

/// No kind has more than a dozen parameters; whoever sends thousands gets no work done for it.
const MOST_PARTS: usize = 64;

/// The API server shows 4096 characters of warnings in all; more are not worth making.
const MOST_WARNINGS: usize = 64;

/// Where the reading of one pod's annotations collects what it finds wrong.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
}

impl Findings {
    pub(super) fn problem(&mut self, annotation: &str, fault: Fault) {
        self.problems.push(Problem { annotation: annotation.to_owned(), fault });
    }

    pub(super) fn warn(&mut self, annotation: &str, message: &str) {
        if self.warnings.len() < MOST_WARNINGS {
            self.warnings.push(Warning::new(annotation, message));
        }
    }
}

/// The parts of one annotation's value, taken out one by one by whoever knows them.
pub(super) struct Parameters<'v, 'f> {
    annotation: &'v str,
    parts: Vec<(&'v str, &'v str)>,
    hidden: bool,
    pub(super) findings: &'f mut Findings,
}

impl<'v, 'f> Parameters<'v, 'f> {
    /// Splits `value` into its parts and reports those that are none.
    pub(super) fn split(annotation: &'v str, value: &'v str, findings: &'f mut Findings) -> Self {
        // Whatever stands beside a localModeValue may be the rest of it, cut off at a comma.
        let hidden = value.contains(LOCAL_MODE_VALUE);
        let mut parameters = Self { annotation, parts: Vec::new(), hidden, findings };
        for part in value.split([',', '\n', '\r']).map(str::trim).filter(|part| !part.is_empty()) {
            if parameters.parts.len() == MOST_PARTS {
                parameters.conflict(format!("has more than {MOST_PARTS} parts"));
                break;
            }
            parameters.add(part);
        }
        parameters
    }

    fn add(&mut self, part: &'v str) {
        let end = part.find(|c: char| matches!(c, '=' | ':') || c.is_whitespace());
        let Some(end) = end.filter(|end| *end > 0) else {
            // Somebody may have written the secret itself, and a refusal ends up in an Event of the pod's owner.
            let shown = if self.is_shown(part) { format!("`{part}`") } else { "a part".to_owned() };
            return self.problem(Fault::Syntax(Found::new(&shown)));
        };
        let (key, rest) = part.split_at(end);
        let rest = rest.trim_start();
        let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim();
        if !rest.starts_with('=') {
            let key = self.show(key);
            self.warn(&format!("write {key}=…: other separators than `=` are read for kees' sake"));
        }
        if let Some(earlier) = self.parts.iter_mut().find(|(known, _)| *known == key) {
            earlier.1 = value;
            let key = self.show(key);
            self.warn(&format!("{key} stands twice, the last one counts"));
        } else {
            self.parts.push((key, value));
        }
    }

    /// The name of a part: only what looks like a parameter's, since it may also be a value that lost its name.
    fn show(&self, key: &str) -> String {
        if self.is_shown(key) { key.to_owned() } else { "a part".to_owned() }
    }

    fn is_shown(&self, key: &str) -> bool {
        let is_word = key.len() <= 16 && key.bytes().all(|b| b.is_ascii_alphabetic());
        key == LOCAL_MODE_VALUE || (is_word && !self.hidden)
    }

    pub(super) fn problem(&mut self, fault: Fault) {
        self.findings.problem(self.annotation, fault);
    }

    pub(super) fn conflict(&mut self, message: impl Into<String>) {
        self.problem(Fault::Conflict(message.into()));
    }

    pub(super) fn warn(&mut self, message: &str) {
        self.findings.warn(self.annotation, message);
    }

    /// Takes a parameter out as text.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'v str> {
        let at = self.parts.iter().position(|(known, _)| *known == key)?;
        Some(self.parts.remove(at).1)
    }

    /// Takes a parameter out and reads it; a reading that fails is reported and gives nothing.
    pub(super) fn take_as<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, InvalidText>,
    ) -> Option<T> {
        let found = self.take(key)?;
        self.check(key, found, read)
    }

    /// Reads what was taken out; a reading that fails is reported and gives nothing.
    pub(super) fn check<T>(
        &mut self,
        key: &'static str,
        found: &str,
        read: impl FnOnce(&str) -> Result<T, InvalidText>,
    ) -> Option<T> {
        read(found)
            .map_err(|rule| {
                self.problem(Fault::Invalid {
                    parameter: key,
                    found: Found::new(found),
                    rule: rule.to_string(),
                });
            })
            .ok()
    }

    /// Reads what was taken out as one of a closed set.
    pub(super) fn check_one_of<T>(
        &mut self,
        key: &'static str,
        found: &str,
        allowed: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = read(found);
        if value.is_none() {
            let found = Found::new(found);
            self.problem(Fault::NotOneOf { parameter: key, found, allowed });
        }
        value
    }

    /// Takes `true` or `false`; absent is `false`.
    pub(super) fn take_flag(&mut self, key: &'static str) -> bool {
        let found = self.take(key);
        found.and_then(|found| self.check_one_of(key, found, "true, false", read_flag)).unwrap_or(false)
    }

    /// Takes a parameter out that has to be there; one that is not is reported.
    pub(super) fn require(&mut self, key: &'static str, rule: &'static str) -> Option<&'v str> {
        let found = self.take(key);
        if found.is_none() {
            self.missing(key, rule);
        }
        found
    }

    /// Reports a parameter that had to be there.
    pub(super) fn missing(&mut self, parameter: &'static str, rule: &'static str) {
        if let Some(at) = self.parts.iter().position(|(key, _)| nearest(key, &[parameter]).is_some()) {
            let (key, _) = self.parts.remove(at);
            let shown = self.show(key);
            self.warn(&format!("{shown} is not a known parameter; did you mean {parameter}?"));
        }
        self.problem(Fault::Missing { parameter, rule });
    }

    /// Warns of parameters that are known but say nothing here.
    pub(super) fn ignore(&mut self, keys: &[&'static str], why: &str) {
        for key in keys {
            if self.take(key).is_some() {
                self.warn(&format!("{key} is ignored: {why}"));
            }
        }
    }

    /// Warns of every part that nobody took, with the nearest of the names that would have been.
    pub(super) fn finish(mut self, known: &[&'static str]) {
        for (key, value) in std::mem::take(&mut self.parts) {
            // What is padded like base64 is no `key=value` that was meant as such.
            let shown = if value.starts_with('=') { "a part".to_owned() } else { self.show(key) };
            let hint = match nearest(key, known) {
                Some(near) => {
                    format!("{shown} is not a known parameter and is ignored; did you mean {near}?")
                }
                None => format!(
                    "{shown} is not a known parameter and is ignored; known here: {}",
                    known.join(", ")
                ),
            };
            self.warn(&hint);
        }
    }
}

/// `true` or `false`, nothing else.
pub(super) fn read_flag(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> (Vec<(String, String)>, Vec<String>, Vec<String>) {
        let mut findings = Findings::default();
        let parameters = Parameters::split("a", value, &mut findings);
        let parts = parameters.parts.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let problems = findings.problems.iter().map(ToString::to_string).collect();
        (parts, problems, findings.warnings.iter().map(ToString::to_string).collect())
    }

    fn parts(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn blanks_are_trimmed_and_the_first_equals_sign_separates() {
        let (found, problems, warnings) = read(" kind = DYNAMIC ,userId=a=b <c@d>,\nsize=128\n");
        assert_eq!(found, parts(&[("kind", "DYNAMIC"), ("userId", "a=b <c@d>"), ("size", "128")]));
        assert!(problems.is_empty() && warnings.is_empty(), "{problems:?} {warnings:?}");
    }

    #[test]
    fn a_line_end_separates_as_kees_read_it() {
        assert_eq!(read("kind=DYNAMIC\ntype=RSA\n").0, parts(&[("kind", "DYNAMIC"), ("type", "RSA")]));
    }

    #[test]
    fn other_separators_are_read_with_a_warning() {
        let (found, problems, warnings) = read("kind:DYNAMIC,type RSA");
        assert_eq!(found, parts(&[("kind", "DYNAMIC"), ("type", "RSA")]));
        assert_eq!((problems.len(), warnings.len()), (0, 2));
    }

    #[test]
    fn a_part_without_a_key_or_a_separator_is_a_problem() {
        assert_eq!(read("kind=A,DYNAMIC").1, ["a: `DYNAMIC` is not of the form key=value"]);
        assert_eq!(read("=x").1.len(), 1);
        assert_eq!(read("hunter2").1, ["a: a part is not of the form key=value"]);
    }

    #[test]
    fn the_last_of_two_counts_with_a_warning() {
        let (found, _, warnings) = read("size=1,size=2");
        assert_eq!(found, parts(&[("size", "2")]));
        assert_eq!(warnings, ["a: size stands twice, the last one counts"]);
    }

    #[test]
    fn the_rest_of_a_local_value_behind_a_comma_is_not_shown() {
        for value in
            ["localModeValue=hun,ter2", "localModeValue=hun,ter2=3", "localModeValue=hun,ter2:x,ter2:y"]
        {
            let mut findings = Findings::default();
            let mut parameters = Parameters::split("a", value, &mut findings);
            parameters.take(LOCAL_MODE_VALUE);
            if let Some(found) = parameters.take("type") {
                parameters.check_one_of("type", found, "B", |_| None::<()>);
            }
            parameters.finish(&["kind"]);
            assert!(!format!("{findings:?}").contains("ter2"), "{findings:?}");
        }
    }
}
