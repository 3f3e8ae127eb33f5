//! Runs cases that record what Loki answers, when `BINNACLE_LOGQL_CASES` names a folder with them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use store::{Labels, Level, Origin, Snapshot};

use super::ast::Expr;
use super::eval::{Environment, Evaluated, Steps, evaluate};
use super::parse;
use super::pipeline::{Pipeline, Scratch};

/// Labels of a series and its value at each step.
type Row = (BTreeMap<String, String>, Vec<Option<f64>>);

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
        // The `label_format` cases were recorded on this line, which their file leaves out.
        let line = match case["src"].as_str() {
            Some("label_format") => "test line",
            _ => case["line"].as_str().unwrap(),
        };
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

/// A store with the streams of a scenario.
fn load(streams: &[Value], epoch_ns: i64) -> (tempfile::TempDir, Snapshot) {
    let dir = tempfile::tempdir().unwrap();
    let writer =
        store::Writer::open(dir.path(), &store::Config::default(), &prometheus::Registry::new()).unwrap();
    let mut batch = store::Batch::default();
    for stream in streams {
        let labels = Arc::new(Labels::new(pairs(&stream["labels"])));
        for entry in stream["entries"].as_array().unwrap() {
            let given = pairs(&entry[2]).into_iter().map(|(name, value)| store::Pair {
                origin: Origin::Given,
                name: name.into(),
                value: value.into(),
            });
            batch.records.push(store::Record {
                timestamp_ns: epoch_ns + (entry[0].as_f64().unwrap() * 1e6).round() as i64,
                labels: Arc::clone(&labels),
                line: entry[1].as_str().unwrap().to_owned().into(),
                level: Level::Unset,
                pairs: given.collect(),
            });
        }
    }
    writer.append_blocking(batch).unwrap();
    let snapshot = writer.reader().snapshot().unwrap();
    (dir, snapshot)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| super::units::parse_float(value.as_str().unwrap()).unwrap())
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-3)
}

/// What is wrong with the answer, if anything.
fn check(case: &Value, snapshot: &Snapshot, epoch_ns: i64) -> Result<(), String> {
    let kind = case["expect"]["kind"].as_str().unwrap();
    let eval = &case["eval"];
    let ns = |name: &str| epoch_ns + (eval[name].as_f64().unwrap() * 1e6).round() as i64;
    let steps = match eval["mode"].as_str().unwrap() {
        "instant" => Steps::new(ns("at_ms"), ns("at_ms"), 0),
        _ => Steps::new(ns("from_ms"), ns("to_ms"), ns("step_ms") - epoch_ns),
    };
    let context = crate::Context::new(&crate::Config::default(), tokio_util::sync::CancellationToken::new());
    let env = Environment { snapshot, context: &context, steps, max_series: 100_000 };
    let result = match parse(case["query"].as_str().unwrap()) {
        Ok(Expr::Metric(metric)) => evaluate(&metric, &env).map_err(|e| e.to_string()),
        Ok(Expr::Log(_)) => Err("a log query".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let value = match (kind, result) {
        ("fail", Err(_)) => return Ok(()),
        ("fail", Ok(value)) => return Err(format!("should fail, gives {value:?}")),
        (_, Err(error)) => return Err(error),
        (_, Ok(value)) => value,
    };
    let matrix = match (kind, value) {
        ("scalar", Evaluated::Scalar(got)) if same(got, number(&case["expect"]["value"])) => return Ok(()),
        ("scalar", Evaluated::Matrix(matrix)) => {
            let want = number(&case["expect"]["value"]);
            let all = matrix.iter().flat_map(|s| &s.points).all(|(_, got)| same(*got, want));
            return if all { Ok(()) } else { Err(format!("{matrix:?}")) };
        }
        (_, Evaluated::Matrix(matrix)) => matrix,
        (_, scalar) => return Err(format!("{scalar:?}")),
    };
    let mut got: Vec<Row> = matrix
        .iter()
        .map(|series| {
            let mut row = vec![None; steps.count()];
            series.points.iter().for_each(|(k, v)| row[*k as usize] = Some(*v));
            (series.labels.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(), row)
        })
        .collect();
    let mut want: Vec<Row> = Vec::new();
    for series in case["expect"]["series"].as_array().into_iter().flatten() {
        let samples = series["samples"].as_array().unwrap();
        let mut row: Vec<Option<f64>> = samples.iter().map(|v| (!v.is_null()).then(|| number(v))).collect();
        row.resize(steps.count(), None);
        want.push((pairs(&series["labels"]), row));
    }
    if case["expect"]["ordered"].as_bool() != Some(true) {
        got.sort_by(|a, b| a.0.cmp(&b.0));
        want.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let equal = got.len() == want.len()
        && got.iter().zip(&want).all(|(got, want)| {
            got.0 == want.0
                && got.1.iter().zip(&want.1).all(|pair| match pair {
                    (Some(a), Some(b)) => same(*a, *b),
                    (a, b) => a.is_none() && b.is_none(),
                })
        });
    if equal { Ok(()) } else { Err(format!("got {got:?}\n     want {want:?}")) }
}

#[test]
fn metric_cases() {
    let Some(cases) = cases("metric-queries.json") else { return };
    let epoch_ns = 1_767_225_600_000_000_000;
    let mut failures = Vec::new();
    let mut loaded: Option<(String, (tempfile::TempDir, Snapshot))> = None;
    for case in &cases {
        let scenario =
            format!("{}:{}", case["id"].as_str().unwrap().split(':').next().unwrap(), case["scenario"]);
        if loaded.as_ref().is_none_or(|(known, _)| *known != scenario) {
            loaded = Some((scenario, load(case["streams"].as_array().unwrap(), epoch_ns)));
        }
        let (_, (_, snapshot)) = loaded.as_ref().unwrap();
        if let Err(why) = check(case, snapshot, epoch_ns) {
            failures.push(format!("{} {}\n     {why}", case["id"], case["query"]));
        }
    }
    report(&failures, cases.len());
}
