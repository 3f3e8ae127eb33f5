use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::record::Labels;
use crate::{Level, Origin, Pair, Record, StreamId};

const WINDOW: TimeRange = TimeRange { start_ns: 0, end_ns: 3_600_000_000_000 };

fn labels(name: &str) -> Arc<Labels> {
    Arc::new(Labels::new([("service_name", name), ("host", "h1")]))
}

fn arb_pair() -> impl Strategy<Value = Pair> {
    let name = prop_oneof![Just("trace_id".to_owned()), Just("user".to_owned()), "[a-z]{1,3}"];
    let value = prop_oneof![
        "[0-9a-f]{32}",
        "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        Just("x".to_owned()),
        any::<String>()
    ];
    let origin = prop_oneof![Just(Origin::Given), Just(Origin::Derived)];
    (origin, name, value).prop_map(|(origin, name, value)| Pair {
        origin,
        name: name.into(),
        value: value.into(),
    })
}

prop_compose! {
    fn arb_record()(
        timestamp_ns in prop_oneof![any::<i64>(), (0..1_000_000_i64).prop_map(|us| us * 1000)],
        line in prop_oneof![prop::collection::vec(any::<u8>(), 0..40), "[ -~\n]{0,80}".prop_map(String::into_bytes)],
        level in 0..Level::COUNT,
        mut pairs in prop::collection::vec(arb_pair(), 0..5),
    ) -> Record {
        pairs.sort();
        pairs.dedup_by(|b, a| (a.origin, &a.name) == (b.origin, &b.name));
        Record { timestamp_ns, labels: labels("a"), line: Bytes::from(line), level: Level::ALL[level], pairs }
    }
}

fn records_of(block: &Block) -> Vec<Record> {
    let (timestamps, levels) = (block.timestamps().unwrap(), block.levels().unwrap());
    let (lines, pairs) = (block.lines().unwrap(), block.pairs().unwrap());
    (0..block.len())
        .map(|i| {
            let pairs = pairs.get(i).map(|(origin, name, value)| Pair {
                origin,
                name: name.into(),
                value: value.into(),
            });
            Record {
                timestamp_ns: timestamps[i],
                labels: Arc::clone(block.labels()),
                line: Bytes::copy_from_slice(lines.get(i)),
                level: levels[i],
                pairs: pairs.collect(),
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_read_back_from_a_part_as_they_were_written(
        mut records in prop::collection::vec(arb_record(), 1..60),
    ) {
        records.sort_by_key(|r| r.timestamp_ns);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("part-1.blk");
        let mut writer = PartWriter::create(&path, PartId(7), WINDOW).unwrap();
        let half = records.len() / 2 + 1;
        for (number, chunk) in records.chunks(half).enumerate() {
            let block = Block::from_records(StreamId(3), labels("a"), chunk.iter());
            prop_assert_eq!(records_of(&block), chunk);
            writer.add(&block, number as u64).unwrap();
        }
        let written = writer.finish().unwrap();
        let part = Part::open(&path).unwrap();
        prop_assert_eq!((part.id(), part.window(), part.salvaged()), (PartId(7), WINDOW, None));
        prop_assert_eq!(part.blocks(), written.blocks.as_slice());
        let mut found = Vec::new();
        for (number, meta) in part.blocks().iter().enumerate() {
            prop_assert_eq!(meta.min_seq, number as u64);
            found.extend(records_of(&part.read(number as u32).unwrap()));
        }
        prop_assert_eq!(found, records);
    }
}
