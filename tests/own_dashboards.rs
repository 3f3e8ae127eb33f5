//! The dashboards of this repository find what they ask for: of a real Prometheus under the repository's rules, and of
//! Binnacle in Loki's and Jaeger's place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::harness::http::encoded;
use crate::harness::stand::Stand;
use crate::harness::wait_for;

const LIMIT: Duration = Duration::from_secs(120);

/// Panels that may find nothing on this machine, and why.
const MAY_BE_EMPTY: [(&str, &str); 0] = [];

/// One query of a panel, with the variables filled in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    /// `uid / title / letter of the query`.
    name: String,
    source: String,
    /// The target as JSON, filled in.
    target: String,
}

fn boards() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/grafana/dashboards");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()).collect()
}

/// Every query of every panel and of every mark.
fn asked(id: &str) -> Vec<Asked> {
    let mut all = Vec::new();
    for board in boards() {
        let uid = board["uid"].as_str().unwrap();
        let panels = board["panels"].as_array().unwrap().iter();
        let targets = panels.flat_map(|panel| {
            let targets = panel["targets"].as_array().into_iter().flatten();
            targets.map(move |target| (panel["title"].as_str().unwrap(), target))
        });
        let marks = board["annotations"]["list"].as_array().unwrap().iter();
        let marks = marks.map(|mark| (mark["name"].as_str().unwrap(), &mark["target"]));
        for (title, target) in targets.chain(marks) {
            let name = format!("{uid} / {title} / {}", target["refId"].as_str().unwrap());
            let source = target["datasource"]["type"].as_str().unwrap().to_owned();
            all.push(Asked { name, source, target: filled(&target.to_string(), uid, id) });
        }
    }
    all
}

/// What the variables stand for on this stand.
fn filled(text: &str, uid: &str, id: &str) -> String {
    let service = match uid {
        "logs-overview" => ".+",
        _ => "gateway",
    };
    let values = [
        ("$__rate_interval", "10s"),
        ("$__auto", "1m"),
        ("$__range", "1h"),
        ("$instance", ".*"),
        ("$container", "shop-web-1"),
        ("$project", "shop"),
        ("$service", service),
        ("$search", ""),
        ("$slow", "100ms"),
        ("$id", id),
    ];
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// How many rows, series, lines or traces come for a query.
///
/// # Panics
/// When the query is refused.
fn found(stand: &Stand, asked: &Asked) -> usize {
    let target: Value = serde_json::from_str(&asked.target).unwrap();
    let text = |key: &str| target[key].as_str().unwrap_or_default();
    let rows = |path: &str, rows: &str| {
        let answer = stand.server.get(path);
        assert_eq!(answer.status, 200, "{}: {path}: {}", asked.name, answer.text());
        answer.json().pointer(rows).and_then(Value::as_array).map_or(0, Vec::len)
    };
    match (asked.source.as_str(), text("queryType")) {
        ("prometheus", _) => {
            let series = stand.prometheus.query(text("expr"));
            series.iter().filter(|series| series["value"][1] != "NaN").count()
        }
        ("loki", "instant") => {
            rows(&format!("/loki/api/v1/query?query={}", encoded(text("expr"))), "/data/result")
        }
        ("loki", _) => {
            let path = format!("/loki/api/v1/query_range?query={}&since=1h&step=60s", encoded(text("expr")));
            rows(&path, "/data/result")
        }
        ("jaeger", "search") => {
            let mut path =
                format!("/jaeger/api/traces?service={}&limit={}", text("service"), target["limit"]);
            if !text("minDuration").is_empty() {
                path.push_str(&format!("&minDuration={}", text("minDuration")));
            }
            if let Some((name, value)) = text("tags").split_once('=') {
                path.push_str(&format!("&tags={}", encoded(&format!(r#"{{"{name}":"{value}"}}"#))));
            }
            rows(&path, "/data")
        }
        ("jaeger", "dependencyGraph") => {
            let now = jiff::Timestamp::now().as_millisecond();
            rows(&format!("/jaeger/api/dependencies?endTs={now}&lookback=3600000"), "/data")
        }
        ("jaeger", _) => rows(&format!("/jaeger/api/traces/{}", text("query")), "/data"),
        (source, kind) => panic!("{}: nobody answers `{kind}` of `{source}`", asked.name),
    }
}

/// The id of a trace in the index.
fn some_trace(stand: &Stand) -> String {
    let mut id = None;
    let found = wait_for(LIMIT, || {
        let traces = stand.server.get("/jaeger/api/traces?service=payment&limit=1").json();
        id = traces["data"][0]["traceID"].as_str().map(str::to_owned);
        id.is_some()
    });
    assert!(found, "there are no traces");
    id.unwrap()
}

#[test]
fn every_query_of_every_dashboard_finds_something() {
    let stand = Stand::open();
    let mut missing: BTreeSet<Asked> = asked(&some_trace(&stand)).into_iter().collect();
    let mut counts = BTreeMap::<String, usize>::new();
    for asked in &missing {
        *counts.entry(asked.source.clone()).or_default() += 1;
    }
    let excused = |asked: &Asked| MAY_BE_EMPTY.iter().any(|(name, _)| asked.name.starts_with(name));
    wait_for(LIMIT, || {
        // Panels about queries ask for rates over the last seconds: somebody has to have asked something then.
        for path in ["/api/v1/search?query=*&limit=1", "/loki/api/v1/query?query=vector(1)"] {
            assert_eq!(stand.server.get(path).status, 200, "{path}");
        }
        missing.retain(|asked| found(&stand, asked) == 0);
        missing.iter().all(excused)
    });
    let names: Vec<&str> = missing.iter().map(|asked| asked.name.as_str()).collect();
    println!("queries: {counts:?}; without a result: {names:?}");
    let unexcused: Vec<&Asked> = missing.iter().filter(|asked| !excused(asked)).collect();
    assert!(unexcused.is_empty(), "nothing is found for {unexcused:#?}");
}

#[test]
fn data_sources_are_those_that_dashboards_choose_and_the_lab_runs() {
    let file = |path: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let yaml = |path: &str| -> Value { serde_saphyr::from_str(&file(path)).unwrap() };
    let sources = yaml("dashboards/grafana/provisioning/datasources/binnacle.yaml");
    let sources = sources["datasources"].as_array().unwrap();
    let uids: BTreeMap<&str, &str> = sources
        .iter()
        .map(|source| (source["uid"].as_str().unwrap(), source["type"].as_str().unwrap()))
        .collect();
    for board in boards() {
        for variable in board["templating"]["list"].as_array().unwrap() {
            if variable["type"] == "datasource" {
                let uid = variable["current"]["value"].as_str().unwrap();
                assert_eq!(
                    uids.get(uid),
                    variable["query"].as_str().as_ref(),
                    "{}: {variable}",
                    board["uid"]
                );
            }
        }
    }
    let lab = yaml("compose/compose.yaml");
    for source in sources {
        let url = source["url"].as_str().unwrap();
        let host = url.strip_prefix("http://").unwrap().split([':', '/']).next().unwrap();
        assert!(lab["services"].get(host).is_some(), "{url}: the lab has no `{host}`");
        for link in named("datasourceUid", source) {
            assert!(uids.contains_key(link), "{url} links to `{link}`");
        }
    }
    let folders = yaml("dashboards/grafana/provisioning/dashboards/binnacle.yaml");
    let folder = folders["providers"][0]["options"]["path"].as_str().unwrap();
    let mounts = lab["services"]["grafana"]["volumes"].to_string();
    assert!(mounts.contains(&format!("grafana/dashboards:{folder}:ro")), "{mounts}");
}

/// Texts anywhere in a value that stand under `key`.
fn named<'a>(key: &str, value: &'a Value) -> Vec<&'a str> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(name, inner)| match inner {
                Value::String(text) if name == key => vec![text.as_str()],
                _ => named(key, inner),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(|inner| named(key, inner)).collect(),
        _ => Vec::new(),
    }
}
