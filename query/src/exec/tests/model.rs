//! For random records and random queries, a search finds what a look at every record finds, in order.
//!
//! The model shares no code with the search: it is written from the user's page, as plainly as can be.

use proptest::prelude::*;
use store::{Level, Record, TimeRange};

use super::{Data, hits, record};
use crate::exec::count::{CountRequest, Step, count};
use crate::exec::select::Order;

/// A query as the model understands it.
#[derive(Clone, Debug)]
enum Query {
    Word(String),
    Prefix(String),
    Regex(String),
    Service(String),
    Level(&'static str),
    LevelFrom(&'static str),
    Trace(String),
    Status { low: i64, high: i64 },
    Message(String),
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
}

/// Times of the records are multiples of this, so that they fall into several windows of the store.
pub(super) const TICK_NS: i64 = 1_200_000_000_000;
const LEVELS: [&str; 4] = ["debug", "info", "warn", "error"];
const WORDS: [&str; 13] = [
    "pay",
    "payment",
    "Pay-Out",
    "declined",
    "the",
    "T",
    "été",
    "ÉTÉ",
    "4bf92f3577b34da6",
    "10.0.0.1",
    "x_y",
    "a=b",
    "支付",
];

impl Query {
    fn text(&self) -> String {
        match self {
            Self::Word(text) => format!("\"{text}\""),
            Self::Prefix(text) => format!("\"{text}\"*"),
            Self::Regex(pattern) => format!("/{pattern}/"),
            Self::Service(name) => format!("service:{name}"),
            Self::Level(name) => format!("level:{name}"),
            Self::LevelFrom(name) => format!("level:>={name}"),
            Self::Trace(id) => format!("trace_id:{id}"),
            Self::Status { low, high } => format!("status:[{low} TO {high}]"),
            Self::Message(text) => format!("msg:\"{text}\""),
            Self::Not(inner) => format!("NOT ({})", inner.text()),
            Self::And(all) => format!("({})", join(all, " ")),
            Self::Or(any) => format!("({})", join(any, " OR ")),
        }
    }

    fn holds(&self, record: &Record) -> bool {
        let line = std::str::from_utf8(&record.line).unwrap();
        let field = |name: &str| serde_json::from_str::<serde_json::Value>(line).ok()?.get(name).cloned();
        let rank = |name: &str| LEVELS.iter().position(|l| *l == name).unwrap();
        match self {
            Self::Word(text) => has_words(line, text, true),
            Self::Prefix(text) => has_words(line, text, false),
            Self::Regex(pattern) => regex::Regex::new(pattern).unwrap().is_match(line),
            Self::Service(name) => record.labels.get("service_name") == Some(name),
            Self::Level(name) => record.level.name() == Some(name),
            Self::LevelFrom(name) => record.level.name().is_some_and(|own| rank(own) >= rank(name)),
            Self::Trace(id) => record.pair("trace_id").is_some_and(|own| own.eq_ignore_ascii_case(id)),
            Self::Status { low, high } => {
                field("status").and_then(|v| v.as_i64()).is_some_and(|v| *low <= v && v <= *high)
            }
            Self::Message(text) => {
                field("msg").is_some_and(|v| has_words(v.as_str().unwrap_or_default(), text, true))
            }
            Self::Not(inner) => !inner.holds(record),
            Self::And(all) => all.iter().all(|q| q.holds(record)),
            Self::Or(any) => any.iter().any(|q| q.holds(record)),
        }
    }
}

fn join(queries: &[Query], with: &str) -> String {
    queries.iter().map(Query::text).collect::<Vec<_>>().join(with)
}

/// `grep -iw -F`, one start after the other.
fn has_words(line: &str, text: &str, whole: bool) -> bool {
    let line: Vec<char> = line.to_lowercase().chars().collect();
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let joined = |a: char, b: char| {
        [a, b].iter().all(|c| c.is_alphanumeric() && !('\u{4e00}'..='\u{9fff}').contains(c))
    };
    (0..=line.len().saturating_sub(text.len())).any(|at| {
        let end = at + text.len();
        end <= line.len()
            && line[at..end] == text[..]
            && (at == 0 || !joined(line[at - 1], line[at]))
            && (!whole || end == line.len() || !joined(line[end - 1], line[end]))
    })
}

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(&WORDS[..]).prop_map(str::to_owned)
}

fn phrase() -> impl Strategy<Value = String> {
    prop::collection::vec(word(), 1..3).prop_map(|words| words.join(" "))
}

fn query() -> impl Strategy<Value = Query> {
    let leaf = prop_oneof![
        4 => phrase().prop_map(Query::Word),
        1 => "[apt]{1,3}".prop_map(Query::Word),
        2 => "[a-z]{1,3}|pay|decl".prop_map(Query::Prefix),
        1 => prop::sample::select(&["pay(ment)?", "^T", "decl.*the", "ment$", "[0-9]+"][..]).prop_map(|p| Query::Regex(p.to_owned())),
        1 => prop::sample::select(&["a", "b", "c"][..]).prop_map(|s| Query::Service(s.to_owned())),
        1 => prop::sample::select(&LEVELS[..]).prop_map(Query::Level),
        1 => prop::sample::select(&LEVELS[..]).prop_map(Query::LevelFrom),
        1 => "[ab][12]".prop_map(Query::Trace),
        1 => (0..600_i64, 0..600_i64).prop_map(|(low, high)| Query::Status { low, high }),
        1 => word().prop_map(Query::Message),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|q| Query::Not(Box::new(q))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Query::And),
            prop::collection::vec(inner, 1..4).prop_map(Query::Or),
        ]
    })
}

pub(super) fn some_record() -> impl Strategy<Value = Record> {
    let plain = prop::collection::vec(word(), 0..5).prop_map(|words| words.join(" "));
    let json = (phrase(), 0..600_i64)
        .prop_map(|(msg, status)| serde_json::json!({ "msg": msg, "status": status }).to_string());
    let level = prop::sample::select(&[Level::Debug, Level::Info, Level::Warn, Level::Error][..]);
    let trace = prop::option::of("[abAB][12]");
    (prop::sample::select(&["a", "b", "c"][..]), 0..12_i64, prop_oneof![plain, json], level, trace).prop_map(
        |(service, ts, line, level, trace)| {
            let pairs: Vec<(&str, &str)> = trace.iter().map(|id| ("trace_id", id.as_str())).collect();
            record(service, ts * TICK_NS, &line, level, &pairs)
        },
    )
}

pub(super) fn batches() -> impl Strategy<Value = Vec<Vec<Record>>> {
    prop::collection::vec(prop::collection::vec(some_record(), 1..12), 1..5)
}

/// The same, at times after enough records of one stream and window that the store keeps them as shapes.
fn batches_or_crowds() -> impl Strategy<Value = Vec<Vec<Record>>> {
    let of_crowd = |record: Record| {
        let pairs: Vec<(&str, &str)> = record.pairs.iter().map(|pair| (&*pair.name, &*pair.value)).collect();
        let line = std::str::from_utf8(&record.line).unwrap();
        self::record("a", record.timestamp_ns % (3 * TICK_NS), line, record.level, &pairs)
    };
    let crowd = prop::collection::vec(some_record().prop_map(of_crowd), 140..260);
    (prop::option::weighted(0.4, crowd), batches()).prop_map(|(crowd, mut batches)| {
        if let Some(crowd) = crowd {
            batches.insert(0, crowd);
        }
        batches
    })
}

/// The records as a search gives them: by time, stream and arrival.
pub(super) fn in_order(batches: &[Vec<Record>]) -> Vec<Record> {
    let mut streams: Vec<&store::Labels> = Vec::new();
    let mut keyed = Vec::new();
    for (arrival, record) in batches.iter().flatten().enumerate() {
        if !streams.contains(&record.labels.as_ref()) {
            streams.push(&record.labels);
        }
        let stream = streams.iter().position(|labels| **labels == *record.labels).unwrap();
        keyed.push(((record.timestamp_ns, stream, arrival), record.clone()));
    }
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, record)| record).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_search_finds_what_a_look_at_every_record_finds(
        batches in batches_or_crowds(),
        queries in prop::collection::vec(query(), 8),
        start in 0..6_i64,
        length in 1..14_i64,
    ) {
        let data = Data::of(batches.clone());
        let range = TimeRange { start_ns: start * TICK_NS, end_ns: (start + length) * TICK_NS };
        let all = in_order(&batches);
        for query in queries {
            let text = query.text();
            let expected: Vec<&Record> =
                all.iter().filter(|r| range.contains(r.timestamp_ns) && query.holds(r)).collect();
            let lines: Vec<&[u8]> = expected.iter().map(|r| r.line.as_ref()).collect();
            let forward = hits(&data.reader(), &text, range, Order::Forward);
            let found: Vec<&[u8]> = forward.iter().map(|hit| hit.line.as_slice()).collect();
            prop_assert_eq!(&found, &lines, "{}", text);
            let mut backward = hits(&data.reader(), &text, range, Order::Backward);
            backward.reverse();
            prop_assert_eq!(&backward, &forward, "newest first is the exact reverse: {}", text);
        }
    }

    #[test]
    fn counts_add_up_to_what_a_search_finds(
        batches in batches_or_crowds(),
        query in query(),
        step in 1..8_u64,
        by in prop::sample::select(&["", "level", "service", "trace_id", "status", "absent"][..]),
    ) {
        let data = Data::of(batches.clone());
        let text = query.text();
        let range = TimeRange { start_ns: TICK_NS, end_ns: 11 * TICK_NS };
        let request = CountRequest {
            filter: crate::search::parse(&text).unwrap(),
            range,
            by: (!by.is_empty()).then(|| by.to_owned()),
            step: Step::Width(std::time::Duration::from_nanos(step * TICK_NS.unsigned_abs())),
            top: 3,
            max_points: 1000,
        };
        let (counts, _) = count(&data.reader(), &request, &super::context()).unwrap();
        let step = i64::try_from(step).unwrap();
        let start = 1 - 1 % step;
        let mut expected: std::collections::BTreeMap<String, Vec<u64>> = std::collections::BTreeMap::new();
        let buckets = usize::try_from((11 - start + step - 1) / step).unwrap();
        for r in in_order(&batches).iter().filter(|r| range.contains(r.timestamp_ns) && query.holds(r)) {
            let json: Option<serde_json::Value> = serde_json::from_slice(&r.line).ok();
            let value = match by {
                "level" => r.level.name().unwrap().to_owned(),
                "service" => r.labels.get("service_name").unwrap().to_owned(),
                "trace_id" => r.pair("trace_id").unwrap_or_default().to_owned(),
                "status" => json.and_then(|j| j.get("status").map(ToString::to_string)).unwrap_or_default(),
                _ => String::new(),
            };
            let bucket = usize::try_from((r.timestamp_ns / TICK_NS - start) / step).unwrap();
            expected.entry(value).or_insert_with(|| vec![0; buckets])[bucket] += 1;
        }
        prop_assert_eq!(counts.distinct, expected.len(), "{} by {}", text, by);
        let mut rest = vec![0; buckets];
        for (value, wanted) in &expected {
            match counts.series.iter().find(|s| s.value == *value) {
                Some(series) => prop_assert_eq!(&series.counts, wanted, "{} by {}={}", text, by, value),
                None => rest.iter_mut().zip(wanted).for_each(|(sum, n)| *sum += n),
            }
        }
        prop_assert_eq!(counts.other.unwrap_or(vec![0; buckets]), rest);
        prop_assert_eq!(counts.total, expected.values().flatten().sum::<u64>());
    }
}
