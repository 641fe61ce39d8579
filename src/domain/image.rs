//! References to container images: `[host[:port]/]path[:tag][@digest]`, as registries and runtimes read them.
//!
//! The API server takes any text, and the kubelet then starts no container of it (`InvalidImageName`).

use std::fmt;

use super::name::InvalidText;

/// An image that a runtime could look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference(String);

impl ImageReference {
    /// Checks the form.
    pub fn new(text: &str) -> Result<Self, InvalidText> {
        if is_reference(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidText(
                "an image such as registry.example.com/keystow:0.1.0: lower-case path, then a tag or a digest (sha256:…)",
            ))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_reference(text: &str) -> bool {
    let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
    // A colon before the last slash is a port's.
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    let path = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => {
            if !is_host(host) {
                return false;
            }
            path
        }
        _ => name,
    };
    name.len() <= 255
        && path.split('/').all(is_component)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest)
}

fn is_host(text: &str) -> bool {
    let (host, port) = text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(label) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Runs of lower-case letters and digits, between them `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = [text.as_bytes().first(), text.as_bytes().last()];
    ends.iter().all(|end| end.is_some_and(inner))
        && text
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|between| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-'))
}

fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        && !text.starts_with(['-', '.'])
}

fn is_digest(text: &str) -> bool {
    let length = match text.split_once(':') {
        Some(("sha256", hex)) => (hex, 64),
        Some(("sha512", hex)) => (hex, 128),
        _ => return false,
    };
    length.0.len() == length.1 && length.0.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_as_runtimes_read_them() {
        let digest = format!("@sha256:{}", "0a".repeat(32));
        for image in [
            "keystow",
            "keystow:0.1.0",
            "a/b/c",
            "localhost/a",
            "localhost:5000/a:b",
            "R.example.com:443/a_b/c__d/e--f:V1",
            "10.0.0.1/a",
        ] {
            assert!(ImageReference::new(image).is_ok(), "{image}");
            assert!(ImageReference::new(&format!("{image}{digest}")).is_ok(), "{image}{digest}");
        }
    }

    #[test]
    fn what_is_no_image() {
        for image in [
            "",
            " ",
            "a b",
            "a ",
            "Keystow",
            "a:",
            ":a",
            "a//b",
            "/a",
            "a/",
            "a___b",
            "a..b",
            "-a",
            "a:-b",
            "a@sha256:abc",
            "a@",
            "a:b:c",
            "https://a.example/b",
            "host.example:99999/a",
            "host.example:/a",
            "a\n",
            "ä",
        ] {
            assert!(ImageReference::new(image).is_err(), "{image}");
        }
    }
}
