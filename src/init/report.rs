//! The container's last words: why it failed, for `kubectl describe pod`.
//!
//! The kubelet takes 4096 bytes of the termination log; whoever has more to say is asked to say it in so many, and what
//! is still longer is cut at a line, with how much is missing at the end. In pods of more than three containers the
//! kubelet takes even less, and keeps the beginning, so that has the count and what matters most. A log that cannot be
//! written is no failure of its own: the same words are on stderr.

use std::io::Write as _;
use std::path::Path;

/// What the kubelet takes of a container's termination log.
pub(super) const LARGEST: usize = 4096;

/// Leaves the message for the kubelet.
pub(super) fn leave(path: &Path, message: &str) {
    // The kubelet makes the file; where there is none, nobody would read one.
    if let Ok(mut file) = std::fs::OpenOptions::new().write(true).truncate(true).open(path) {
        let _ = file.write_all(fitting(message).as_bytes());
    }
}

/// The message, cut to what the kubelet takes.
fn fitting(message: &str) -> String {
    if message.len() <= LARGEST {
        return message.to_owned();
    }
    // Room for the last line, whose number has at most twenty digits.
    let room = LARGEST - 40;
    let mut kept = String::new();
    let mut lines = message.lines();
    for line in lines.by_ref() {
        if kept.len() + line.len() + 1 > room {
            if kept.is_empty() {
                kept.push_str(&line[..line.floor_char_boundary(room)]);
                kept.push('\n');
            }
            return kept + &format!("… and {} more lines", lines.count() + 1);
        }
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_at_a_line() {
        let message: String =
            (0..500).map(|number| format!("- secret.bsycorp.com/s{number}: absent\n")).collect();
        let shown = fitting(&message);
        assert!(shown.len() <= LARGEST && shown.len() > LARGEST - 120, "{}", shown.len());
        let kept = shown.lines().count() - 1;
        assert_eq!(shown.lines().last().unwrap(), format!("… and {} more lines", 500 - kept));
        let shown = fitting(&"é".repeat(4000));
        assert!(shown.len() <= LARGEST && shown.ends_with("… and 1 more lines"));
    }

    #[test]
    fn a_log_that_is_not_there_is_no_failure() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        leave(&path, "message");
        assert!(!path.exists());
        std::fs::write(&path, "something older and longer").unwrap();
        leave(&path, "message");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "message");
    }
}
