//! The Roles of docs/stores/kubernetes.md, and its words: what the page says is what the tests have.

use keystow::store::StoreError;
use serde_json::json;

const PAGE: &str = include_str!("../../../docs/stores/kubernetes.md");
/// The name of the Role of a pod, as the page has it.
pub(super) const READER: &str = "veza-secrets";
/// The name of the Role of the creator.
pub(super) const CREATOR: &str = "keystow-create";

/// The page's Role of this name in `namespace`, bound to `account`.
pub(super) fn for_account(role: &str, namespace: &str, account: &str) -> String {
    let blocks = PAGE.split("```yaml\n").skip(1).filter_map(|block| block.split_once("```"));
    let mut manifests = blocks.flat_map(|(block, _)| block.split("---\n"));
    let is_it = |text: &&str| text.contains("kind: Role\n") && text.contains(&format!("name: {role},"));
    let text = manifests.find(is_it).expect("the Role on the page");
    let mut found: serde_json::Value = serde_saphyr::from_str(text).expect("YAML");
    found["metadata"]["namespace"] = json!(namespace);
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": format!("{role}-{account}"), "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    });
    format!("{found}\n---\n{binding}\n")
}

/// Holds that the page has a message, which a test got for these names in the place of the page's.
pub(super) fn are_on_the_page(error: &StoreError, names: &[(&str, &str)]) {
    let message = names.iter().fold(error.to_string(), |text, (own, page)| text.replace(own, page));
    assert!(PAGE.contains(&format!(": {message}\n")), "docs/stores/kubernetes.md does not have: {message}");
}
