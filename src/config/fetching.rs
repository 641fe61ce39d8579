//! What the init container is told besides its store: the proxy to it, and how long to wait for what is not there.

use super::raw::{Field, RawProxy};
use super::report::Report;
use super::stores::{optional, url, word};
use crate::domain::{SHORTEST_REFRESH, parse_duration};
use crate::inject::Fetching;

pub(super) fn read(proxy: Field<RawProxy>, deadline: Field<String>, report: &mut Report) -> Option<Fetching> {
    let deadline = optional(deadline, report, duration);
    let proxy = match proxy {
        Field::Given(_, raw) => {
            let https = optional(raw.https_proxy, report, url);
            let http = optional(raw.http_proxy, report, url);
            let except = optional(raw.no_proxy, report, word);
            https.zip(http).zip(except)
        }
        Field::Absent(_) => Some(((None, None), None)),
        Field::Wrong => None,
    };
    let ((https_proxy, http_proxy), no_proxy) = proxy?;
    Some(Fetching { https_proxy, http_proxy, no_proxy, deadline: deadline? })
}

/// As the init container reads it. There is no use in waiting for less than the shortest round of a refresh.
fn duration(text: &str) -> Result<String, String> {
    match parse_duration(text) {
        Ok(duration) if duration < SHORTEST_REFRESH => Err(format!("`{text}` is shorter than 1s")),
        Ok(_) => Ok(text.to_owned()),
        Err(rule) => Err(format!("`{text}` is no duration such as 90s: {rule}")),
    }
}
