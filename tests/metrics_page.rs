//! docs/metrics.md lists every metric there is, with its help, and no other.
//!
//! The source is read, not a scrape: most families show up only once something has happened.

use std::collections::BTreeMap;
use std::path::Path;

use regex::Regex;

const FIRST: &str = "<!-- metrics: rendered from the code -->\n";
const LAST: &str = "<!-- end of metrics -->\n";

/// Parts of the page: title, and how the names in it begin. The first that fits counts.
const PARTS: [(&str, &str); 10] = [
    ("Containers, in cAdvisor's names", "container_"),
    ("The machine", "machine_"),
    ("The machine and its engine", "cadvisor_"),
    ("Containers beyond cAdvisor", "docker_container_"),
    ("Collection from Docker", "docker_"),
    ("HTTP requests in log lines", "binnacle_http_"),
    ("Log lines", "binnacle_log_"),
    ("The store", "binnacle_store_"),
    ("Everything else of Binnacle", "binnacle_"),
    ("The process", "process_"),
];

#[test]
fn every_metric_is_documented_and_nothing_else() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = root.join("docs/metrics.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (head, rest) = text.split_once(FIRST).expect("the page has a mark where the metrics begin");
    let (_, tail) = rest.split_once(LAST).expect("the page has a mark where the metrics end");
    let expected = format!("{head}{FIRST}{}{LAST}{tail}", tables(&metrics(root)));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&page, &expected).unwrap();
    }
    let current = std::fs::read_to_string(&page).unwrap();
    assert!(
        current == expected,
        "docs/metrics.md is stale: BLESS=1 cargo test --test integration every_metric_is_documented"
    );
}

fn tables(metrics: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let part_of = |name: &str| PARTS.iter().position(|(_, prefix)| name.starts_with(prefix));
    for (i, (title, _)) in PARTS.iter().enumerate() {
        out.push_str(&format!("\n## {title}\n\n| metric | meaning |\n|---|---|\n"));
        for (name, help) in metrics.iter().filter(|(name, _)| part_of(name) == Some(i)) {
            out.push_str(&format!("| `{name}` | {help} |\n"));
        }
    }
    out.push('\n');
    out
}

/// Names and help of all metrics in the source: a name that begins like a metric, followed by a sentence.
fn metrics(root: &Path) -> BTreeMap<String, String> {
    let prefixes = "binnacle|docker|container|machine|cadvisor|process";
    let pattern = format!(r#"(?s)"((?:{prefixes})_[a-z0-9_]+)",\s*"((?:[^"\\]|\\.)*)""#);
    let pattern = Regex::new(&pattern).unwrap();
    let continuation = Regex::new(r"\\\n\s*").unwrap();
    let mut metrics = BTreeMap::new();
    for folder in ["collector/src", "store/src", "query/src", "cli"] {
        for file in sources(&root.join(folder)) {
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for found in pattern.captures_iter(code) {
                let help = continuation.replace_all(&found[2], "").replace("\\\"", "\"");
                if !help.ends_with('.') {
                    continue;
                }
                let known = metrics.entry(found[1].to_owned()).or_insert_with(|| help.clone());
                assert_eq!(*known, help, "`{}` is the name of two metrics", &found[1]);
            }
        }
    }
    assert!(metrics.len() > 80, "the source is read wrongly: {metrics:?}");
    metrics
}

fn sources(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}
