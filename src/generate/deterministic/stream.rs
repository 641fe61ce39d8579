//! A stream of bytes derived from a name: SHA-256 in counter mode. Predictable on purpose.

use aws_lc_rs::digest::{SHA256, digest};

/// Separates these bytes from every other use of SHA-256 over names. Changing it changes every local key.
const PURPOSE: &str = "keystow local key 1";

/// The stream of one kind of key and one name.
pub(super) struct Stream {
    start: Vec<u8>,
    counter: u64,
}

impl Stream {
    /// Starts the stream. Neither a kind nor a name contains NUL, so no two pairs start alike.
    pub(super) fn new(kind: &str, name: &str) -> Self {
        Self { start: format!("{PURPOSE}\0{kind}\0{name}\0").into_bytes(), counter: 0 }
    }

    /// The next bytes; what is left of a block is not used again.
    pub(super) fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 32);
        while bytes.len() < count {
            let mut block = self.start.clone();
            block.extend_from_slice(&self.counter.to_be_bytes());
            bytes.extend_from_slice(digest(&SHA256, &block).as_ref());
            self.counter += 1;
        }
        bytes.truncate(count);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_themselves_and_nobody_else() {
        let start = |kind, name| Stream::new(kind, name).take(40);
        assert_eq!(start("RSA", "a"), start("RSA", "a"));
        assert_ne!(start("RSA", "a"), start("RSA", "b"));
        assert_ne!(start("RSA", "a"), start("EC", "a"));
        let mut stream = Stream::new("RSA", "a");
        assert_ne!(stream.take(32), stream.take(32));
    }
}
