//! What holds for every dashboard, and for what other files say of them.

use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;
use serde_json::Value;

use crate::{boards, folder, rendered};

/// Panels of current Grafana that it also keeps: none of those that Angular drew.
const KINDS: [&str; 11] = [
    "bargauge",
    "gauge",
    "heatmap",
    "logs",
    "nodeGraph",
    "row",
    "stat",
    "state-timeline",
    "table",
    "timeseries",
    "traces",
];
/// Panels that show no numbers.
const WITHOUT_UNIT: [&str; 4] = ["logs", "nodeGraph", "row", "traces"];
/// Metrics that come from elsewhere: node-exporter, Prometheus, Alertmanager.
const FOREIGN: [&str; 3] = ["node_", "prometheus_", "alertmanager_"];

fn all() -> Vec<Value> {
    boards::all().iter().map(|board| board.json()).collect()
}

/// Every panel but the titles of rows, with a name for messages.
fn panels(boards: &[Value]) -> Vec<(String, &Value)> {
    let of = |board: &Value, panel: &Value| format!("{} / {}", text(board, "uid"), text(panel, "title"));
    boards
        .iter()
        .flat_map(|board| list(board, "panels").iter().map(move |panel| (of(board, panel), panel)))
        .filter(|(_, panel)| panel["type"] != "row")
        .collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every text anywhere in a value that stands under `key`.
fn texts<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                match inner {
                    Value::String(text) if name == key => found.push(text),
                    _ => texts(inner, key, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|inner| texts(inner, key, found)),
        _ => {}
    }
}

#[test]
fn the_committed_files_are_what_the_code_makes() {
    let made: BTreeSet<(String, String)> =
        all().iter().map(|board| (format!("{}.json", text(board, "uid")), rendered(board))).collect();
    let committed: BTreeSet<(String, String)> = std::fs::read_dir(folder())
        .expect("the folder of the dashboards")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("a dashboard"))
        })
        .collect();
    assert!(made == committed, "the dashboards are stale: `cargo run -p dashboards` writes them anew");
}

#[test]
fn every_panel_tells_what_it_shows_and_in_which_unit() {
    let boards = all();
    for (name, panel) in panels(&boards) {
        let kind = text(panel, "type");
        assert!(KINDS.contains(&kind), "{name}: `{kind}`");
        assert!(!text(panel, "title").is_empty() && !text(panel, "description").is_empty(), "{name}");
        assert!(!list(panel, "targets").is_empty(), "{name} asks nothing");
        let mut units = Vec::new();
        texts(&panel["fieldConfig"]["defaults"], "unit", &mut units);
        let columns = list(&panel["fieldConfig"], "overrides").iter().flat_map(|o| list(o, "properties"));
        let columns_have_one = columns.into_iter().any(|property| property["id"] == "unit");
        let is_trace_list = panel["datasource"]["type"] == "jaeger"; // its columns have theirs from the source
        assert!(
            WITHOUT_UNIT.contains(&kind) || !units.is_empty() || columns_have_one || is_trace_list,
            "{name} has no unit"
        );
    }
}

#[test]
fn panels_lie_side_by_side_within_the_grid() {
    for board in all() {
        let (mut taken, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for panel in list(&board, "panels") {
            let at = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
            let name = format!("{} / {}", text(&board, "uid"), text(panel, "title"));
            assert!(ids.insert(panel["id"].as_u64()), "{name}: its id is taken");
            assert!(at("x") + at("w") <= 24 && at("w") > 0 && at("h") > 0, "{name} leaves the grid");
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(taken.insert((x, y)), "{name} overlaps another panel");
                }
            }
        }
    }
}

#[test]
fn links_lead_to_dashboards_and_variables_that_exist() {
    let boards = all();
    let variables: BTreeSet<(&str, &str)> = boards
        .iter()
        .flat_map(|board| {
            list(&board["templating"], "list")
                .iter()
                .map(|variable| (text(board, "uid"), text(variable, "name")))
        })
        .collect();
    let uids: BTreeSet<&str> = boards.iter().map(|board| text(board, "uid")).collect();
    assert_eq!(uids.len(), boards.len(), "two dashboards have one uid");
    let rules = ["collector", "docker", "recording", "shop", "slo"]
        .map(|name| file(&format!("dashboards/prometheus/rules/{name}.yml")))
        .join("\n");
    let mut urls: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("dashboard_url: ")).collect();
    assert!(!urls.is_empty());
    for board in &boards {
        texts(board, "url", &mut urls);
    }
    for url in urls.into_iter().filter(|url| !url.is_empty()) {
        let (uid, parameters) = url.split_once('?').unwrap_or((url, ""));
        let uid = uid.strip_prefix("/d/").unwrap_or_else(|| panic!("`{url}` is no dashboard"));
        assert!(uids.contains(uid), "`{url}` leads nowhere");
        for variable in parameters.split('&').filter_map(|parameter| parameter.strip_prefix("var-")) {
            let (name, _) = variable.split_once('=').expect("a value");
            assert!(variables.contains(&(uid, name)), "`{url}`: there is no `{name}`");
        }
    }
}

#[test]
fn only_metrics_that_exist_are_asked_for() {
    let documented: BTreeSet<String> = file("docs/metrics.md")
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
        .collect();
    let recorded: BTreeSet<String> = file("dashboards/prometheus/rules/recording.yml")
        .lines()
        .filter_map(|line| Some(line.trim().strip_prefix("- record: ")?.to_owned()))
        .collect();
    let shop = file("compose/shop/src/metrics.rs");
    let exists = |name: &str| {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        documented.contains(name)
            || recorded.contains(name)
            || family.is_some_and(|family| documented.contains(family))
            || [Some(name), family].into_iter().flatten().any(|name| shop.contains(&format!("\"{name}\"")))
            || FOREIGN.iter().any(|prefix| name.starts_with(prefix))
            || ["up", "ALERTS", "ALERTS_FOR_STATE"].contains(&name)
    };
    let boards = all();
    let mut asked = 0;
    for board in &boards {
        for variable in list(&board["templating"], "list") {
            let selector = text(variable, "definition").strip_prefix("label_values(");
            let name = selector.and_then(|rest| rest.split([',', '{']).next());
            assert!(name.is_none_or(exists), "{}: {name:?}", text(board, "uid"));
        }
    }
    for (panel, name) in metrics(&boards) {
        assert!(exists(&name), "{panel}: there is no metric `{name}`");
        asked += 1;
    }
    assert!(asked > 100, "{asked}");
}

/// Names of metrics in all PromQL: words that are no label, function or keyword.
fn metrics(boards: &[Value]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (panel, value) in panels(boards) {
        for target in list(value, "targets").iter().filter(|t| t["datasource"]["type"] == "prometheus") {
            for name in metrics_in(text(target, "expr")) {
                found.push((panel.clone(), name));
            }
        }
    }
    found
}

/// Metrics of an expression: words outside of quotes, selectors and lists of labels that are no function.
fn metrics_in(expression: &str) -> Vec<String> {
    let regex = |pattern: &str| Regex::new(pattern).expect("a pattern");
    let rest = regex(r#""[^"]*""#).replace_all(expression, "");
    let rest = regex(r"\{[^}]*\}|\[[^\]]*\]").replace_all(&rest, "");
    let rest = regex(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)").replace_all(&rest, "");
    let rest = regex(r"\w+\s*\(|\b(and|or|unless|bool|offset)\b").replace_all(&rest, " ");
    let names = regex(r"[a-zA-Z_:][a-zA-Z0-9_:]*");
    names.find_iter(&rest).map(|name| name.as_str().to_owned()).collect()
}

#[test]
fn metrics_are_told_from_the_rest_of_an_expression() {
    let expression = r#"(sum by (name, image) (rate(a_total{name="b_total", x=~"$c"}[5m])) or vector(0)) / on (instance) group_left () d:e:f > 2 and (g or h)"#;
    assert_eq!(metrics_in(expression), ["a_total", "d:e:f", "g", "h"]);
}
