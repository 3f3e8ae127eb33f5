use std::sync::Arc;

use bytes::Bytes;
use memchr::memmem;
use proptest::prelude::*;

use crate::block::{Block, Needle, Pattern};
use crate::part::{Part, PartId, PartWriter};
use crate::record::Labels;
use crate::{Level, Origin, Pair, Record, StreamId, TimeRange};

pub(super) fn record(i: usize, line: &[u8], id: Option<&str>) -> Record {
    let pair = |id: &str| Pair { origin: Origin::Derived, name: "trace_id".into(), value: id.into() };
    Record {
        timestamp_ns: 1_795_168_800_000_000_000 + i as i64 * 1000,
        labels: Arc::new(Labels::default()),
        line: Bytes::copy_from_slice(line),
        level: Level::Info,
        pairs: id.map(pair).into_iter().collect(),
    }
}

/// A part with one block.
pub(super) fn part(records: &[Record]) -> Part {
    part_of(&[records])
}

/// A part with these blocks.
fn part_of(blocks: &[&[Record]]) -> Part {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("part-1.blk");
    let mut writer = PartWriter::create(&path, PartId(1), TimeRange::ALL).unwrap();
    for records in blocks {
        writer.add(&Block::from_records(StreamId(1), Arc::default(), records.iter()), 0).unwrap();
    }
    writer.finish().unwrap();
    Part::open(&path).unwrap()
}

/// The block as it is read from a part.
fn stored(records: &[Record]) -> Block {
    part(records).read(0).unwrap()
}

/// Lines of few kinds, as they are in a log, with something odd here and there.
fn arb_line() -> impl Strategy<Value = Vec<u8>> {
    let word =
        || prop_oneof!["[a-d]{1,3}", "[0-9]{1,3}", "[ab]{0,1}[0-9]{1,2}", "[0-9a-f]{8}", Just(String::new())];
    let json = (word(), word(), "[0-9]{1,2}(\\.[0-9]{2}){0,1}", word()).prop_map(|(a, b, n, m)| {
        format!(r#"{{"a":"{a}","b":{{"c":"{b}"}},"n":{n},"msg":"took {m} of {n} ms \"x\""}}"#)
    });
    let logfmt = (word(), word()).prop_map(|(a, b)| format!("level=info a={a} msg=\"got {b}\""));
    let plain = (word(), word(), word()).prop_map(|(a, b, c)| format!("{a} took {b}ms: {c}.{b}"));
    let path = (word(), word(), word()).prop_map(|(a, b, c)| {
        format!(r#"{{"msg":"{a} said at once {b}: retry of {c}.{a}:{b}","path":"/api/{a}/{b}?q={c}"}}"#)
    });
    let stamped = (0..86_400_u32, word()).prop_map(|(s, a)| {
        format!("2026-11-20T{:02}:{:02}:{:02}.{:03}Z {a} ok", s / 3600, s / 60 % 60, s % 60, s % 1000)
    });
    prop_oneof![
        4 => json.prop_map(String::into_bytes),
        2 => logfmt.prop_map(String::into_bytes),
        4 => path.prop_map(String::into_bytes),
        3 => plain.prop_map(String::into_bytes),
        1 => stamped.prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..12),
        1 => "[kKsS\u{212a}\u{17f}é]{1,3}=[0-9]".prop_map(String::into_bytes),
        1 => "[{}\":,a0=\n]{0,12}".prop_map(String::into_bytes),
    ]
}

/// Enough lines of few kinds that they are stored as shapes.
fn arb_lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
    (prop::collection::vec(arb_line(), 1..40), 3..12_usize).prop_map(|(kinds, times)| {
        let mut lines = Vec::new();
        for i in 0..times * 40 {
            lines.push(kinds[i * 7 % kinds.len()].clone());
        }
        lines
    })
}

/// Bytes of a needle, some of them more than there are bits for.
fn arb_len() -> impl Strategy<Value = usize> {
    prop_oneof![5 => 1..14_usize, 1 => 60..140_usize]
}

fn found(block: &Block, needle: &Needle) -> Vec<usize> {
    block.rows_with(needle).unwrap().iter().collect()
}

/// Running text of two outlines, with enough texts of each that their layouts are learned.
fn arb_running() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let piece = prop_oneof![
        3 => "[a-d]{1,3}",
        2 => Just("N".to_owned()),
        3 => Just("W".to_owned()),
        1 => Just("F".to_owned()),
        1 => Just("X".to_owned()),
        1 => Just("T".to_owned()),
        1 => Just("\u{e9}a1".to_owned()),
    ];
    let kind =
        || prop::collection::vec((piece.clone(), prop::sample::select(vec![" ", ":", "-", "=/", "."])), 2..7);
    (kind(), kind(), 600..700_usize, any::<u64>()).prop_map(|(one, other, count, seed)| {
        let line = |i: usize| {
            let mut line = String::new();
            let pieces = if i.is_multiple_of(5) { &other } else { &one };
            for (at, (piece, separator)) in pieces.iter().enumerate() {
                let random =
                    xxhash_rust::xxh3::xxh3_64_with_seed(&[i, at].map(usize::to_le_bytes).concat(), seed);
                match piece.as_str() {
                    "N" => line += &(random % 1000).to_string(),
                    "W" => {
                        line += &format!(
                            "{}{}",
                            ["a", "b", "cd", "Kb"][random as usize % 4],
                            ["", "k", "s", "dd", "bd"][random as usize / 4 % 5]
                        )
                    }
                    "F" => line += ["ok", "bad"][random as usize % 2],
                    "X" => line += &format!("{:08x}", random as u32),
                    "T" => line += &format!("2026-11-20T10:00:{:02}.{:03}Z", i / 100, i % 100),
                    literal => line += literal,
                }
                line += separator;
            }
            line.into_bytes()
        };
        (0..count).map(line).collect()
    })
}

type Cuts = Vec<(prop::sample::Index, prop::sample::Index, usize)>;

fn arb_cuts() -> impl Strategy<Value = Cuts> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), arb_len()), 12)
}

/// Holds a part with these lines against needles cut out of them, and another.
fn check(lines: &[Vec<u8>], cuts: Cuts, made_up: String) -> Result<(), TestCaseError> {
    let id = |line: &[u8]| format!("{:016x}", line.len());
    let records_of = |lines: &[Vec<u8>]| -> Vec<Record> {
        lines.iter().enumerate().map(|(i, line)| record(i, line, Some(&id(line)))).collect()
    };
    let mut needles = vec![made_up.into_bytes()];
    for (line, at, len) in cuts {
        let line = line.get(lines);
        if !line.is_empty() {
            let at = at.index(line.len());
            needles.push(line[at..line.len().min(at + len)].to_vec());
        }
    }
    // Blocks have some things in common and others not; what the first needle makes the part remember, later ones use.
    let (mut others, half) = (lines.to_vec(), lines.len() / 2);
    others[half..].iter_mut().for_each(|line| line.extend_from_slice(b" again 17 7a"));
    let part = part_of(&[&records_of(lines), &records_of(&others), &records_of(&others[half..])]);
    let blocks = [(0, lines), (1, &others), (2, &others[half..])];
    for (needle, (number, lines)) in needles.iter().flat_map(|needle| blocks.map(|block| (needle, block))) {
        let block = part.read(number).unwrap();
        let holds = |line: &[u8]| memmem::find(line, needle).is_some();
        let expected: Vec<usize> = (0..lines.len()).filter(|i| holds(&lines[*i])).collect();
        let told = String::from_utf8_lossy(needle);
        prop_assert_eq!(found(&block, &Needle::exact(needle)), expected.clone(), "{:?}", told);
        let in_pair = lines.iter().any(|line| memmem::find(id(line).as_bytes(), needle).is_some());
        let may_hold = part.may_hold(number, &Needle::exact(needle));
        prop_assert!(may_hold || (expected.is_empty() && !in_pair), "{:?}", told);
        if let Some(row) = expected.first() {
            prop_assert_eq!(block.line(*row).unwrap().into_owned(), lines[*row].clone());
        }
        for some in [&expected[..], &expected[expected.len() / 8 * 7..]] {
            let hits = block.lines_of(some).unwrap();
            for row in some {
                prop_assert_eq!(hits.get(*row).unwrap().into_owned(), lines[*row].clone());
            }
        }
        if let Ok(text) = std::str::from_utf8(needle) {
            let regex = format!("(?i){}", regex::escape(text));
            let regex = regex::bytes::Regex::new(&regex).unwrap();
            let expected: Vec<usize> = (0..lines.len()).filter(|i| regex.is_match(&lines[*i])).collect();
            prop_assert_eq!(found(&block, &Needle::ignoring_case(text)), expected);
        }
        let all = block.lines().unwrap();
        prop_assert!(all.iter().eq(lines.iter().map(Vec::as_slice)));
    }
    Ok(())
}

const MADE_UP: &str = "[a-d0-9 \":,.x=/?]{1,4}|[ks]|[0-9]{2,4}|[ab]{0,1}[0-9][ /.:][0-9]{0,2}";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_columns_say_of_a_needle_is_what_every_line_says(
        lines in arb_lines(), cuts in arb_cuts(), made_up in MADE_UP,
    ) {
        check(&lines, cuts, made_up)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_columns_of_places_say_of_a_needle_is_what_every_line_says(
        lines in arb_running(), cuts in arb_cuts(), made_up in MADE_UP,
    ) {
        check(&lines, cuts, made_up)?;
    }
}

#[test]
fn a_whole_message_is_found_with_its_values() {
    let message = |i: usize| {
        format!(
            "order {i} of the customer whose basket held the most was accepted by payment after {} tries",
            i % 7
        )
    };
    let lines: Vec<String> =
        (0..1000).map(|i| format!(r#"{{"msg":"{}","took":{}}}"#, message(i / 2), i * 7)).collect();
    let records: Vec<Record> =
        lines.iter().enumerate().map(|(i, line)| record(i, line.as_bytes(), None)).collect();
    let part = part(&records);
    for (text, expected) in [
        (message(77), vec![154, 155]),
        (message(77).replace("0 tries", "1 tries"), vec![]),
        (format!("{}\",\"took\":{}", message(77), 155 * 7), vec![155]),
        (lines[998].clone(), vec![998]),
    ] {
        let block = part.read(0).unwrap();
        assert_eq!(found(&block, &Needle::exact(text.as_bytes())), expected, "{text}");
        let shouted = text.to_uppercase();
        assert_eq!(found(&part.read(0).unwrap(), &Needle::ignoring_case(&shouted)), expected, "{shouted}");
    }
}

#[test]
fn service_lines_are_stored_as_shapes_whose_ids_are_those_of_the_pairs() {
    let id = |i: usize| format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&i.to_le_bytes()));
    let records: Vec<Record> = (0..1000)
        .map(|i| {
            let line =
                format!(r#"{{"trace_id":"{}","msg":"order {i} accepted","took":{}.25}}"#, id(i), i * 7);
            record(i, line.as_bytes(), Some(&id(i)))
        })
        .collect();
    let block = stored(&records);
    let shapes = block.shapes().unwrap().expect("no shapes");
    assert_eq!((shapes.len(), shapes.pairs().count()), (1, 1));
    assert_eq!(found(&block, &Needle::exact(b"order 77 ")), [77]);
    assert_eq!(found(&block, &Needle::exact(id(5).as_bytes())), [5]);
    assert_eq!(found(&block, &Needle::exact(b"accepted\",\"took\":7.2")), [1]);
    assert_eq!(block.line(999).unwrap().as_ref(), &records[999].line[..]);
}

#[test]
fn texts_of_many_kinds_are_read_only_by_needles_that_can_touch_their_words() {
    let word = |n: usize| ["load", "order", "stock", "mail", "user", "cart", "pay", "ship"][n % 8];
    let line = |i: usize| {
        let kind = i * i % 397;
        let (a, b, c) = (word(kind), word(kind / 8), word(kind / 64));
        let message = format!("{a} said {b} of {c} took {} ms at 10.{}.7.1:80 {kind:b}x", i * 3, i % 256);
        format!(r#"{{"msg":"{message}","path":"/api/v{}/{a}{i:x}y/{b}/{}"}}"#, i % 3, i * 7)
    };
    let lines: Vec<String> = (0..1200).map(line).collect();
    let records: Vec<Record> = lines.iter().enumerate().map(|(i, l)| record(i, l.as_bytes(), None)).collect();
    for (needle, message_unread, path_unread) in [
        ("9999", true, true),
        ("~", true, true),
        ("1734", false, true),
        ("took 1734 ms", false, true),
        ("at 10.25.7", false, true),
        ("/api/v2/", true, false),
        ("y/ship/", true, false),
    ] {
        let block = stored(&records);
        let expected: Vec<usize> = (0..lines.len()).filter(|i| lines[*i].contains(needle)).collect();
        assert_eq!(found(&block, &Needle::exact(needle.as_bytes())), expected, "{needle}");
        let encodings = [0, 1].map(|number| block.column_meta(number).unwrap().encoding);
        assert_eq!(encodings, [super::value_code::SHARED_SHAPES, super::value_code::SHARED]);
        let unread = [0, 1].map(|number: usize| block.columns[number].get().is_none());
        assert_eq!(unread, [message_unread, path_unread], "{needle}");
    }
}

/// Lines of a kind that is not met often, and whether they are stored as shapes.
fn odd_lines() -> Vec<(&'static str, bool, Vec<Vec<u8>>)> {
    let json =
        |i: usize| format!(r#"{{"n":{i},"text":"a \"b\" {i}","deep":{{"x":[{i},null,true]}}}}"#).into_bytes();
    let many = |i: usize| format!(r#"{{"key{}":{i},"text":"{:060}"}}"#, i % 4300, i).into_bytes();
    let mut long: Vec<Vec<u8>> = (0..130).map(json).collect();
    long[60] = format!(r#"{{"n":1,"text":"{}"}}"#, "0123456789 abc ".repeat(70_000)).into_bytes();
    let cut = |i: usize| json(i)[..i % 40].to_vec();
    let ends = |i: usize| format!("{{\"n\":{i},\"text\":\"one\ntwo {i}\"}}\n").into_bytes();
    let invalid = |i: usize| {
        let (line, at) = (json(i), memmem::find(&json(i), b"a ").unwrap());
        [&line[..at], &[0xff, i as u8 | 1, 0xc3, 0x28, 0], &line[at..]].concat()
    };
    vec![
        ("empty", false, vec![Vec::new(); 300]),
        ("of one shape", true, (0..300).map(json).collect()),
        ("all the same", true, vec![json(7); 300]),
        ("of more shapes than there may be", true, (0..4300 * 3).map(many).collect()),
        ("one of a mebibyte", true, long),
        ("cut anywhere", true, (0..400).map(cut).collect()),
        ("with line ends", true, (0..300).map(ends).collect()),
        ("not UTF-8", true, (0..300).map(invalid).collect()),
        (
            "random",
            false,
            (0..300_u64)
                .map(|i| xxhash_rust::xxh3::xxh3_128(&i.to_le_bytes()).to_le_bytes().to_vec())
                .collect(),
        ),
        ("few", false, (0..100).map(json).collect()),
    ]
}

#[test]
fn odd_lines_come_back_byte_for_byte_and_are_found() {
    for (name, are_shapes, lines) in odd_lines() {
        let records: Vec<Record> = lines.iter().enumerate().map(|(i, line)| record(i, line, None)).collect();
        let block = stored(&records);
        assert_eq!(block.shapes().unwrap().is_some(), are_shapes, "{name}");
        let middle = lines.len() / 2;
        assert_eq!(block.line(middle).unwrap().as_ref(), lines[middle], "{name}");
        let needles: [&[u8]; 8] =
            [b"", b"7", b"\"b\\\" 12", b"two 2", b"e\ntwo 29", &[0xff, 33], b"key4299\":", b"}"];
        for needle in needles {
            let holds = |i: &usize| memmem::find(&lines[*i], needle).is_some();
            let expected: Vec<usize> = (0..lines.len()).filter(holds).collect();
            assert_eq!(found(&block, &Needle::exact(needle)), expected, "{name}: {needle:?}");
        }
        assert!(block.lines().unwrap().iter().eq(lines.iter().map(Vec::as_slice)), "{name}");
    }
}

#[test]
fn values_of_pairs_are_found_however_they_are_stored() {
    let pairs = |i: usize| -> Vec<Pair> {
        let id = xxhash_rust::xxh3::xxh3_128(&i.to_le_bytes());
        let given = |name: String, value: String| Pair {
            origin: Origin::Given,
            name: name.into(),
            value: value.into(),
        };
        let mut pairs = vec![
            given("host".to_owned(), "Node1".to_owned()),
            given("id".to_owned(), format!("{id:032x}")),
            given("user".to_owned(), format!("Kim {i}")),
        ];
        if i.is_multiple_of(2) {
            pairs.push(given("even".to_owned(), format!("{:08x}", id as u32)));
        }
        // More names than there are columns.
        pairs.extend(
            (0..130).filter(|n| n % 50 == i % 50).map(|n| given(format!("x{n}"), format!("over {n}"))),
        );
        pairs
    };
    let records: Vec<Record> = (0..200)
        .map(|i| Record { pairs: pairs(i), ..record(i, format!("line {i}").as_bytes(), None) })
        .collect();
    for needle in ["node1", "kim 1", "over 12", "abc", "7f", "\u{212a}im 19", "nothing"] {
        for (needle, pattern) in [
            (Needle::exact(needle.as_bytes()), regex::escape(needle)),
            (Needle::ignoring_case(needle), format!("(?i){}", regex::escape(needle))),
        ] {
            let regex = regex::Regex::new(&pattern).unwrap();
            let holds = |i: &usize| records[*i].pairs.iter().any(|pair| regex.is_match(&pair.value));
            let expected: Vec<usize> = (0..records.len()).filter(holds).collect();
            for block in [stored(&records), Block::from_records(StreamId(1), Arc::default(), records.iter())]
            {
                let rows = block.rows_with_value(&needle).unwrap();
                assert_eq!(rows.iter().collect::<Vec<_>>(), expected, "{pattern}");
            }
        }
    }
}

#[test]
fn a_text_in_no_template_is_in_no_value_and_nothing_is_unpacked() {
    let messages = ["order {} was accepted by the warehouse", "took {} ms to answer the customer's call"];
    let records: Vec<Record> = (0..1000)
        .map(|i| {
            let message = messages[i % 2].replace("{}", &(i * 7 % 977).to_string());
            record(i, format!(r#"{{"level":"info","msg":"{message}"}}"#).as_bytes(), None)
        })
        .collect();
    let part = part(&records);
    let unpacked = |needle: &str, expected: usize| {
        let block = part.read(0).unwrap();
        let needle = Needle::exact(needle.as_bytes());
        assert_eq!(found(&block, &needle).len(), expected);
        block.columns.iter().filter(|column| column.get().is_some()).count()
    };
    assert_eq!(unpacked("accepted by the customer", 0), 0);
    // The block need not even be opened.
    for (needle, expected) in [
        ("by the customer", false),
        ("warehouse was", false),
        ("17 was accepted", true),
        ("the customer's", true),
        ("warehouse\"}", true), // spans the message's end
        ("info", true),
    ] {
        assert_eq!(part.may_hold(0, &Needle::exact(needle.as_bytes())), expected, "{needle}");
    }
    assert_eq!(unpacked("customer was", 0), 0);
    assert!(unpacked("was accepted by", 500) > 0);
    assert!(unpacked("order 14 was", 1) > 0);
}

/// Expressions without literals, the bytes their matches may have, and sets of which they have a byte each.
const PATTERNS: [(&str, &str, &[&str]); 6] = [
    ("[0-9a-f]{9}", "0123456789abcdef", &["0123456789abcdef"]),
    ("[a-f]{2}[0-9]", "0123456789abcdef", &["abcdef", "0123456789"]),
    ("[a-z]{4,}", "abcdefghijklmnopqrstuvwxyz", &["abcdefghijklmnopqrstuvwxyz"]),
    ("[0-9][.:][0-9]", "0123456789.:", &["0123456789", ".:"]),
    ("[ab/][0-9]+", "ab/0123456789", &["ab/", "0123456789"]),
    ("[,\"}] ?", ",\"} ", &[",\"}"]),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_columns_say_of_a_pattern_is_what_every_line_says(lines in arb_lines()) {
        let records: Vec<Record> =
            lines.iter().enumerate().map(|(i, line)| record(i, line, Some(&format!("{:016x}", i / 3)))).collect();
        let part = part_of(&[&records, &records[records.len() / 2..]]);
        for (pattern, bytes, required) in PATTERNS {
            let regex = regex::bytes::Regex::new(pattern).unwrap();
            let required: Vec<Vec<u8>> = required.iter().map(|set| set.as_bytes().to_vec()).collect();
            let pattern = Pattern::new(regex.clone(), bytes.as_bytes(), &required);
            for (number, lines) in [(0, &lines[..]), (1, &lines[lines.len() / 2..])] {
                let found = part.read(number).unwrap().rows_with_pattern(&pattern).unwrap();
                let expected: Vec<usize> = (0..lines.len()).filter(|i| regex.is_match(&lines[*i])).collect();
                prop_assert_eq!(found.map(|rows| rows.iter().collect()).unwrap_or(expected.clone()), expected);
            }
        }
    }
}

#[test]
fn a_pattern_is_looked_for_in_literals_and_values_by_themselves() {
    let line = |i: usize| {
        let hash = xxhash_rust::xxh3::xxh3_128(&(i / 2).to_le_bytes());
        let (short, n) = (hash as u64 >> 16, i * 11);
        format!(
            r#"{{"id":"{hash:032x}","msg":"order {i} of {short:012x} beef1 took {}.5 ms","n":{n}}}"#,
            i % 90
        )
    };
    let lines: Vec<String> = (0..900).map(line).collect();
    let with_pair = |(i, line): (usize, &String)| record(i, line.as_bytes(), line.get(7..39));
    let records: Vec<Record> = lines.iter().enumerate().map(with_pair).collect();
    let part = part(&records);
    for (pattern, (bytes, required), told) in [
        ("[a-f]{4}[0-9]{3}", ("0123456789abcdef", ["abcdef", "0123456789"]), true),
        ("[a-f]{4}[0-9]", ("0123456789abcdef", ["abcdef", "0123456789"]), true),
        ("[0-9]{4}", ("0123456789", ["0123456789", "0123456789"]), true),
        ("[0-9] [a-z]", ("0123456789 abcdefghijklmnopqrstuvwxyz", [" ", "0123456789"]), false),
    ] {
        let regex = regex::bytes::Regex::new(pattern).unwrap();
        let required = required.map(|set| set.as_bytes().to_vec());
        let block = part.read(0).unwrap();
        let found =
            block.rows_with_pattern(&Pattern::new(regex.clone(), bytes.as_bytes(), &required)).unwrap();
        assert_eq!(found.is_some(), told, "{pattern}");
        let expected = (0..lines.len()).filter(|i| regex.is_match(lines[*i].as_bytes()));
        assert!(found.is_none_or(|rows| rows.iter().eq(expected)), "{pattern}");
    }
}
