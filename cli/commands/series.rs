//! Metric queries of `binnacle search`: series as a table, a chart, or JSON lines.

use std::collections::BTreeMap;

use anyhow::Context;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use query::time;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::ask;
use crate::Outcome;
use crate::args::{Common, SearchArgs, Times};
use crate::output::Printer;
use crate::sparkline::{Sparkline, WIDTH};

const SECOND_NS: i64 = 1_000_000_000;
/// How far back a query over time looks by itself.
const DEFAULT_SINCE: &str = "1h";
/// Steps tried in turn until a time range has few enough of them, in seconds.
const STEPS: [i64; 14] = [1, 2, 5, 10, 15, 30, 60, 300, 600, 1_800, 3_600, 10_800, 21_600, 86_400];

/// A series as Loki's API shows it.
#[derive(Debug, Deserialize)]
struct Series {
    #[serde(rename = "metric")]
    labels: BTreeMap<String, String>,
    /// Of an instant query.
    value: Option<Point>,
    /// Of a query over time.
    #[serde(default, rename = "values")]
    points: Vec<Point>,
}

/// Seconds, and the value as text.
type Point = (f64, String);

/// Times of a query over time.
#[derive(Debug, PartialEq, Eq)]
struct Span {
    start_ns: i64,
    end_ns: i64,
    step_ns: i64,
}

/// Asks for `query` at one time (`--to`, else now), or over time with `--since`, `--from`, `--step` or `--chart`.
///
/// # Errors
/// When the times make no sense, or no answer can be had.
pub(super) fn execute(query: &str, args: &SearchArgs, common: &Common) -> anyhow::Result<Outcome> {
    let now_ns = time::now_ns();
    let over_time =
        args.chart || args.step.is_some() || args.times.since.is_some() || args.times.from.is_some();
    let span = if over_time { Some(span(&args.times, args.step.as_deref(), now_ns)?) } else { None };
    let answer = ask(&args.server, common, async |client| {
        Ok(match &span {
            Some(Span { start_ns, end_ns, step_ns }) => {
                let step = format!("{}ms", step_ns / 1_000_000);
                let (start, end) = (time::rfc3339(*start_ns), time::rfc3339(*end_ns));
                let parameters = [("query", query), ("start", &start), ("end", &end), ("step", &step)]
                    .map(|(n, v)| (n, Some(v)));
                client.json("/loki/api/v1/query_range", &parameters).await?
            }
            None => {
                let at = time::rfc3339(parsed_end(&args.times, now_ns)?);
                client.json("/loki/api/v1/query", &[("query", Some(query)), ("time", Some(&at))]).await?
            }
        })
    })?;
    for warning in answer["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        anstream::eprintln!("binnacle: {warning}");
    }
    let found = series_of(&answer["data"])?;
    show(&found, span.as_ref(), args)
}

fn show(found: &[Series], span: Option<&Span>, args: &SearchArgs) -> anyhow::Result<Outcome> {
    let mut printer = Printer::new(args.json);
    match span {
        _ if args.json => {
            for series in found {
                for point in series.all_points() {
                    printer.json(&as_json(series, point))?;
                }
            }
        }
        Some(span) if args.chart => {
            for line in chart(found, span) {
                printer.text(&line)?;
            }
        }
        _ if !found.is_empty() => printer.text(&table(found, span.is_some()))?,
        _ => {}
    }
    printer.flush()?;
    let nothing = found.iter().all(|series| series.all_points().next().is_none());
    Ok(if nothing { Outcome::NothingFound } else { Outcome::Done })
}

impl Series {
    fn all_points(&self) -> impl Iterator<Item = &Point> {
        self.value.iter().chain(&self.points)
    }
}

/// The series of `data`; a scalar is one without labels.
fn series_of(data: &Value) -> anyhow::Result<Vec<Series>> {
    let result = data["result"].clone();
    if data["resultType"] == "scalar" {
        let value: Point = serde_json::from_value(result).context("the answer cannot be understood")?;
        return Ok(vec![Series { labels: BTreeMap::new(), value: Some(value), points: Vec::new() }]);
    }
    serde_json::from_value(result).context("the answer cannot be understood")
}

fn parsed_end(times: &Times, now_ns: i64) -> anyhow::Result<i64> {
    times.to.as_deref().map_or(Ok(now_ns), |to| time::parse(to, now_ns).context("wrong `--to`"))
}

fn span(times: &Times, step: Option<&str>, now_ns: i64) -> anyhow::Result<Span> {
    let end_ns = parsed_end(times, now_ns)?;
    let start_ns = match &times.from {
        Some(from) => time::parse(from, now_ns).context("wrong `--from`")?,
        None => {
            let since = times.since.as_deref().unwrap_or(DEFAULT_SINCE);
            let length = time::parse_duration(since).map_err(|e| anyhow::anyhow!("wrong `--since`: {e}"))?;
            end_ns.saturating_sub(i64::try_from(length.as_nanos()).unwrap_or(i64::MAX))
        }
    };
    anyhow::ensure!(
        start_ns < end_ns,
        "the time range is empty: it starts at {} and ends at {}",
        time::rfc3339(start_ns),
        time::rfc3339(end_ns)
    );
    let step_ns = match step {
        Some(text) => {
            let step = time::parse_duration(text).map_err(|e| anyhow::anyhow!("wrong `--step`: {e}"))?;
            let step_ns = i64::try_from(step.as_nanos()).unwrap_or(i64::MAX);
            anyhow::ensure!(step_ns >= 1_000_000, "wrong `--step`: it must be at least 1ms");
            step_ns
        }
        None => fitting_step(end_ns.saturating_sub(start_ns)),
    };
    Ok(Span { start_ns, end_ns, step_ns })
}

/// The shortest round step that cuts `length_ns` into as many pieces as a chart is wide, or fewer.
fn fitting_step(length_ns: i64) -> i64 {
    let pieces = WIDTH as i64;
    let fits = |seconds: &&i64| length_ns / (**seconds * SECOND_NS) < pieces;
    STEPS.iter().find(fits).map_or(length_ns / pieces + 1, |seconds| seconds * SECOND_NS)
}

/// One row a point: a column for each label, the time if there are several, the value.
fn table(found: &[Series], with_times: bool) -> String {
    let mut names: Vec<&str> =
        found.iter().flat_map(|series| series.labels.keys().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    let mut table = Table::new();
    table.load_style(NOTHING);
    let times = if with_times { Some("time") } else { None };
    table.set_header(names.iter().copied().chain(times).chain(["value"]));
    for series in found {
        for (seconds, value) in series.all_points() {
            let labels =
                names.iter().map(|name| series.labels.get(*name).map_or_else(String::new, |v| escaped(v)));
            let time = with_times.then(|| rfc3339(*seconds));
            table.add_row(labels.chain(time).chain([value.clone()]));
        }
    }
    if let Some(values) = table.column_mut(names.len() + usize::from(with_times)) {
        values.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

/// Text on one line that cannot move the cursor.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// One line a series: its name, its values as bars, the largest of them.
fn chart(found: &[Series], span: &Span) -> Vec<String> {
    let named: Vec<(String, &Series)> = found.iter().map(|series| (name(&series.labels), series)).collect();
    let width = named.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let first = span.start_ns.div_euclid(span.step_ns) * span.step_ns;
    let last = first
        + (span.end_ns.saturating_sub(first) as u64).div_ceil(span.step_ns as u64) as i64 * span.step_ns;
    let columns = usize::try_from((last - first) / span.step_ns).unwrap_or(0) + 1;
    let mut lines = Vec::new();
    for (name, series) in named {
        let mut bars = Sparkline::new(columns);
        for (seconds, value) in &series.points {
            let at = ((seconds * 1e9) as i64).saturating_sub(first) as f64 / span.step_ns as f64;
            bars.set(at.round() as usize, value.parse().unwrap_or(f64::NAN));
        }
        lines.push(format!("{name:<width$}  {bars}  max {}", bars.max_text()));
    }
    if !lines.is_empty() {
        let bars = Sparkline::new(columns).to_string().chars().count();
        let (from, to) = (time::rfc3339(first), time::rfc3339(last));
        let gap = bars.saturating_sub(from.len() + to.len()).max(1);
        lines.push(format!("{:<width$}  {from}{:gap$}{to}", "", ""));
    }
    lines
}

fn name(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// `{"timestamp":"…","labels":{…},"value":1.5}`; what JSON has no number for stands as text.
fn as_json(series: &Series, (seconds, text): &Point) -> Value {
    let number = text.parse::<f64>().ok().filter(|value| value.is_finite());
    let value = number.map_or_else(|| json!(text), |number| json!(number));
    json!({"timestamp": rfc3339(*seconds), "labels": series.labels, "value": value})
}

/// Seconds, which have milliseconds at most, as the contract of `--json` writes times.
fn rfc3339(seconds: f64) -> String {
    time::rfc3339(((seconds * 1e3).round() as i64).saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Vec<Series> {
        serde_json::from_value(json!([
            {"metric": {"level": "error"}, "values": [[60, "1"], [120, "8"]]},
            {"metric": {"app": "x"}, "values": [[60, "NaN"]]},
        ]))
        .unwrap()
    }

    #[test]
    fn tables_have_a_column_for_each_label() {
        let lines: Vec<String> = table(&found(), true).lines().map(|l| l.trim_end().to_owned()).collect();
        assert_eq!(
            lines,
            [
                " app  level  time                            value",
                "      error  1970-01-01T00:01:00.000000000Z      1",
                "      error  1970-01-01T00:02:00.000000000Z      8",
                " x           1970-01-01T00:01:00.000000000Z    NaN",
            ]
        );
    }

    #[test]
    fn charts_have_a_line_for_each_series() {
        let span = Span { start_ns: 30 * SECOND_NS, end_ns: 170 * SECOND_NS, step_ns: 60 * SECOND_NS };
        let lines = chart(&found(), &span);
        assert_eq!(lines[0], "{level=\"error\"}   ▁█   max 8");
        assert_eq!(lines[1], "{app=\"x\"}              max -");
        assert!(lines[2].contains("00:00:00.000000000Z 1970-01-01T00:03:00"), "{}", lines[2]);
    }

    #[test]
    fn points_are_json_objects() {
        let series = &found()[0];
        assert_eq!(
            as_json(series, &series.points[1]).to_string(),
            r#"{"labels":{"level":"error"},"timestamp":"1970-01-01T00:02:00.000000000Z","value":8.0}"#
        );
        assert_eq!(as_json(series, &(0.0, "+Inf".to_owned()))["value"], "+Inf");
    }

    #[test]
    fn steps_fit_the_chart() {
        assert_eq!(fitting_step(3600 * SECOND_NS), 60 * SECOND_NS);
        assert_eq!(fitting_step(10 * SECOND_NS), SECOND_NS);
        let times = Times { since: Some("2h".into()), from: None, to: Some("10000".into()) };
        let span = span(&times, Some("5m"), 0).unwrap();
        assert_eq!(
            span,
            Span { start_ns: 2_800 * SECOND_NS, end_ns: 10_000 * SECOND_NS, step_ns: 300 * SECOND_NS }
        );
    }
}
