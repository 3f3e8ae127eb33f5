//! Ways in for the fuzz targets in `fuzz/`. Not part of any other build.

use std::path::Path;
use std::sync::Arc;

use crate::block::{Block, Needle};
use crate::config::ByteSize;
use crate::index::WordPattern;
use crate::part::{FilterCache, Part, PartId, PartWriter};
use crate::prune::{Plan, Prune, Text, Verdict, WordHits};
use crate::record::Labels;
use crate::{Level, Origin, Pair, Record, StreamId, TimeRange};

/// The bytes of a part with three blocks: pairs, holes, lines with line ends, shapes.
///
/// # Panics
/// When `path` cannot be written.
#[must_use]
pub fn sample_part(path: &Path) -> Vec<u8> {
    let labels = Arc::new(Labels::new([("service_name", "a")]));
    let pair = |origin, name: &str, value: String| Pair { origin, name: name.into(), value: value.into() };
    let record = |i: u32| {
        let id = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&i.to_le_bytes()));
        let end = if i.is_multiple_of(40) { "\n  at main" } else { "" };
        let mut pairs = vec![pair(Origin::Derived, "trace_id", id.clone())];
        if i.is_multiple_of(3) {
            pairs.push(pair(Origin::Given, "user", format!("u{i}")));
        }
        Record {
            timestamp_ns: i64::from(i) * 1000,
            labels: Arc::clone(&labels),
            line: format!("{{\"trace_id\":\"{id}\",\"msg\":\"order {i} accepted\"}}{end}").into(),
            level: if i.is_multiple_of(9) { Level::Error } else { Level::Info },
            pairs,
        }
    };
    let mut writer = PartWriter::create(path, PartId(1), TimeRange::ALL).expect("cannot write");
    for records in [0..100, 100..110, 200..400] {
        let records: Vec<Record> = records.map(record).collect();
        let block = Block::from_records(StreamId(1), Arc::clone(&labels), records.iter());
        writer.add(&block, 0).expect("cannot write");
    }
    writer.finish().expect("cannot write");
    std::fs::read(path).expect("cannot read")
}

/// Reads everything the file at `path` claims to hold.
pub fn read_part(path: &Path) {
    let Ok(part) = Part::open(path) else { return };
    let cache = FilterCache::new(ByteSize(1 << 20), ByteSize(1 << 20));
    for number in 0..part.blocks().len() as u32 {
        let id = crate::terms::SoughtId::of(b"7");
        part.with_ids(number, false, &cache, |ids| ids.may_contain(id));
        if let Some(group) = part.group_of(number) {
            part.with_long_ids(group, &cache, |ids| ids.may_contain(id));
        }
        let Ok(block) = part.read(number) else { continue };
        for needle in [b"order 9".as_slice(), b"7 acc", b"abc", b"d\",\"msg"] {
            let Ok(rows) = block.rows_with(&Needle::exact(needle)) else { continue };
            rows.iter().take(3).for_each(|row| drop(block.line(row)));
        }
        let (Ok(lines), Ok(pairs), Ok(times)) = (block.lines(), block.pairs(), block.timestamps()) else {
            continue;
        };
        assert_eq!(lines.len(), times.len());
        for i in 0..block.len() {
            lines.get(i);
            pairs.get(i).for_each(drop);
        }
    }
}

/// Writes `lines` to a part at `path` and looks for `needle`: its block must be kept when a line holds it, and
/// the rows found must be those that do.
///
/// # Panics
/// When it is not so, or the part does not give the lines back.
pub fn find_in_part(path: &Path, lines: &[&[u8]], needle: &[u8]) {
    let labels = Arc::new(Labels::default());
    let record = |line: &&[u8]| Record {
        timestamp_ns: 0,
        labels: Arc::clone(&labels),
        line: bytes::Bytes::copy_from_slice(line),
        level: Level::Unset,
        pairs: Vec::new(),
    };
    // Few lines are stored as they are, many as shapes.
    let many: Vec<&[u8]> = lines.iter().copied().cycle().take(200.max(lines.len())).collect();
    let mut writer = PartWriter::create(path, PartId(1), TimeRange::ALL).expect("cannot write");
    for lines in [lines, &many] {
        let records: Vec<Record> = lines.iter().map(record).collect();
        let block = Block::from_records(StreamId(1), Arc::clone(&labels), records.iter());
        writer.add(&block, 0).expect("cannot write");
    }
    let written = writer.finish().expect("cannot write");
    let part = Part::open(path).expect("cannot read");
    let plan = Plan::new(&Prune::Text(Text::substring(needle)));
    let cache = FilterCache::new(ByteSize(1 << 20), ByteSize(1 << 20));
    for (number, lines) in [lines, &many].into_iter().enumerate() {
        let block = part.read(number as u32).expect("cannot read");
        let holds = |row: &usize| memchr::memmem::find(lines[*row], needle).is_some();
        let expected: Vec<usize> = (0..lines.len()).filter(holds).collect();
        let rows = block.rows_with(&Needle::exact(needle)).expect("cannot read");
        assert!(rows.iter().eq(expected.iter().copied()));
        for row in expected.iter().copied().take(3) {
            assert_eq!(block.line(row).expect("cannot read").as_ref(), lines[row]);
        }
        assert!(block.lines().expect("cannot read").iter().eq(lines.iter().copied()));

        let words = WordHits::unknown();
        let verdict = plan.judge(&part, &words, &cache).verdict(number as u32);
        let has_word = |pattern: &WordPattern| written.words[number].iter().any(|word| pattern.fits(word));
        let has_words = plan.has_words(has_word, written.blocks[number].runs_complete);
        assert!(expected.is_empty() || (verdict == Verdict::Keep && has_words));
    }
}
