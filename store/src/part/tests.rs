use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::block::Needle;
use crate::record::Labels;
use crate::{Level, Origin, Pair, Record, StreamId, TimeRange};

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
        quoted in prop::option::weighted(0.7, "[ -~]{0,20}"),
    ) -> Record {
        // Most lines hold their values, as they do when the value was found in the line.
        let mut line = line;
        if let Some(quoted) = quoted {
            for pair in &pairs {
                line.extend_from_slice(quoted.as_bytes());
                line.extend_from_slice(pair.value.as_bytes());
            }
        }
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
        prop_assert_eq!((part.id(), part.salvaged()), (PartId(7), None));
        prop_assert_eq!(part.blocks(), written.blocks.as_slice());
        let mut found = Vec::new();
        for (number, meta) in part.blocks().iter().enumerate() {
            prop_assert_eq!(meta.min_seq, number as u64);
            found.extend(records_of(&part.read(number as u32).unwrap()));
        }
        prop_assert_eq!(found, records);
    }
}

fn service_records(n: usize) -> Vec<Record> {
    let record = |i: usize| {
        let id = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&i.to_le_bytes()));
        let line = format!(r#"{{"time":{i},"trace_id":"{id}","msg":"order {i} accepted"}}"#);
        let pair = |name: &str, value: &str| Pair {
            origin: Origin::Derived,
            name: name.into(),
            value: value.into(),
        };
        Record {
            timestamp_ns: i as i64 * 1000,
            labels: labels("a"),
            line: Bytes::from(line),
            level: Level::Info,
            pairs: vec![pair("container_id", "c0ffee"), pair("trace_id", &id)],
        }
    };
    (0..n).map(record).collect()
}

fn write(path: &Path, chunks: &[&[Record]]) -> WrittenPart {
    let mut writer = PartWriter::create(path, PartId(1), WINDOW).unwrap();
    for (number, chunk) in chunks.iter().enumerate() {
        let block = Block::from_records(StreamId(number as u64), labels("a"), chunk.iter());
        writer.add(&block, number as u64).unwrap();
    }
    writer.finish().unwrap()
}

/// Everything a part says, or the first error.
fn read_all(path: &Path) -> Result<Vec<Record>, BlockError> {
    let part = Part::open(path)?;
    let mut found = Vec::new();
    for number in 0..part.blocks().len() as u32 {
        let block = part.read(number)?;
        block.timestamps()?;
        block.levels()?;
        block.lines()?;
        block.pairs()?;
        found.extend(records_of(&block));
    }
    Ok(found)
}

#[test]
fn stamps_of_pairs_are_given_back_and_cost_next_to_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut written = Vec::new();
    for with_stamps in [true, false] {
        let mut records = service_records(1000);
        for (i, record) in records.iter_mut().enumerate().filter(|(i, _)| with_stamps && i % 5 > 0) {
            let time = jiff::Timestamp::from_nanosecond(i128::from(record.timestamp_ns)).unwrap();
            let value = time.strftime("%Y-%m-%d %H:%M:%S,%3f").to_string().into();
            record.pairs.push(Pair { origin: Origin::Derived, name: "logged_at".into(), value });
            record.pairs.sort_by(|a, b| (a.origin, &a.name).cmp(&(b.origin, &b.name)));
            assert!(i > 0);
        }
        let path = dir.path().join(format!("part-{with_stamps}.blk"));
        written.push(write(&path, &[&records]).bytes);
        assert_eq!(read_all(&path).unwrap(), records);
    }
    assert!(written[0] < written[1] + 400, "{written:?}");
}

#[test]
fn an_id_is_stored_once_though_line_and_pair_have_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part-1.blk");
    let records = service_records(3000);
    let written = write(&path, &[&records]);
    // 16 bytes of id, and little for a line that says next to nothing else.
    assert!(written.bytes < 3000 * 24, "{} bytes", written.bytes);
    let part = Part::open(&path).unwrap();
    let block = part.read(0).unwrap();
    let ids = block.pairs_named("trace_id").unwrap();
    assert_eq!(ids.value(7), records[7].pair("trace_id"));
    assert!(block.pairs_named("absent").unwrap().is_empty());
    assert_eq!(read_all(&path).unwrap(), records);
}

#[test]
fn a_flipped_bit_is_an_error_or_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part-1.blk");
    let records = service_records(60);
    write(&path, &[&records[..30], &records[30..]]);
    let bytes = std::fs::read(&path).unwrap();
    let mib = crate::config::ByteSize(1 << 20);
    let mut errors = 0;
    for at in 0..bytes.len() {
        let mut harmed = bytes.clone();
        harmed[at] ^= 1 << (at % 8);
        std::fs::write(&path, &harmed).unwrap();
        match read_all(&path) {
            // A filter was hit, or the directory, which salvage makes good.
            Ok(found) => assert_eq!(found, records, "byte {at}"),
            Err(BlockError::Damaged { .. }) => errors += 1,
            Err(error) => panic!("byte {at}: {error}"),
        }
        if let Ok(part) = Part::open(&path) {
            let cache = FilterCache::new(mib, mib);
            let id = crate::terms::SoughtId::of(b"59");
            for alone in [true, false, true] {
                let found = part.with_ids(1, alone, &cache, |ids| ids.may_contain(id));
                assert_ne!(found, Some(false), "byte {at}");
            }
            let id = crate::terms::SoughtId::of(records[59].pair("trace_id").unwrap().as_bytes());
            let ask = |group| part.with_long_ids(group, &cache, |ids| ids.may_contain(id));
            assert_ne!(part.group_of(1).and_then(ask), Some(false), "byte {at}");
        }
    }
    assert!(errors > bytes.len() / 2, "{errors} of {} flips noticed", bytes.len());
}

#[test]
fn a_part_without_its_directory_is_read_through_its_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part-1.blk");
    let records = service_records(90);
    write(&path, &[&records[..30], &records[30..60], &records[60..]]);
    let bytes = std::fs::read(&path).unwrap();
    let part = Part::open(&path).unwrap();
    let places = &part.places;

    // Cut anywhere: blocks that are whole are found, and read where their dictionary is whole too.
    let dictionary_end = part.dictionaries.places().iter().map(|place| place.end()).max().unwrap_or(0);
    for len in (0..bytes.len()).step_by(7) {
        std::fs::write(&path, &bytes[..len]).unwrap();
        let whole = places
            .iter()
            .filter(|p| {
                p.at + BLOCK_PREFIX_LEN as u64 + u64::from(p.header_len) + p.columns_len <= len as u64
            })
            .count();
        match Part::open(&path) {
            Ok(part) => {
                assert!(part.salvaged().is_some());
                let readable = (0..part.blocks().len() as u32).filter(|n| {
                    part.read(*n).is_ok_and(|block| block.lines().is_ok() && block.pairs().is_ok())
                });
                let expected = if len as u64 >= dictionary_end { whole } else { 0 };
                assert_eq!((part.blocks().len() >= whole, readable.count()), (true, expected), "{len} bytes");
            }
            Err(error) => assert!(len < PREAMBLE_LEN, "{error}"),
        }
    }

    // A hole in the middle and no directory: the blocks around it.
    let mut harmed = bytes[..bytes.len() - 10].to_vec();
    let second = places[1].at as usize;
    harmed[second..second + 40].fill(0);
    std::fs::write(&path, &harmed).unwrap();
    let part = Part::open(&path).unwrap();
    assert_eq!(part.blocks().iter().map(|b| b.stream).collect::<Vec<_>>(), [StreamId(0), StreamId(2)]);
    assert!(part.salvaged().unwrap().contains("2 blocks found"), "{:?}", part.salvaged());
    assert_eq!(records_of(&part.read(1).unwrap()), records[60..]);
}

#[test]
fn a_newer_format_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part-1.blk");
    write(&path, &[&service_records(3)]);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = FORMAT as u8 + 1;
    let crc = block::crc(&bytes[..PREAMBLE_LEN - 4]);
    bytes[PREAMBLE_LEN - 4..PREAMBLE_LEN].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let error = Part::open(&path).unwrap_err();
    assert!(matches!(error, BlockError::Newer { found, .. } if found == FORMAT + 1), "{error}");
    assert!(error.to_string().contains("upgrade"), "{error}");
}

#[test]
fn an_unfinished_part_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part-1.blk");
    let writer = PartWriter::create(&path, PartId(1), WINDOW).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    drop(writer);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_block_takes_its_dictionary_along_from_part_to_part() {
    let dir = tempfile::tempdir().unwrap();
    let path = |number: u64| dir.path().join(format!("part-{number}.blk"));
    let records = service_records(900);
    let chunks: Vec<&[Record]> = records.chunks(300).collect();
    write(&path(1), &chunks);
    // The second block is copied twice; the second part has blocks and a dictionary of its own too.
    for number in [2, 3] {
        let from = Part::open(&path(number - 1)).unwrap();
        let mut writer = PartWriter::create(&path(number), PartId(number), WINDOW).unwrap();
        let block = Block::from_records(StreamId(9), labels("a"), records[..200].iter());
        writer.add(&block, 0).unwrap();
        writer.add_raw(from.read_raw(1).unwrap(), &from).unwrap();
        writer.finish().unwrap();
        assert_eq!(Part::open(&path(number)).unwrap().damage(), Vec::<String>::new());
    }
    std::fs::remove_file(path(1)).unwrap();
    let part = Part::open(&path(3)).unwrap();
    assert_eq!(records_of(&part.read(0).unwrap()), records[..200]);
    assert_eq!(records_of(&part.read(1).unwrap()), chunks[1]);
    let ids: Vec<u64> = part.dictionaries.places().iter().map(|place| place.id).collect();
    assert_eq!(ids, [1, 1, 3, 3, 1, 3], "templates and tables, then the templates once more");
}

#[test]
fn the_directory_tells_of_copied_blocks_too_what_they_cannot_hold() {
    let dir = tempfile::tempdir().unwrap();
    let path = |number: u64| dir.path().join(format!("part-{number}.blk"));
    let records = service_records(300);
    write(&path(1), &[&records[..3], &records]);
    let from = Part::open(&path(1)).unwrap();
    let mut writer = PartWriter::create(&path(2), PartId(2), WINDOW).unwrap();
    writer.add_raw(from.read_raw(1).unwrap(), &from).unwrap();
    writer.add_raw(from.read_raw(0).unwrap(), &from).unwrap();
    writer.finish().unwrap();
    let mut part = Part::open(&path(2)).unwrap();
    let summary = from.summaries[1].clone();
    assert!(summary.is_some());
    assert_eq!((&from.summaries[0], &part.summaries), (&None, &vec![summary, None]));
    for part in [&from, &part] {
        let number = part.blocks().iter().position(|block| block.records == 300).unwrap() as u32;
        let may_hold = |needle: &str| part.may_hold(number, &Needle::exact(needle.as_bytes()));
        assert_eq!(["r 7 a", "299 accepted", "accepted 7"].map(may_hold), [true, true, false]);
    }

    // `verify` holds it against the block; a part that was written without is read like any other.
    part.summaries.swap(0, 1);
    let damage = part.damage();
    assert!(damage.len() == 2 && damage[0].contains("cannot hold"), "{damage:?}");
    part.summaries.clear();
    assert_eq!(part.damage(), Vec::<String>::new());
    assert!(part.may_hold(0, &Needle::exact(b"accepted 7")));
}

#[test]
fn templates_are_read_from_their_copy_where_they_are_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part-1.blk");
    let records = service_records(300);
    write(&path, &[&records]);
    let bytes = std::fs::read(&path).unwrap();
    let places = Part::open(&path).unwrap().dictionaries.places().to_vec();
    let [first, _, copy] = places.as_slice() else { panic!("{places:?}") };
    let harmed = |harmed: &[usize]| {
        let mut bytes = bytes.clone();
        harmed.iter().for_each(|at| bytes[*at] ^= 1);
        std::fs::write(&path, bytes).unwrap();
        (read_all(&path).is_ok_and(|found| found == records), Part::open(&path).unwrap().damage().len())
    };
    for at in first.at..first.end() {
        let (at, in_copy) = (at as usize, (at - first.at + copy.at) as usize);
        assert_eq!(harmed(&[at]), (true, 1), "byte {at}");
        assert_eq!(harmed(&[in_copy]), (true, 1), "byte {in_copy}");
        assert!(!harmed(&[at, in_copy]).0, "byte {at} and {in_copy}");
    }
}

#[test]
fn blocks_are_merged_and_copied_without_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("part-1.blk"), dir.path().join("part-2.blk"));
    let records = service_records(20);
    let (even, odd): (Vec<Record>, Vec<Record>) =
        records.iter().cloned().partition(|r| r.timestamp_ns / 1000 % 2 == 0);
    write(&first, &[&even, &odd]);
    let part = Part::open(&first).unwrap();
    let blocks = [part.read(0).unwrap(), part.read(1).unwrap()];
    let merged = Block::merged(&blocks).unwrap();
    assert_eq!(merged.len(), 1);
    assert_eq!(records_of(&merged[0]), records);

    let mut writer = PartWriter::create(&second, PartId(2), WINDOW).unwrap();
    writer.add(&merged[0], 0).unwrap();
    writer.add_raw(part.read_raw(1).unwrap(), &part).unwrap();
    let written = writer.finish().unwrap();
    let copy = Part::open(&second).unwrap();
    assert_eq!(records_of(&copy.read(0).unwrap()), records);
    assert_eq!(records_of(&copy.read(1).unwrap()), odd);
    assert_eq!(copy.blocks()[1], part.blocks()[1]);
    assert_eq!(copy.words(&mut Vec::new()), written.words);
}
