//! Columns against the parser: the labels are the same, whatever the lines are.

use std::sync::Arc;

use proptest::prelude::*;
use store::{Batch, BlockRef, Labels, Level, Origin, Prune, Record, TimeRange, Writer};

use crate::logql::ast::{Expr, LogExpr};
use crate::logql::parse;
use crate::logql::pipeline::{Pipeline, References, Scratch};
use crate::plan::Plan;

const STAGES: [&str; 5] = [
    "| json",
    "| json level=`level`, s=`status`, q=`o.p.q`, m=`o`, e=`l[1]`, z=`nope`, app=`app`, a=`a`",
    "| json | level=`info`",
    "| json | status>=5 | drop level",
    "| json | __error__=`` | label_format l=level",
];

fn log_of(stages: &str) -> LogExpr {
    match parse(&format!("{{app=`a`}} {stages}")).unwrap() {
        Expr::Log(log) => log,
        Expr::Metric(_) => panic!("{stages} is a metric query"),
    }
}

/// The lines as blocks of a part.
fn blocks_of(lines: &[String]) -> (tempfile::TempDir, Vec<BlockRef>) {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::open(dir.path(), &store::Config::default(), &prometheus::Registry::new()).unwrap();
    let record = |(i, line): (usize, &String)| Record {
        timestamp_ns: i as i64,
        labels: Arc::new(Labels::new([("app", "a"), ("sl", "s")])),
        line: line.as_bytes().to_vec().into(),
        level: Level::Info,
        pairs: Vec::new(),
    };
    let records = lines.iter().enumerate().map(record).collect();
    writer.append_blocking(Batch { records, ..Batch::default() }).unwrap();
    writer.flush_blocking().unwrap();
    let everything = TimeRange { start_ns: 0, end_ns: i64::MAX };
    let plan = Plan { range: everything, streams: None, levels: None, prune: Prune::Any };
    let blocks = plan.candidates(&writer.reader().snapshot().unwrap()).unwrap().blocks;
    (dir, blocks)
}

/// Compares both ways for all rows; gives the number of those that columns could do.
fn compare(blocks: &[BlockRef], lines: &[String], stages: &str, wanted: Option<&References>) -> usize {
    let log = log_of(stages);
    let pipeline = Pipeline::new(&log.stages, wanted).unwrap();
    let mut done = 0;
    for block in blocks {
        let block = block.open().unwrap();
        let Some((mut columns, rest)) = pipeline.unsettled().by_columns(&block, block.len()).unwrap() else {
            continue;
        };
        let timestamps = block.timestamps().unwrap();
        let (mut by_columns, mut parsed) = (Scratch::default(), Scratch::default());
        for (row, ts_ns) in timestamps.iter().enumerate() {
            for scratch in [&mut by_columns, &mut parsed] {
                let pairs = [(Origin::Given, "md", "m"), (Origin::Derived, "status", "derived")];
                scratch.begin(block.labels(), Level::Info, pairs.into_iter(), |_| true);
            }
            if !columns.extract(row, &mut by_columns.labels).unwrap() {
                assert_eq!(by_columns.labels.to_set(), parsed.labels.to_set(), "labels are left alone");
                continue;
            }
            done += 1;
            let line = &lines[*ts_ns as usize];
            let passes = pipeline.run(&mut parsed, *ts_ns, line.as_bytes());
            assert_eq!(rest.run(&mut by_columns, *ts_ns, b""), passes, "{stages}: {line}");
            assert_eq!(by_columns.labels.to_set(), parsed.labels.to_set(), "{stages}: {line}");
        }
    }
    done
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{1,8}( [a-z0-9]{1,6}){0,3}",
        2 => Just("info".to_owned()),
        1 => prop::sample::select(vec![
            "", "q\\\"uote\\\"", "back\\\\", "\\u00e9", "\\ud800", "bad\\q", "caf\u{e9}", "a,b}", "[1]", "\u{fffd}", "\\", "a\"b", "nl\nx", "\t",
        ])
        .prop_map(str::to_owned),
    ]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (0..1000_u32).prop_map(|n| n.to_string()),
        2 => (0..1000_u32).prop_map(|n| format!("{}.{:02}", n / 100, n % 100)),
        1 => prop::sample::select(vec!["-3", "1e5", "007", "3.", "-", "12abc", "true", "null", "x", "+1", "", "1 "])
            .prop_map(str::to_owned),
    ]
}

/// A line of one of some kinds; `T` and `N` stand for texts and numbers.
fn line_of(kinds: Vec<&'static str>) -> impl Strategy<Value = String> {
    (prop::sample::select(kinds), prop::collection::vec(text(), 5), prop::collection::vec(number(), 5))
        .prop_map(|(kind, texts, numbers)| {
            let (mut texts, mut numbers) = (texts.into_iter(), numbers.into_iter());
            let fill = |c| match c {
                'T' => texts.next().unwrap_or_default(),
                'N' => numbers.next().unwrap_or_default(),
                c => c.to_string(),
            };
            kind.chars().map(fill).collect()
        })
}

const KINDS: [&str; 12] = [
    r#"{"level":"T","status":N,"msg":"T","latency":N}"#,
    r#"{"a":"T","a":N,"b":{"a":"T","c-d":N},"level":"T"}"#,
    r#"{"o":{"p":{"q":"T"},"status":N},"l":[N,"T"],"x":null,"y":true}"#,
    r#"{"o":{"p":{"q":"T"},"status":N},"l":[1,"z"],"level":"T"}"#,
    r#"{"level":"T","status":N"#,
    r#"{"level":"T","status":N,}"#,
    r#"{"level":T,"status":N}"#,
    r#"{"app":"T","md":"T","1x":N," ":"T","":"T","sl":N}"#,
    r#" {"level":"T"} N"#,
    r#"{"level":"T","status":N} trailing {"level":"T"}"#,
    r"T N T",
    r#"{"T":N,"level":"T" , "status" : N }"#,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn columns_say_what_the_parser_says(
        lines in prop::sample::subsequence(KINDS.to_vec(), 1..4)
            .prop_flat_map(|kinds| prop::collection::vec(line_of(kinds), 200..400)),
    ) {
        let (_dir, blocks) = blocks_of(&lines);
        let mut few = References::default();
        ["level", "b_c_d", "app_extracted", "o_p_q"].into_iter().for_each(|name| few.add(name));
        let mut one = References::default();
        one.add("status");
        for stages in STAGES {
            for wanted in [None, Some(&few), Some(&one)] {
                compare(&blocks, &lines, stages, wanted);
            }
        }
    }
}

#[test]
fn lines_of_services_need_no_parser() {
    let line = |i: usize| {
        let level = if i.is_multiple_of(7) { "error" } else { "info" };
        format!(
            r#"{{"level":"{level}","status":{},"msg":"took {i} ms \"x\"","http":{{"path":"/a/{i}"}},"ms":{}.50}}"#,
            200 + i % 3,
            i * 3
        )
    };
    let mut lines: Vec<String> = (0..500).map(line).collect();
    lines.push(r#"{"level":"info","status":true}"#.to_owned());
    let (_dir, blocks) = blocks_of(&lines);
    for stages in ["| json", "| json p=`http.path`, s=`status`", "| json | status>=201"] {
        assert_eq!(compare(&blocks, &lines, stages, None), 501, "{stages}");
    }
    assert_eq!(compare(&blocks, &lines, "| logfmt", None), 0);
}
