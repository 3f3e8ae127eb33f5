use std::fs;

use bytes::Bytes;

use super::*;
use crate::block::Block;
use crate::part::PartWriter;
use crate::record::Labels;
use crate::{Level, Record, StreamId, TimeRange};

fn part(dir: &Path, id: u64, lines: &[&str]) -> Arc<Part> {
    let path = dir.join(format!("part-{id}.blk"));
    let mut writer = PartWriter::create(&path, PartId(id), TimeRange::ALL).unwrap();
    let labels = Arc::new(Labels::default());
    for line in lines {
        let line = Bytes::from((*line).to_owned());
        let record = Record {
            timestamp_ns: 0,
            labels: Arc::clone(&labels),
            line,
            level: Level::Info,
            pairs: Vec::new(),
        };
        writer.add(&Block::from_records(StreamId(1), Arc::clone(&labels), [record].iter()), 0).unwrap();
    }
    writer.finish().unwrap();
    Arc::new(Part::open(&path).unwrap())
}

fn hits(dir: &Path, parts: &[Arc<Part>], word: &str) -> Vec<(u64, u32)> {
    let index = WordIndex::open(dir).unwrap();
    let pattern = WordPattern { text: word.into(), open_start: false, open_end: false };
    let found = index.search(&pattern).unwrap();
    let mut hits = Vec::new();
    for part in parts {
        for block in 0..part.blocks().len() as u32 {
            if index.first_block(part).is_some_and(|first| found.contains(first + block)) {
                hits.push((part.id().0, block));
            }
        }
    }
    hits
}

#[test]
fn sync_makes_the_index_hold_the_parts_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("index");
    let parts = [part(dir.path(), 1, &["alpha", "beta"]), part(dir.path(), 2, &["beta gamma"])];
    let mut index = WindowIndex::open(&at).unwrap();
    assert_eq!(index.sync(&parts).unwrap(), [""; 0]);
    assert_eq!(hits(&at, &parts, "beta"), [(1, 1), (2, 0)]);

    // A merge made part 3 of parts 1 and 2.
    let merged = [part(dir.path(), 3, &["beta"])];
    index.sync(&merged).unwrap();
    assert_eq!(hits(&at, &merged, "beta"), [(3, 0)]);
    let read = WordIndex::open(&at).unwrap();
    assert!(read.covers(&merged[0]) && !read.covers(&parts[0]));
    assert!(matches!(WindowIndex::open(&at), Err(IndexError { action: "open", .. })), "two writers");
    index.close().unwrap();
}

#[test]
fn an_index_that_cannot_be_used_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("index");
    let parts = [part(dir.path(), 1, &["alpha", "beta"])];
    for harm in ["none", "meta", "files", "bit"] {
        match harm {
            "meta" => fs::write(at.join("meta.json"), "{").unwrap(),
            "files" => {
                for entry in fs::read_dir(&at).unwrap() {
                    let path = entry.unwrap().path();
                    if path.extension().is_some_and(|e| e != "json") {
                        fs::remove_file(path).unwrap();
                    }
                }
            }
            "bit" => {
                let is_terms = |path: &PathBuf| path.extension().is_some_and(|e| e == "term");
                let path = fs::read_dir(&at).unwrap().map(|e| e.unwrap().path()).find(is_terms).unwrap();
                let mut bytes = fs::read(&path).unwrap();
                bytes[3] ^= 1;
                fs::write(&path, bytes).unwrap();
            }
            _ => {}
        }
        assert!(WordIndex::open(&at).is_err(), "{harm}");
        let mut index = WindowIndex::open(&at).unwrap();
        index.sync(&parts).unwrap();
        index.close().unwrap();
        assert_eq!(hits(&at, &parts, "alpha"), [(1, 0)], "{harm}");
    }
}
