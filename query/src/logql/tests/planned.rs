//! Planned against plain execution: whatever blocks and rows are skipped, the answer is that of running the
//! pipeline on every record.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use store::{Batch, Labels, Level, Origin, Pair, Record, Snapshot, TimeRange, Writer};
use tokio_util::sync::CancellationToken;

use crate::exec::question::Question;
use crate::exec::select::Order;
use crate::explain::{Explained, explain};
use crate::logql::ast::{Expr, LogExpr, MetricExpr};
use crate::logql::eval::{Environment, Evaluated, Steps, evaluate};
use crate::logql::logs::{Entry, Follower, LogRequest, read};
use crate::logql::parse;
use crate::{Config, Context};

const SECOND: i64 = 1_000_000_000;
const END: i64 = 600;

fn record() -> impl Strategy<Value = Record> {
    let word = prop_oneof![Just("alpha"), Just("beta"), Just("gamma"), Just("4bf92f3577b34da6"), Just("x")];
    let line = (0..4_u8, word.clone(), word.clone(), 0..600_u32).prop_map(|(kind, a, b, n)| match kind {
        0 => format!(r#"{{"msg":"{a} {b}","status":{n},"user":{{"id":"{b}"}}}}"#),
        1 => format!("level=info msg=\"{a} {b}\" status={n} user_id={b}"),
        2 => format!("{a} {b} {n}"),
        _ => format!("{a}\n{b}"),
    });
    let level = prop_oneof![Just(Level::Info), Just(Level::Error), Just(Level::Unset)];
    let app = prop_oneof![Just("a"), Just("b")];
    (app, 0..END, line, level, prop::option::of(word.clone()), prop::option::of(word)).prop_map(
        |(app, second, line, level, given, derived)| Record {
            timestamp_ns: second * SECOND,
            labels: Arc::new(Labels::new([("app", app)])),
            line: line.into(),
            level,
            pairs: [(Origin::Given, "tenant", given), (Origin::Derived, "trace_id", derived)]
                .into_iter()
                .filter_map(|(origin, name, value)| {
                    value.map(|value| Pair { origin, name: name.into(), value: value.into() })
                })
                .collect(),
        },
    )
}

/// Few records, or enough that the store keeps them as shapes.
fn records() -> impl Strategy<Value = Vec<Record>> {
    prop_oneof![
        3 => prop::collection::vec(record(), 1..120),
        1 => prop::collection::vec(record(), 550..650),
    ]
}

/// Half of the records in parts on disk, half in the head.
fn store_of(records: &[Record]) -> (tempfile::TempDir, Writer) {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::open(dir.path(), &store::Config::default(), &prometheus::Registry::new()).unwrap();
    let (early, late) = records.split_at(records.len() / 2);
    writer.append_blocking(Batch { records: early.to_vec(), ..Batch::default() }).unwrap();
    writer.flush_blocking().unwrap();
    writer.append_blocking(Batch { records: late.to_vec(), ..Batch::default() }).unwrap();
    (dir, writer)
}

fn context() -> Context {
    Context::new(&Config::default(), CancellationToken::new())
}

const STAGES: [&str; 25] = [
    "",
    "|= `alpha`",
    "|= `alpha` |= `beta`",
    "!= `alpha`",
    "|~ `be.a|gam+a`",
    "|= `alpha` or `gamma`",
    "|> `<_>beta<_>`",
    "| json | user_id=`alpha`",
    "| logfmt | user_id=`4bf92f3577b34da6`",
    "| json | logfmt | status > 300",
    "| trace_id=`beta`",
    "| tenant=`alpha`, trace_id!=``",
    "| detected_level=`error`",
    "| logfmt | user_id=`beta` or tenant=`beta`",
    "| json | line_format `{{.user_id}}` |= `gamma`",
    "| label_format t=tenant | t=`alpha`",
    "| json | msg=`alpha beta`",
    "| drop tenant | tenant=`alpha`",
    "|~ `(?i)ALPHA.*STATUS`",
    "|= `beta\",\"status\":1`",
    "|= `\\nalpha`",
    "|~ `[0-9]5` |= `5`",
    "|~ `[0-9][a-f]{2}`",
    "|= `alpha` |~ `[0-4][0-9]{2}`",
    "| json | user_id=`gamma` |= `4bf92`",
];

fn log_of(query: &str) -> LogExpr {
    match parse(query).unwrap() {
        Expr::Log(log) => log,
        Expr::Metric(_) => panic!("{query} is a metric query"),
    }
}

fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by(|a, b| (a.timestamp_ns, &a.line, &a.labels).cmp(&(b.timestamp_ns, &b.line, &b.labels)));
    entries
}

fn read_all(log: &LogExpr, snapshot: &Snapshot, limit: usize, order: Order) -> Vec<Entry> {
    let range = TimeRange { start_ns: 60 * SECOND, end_ns: 540 * SECOND };
    let request = LogRequest { log: log.clone(), range, limit, order, interval_ns: 0 };
    read(&request, snapshot, &context()).unwrap().unwrap().0
}

fn metric(query: &str, snapshot: &Snapshot) -> BTreeMap<String, Vec<(u32, f64)>> {
    let Expr::Metric(metric) = parse(query).unwrap() else { panic!("{query}") };
    metric_of(&metric, snapshot)
}

fn metric_of(metric: &MetricExpr, snapshot: &Snapshot) -> BTreeMap<String, Vec<(u32, f64)>> {
    let steps = Steps::new(100 * SECOND, 500 * SECOND, 70 * SECOND);
    let context = context();
    let env = Environment { snapshot, context: &context, steps, max_series: 10_000 };
    let Evaluated::Matrix(matrix) = evaluate(metric, &env).unwrap() else { panic!("a number") };
    matrix.into_iter().map(|series| (series.labels.to_string(), series.points)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn lines_are_those_of_plain_execution(records in records(), limit in 1..30_usize) {
        let (_dir, writer) = store_of(&records);
        let snapshot = writer.reader().snapshot().unwrap();
        for selector in ["{app=\"a\"}", "{app=~\"a|b\"}"] {
            for stages in STAGES {
                let log = log_of(&format!("{selector} {stages}"));
                let mut follower = Follower::new(&log).unwrap();
                let inside = records.iter().filter(|r| (60 * SECOND..540 * SECOND).contains(&r.timestamp_ns));
                let plain = sorted(inside.filter_map(|record| follower.entry(record)).collect());
                let all = read_all(&log, &snapshot, 10_000, Order::Forward);
                prop_assert_eq!(&sorted(all.clone()), &plain, "{} {}", selector, stages);
                prop_assert!(all.is_sorted_by_key(|entry| entry.timestamp_ns));
                let newest = read_all(&log, &snapshot, limit, Order::Backward);
                let wanted: Vec<Entry> = all.iter().rev().take(limit).cloned().collect();
                prop_assert_eq!(newest, wanted, "{} {} newest {}", selector, stages, limit);
            }
        }
    }

    #[test]
    fn counts_are_those_of_plain_execution(records in records()) {
        let (_dir, writer) = store_of(&records);
        let snapshot = writer.reader().snapshot().unwrap();
        for stages in STAGES {
            let log = log_of(&format!("{{app=~\"a|b\"}} {stages}"));
            let mut follower = Follower::new(&log).unwrap();
            // `drop __error__` because a count fails on lines with errors
            let got = metric(&format!("sum by (app, detected_level) (count_over_time({{app=~\"a|b\"}} {stages} | drop __error__ [90s]))"), &snapshot);
            let mut want: BTreeMap<String, BTreeMap<u32, f64>> = BTreeMap::new();
            for entry in records.iter().filter_map(|record| follower.entry(record)) {
                let labels = entry.labels.iter().filter(|(_, n, _)| matches!(&**n, "app" | "detected_level"));
                let key = crate::logql::label_set::LabelSet::new(labels.map(|(_, n, v)| (&**n, &**v))).to_string();
                for k in 0..6_u32 {
                    let at = (100 + i64::from(k) * 70) * SECOND;
                    if at - 90 * SECOND < entry.timestamp_ns && entry.timestamp_ns <= at {
                        *want.entry(key.clone()).or_default().entry(k).or_default() += 1.0;
                    }
                }
            }
            let want: BTreeMap<String, Vec<(u32, f64)>> = want.into_iter().map(|(k, v)| (k, v.into_iter().collect())).collect();
            prop_assert_eq!(got, want, "{}", stages);
        }
    }

    #[test]
    fn counting_by_blocks_is_counting_by_lines(records in records()) {
        let (_dir, writer) = store_of(&records);
        let snapshot = writer.reader().snapshot().unwrap();
        for (by_blocks, by_lines) in [
            ("sum by (app) (count_over_time({app=~`.+`}[500s]))", "sum by (app) (count_over_time({app=~`.+`} |~ `` [500s]))"),
            ("sum by (detected_level) (rate({app=~`.+`}[500s]))", "sum by (detected_level) (rate({app=~`.+`} |~ `` [500s]))"),
            ("sum by (app) (bytes_over_time({app=~`.+`}[500s]))", "sum by (app) (bytes_over_time({app=~`.+`} |~ `` [500s]))"),
            ("sum(count_over_time({app=`a`}[1s]))", "sum(count_over_time({app=`a`} | drop x [1s]))"),
        ] {
            prop_assert_eq!(metric(by_blocks, &snapshot), metric(by_lines, &snapshot), "{}", by_blocks);
        }
    }
}

#[test]
fn the_plan_tells_what_is_read_and_why() {
    let line = |app: &'static str, i: i64, line: &'static str| Record {
        timestamp_ns: i * SECOND,
        labels: Arc::new(Labels::new([("app", app)])),
        line: line.into(),
        level: Level::Info,
        pairs: Vec::new(),
    };
    let (_dir, writer) =
        store_of(&[line("a", 1, "alpha"), line("b", 2, "beta"), line("c", 3, "gamma"), line("c", 4, "x")]);
    writer.flush_blocking().unwrap();
    let range = TimeRange { start_ns: 0, end_ns: 10 * SECOND };
    let plan = |query: &str| {
        let explained = match parse(query).unwrap() {
            Expr::Log(log) => {
                Explained::Records { question: Box::new(Question::LogQl(log)), range, limit: 10 }
            }
            Expr::Metric(expr) => {
                let steps = Steps::new(5 * SECOND, 5 * SECOND, 0);
                Explained::Metric { expr: Box::new(expr), steps, max_series: 10 }
            }
        };
        explain(&explained, &writer.reader(), &context()).unwrap()
    };
    let of_lines = plan("{app=~`a|b`}|=`alpha`");
    let read = &of_lines.reads[0];
    assert_eq!(read.log.as_deref(), Some(r#"{app=~"a|b"} |= "alpha""#));
    assert_eq!((read.streams, read.required.as_str()), (2, "\"alpha\""));
    assert_eq!((read.windows, read.windows_outside, read.dropped_by_stream_or_time), (1, 0, 1));
    assert_eq!(read.blocks + read.dropped_by_words + read.dropped_by_ids, 2);
    assert_eq!(of_lines.decoded.blocks, read.blocks);
    let of_counts = plan("sum(count_over_time({app=`c`}[2s])) / vector(2)");
    let read = &of_counts.reads[0];
    assert_eq!(
        (read.start.as_str(), read.end.as_str()),
        ("1970-01-01T00:00:03.000000001Z", "1970-01-01T00:00:05.000000001Z")
    );
    assert_eq!((read.streams, read.blocks, of_counts.decoded.blocks), (1, 1, 1));
    let of_whole_blocks = plan("sum(count_over_time({app=`a`}[5s]))");
    assert_eq!((of_whole_blocks.reads[0].blocks, of_whole_blocks.decoded.bytes), (1, 0));
}
