//! The nearest known name, for messages that say what was probably meant.

/// The candidate within two edits (insert, delete, replace, swap of neighbours; case ignored) of `name`, the
/// nearest first; `None` where nothing is near enough to be helpful.
pub fn nearest<'c>(name: &str, candidates: &[&'c str]) -> Option<&'c str> {
    candidates
        .iter()
        .filter(|candidate| name.len().abs_diff(candidate.len()) <= 2 && candidate.len() <= LONGEST)
        .map(|candidate| (distance(name.as_bytes(), candidate.as_bytes()), *candidate))
        // Three edits turn one short word into any other.
        .filter(|(distance, candidate)| *distance <= 2 && distance * 2 < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// No name that keystow suggests is longer.
const LONGEST: usize = 31;

/// Edit distance with swaps of neighbours (optimal string alignment), by bytes; `b` has at most [`LONGEST`].
fn distance(a: &[u8], b: &[u8]) -> usize {
    let differ = |x: u8, y: u8| !x.eq_ignore_ascii_case(&y);
    let mut before_last = [0; LONGEST + 1];
    let mut last: [usize; LONGEST + 1] = std::array::from_fn(|j| j);
    for i in 1..=a.len() {
        let mut row = [i; LONGEST + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(differ(a[i - 1], b[j - 1]));
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && !differ(a[i - 1], b[j - 2]) && !differ(a[i - 2], b[j - 1]) {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = last;
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_find_their_word() {
        let known = ["kind", "type", "size", "storageKey", "localModeValue", "userId"];
        for (typed, meant) in [
            ("knid", "kind"),
            ("storagekey", "storageKey"),
            ("storageKy", "storageKey"),
            ("LocalModeValues", "localModeValue"),
            ("typ", "type"),
            ("sizes", "size"),
        ] {
            assert_eq!(nearest(typed, &known), Some(meant), "{typed}");
        }
    }

    #[test]
    fn unrelated_words_find_nothing() {
        for typed in ["foo", "", "x", "colour"] {
            assert_eq!(nearest(typed, &["kind", "type", "size", "storageKey"]), None, "{typed}");
        }
    }
}
