//! Blocks of several parts, counted by codes that they share.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use crate::block::Block;
use crate::part::{Part, PartId, PartWriter};
use crate::record::Labels;
use crate::{Level, Record, StreamId, TimeRange};

const LINES: usize = 300;

/// A block of a part of its own. Line `i` has path number `path(i)`.
fn block(id: u64, path: impl Fn(usize) -> usize) -> Block {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("part-1.blk");
    let mut writer = PartWriter::create(&file, PartId(id), TimeRange::ALL).unwrap();
    let record = |i: usize| Record {
        timestamp_ns: i as i64,
        labels: Arc::new(Labels::default()),
        line: Bytes::from(format!("{{\"path\":\"{}\"}}", text(path(i)))),
        level: Level::Info,
        pairs: Vec::new(),
    };
    let records: Vec<Record> = (0..LINES).map(record).collect();
    writer.add(&Block::from_records(StreamId(1), Arc::default(), records.iter()), 0).unwrap();
    writer.finish().unwrap();
    Part::open(&file).unwrap().read(0).unwrap()
}

fn text(path: usize) -> String {
    format!("/items/{path}/of/some/list/{}", path * 7919 % 1000)
}

fn codes(block: &Block) -> SharedCodes<'_> {
    let shapes = block.line_shapes().unwrap().unwrap();
    let (_, slot) = shapes.pieces(0).next().unwrap();
    // Values of a slot borrow from it, codes from the block alone.
    shapes.values(slot.unwrap()).unwrap().shared_codes().unwrap()
}

/// Lines of each text, as a dictionary has it.
fn counted(dictionary: &mut Dictionary, codes: &[usize]) -> BTreeMap<String, usize> {
    let (mut counted, mut buffer) = (BTreeMap::new(), Vec::new());
    for code in codes {
        dictionary.look_up(*code);
        let text = String::from_utf8(dictionary.text(*code, &mut buffer).to_vec()).unwrap();
        *counted.entry(text).or_default() += 1;
    }
    counted
}

#[test]
fn blocks_of_several_parts_are_counted_by_the_codes_of_one_dictionary() {
    let paths = |number: usize| move |i: usize| (i * 17 + number * 60) % 150;
    let blocks: Vec<Block> = (0..3).map(|number| block(number as u64 + 1, paths(number))).collect();
    let expected = |number: usize| {
        let mut expected = BTreeMap::new();
        (0..LINES).for_each(|i| *expected.entry(text(paths(number)(i))).or_default() += 1);
        expected
    };
    let rows = |codes: &SharedCodes<'_>| (0..LINES).map(|row| codes.code(row)).collect::<Vec<_>>();
    let apart: Vec<SharedCodes<'_>> = blocks.iter().map(codes).collect();
    let dictionaries: Vec<Dictionary> = apart.iter().map(SharedCodes::dictionary).collect();
    assert!(dictionaries[0] != dictionaries[1] && dictionaries[1] != dictionaries[2]);
    assert!(Dictionary::unite(&[&dictionaries[0], &dictionaries[0]]).is_none());

    // Two of them, then all; what was counted by codes of old ones is told by codes of the new one.
    let mut known = Vec::new();
    for some in [&[0, 2][..], &[0, 1, 2]] {
        let before: Vec<(SharedCodes<'_>, Dictionary)> =
            some.iter().map(|at| codes(&blocks[*at])).map(|c| (c.clone(), c.dictionary())).collect();
        let of_all: Vec<&Dictionary> = before.iter().map(|(_, dictionary)| dictionary).collect();
        let OneDictionary { mut dictionary, codes: below, recoded } = Dictionary::unite(&of_all).unwrap();
        assert!(dictionary.is_plain() && dictionary.held_bytes() > 0);
        for ((at, (codes, _)), recoded) in some.iter().zip(&before).zip(recoded) {
            let recoded = recoded.unwrap();
            let rows: Vec<usize> = rows(codes).into_iter().map(|code| recoded.get(code).unwrap()).collect();
            assert!(rows.iter().all(|code| *code < below));
            assert_eq!(counted(&mut dictionary, &rows), expected(*at), "{some:?} {at}");
        }
        known.push(dictionary);
    }
    let together: Vec<SharedCodes<'_>> = blocks.iter().map(codes).collect();
    let mut all = together[0].dictionary();
    assert!(all == known[1] && all != known[0]);
    together[1..].iter().for_each(|codes| all.take_in(codes.dictionary()));
    for (number, codes) in together.iter().enumerate() {
        assert_eq!(counted(&mut all, &rows(codes)), expected(number));
    }
    assert!(Dictionary::unite(&[&all, &together[1].dictionary()]).is_none(), "they are one already");
    // Codes that were given out before are told by the new one, too.
    let OneDictionary { mut dictionary, recoded, .. } = Dictionary::unite(&[&all, &dictionaries[1]]).unwrap();
    for (recoded, codes) in recoded.iter().zip([&together[1], &apart[1]]) {
        let recoded = recoded.as_ref().unwrap();
        let rows: Vec<usize> = rows(codes).into_iter().map(|code| recoded.get(code).unwrap()).collect();
        assert_eq!(counted(&mut dictionary, &rows), expected(1));
    }
}
