//! The index against a plain grep: whatever matches must be in a block that is kept.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::block::Block;
use crate::config::ByteSize;
use crate::index::WindowIndex;
use crate::part::{PartId, PartWriter};
use crate::record::Labels;
use crate::{Level, Origin, Pair, Record, StreamId, TimeRange, token};

fn record(line: Vec<u8>, value: Option<String>) -> Record {
    let pair = value.map(|value| Pair { origin: Origin::Given, name: "v".into(), value: value.into() });
    Record {
        timestamp_ns: 0,
        labels: Arc::new(Labels::new([("service_name", "s")])),
        line: Bytes::from(line),
        level: Level::Unset,
        pairs: pair.into_iter().collect(),
    }
}

/// A part in `dir`, and the word index of its window. Groups have about `group_ids` long ids.
fn write(dir: &Path, blocks: &[Vec<Record>], group_ids: usize) -> (Part, WordIndex) {
    let path = dir.join("part-1.blk");
    let writer = PartWriter::create(&path, PartId(1), TimeRange::ALL).unwrap();
    let mut writer = writer.with_max_group_ids(group_ids);
    for records in blocks {
        let labels = Arc::clone(&records[0].labels);
        writer.add(&Block::from_records(StreamId(1), labels, records.iter()), 0).unwrap();
    }
    let written = writer.finish().unwrap();
    let mut index = WindowIndex::open(&dir.join("index")).unwrap();
    index.add_part(PartId(1), &written.words).unwrap();
    index.commit().unwrap();
    index.close().unwrap();
    (Part::open(&path).unwrap(), WordIndex::open(&dir.join("index")).unwrap())
}

/// The part in another one, as a merge has it: blocks `added` as new ones, all others copied, in another order.
fn merged(dir: &Path, from: &Part, added: &[usize]) -> (Part, Vec<usize>) {
    let path = dir.join("part-2.blk");
    let mut writer = PartWriter::create(&path, PartId(2), TimeRange::ALL).unwrap();
    let order: Vec<usize> = (0..from.blocks().len()).rev().collect();
    for number in &order {
        if added.contains(number) {
            writer.add(&from.read(*number as u32).unwrap(), 0).unwrap();
        } else {
            writer.add_raw(from.read_raw(*number as u32).unwrap(), from).unwrap();
        }
    }
    writer.finish().unwrap();
    (Part::open(&path).unwrap(), order)
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        8 => prop::sample::select(vec![
            "error", "connection", "Connection", "refused", "timeout", "dead", "beef", "a", "GET", "user",
            "naïve", "Straße", "ſun", "\u{212a}elvin", "支付失败", "ひらがな", "ไทย", "İstanbul", "Ω", "ς",
        ]).prop_map(str::to_owned),
        2 => "[0-9a-f]{4,40}",
        1 => "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        1 => "[A-Za-z0-9+/]{10,80}",
        1 => "[a-zA-Z]{20,40}",
        1 => "[a-z]{120,140}",
        1 => "[0-9]{1,6}",
        1 => prop::sample::select(vec![
            "4bf92f3577b34da6a3ce929d0e0e4736", "4bf92f3577b34da6", "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    prop_oneof![12 => text.prop_map(String::into_bytes), 1 => prop::collection::vec(any::<u8>(), 1..6)]
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let separator = prop::sample::select(vec!["", " ", "-", "_", ".", "=", "\n", "\u{1b}[31m", "…"]);
    prop::collection::vec((piece(), separator), 0..8).prop_map(|pieces| {
        pieces.into_iter().flat_map(|(piece, s)| [piece, s.as_bytes().to_vec()].concat()).collect()
    })
}

prop_compose! {
    fn arb_record()(line in line(), value in prop::option::weighted(0.2, line())) -> Record {
        record(line, value.map(|value| String::from_utf8_lossy(&value).into_owned()))
    }
}

/// Where to cut a needle from.
#[derive(Clone, Debug)]
struct Cut {
    record: Index,
    start: Index,
    len: usize,
    delimited: (bool, bool),
    ignore_case: bool,
}

prop_compose! {
    fn cut()(
        record in any::<Index>(), start in any::<Index>(), len in 0..40_usize,
        delimited in any::<(bool, bool)>(), ignore_case in any::<bool>(),
    ) -> Cut {
        Cut { record, start, len, delimited, ignore_case }
    }
}

impl Cut {
    fn from(&self, records: &[&Record]) -> Text {
        let record = records[self.record.index(records.len())];
        let text = match record.pairs.first() {
            Some(pair) if self.len.is_multiple_of(2) => pair.value.as_bytes(),
            _ => &record.line,
        };
        let start = self.start.index(text.len() + 1);
        let end = text.len().min(start + self.len);
        let mut bytes = text[start..end].to_vec();
        if self.ignore_case
            && let Ok(valid) = std::str::from_utf8(&bytes)
        {
            bytes = valid.to_uppercase().into_bytes();
        }
        Text {
            bytes,
            starts_token: self.delimited.0 && token::is_boundary(text, start),
            ends_token: self.delimited.1 && token::is_boundary(text, end),
            ignore_case: self.ignore_case,
        }
    }
}

/// Whether `text` holds what is looked for.
fn matches(text: &[u8], needle: &Text) -> bool {
    let pattern = match std::str::from_utf8(&needle.bytes) {
        Ok(valid) if needle.ignore_case => format!("(?i){}", regex::escape(valid)),
        _ => {
            let hex: String = needle.bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            format!("(?-u){hex}")
        }
    };
    let regex = regex::bytes::Regex::new(&pattern).unwrap();
    let mut at = 0;
    while let Some(found) = regex.find_at(text, at) {
        let starts = !needle.starts_token || token::is_boundary(text, found.start());
        let ends = !needle.ends_token || token::is_boundary(text, found.end());
        if starts && ends {
            return true;
        }
        at = found.start() + 1;
        if at > text.len() {
            break;
        }
    }
    false
}

fn fulfils(record: &Record, prune: &Prune) -> bool {
    match prune {
        Prune::Any => true,
        Prune::Text(text) => {
            matches(&record.line, text) || record.pairs.iter().any(|p| matches(p.value.as_bytes(), text))
        }
        Prune::Pair { name, value } => record.pair(name) == Some(value),
        Prune::And(all) => all.iter().all(|prune| fulfils(record, prune)),
        Prune::Or(any) => any.iter().any(|prune| fulfils(record, prune)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_block_with_a_match_is_dropped(
        blocks in prop::collection::vec(prop::collection::vec(arb_record(), 1..4), 1..8),
        cuts in prop::collection::vec((cut(), cut()), 1..60),
        group_ids in prop::sample::select(vec![1, 3, 10, 1000]),
        added in prop::collection::vec(0..8_usize, 0..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (part, index) = write(dir.path(), &blocks, group_ids);
        let (merged, order) = merged(dir.path(), &part, &added);
        prop_assert_eq!((part.damage(), merged.damage()), (Vec::new(), Vec::new()));
        let cache = FilterCache::new(ByteSize(1 << 20), ByteSize(1 << 20));
        let records: Vec<&Record> = blocks.iter().flatten().collect();
        for (one, other) in cuts {
            let (text, second) = (Prune::Text(one.from(&records)), Prune::Text(other.from(&records)));
            let pair = Prune::Pair {
                name: "v".to_owned(),
                value: records[one.record.index(records.len())].pair("v").unwrap_or("none").to_owned(),
            };
            let both = Prune::And(vec![text.clone(), second.clone()]);
            let any = Prune::Or(vec![text.clone(), second.clone(), pair.clone()]);
            for prune in [text, pair, both, any] {
                let plan = Plan::new(&prune);
                let (words, no_words) = (plan.words(&index).unwrap(), WordHits::unknown());
                let mut judge = plan.judge(&part, &words, &cache);
                let mut without_words = plan.judge(&part, &no_words, &cache);
                let mut of_merged = plan.judge(&merged, &no_words, &cache);
                for (number, block) in order.iter().enumerate() {
                    let hit = blocks[*block].iter().find(|record| fulfils(record, &prune));
                    let kept = of_merged.verdict(number as u32) == Verdict::Keep;
                    prop_assert!(hit.is_none() || kept, "{prune:?} {hit:?} {plan:?} in another part");
                }
                for (number, block) in blocks.iter().enumerate() {
                    let verdict = judge.verdict(number as u32);
                    let hit = block.iter().find(|record| fulfils(record, &prune));
                    prop_assert!(hit.is_none() || verdict == Verdict::Keep, "{prune:?} {hit:?} {plan:?}");
                    // Without an index, words rule out nothing.
                    let unknown = without_words.verdict(number as u32);
                    prop_assert!(unknown == Verdict::Keep || verdict != Verdict::Keep);
                }
            }
        }
    }
}

/// Blocks of JSON lines with trace ids that occur in one block only.
fn service_blocks(blocks: u32) -> Vec<Vec<Record>> {
    let id = |n: u32| format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&n.to_le_bytes()));
    let line = |block: u32, i: u32| {
        let what = if block == 7 { "quotaExceeded42" } else { "payment accepted" };
        let trace = id(block * 100 + i);
        format!(r#"{{"level":"info","trace_id":"{trace}","msg":"{what} user={i}"}}"#)
    };
    (0..blocks).map(|block| (0..50).map(|i| record(line(block, i).into_bytes(), None)).collect()).collect()
}

#[test]
fn needles_leave_few_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let blocks = service_blocks(300);
    let (part, index) = write(dir.path(), &blocks, 1 << 17);
    let cache = FilterCache::new(ByteSize(1 << 20), ByteSize(1 << 20));
    let kept = |prune: &Prune| {
        let plan = Plan::new(prune);
        let words = plan.words(&index).unwrap();
        let mut judge = plan.judge(&part, &words, &cache);
        (0..300).filter(|number| judge.verdict(*number) == Verdict::Keep).collect::<Vec<_>>()
    };
    for line in [&blocks[3][9].line, &blocks[250][0].line] {
        let id = std::str::from_utf8(&line[28..60]).unwrap();
        assert_eq!(id.len(), 32);
        for prune in
            [Prune::Text(Text::substring(id)), Prune::Pair { name: "trace_id".into(), value: id.into() }]
        {
            let kept = kept(&prune);
            assert!((1..=8).contains(&kept.len()), "{kept:?}");
        }
    }
    // A word of one block, whole and cut, in any case, beside digits.
    for needle in ["quotaExceeded42", "otaExceed", "QUOTA", "xceeded42 "] {
        let text = Text { ignore_case: true, ..Text::substring(needle) };
        assert_eq!(kept(&Prune::Text(text)), [7], "{needle}");
    }
    assert_eq!(kept(&Prune::Text(Text::substring("acceptance"))), [0_u32; 0]);
    assert_eq!(kept(&Prune::Or(Vec::new())), [0_u32; 0]);
    assert_eq!(kept(&Prune::Any).len(), 300);
}

#[test]
fn an_id_of_no_block_passes_the_filter_of_a_group_or_of_blocks_but_hardly_both() {
    let dir = tempfile::tempdir().unwrap();
    let (part, _) = write(dir.path(), &service_blocks(300), 1 << 17);
    let (merged, _) = merged(dir.path(), &part, &[]);
    let cache = FilterCache::new(ByteSize(1 << 20), ByteSize(1 << 20));
    let ids = |salt: &str| -> Vec<String> {
        let id = |n: u32| format!("{:032x}", xxhash_rust::xxh3::xxh3_128(format!("{salt}{n}").as_bytes()));
        (0..256).map(id).collect()
    };
    let uuid = |id: &String| {
        let groups = [0..8, 8..12, 12..16, 16..20, 20..32];
        groups.map(|group| id.get(group).unwrap().to_owned()).join("-")
    };
    let uuids: Vec<String> = ids("uuid").iter().map(uuid).collect();
    let text = |id: &String| Prune::Text(Text::substring(id.as_str()));
    let pair = |id: &String| Prune::Pair { name: "trace_id".to_owned(), value: id.clone() };
    let asked: Vec<Prune> = ids("id").iter().map(text).chain(ids("pair").iter().map(pair)).collect();
    let uuids: Vec<Prune> = uuids.iter().map(text).collect();
    for part in [&part, &merged] {
        let groups: Vec<Option<u32>> = (0..300).map(|number| part.group_of(number)).collect();
        assert_eq!(groups, [Some(0); 300]);
        let kept = |asked: &[Prune]| -> usize {
            let plans = asked.iter().map(Plan::new);
            plans
                .map(|plan| {
                    let words = WordHits::unknown();
                    let mut judge = plan.judge(part, &words, &cache);
                    (0..300).filter(|number| judge.verdict(*number) == Verdict::Keep).count()
                })
                .sum()
        };
        // 512 ids, 300 blocks: by the filters of blocks alone it would be some 600.
        let found = (kept(&asked), kept(&uuids));
        assert!(found.0 < 30 && found.1 == 0, "{found:?}");
    }
}
