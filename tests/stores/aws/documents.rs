//! What the documents of the stores say: the rights that the tests have, and the words that were seen.

use std::collections::BTreeSet;
use std::path::Path;

use keystow::store::{Address, Created, Deleted};

use super::{Cloud, OF_MOTO_ALONE, ROLES};
use crate::conformance::{address, get, path, value};

/// The page of a store, in one line.
fn page(store: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/stores/{store}.md"));
    std::fs::read_to_string(file).expect("a page").replace('\n', " ")
}

/// Holds that the page of a store shows these words of an error.
pub(crate) fn shown(store: &str, words: &str) {
    assert!(page(store).contains(words), "docs/stores/{store}.md does not show: {words}");
}

/// The policies of a page have the rights that the init container and the creator were tried with.
#[test]
fn the_policies_of_a_page_have_the_rights_that_were_tried() {
    const CREATOR: &str = "## The creator ";
    for store in ["dynamodb", "secretsmanager", "ssm"] {
        let page = page(store);
        let (before, after) = page.split_once(CREATOR).expect("a section");
        are_rights(store, &format!("init-{store}"), before);
        are_rights(store, &format!("creator-{store}"), after);
    }
}

fn are_rights(store: &str, role: &str, page: &str) {
    let (_, rights) = ROLES.iter().find(|(name, _)| *name == role).expect("a role");
    let is_right = |text: &&str| {
        text.strip_prefix(store).is_some_and(|rest| {
            rest.strip_prefix(':').is_some_and(|action| {
                action != "LeadingKeys" && action.bytes().all(|byte| byte.is_ascii_alphabetic())
            })
        })
    };
    let written: BTreeSet<&str> = page.split('"').filter(is_right).collect();
    let tried = rights.iter().copied().filter(|right| *right != OF_MOTO_ALONE);
    assert_eq!(written, tried.collect(), "{role}");
}

/// With the creator's role of the page a pair is created and read, and what the page grants of leases is done.
pub(crate) async fn the_creators_rights_suffice(cloud: &Cloud, role: &str, holds_leases: bool) {
    let store = cloud.as_role(role, &cloud.moto.address()).await;
    let pair = [(address(role, "key_public"), value("1")), (address(role, "key_private"), value("2"))];
    assert_eq!(get(&store, &pair[0].0).await.map_err(|error| error.is_worth_waiting_for()), Err(true));
    assert_eq!(store.create(&pair).await, Ok(Created::Ours));
    assert_eq!(store.create(&pair).await, Ok(Created::Theirs(vec![value("1"), value("2")])));
    if holds_leases {
        let lease = Address::lease(path(role, "leases/shard.0"));
        assert_eq!(store.create(&[(lease.clone(), value("a/b/c/d"))]).await, Ok(Created::Ours));
        assert_eq!(store.list(&format!("/suite/{role}/leases/")).await, Ok(vec![lease.path.clone()]));
        assert_eq!(store.delete(&lease, &value("a/b/c/d")).await, Ok(Deleted::Gone));
    }
}
