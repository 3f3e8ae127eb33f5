//! Blocks whose lines are shapes and columns, harmed in every way: an error or the same lines, never a panic.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::block::{ColumnMeta, DictionaryHeader, EncodedDictionary, Needle, Packing, Role};
use crate::record::Labels;
use crate::{Level, Origin, Pair, Record, StreamId, TimeRange};

/// Lines with every kind of column.
fn lines(n: usize) -> Vec<String> {
    let line = |i: usize| {
        let id = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&i.to_le_bytes()));
        let [uuid, other] =
            ["a", "b"].map(|salt| xxhash_rust::xxh3::xxh3_128(format!("{salt}{i}").as_bytes()));
        let groups = [(96, 8), (80, 4), (64, 4), (48, 4), (0, 12)]
            .map(|(shift, digits)| format!("{:0digits$x}", uuid >> shift & ((1 << (4 * digits)) - 1)))
            .join("-");
        format!(
            r#"{{"time":"2026-11-20T10:00:{:02}.{:03}Z","trace_id":"{id}","host":"h1","kind":"{}","request":"{groups}","span":"{:016x}","took":{}.{:02},"msg":"order {i} of user u{} from {:012x} was accepted","note":"é {:x}","path":"/{other:x}/é"}}"#,
            i / 10 % 60,
            i % 10 * 100,
            ["get", "put"][i % 3 / 2],
            other as u64,
            i * 7,
            i % 100,
            i * 654_321 % 1_000_003,
            uuid as u64 >> 16,
            other as u32,
        )
    };
    (0..n).map(line).collect()
}

fn write(path: &Path, lines: &[String]) {
    let id = |line: &str| line.split('"').nth(7).unwrap_or_default().into();
    let record = |(i, line): (usize, &String)| Record {
        timestamp_ns: 1_795_168_800_000_000_000 + i as i64 * 100_000_000,
        labels: Arc::default(),
        line: Bytes::copy_from_slice(line.as_bytes()),
        level: Level::Info,
        pairs: vec![Pair { origin: Origin::Derived, name: "trace_id".into(), value: id(line) }],
    };
    let records: Vec<Record> = lines.iter().enumerate().map(record).collect();
    let mut writer = PartWriter::create(path, PartId(1), TimeRange::ALL).unwrap();
    writer.add(&Block::from_records(StreamId(1), Arc::new(Labels::default()), records.iter()), 0).unwrap();
    writer.finish().unwrap();
}

const NEEDLES: [&str; 6] = ["order 7 ", "ccepted\",\"pat", "0 of user u", "abc", "55", "h1\",\"kind\":\"get"];

/// Asks for everything in every way; the lines, when nothing was wrong.
fn read(path: &Path) -> Result<Vec<String>, BlockError> {
    let part = Part::open(path)?;
    let block = part.read(0)?;
    for needle in NEEDLES {
        for needle in [Needle::exact(needle.as_bytes()), Needle::ignoring_case(needle)] {
            block.rows_with(&needle)?;
        }
    }
    block.line(block.len() / 2)?;
    block.levels()?;
    let lines = block.lines()?;
    Ok(lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect())
}

#[test]
fn a_flipped_bit_is_an_error_or_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part-1.blk");
    let lines = lines(140);
    write(&path, &lines);
    let part = Part::open(&path).unwrap();
    let mut columns = Header::decode(&part.read_raw(0).unwrap().header).unwrap().columns;
    columns.retain(|column| matches!(column.role, Role::Values(_)));
    for piece in part.dictionaries.read_raw(1, 0).unwrap() {
        columns.append(&mut DictionaryHeader::decode(&piece.header).unwrap().columns);
    }
    let mut encodings: Vec<u8> = columns.iter().map(|column| column.encoding).collect();
    encodings.sort_unstable();
    encodings.dedup();
    assert_eq!(
        encodings,
        [1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 14],
        "columns of every kind but those with line ends"
    );

    let bytes = std::fs::read(&path).unwrap();
    let mut errors = 0;
    for at in (0..bytes.len()).step_by(3) {
        let mut harmed = bytes.clone();
        harmed[at] ^= 1 << (at % 8);
        std::fs::write(&path, &harmed).unwrap();
        match read(&path) {
            Ok(found) => assert!(found == lines, "byte {at}"),
            Err(BlockError::Damaged { .. }) => errors += 1,
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    assert!(errors > bytes.len() / 6, "{errors} of {} flips noticed", bytes.len() / 3);
    for len in (0..bytes.len()).step_by(11) {
        std::fs::write(&path, &bytes[..len]).unwrap();
        if let Ok(found) = read(&path) {
            assert!(found == lines, "{len} bytes");
        }
    }
}

/// What a hostile hand does to a column.
#[derive(Clone, Debug)]
enum Lie {
    Byte(prop::sample::Index, u8),
    Parameter(prop::sample::Index, u8),
    Encoding(u8),
    Entries(u32),
    Cut(prop::sample::Index),
    Repeat,
}

fn arb_lie() -> impl Strategy<Value = Lie> {
    prop_oneof![
        6 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Lie::Byte(at, byte)),
        2 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Lie::Parameter(at, byte)),
        1 => (1..14_u8).prop_map(Lie::Encoding),
        1 => prop_oneof![0..300_u32, any::<u32>()].prop_map(Lie::Entries),
        1 => any::<prop::sample::Index>().prop_map(Lie::Cut),
        1 => Just(Lie::Repeat),
    ]
}

/// Columns as they were before compression.
fn unpacked(directory: &[ColumnMeta], columns: &[u8]) -> Vec<Vec<u8>> {
    let mut input = Input::new(columns);
    let unpacked = directory.iter().map(|column| {
        let stored = input.take(column.stored_len as usize, "column").unwrap();
        match column.packing {
            Packing::Zstd => block::unpack(stored, column.raw_len as usize).unwrap(),
            Packing::Pieces => block::unpack_pieces(stored, column.raw_len as usize, false).unwrap(),
            Packing::NarrowPieces => block::unpack_pieces(stored, column.raw_len as usize, true).unwrap(),
            Packing::Plain => stored.to_vec(),
        }
    });
    unpacked.collect()
}

/// Columns as they are stored without compression, their checksums right.
fn packed(directory: &mut [ColumnMeta], raw: &[Vec<u8>]) -> Vec<u8> {
    for (raw, meta) in raw.iter().zip(directory) {
        meta.packing = Packing::Plain;
        (meta.raw_len, meta.stored_len, meta.crc) = (raw.len() as u32, raw.len() as u32, block::crc(raw));
    }
    raw.concat()
}

fn tell(lie: &Lie, meta: &mut ColumnMeta, bytes: &mut Vec<u8>) {
    match lie {
        Lie::Byte(place, byte) if !bytes.is_empty() => {
            // What a column begins with says most about it.
            let reach = if byte % 2 == 0 { bytes.len() } else { bytes.len().min(64) };
            bytes[place.index(reach)] = *byte;
        }
        Lie::Parameter(place, byte) if !meta.params.is_empty() => {
            let place = place.index(meta.params.len());
            meta.params[place] = *byte;
        }
        Lie::Encoding(encoding) => meta.encoding = *encoding,
        Lie::Entries(entries) => match &mut meta.role {
            Role::Values(known) | Role::Table(known) | Role::Templates(_, known) => *known = *entries,
            _ => {}
        },
        Lie::Cut(place) => bytes.truncate(place.index(bytes.len() + 1)),
        Lie::Repeat => bytes.extend_from_within(..),
        Lie::Byte(..) | Lie::Parameter(..) => {}
    }
}

/// The part at `path` with other columns in its block and its dictionary.
fn rewrite(path: &Path, lies: &[(prop::sample::Index, Lie)]) {
    let part = Part::open(path).unwrap();
    let block = part.read_raw(0).unwrap();
    let mut header = Header::decode(&block.header).unwrap();
    let mut raw = unpacked(&header.columns, &block.columns);
    let mut pieces = Vec::new();
    for piece in part.dictionaries.read_raw(1, 0).unwrap() {
        let header = DictionaryHeader::decode(&piece.header).unwrap();
        let raw = unpacked(&header.columns, &piece.columns);
        pieces.push((header, raw));
    }
    for (column, lie) in lies {
        let own = header.columns.iter_mut().zip(&mut raw);
        let of_pieces = pieces.iter_mut().flat_map(|(header, raw)| header.columns.iter_mut().zip(raw));
        let mut all: Vec<_> = own.chain(of_pieces).collect();
        let at = column.index(all.len());
        let (meta, bytes) = &mut all[at];
        tell(lie, meta, bytes);
    }
    let columns = packed(&mut header.columns, &raw);
    let mut writer = PartWriter::create(path, PartId(1), TimeRange::ALL).unwrap();
    let pieces = pieces.into_iter().map(|(mut header, raw)| {
        let columns = packed(&mut header.columns, &raw);
        let has_templates = header.has_templates();
        EncodedDictionary { header: header.encode(), columns, has_templates }
    });
    writer.write_dictionary(1, pieces.collect()).unwrap();
    writer.add_raw(RawBlock { header: header.encode(), columns, ..block }, &part).unwrap();
    writer.finish().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn columns_that_lie_are_errors_or_lines_of_the_size_they_say(
        lies in prop::collection::vec((any::<prop::sample::Index>(), arb_lie()), 1..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("part-1.blk");
        let lines = lines(130);
        write(&path, &lines);
        rewrite(&path, &lies);
        match read(&path) {
            Ok(found) => {
                let bytes = |lines: &[String]| lines.iter().map(String::len).sum::<usize>();
                prop_assert!(found.len() == lines.len() && bytes(&found) <= bytes(&lines) * 3);
            }
            Err(BlockError::Damaged { .. }) => {}
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}

/// Parts as the versions before shapes, dictionaries, short numbers apart, and codes of few bits wrote them.
#[test]
fn parts_of_former_formats_read_as_before() {
    reads_as_before(include_bytes!("fixtures/format-1.blk"), 1);
    reads_as_before(include_bytes!("fixtures/format-2.blk"), 2);
    reads_as_before(include_bytes!("fixtures/format-3.blk"), 3);
    reads_as_before(include_bytes!("fixtures/format-4.blk"), 4);
}

fn reads_as_before(part: &[u8], format: u32) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part-1.blk");
    std::fs::write(&path, part).unwrap();
    assert_eq!(part[8..12], format.to_le_bytes());
    let line = |i: u128| {
        let id = i.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).wrapping_add(12345);
        format!(
            r#"{{"timestamp":"2026-11-20T10:00:{:02}.{:06}Z","level":"{}","service":"shop","trace_id":"{id:032x}","message":"order {} took {}.{:02} ms at 10.0.{}.7","path":"/api/{}/{}"}}"#,
            i / 10,
            i * 7919 % 1_000_000,
            if i.is_multiple_of(7) { "warn" } else { "info" },
            i * 31,
            i % 50,
            i % 100,
            i % 256,
            if i.is_multiple_of(3) { "user" } else { "cart" },
            i * i,
        )
    };
    let mut expected: Vec<String> = (0..200).map(line).collect();
    expected.sort(); // by their time
    assert!(read(&path).unwrap() == expected);
    let block = Part::open(&path).unwrap().read(0).unwrap();
    let rows: Vec<usize> = block.rows_with(&Needle::exact(b"took 7.07")).unwrap().iter().collect();
    assert_eq!(rows, (0..200).filter(|i| expected[*i].contains("took 7.07")).collect::<Vec<_>>());
    assert_eq!((rows.len(), block.line(rows[1]).unwrap().as_ref()), (2, expected[rows[1]].as_bytes()));

    // A merge reads it and writes the present format.
    let merged = Block::merged(&[block]).unwrap();
    let other = dir.path().join("part-2.blk");
    let mut writer = PartWriter::create(&other, PartId(2), TimeRange::ALL).unwrap();
    writer.add(&merged[0], 0).unwrap();
    writer.finish().unwrap();
    assert!(read(&other).unwrap() == expected);
    assert_eq!(std::fs::read(&other).unwrap()[8..12], FORMAT.to_le_bytes());
}
