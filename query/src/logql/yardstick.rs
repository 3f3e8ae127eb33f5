//! Runs cases that record what Loki answers, when `BINNACLE_LOGQL_CASES` names a folder with them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use store::{Labels, Level, Origin};

use super::ast::Expr;
use super::parse;
use super::pipeline::{Pipeline, Scratch};

fn cases(file: &str) -> Option<Vec<Value>> {
    let folder = PathBuf::from(std::env::var_os("BINNACLE_LOGQL_CASES")?);
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let parsed: Value = serde_json::from_str(&text).unwrap();
    Some(parsed["cases"].as_array().unwrap().clone())
}

fn pairs(value: &Value) -> BTreeMap<String, String> {
    let object = value.as_object().cloned().unwrap_or_default();
    object.into_iter().map(|(k, v)| (k, v.as_str().unwrap().to_owned())).collect()
}

fn report(failures: &[String], total: usize) {
    assert!(failures.is_empty(), "{} of {total} failed:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn syntax_cases() {
    let Some(cases) = cases("syntax.json") else { return };
    let mut failures = Vec::new();
    for case in &cases {
        let query = case["query"].as_str().unwrap();
        let parsed = parse(query);
        if parsed.is_ok() != case["ok"].as_bool().unwrap() {
            failures.push(format!(
                "{query}: {:?}",
                parsed.as_ref().map(ToString::to_string).map_err(ToString::to_string)
            ));
        }
        if let Ok(expr) = parsed {
            let printed = expr.to_string();
            if parse(&printed).as_ref() != Ok(&expr) {
                failures.push(format!("{query} prints as {printed}"));
            }
        } else if case["col"].as_u64().unwrap_or(0) > 0 {
            let message = parsed.unwrap_err().to_string();
            let wanted = format!(
                "parse error at line {}, col {}: {}",
                case["line"],
                case["col"],
                case["msg"].as_str().unwrap_or_default()
            );
            if !message.starts_with(&wanted) {
                failures.push(format!("{query}: {message}, not {wanted}"));
            }
        } else if let Some(message) = case["msg"].as_str() {
            let got = parsed.unwrap_err().to_string();
            if !got.contains(message) {
                failures.push(format!("{query}: {got}, not {message}"));
            }
        }
    }
    report(&failures, cases.len());
}

#[test]
fn stage_cases() {
    let Some(cases) = cases("pipeline-stages.json") else { return };
    let mut failures = Vec::new();
    for case in &cases {
        let stage = case["stage"].as_str().unwrap();
        let query = format!("{{x=\"y\"}} {stage}");
        let Ok(Expr::Log(log)) = parse(&query) else {
            failures.push(format!("{query} does not parse: {:?}", parse(&query).map_err(|e| e.to_string())));
            continue;
        };
        let labels = Arc::new(Labels::new(pairs(&case["labels"])));
        let metadata = pairs(&case["structured_metadata"]);
        let line = case["line"].as_str().unwrap();
        let mut scratch = Scratch::default();
        let given = metadata.iter().map(|(k, v)| (Origin::Given, k.as_str(), v.as_str()));
        scratch.begin(&labels, Level::Unset, given, |_| true);
        let keep = Pipeline::new(&log.stages, None).unwrap().run(
            &mut scratch,
            case["ts"].as_i64().unwrap_or(0),
            line.as_bytes(),
        );
        let got: BTreeMap<String, String> =
            scratch.labels.to_set().iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let want = pairs(&case["want_labels"]);
        let unstated = want.is_empty() && !case["labels"].as_object().unwrap().is_empty();
        let got_line = String::from_utf8_lossy(scratch.line(line.as_bytes())).into_owned();
        if keep != case["want_keep"].as_bool().unwrap_or(true)
            || (!unstated && got != want)
            || case["want_line"].as_str().is_some_and(|want| want != got_line)
        {
            failures.push(format!(
                "{} {stage} on {line:?}: keep {keep}, line {got_line:?}, {got:?}, not {want:?}",
                case["src"]
            ));
        }
    }
    report(&failures, cases.len());
}
