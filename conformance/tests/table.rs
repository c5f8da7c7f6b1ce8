//! The table of cases and the files of cases are the same list.

use std::{collections::BTreeSet, fs, path::Path};

use pike_conformance::table::NAMES;

/// Each `pub fn NAME(` at the beginning of a line of src/cases/FILE.rs is in the table as a case of FILE, and the other
/// way round.
#[test]
fn the_table_forgets_no_case() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cases");
    let mut written = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        for line in fs::read_to_string(&path).unwrap().lines() {
            if let Some((name, _)) = line.strip_prefix("pub fn ").and_then(|rest| rest.split_once('(')) {
                written.insert((file.clone(), name.to_owned()));
            }
        }
    }
    assert!(!written.is_empty());
    let listed: Vec<_> = NAMES.iter().map(|&(file, name)| (file.to_owned(), name.to_owned())).collect();
    let set: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(set.len(), listed.len(), "a case stands twice in the table");
    let missing: Vec<_> = written.difference(&set).collect();
    assert!(missing.is_empty(), "not in src/table.rs: {missing:?}");
    assert_eq!(set, written);
}

/// A name stands for one case, whatever its file: COVERAGE knows names only.
#[test]
fn names_are_unique() {
    let mut names = BTreeSet::new();
    for (_, name) in NAMES {
        assert!(names.insert(name), "{name} is the name of two cases");
    }
}
