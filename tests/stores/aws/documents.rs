//! What the documents of the stores say: the rights that the tests have, and the words that were seen.

use std::collections::BTreeSet;
use std::path::Path;

use super::ROLES;

/// The page of a store, in one line.
fn page(store: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/stores/{store}.md"));
    std::fs::read_to_string(file).expect("a page").replace('\n', " ")
}

/// Holds that the page of a store shows these words of an error.
pub(crate) fn shown(store: &str, words: &str) {
    assert!(page(store).contains(words), "docs/stores/{store}.md does not show: {words}");
}

#[test]
fn the_policy_of_a_page_has_the_rights_that_init_was_tried_with() {
    for store in ["dynamodb", "secretsmanager", "ssm"] {
        let role = format!("init-{store}");
        let (_, rights) = ROLES.iter().find(|(name, _)| *name == role).expect("a role");
        let page = page(store);
        let is_right = |text: &&str| {
            text.strip_prefix(store).is_some_and(|rest| {
                rest.strip_prefix(':').is_some_and(|action| {
                    action != "LeadingKeys" && action.bytes().all(|byte| byte.is_ascii_alphabetic())
                })
            })
        };
        let written: BTreeSet<&str> = page.split('"').filter(is_right).collect();
        assert_eq!(written, rights.iter().copied().collect(), "{store}");
    }
}
