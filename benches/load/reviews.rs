//! The reviews that are sent: recorded ones in turn, or ever other pods.

use std::fs;
use std::path::Path;

use bytes::Bytes;

/// What the client sends.
pub(crate) enum Reviews {
    /// These, one after another and again from the beginning.
    InTurn(Vec<Bytes>),
    /// This one with another uid, pod and namespace each time.
    Distinct(String),
}

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/reviews");
/// The uid, pod and namespace of `01-kees-example`.
const UID: &str = "71119856-28bd-43a4-953e-e04c3fd50b6e";
const POD: &str = "kees-example";
const NAMESPACE: &str = "\"demo\"";

impl Reviews {
    /// All that were recorded, in the order of their names.
    pub(crate) fn recorded() -> Self {
        let files = fs::read_dir(RECORDED).expect("the recorded reviews");
        let mut paths: Vec<_> = files.map(|file| file.expect("a recorded review").path()).collect();
        paths.sort();
        Self::InTurn(paths.iter().map(|path| Bytes::from(read(path))).collect())
    }

    /// Of pods that never come twice.
    pub(crate) fn distinct() -> Self {
        let review = read(&Path::new(RECORDED).join("01-kees-example.json"));
        for part in [UID, POD, NAMESPACE] {
            assert!(review.contains(part), "the recorded review has {part}");
        }
        Self::Distinct(review)
    }

    pub(crate) fn get(&self, index: usize) -> Bytes {
        match self {
            Self::InTurn(reviews) => reviews[index % reviews.len()].clone(),
            Self::Distinct(review) => review
                .replace(UID, &format!("71119856-28bd-43a4-953e-{index:012x}"))
                .replace(POD, &format!("kees-example-{index}"))
                .replace(NAMESPACE, &format!("\"demo-{}\"", index % 1000))
                .into(),
        }
    }
}

fn read(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.trim().to_owned()
}
