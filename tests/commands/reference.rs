//! The reference of annotations is what the parser's tables say. `UPDATE_GOLDEN=1 cargo test --test commands` writes it anew.

use std::fs;
use std::path::Path;

use keystow::domain::{AnnotationDomain, reference};

#[test]
fn the_page_is_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/annotation-reference.md");
    let page = reference::markdown(&AnnotationDomain::default());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap();
    assert!(found == page, "{}", similar::TextDiff::from_lines(&found, &page).unified_diff());
}
