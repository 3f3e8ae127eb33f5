//! docs/failure-cases.md says which tests hold each promise; every test it names is in the source.

use std::path::{Path, PathBuf};

use regex::Regex;

/// The words before a table of cases.
const HEAD: &str = "| case | what holds | tests |";

#[test]
fn every_failure_case_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/failure-cases.md")).unwrap();
    let source: String = ["tests", "collector/src", "store/src"]
        .into_iter()
        .flat_map(|folder| sources(&root.join(folder)))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let name = Regex::new("`([a-z0-9_]+)`").unwrap();
    let mut cases = 0;
    let mut wrong = Vec::new();
    let tables = page.split(HEAD).skip(1);
    for row in tables.flat_map(|table| table.lines().skip(2).take_while(|line| line.starts_with('|'))) {
        let columns: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        assert_eq!(columns.len(), 3, "{row}");
        let tests: Vec<&str> =
            name.captures_iter(columns[2]).map(|found| found.extract::<1>().1[0]).collect();
        if tests.is_empty() {
            wrong.push(format!("no test: {row}"));
        }
        let is_missing = |test: &&str| !source.contains(&format!("fn {test}("));
        wrong.extend(tests.into_iter().filter(is_missing).map(|test| format!("no such test: `{test}`")));
        cases += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases >= 30, "{cases} cases were found on the page");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
