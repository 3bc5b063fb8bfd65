//! What the threat model promises is shown by tests that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// `dir::file::name_of_a_test`, or `file::name_of_a_test`, in backticks.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split('`').skip(1).step_by(2);
    words.filter(|word| word.contains("::") && !word.contains(' ')).collect()
}

/// The file in which the test of this path stands, in the tests or beside the code.
fn is_there(path: &str) -> bool {
    let Some((module, test)) = path.rsplit_once("::") else { return false };
    let file = module.replace("::", "/") + ".rs";
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    ["tests/it", "src"].iter().any(|dir| {
        let text = fs::read_to_string(root.join(dir).join(&file)).unwrap_or_default();
        text.contains(&format!("#[test]\nfn {test}()"))
            || text.contains(&format!("#[test]\n    fn {test}()"))
    })
}

#[test]
fn each_test_that_the_threat_model_names_is_there() {
    let named = named(include_str!("../../src/threat_model.rs"));
    assert!(named.len() >= 25, "{named:#?}");
    let missing: Vec<&str> = named.into_iter().filter(|path| !is_there(path)).collect();
    assert_eq!(missing, Vec::<&str>::new());
    assert!(!is_there("tidy::no_such_test") && is_there("tidy::files_and_functions_stay_short"));
}
