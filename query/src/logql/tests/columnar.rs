//! Lines added by the columns of their blocks against lines that the pipeline was run on: the same records, once in parts,
//! where columns are, and once in the head, where none are; and some of them in parts, the others in the head.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use store::{Batch, Labels, Level, Record, Snapshot, Writer};
use tokio_util::sync::CancellationToken;

use crate::logql::ast::Expr;
use crate::logql::eval::{Environment, Evaluated, Steps, evaluate};
use crate::logql::parse;
use crate::{Config, Context};

const SECOND: i64 = 1_000_000_000;
/// So many seconds lie between the first record and the last.
const SPAN: i64 = 1_000;

/// Lines of one kind are of one shape, or nearly: `N` stands for a number of the kind's format, `F` for one of few texts,
/// `M` for one of many, `P` for one of many paths, `X` for something odd.
const KINDS: [&str; 13] = [
    r#"{"path":"P","ms":N,"user":"M"}"#,
    r#"{"path":"P","ms":N,"user":"M","path":"P"}"#,
    r#"{"path":"F","ms":N,"user":"M"}"#,
    r#"{"path":"F","ms":N,"user":"M"}"#,
    r#"{"path":"M","ms":N,"status":F}"#,
    r#"{"ms":"N","path":"F","n":{"path":"F"}}"#,
    r#"{"path":"F","user":"M"}"#,
    r#"{"ms":N,"user":"M","app":"F","path":"fixed"}"#,
    r#"{"path":"F","ms":X,"user":"F"}"#,
    r#"{"path":"X","ms":N}"#,
    r#"{"path":"F","ms":"","took":"Fms"}"#,
    r#"{"path":"F","ms":N,"user":"M""#,
    "plain F N",
];

/// In place of a byte each that is no UTF-8.
const NO_CHARACTERS: [&str; 2] = ["\u{1}", "\u{2}"];
const FEW: [&str; 5] = ["/", "/a", "/a/b", "3", "caf\u{e9}"];
const ODD: [&str; 14] = [
    "0",
    "-0",
    "-2.50",
    "007",
    "1e3",
    "1E-2",
    "true",
    "null",
    "q\\\"uote",
    "bad\\q",
    "",
    "NaN",
    "12345678901234567890",
    "9007199254740993",
];

/// The format of numbers with more digits than floating-point numbers tell apart.
const LONG: usize = 3;

/// A number as all of one case are written: `0` decimals and more, below zero, of so many digits.
fn number(format: usize, random: u64) -> String {
    match format {
        0 => (random % 50).to_string(),
        1 => format!("{}.{:02}", random % 2000, random % 97),
        2 => format!("-{}.5", random % 300),
        LONG => format!("{}", 9_007_199_254_740_990 + random % 10),
        _ => format!("0.{:07}", random % 10_000_000),
    }
}

/// Splitmix: a number for each record and place in it.
fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn line(kind: &str, format: usize, seed: u64) -> String {
    let mut line = String::new();
    for (at, c) in kind.chars().enumerate() {
        let random = mixed(seed.wrapping_add((at as u64) << 32));
        match c {
            'N' => line.push_str(&number(format, random)),
            'F' => line.push_str(FEW[random as usize % FEW.len()]),
            'M' => line.push_str(&format!("u{}", random % 5000)),
            'P' => {
                // Two texts that are read as one, or plain ones.
                let ends = if format == 0 { NO_CHARACTERS } else { ["a", "b"] };
                line.push_str(&format!("/item/{}/{}", random % 600, ends[(random >> 32) as usize % 2]));
            }
            'X' => line.push_str(ODD[random as usize % ODD.len()]),
            c => line.push(c),
        }
    }
    line
}

fn bytes(line: &str) -> Vec<u8> {
    let byte = |byte: u8| if matches!(byte, 1 | 2) { !byte } else { byte };
    line.bytes().map(byte).collect()
}

/// Records of two streams, ordered by time and no two of one time.
fn records(kinds: &[&str], format: usize, count: usize, seed: u64) -> Vec<Record> {
    let record = |i: usize| {
        let random = mixed(seed ^ (i as u64) << 20);
        Record {
            timestamp_ns: i as i64 * (SPAN * SECOND / count as i64),
            labels: Arc::new(Labels::new([("app", ["a", "b"][random as usize % 2]), ("host", "h")])),
            line: bytes(&line(kinds[(random >> 8) as usize % kinds.len()], format, random)).into(),
            level: [Level::Info, Level::Error][(random >> 16) as usize % 2],
            pairs: Vec::new(),
        }
    };
    (0..count).map(record).collect()
}

/// The records in batches of one size, the first `flushes` of which are made parts; the others stay in the head.
fn store_of(records: &[Record], batches: usize, flushes: usize) -> (tempfile::TempDir, Writer) {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::open(dir.path(), &store::Config::default(), &prometheus::Registry::new()).unwrap();
    for (number, some) in records.chunks(records.len().div_ceil(batches)).enumerate() {
        writer.append_blocking(Batch { records: some.to_vec(), ..Batch::default() }).unwrap();
        if number < flushes {
            writer.flush_blocking().unwrap();
        }
    }
    (dir, writer)
}

type Answer = Result<BTreeMap<String, Vec<(u32, f64)>>, String>;

fn answer(query: &str, snapshot: &Snapshot, steps: Steps, max_series: usize) -> Answer {
    let Expr::Metric(metric) = parse(query).unwrap() else { panic!("{query}") };
    let context = Context::new(&Config::default(), CancellationToken::new());
    let env = Environment { snapshot, context: &context, steps, max_series };
    let Evaluated::Matrix(matrix) = evaluate(&metric, &env).map_err(|error| error.to_string())? else {
        panic!("{query} is a number")
    };
    Ok(matrix.into_iter().map(|series| (series.labels.to_string(), series.points)).collect())
}

/// The same bits; but sums that were added up in another order, up to what that may cost.
fn is_same(a: &Answer, b: &Answer, is_sum: bool) -> bool {
    let (Ok(a), Ok(b)) = (a, b) else {
        // Which line fails first is a matter of chance.
        return a.is_err() == b.is_err();
    };
    let close = |a: f64, b: f64| {
        a.to_bits() == b.to_bits() || (is_sum && (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0))
    };
    let points = |a: &[(u32, f64)], b: &[(u32, f64)]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && close(a.1, b.1))
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && points(a.1, b.1))
}

const COUNTS: [&str; 16] = [
    "topk(4, sum by (user) (count_over_time(LOG | json [RANGE])))",
    "topk(5, sum by (path) (rate(LOG | json [RANGE])))",
    "bottomk(7, sum by (path) (count_over_time(LOG | json [RANGE])))",
    "sum by (ms) (count_over_time(LOG | json [RANGE]))",
    "sum by (path) (count_over_time(LOG | json [RANGE]))",
    "topk(3, sum by (path) (count_over_time(LOG | json [RANGE])))",
    "bottomk(2, sum by (user, path) (rate(LOG | json [RANGE])))",
    "sum by (user) (rate(LOG | json [RANGE]))",
    "sum by (app, path, status) (count_over_time(LOG | json [RANGE]))",
    "sum by (app_extracted, path) (count_over_time(LOG | json [RANGE]))",
    "sum by (p, s, z) (count_over_time(LOG | json p=`path`, s=`status`, z=`nope` [RANGE]))",
    "sum by (n_path, path) (count_over_time(LOG |= `path` | json [RANGE]))",
    "sum(count_over_time(LOG | json [RANGE]))",
    "sum by (__error__, path) (count_over_time(LOG | json [RANGE]))",
    "sum by (detected_level, path) (count_over_time(LOG | json [RANGE]))",
    "topk by (app) (2, sum by (path, app) (count_over_time(LOG | json [RANGE])))",
];
const MEASURES: [&str; 8] = [
    "quantile_over_time(0.99, VALUES [RANGE]) by (app)",
    "quantile_over_time(0.5, VALUES [RANGE]) by (app, path)",
    "min_over_time(VALUES [RANGE]) by (path)",
    "max_over_time(VALUES [RANGE]) by (user)",
    "first_over_time(VALUES [RANGE]) by (path, app)",
    "last_over_time(VALUES [RANGE]) by (app)",
    "topk(2, max_over_time(VALUES [RANGE]) by (path))",
    "min_over_time(LOG | json | unwrap duration(took) [RANGE]) by (path)",
];
const SUMS: [&str; 4] = [
    "sum by (path) (sum_over_time(VALUES [RANGE]))",
    "avg_over_time(VALUES [RANGE]) by (app, user)",
    "stddev_over_time(VALUES [RANGE]) by (path)",
    "sum by (path) (sum_over_time(VALUES | ms > 3 [RANGE]))",
];

/// The text of a query; `fails` keeps lines with errors, which refuse the whole query.
fn query_of(template: &str, range: i64, fails: bool) -> String {
    let log = if fails { "{host=`h`}" } else { "{host=`h`} |~ `^[{].*[}]$` " };
    let values = if fails { "LOG | json | unwrap ms" } else { "LOG | json | unwrap ms | __error__=``" };
    template.replace("VALUES", values).replace("LOG", log).replace("RANGE", &format!("{range}s"))
}

/// Asks for all there is to ask of some records, stored in several ways.
fn compare(
    kinds: &[&str],
    (format, count, flushes): (usize, usize, usize),
    fails: bool,
    max_series: usize,
    seed: u64,
) -> Result<(), TestCaseError> {
    let records = records(kinds, format, count, seed);
    let stores = [(1, 0), (flushes, flushes), (flushes + 1, flushes)];
    let stores = stores.map(|(batches, flushes)| store_of(&records, batches, flushes));
    let [head, parts, both] = stores.each_ref().map(|(_, writer)| writer.reader().snapshot().unwrap());
    let end = SPAN * SECOND;
    for (steps, range) in [
        (Steps::new(end, end, 0), SPAN + 1),
        (Steps::new(end - 3 * SECOND, end - 3 * SECOND, 0), SPAN / 2),
        (Steps::new(SECOND, end, 90 * SECOND), 130),
    ] {
        for (templates, is_sum) in [(&COUNTS[..], false), (&MEASURES[..], false), (&SUMS[..], true)] {
            for template in templates {
                if format == LONG && template.starts_with("stddev") {
                    continue; // the differences of such numbers have no digits left
                }
                let query = query_of(template, range, fails);
                let by_lines = answer(&query, &head, steps, max_series);
                for by_columns in [&parts, &both] {
                    let by_columns = answer(&query, by_columns, steps, max_series);
                    prop_assert!(
                        is_same(&by_columns, &by_lines, is_sum),
                        "{query} {kinds:?} {steps:?} at most {max_series}:\n{by_columns:?}\n{by_lines:?}"
                    );
                }
            }
        }
        for label in ["path", "user"] {
            let all =
                query_of(&format!("sum by ({label}) (count_over_time(LOG | json [RANGE]))"), range, false);
            let some = format!("topk(1, {all})");
            let Ok(series) = answer(&all, &head, steps, usize::MAX).map(|series| series.len()) else {
                continue; // some line carries an error
            };
            for snapshot in [&head, &parts, &both] {
                let fits = |query, max| answer(query, snapshot, steps, max).is_ok();
                prop_assert!(fits(&all, series) && fits(&some, series), "{some} {kinds:?} {steps:?}");
                let too_many = [&all, &some].map(|query| series > 0 && fits(query, series - 1));
                prop_assert_eq!(too_many, [false; 2], "{} {:?} {:?}", some, kinds, steps);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn columns_add_up_to_what_lines_do(
        kinds in prop::sample::subsequence(KINDS.to_vec(), 1..4),
        format in 0..5_usize,
        count in prop::sample::select(vec![300, 1_000]),
        flushes in 1..4_usize,
        fails in any::<bool>(),
        max_series in prop::sample::select(vec![10_000, 10_000, 3]),
        seed in any::<u64>(),
    ) {
        compare(&kinds, (format, count, flushes), fails, max_series, seed)?;
    }
}

#[test]
fn parts_whose_lines_are_all_alike_add_up_to_what_lines_do() {
    // Paths that are read as others, and plain ones; twice in each line.
    for (kinds, format) in [(&KINDS[..1], 0), (&KINDS[..1], 1), (&KINDS[1..2], 1)] {
        compare(kinds, (format, 1_600, 3), true, 10_000, 7).unwrap();
    }
}
