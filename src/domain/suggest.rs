//! The nearest known name, for messages that say what was probably meant.

/// The candidate within two edits (insert, delete, replace, swap of neighbours; case ignored) of `name`, the
/// nearest first; `None` where nothing is near enough to be helpful.
pub fn nearest<'c>(name: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let name: Vec<char> = name.to_lowercase().chars().take(64).collect();
    candidates
        .iter()
        .map(|candidate| {
            let letters: Vec<char> = candidate.to_lowercase().chars().collect();
            (distance(&name, &letters), letters.len(), *candidate)
        })
        // Three edits turn one short word into any other.
        .filter(|(distance, length, _)| *distance <= 2 && distance * 2 < *length)
        .min_by_key(|(distance, ..)| *distance)
        .map(|(.., candidate)| candidate)
}

/// Edit distance with swaps of neighbours (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
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
