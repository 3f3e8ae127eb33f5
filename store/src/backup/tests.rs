use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::config::Period;
use crate::writer::{Batch, Writer};
use crate::{BlockQuery, Config, Labels, Level, Prune, Reader, Record, TimeRange};

fn open(dir: &Path) -> Writer {
    let config = Config { window: Period(std::time::Duration::from_secs(3600)), ..Config::default() };
    Writer::open(dir, &config, &prometheus::Registry::new()).unwrap()
}

fn append(writer: &Writer, numbers: std::ops::Range<usize>) {
    let labels = Arc::new(Labels::new([("service_name", "numbered")]));
    let record = |i: usize| Record {
        timestamp_ns: 1_700_000_000_000_000_000 + i as i64,
        labels: Arc::clone(&labels),
        line: format!("line {i}").into_bytes().into(),
        level: Level::Info,
        pairs: Vec::new(),
    };
    writer.append_blocking(Batch { records: numbers.map(record).collect(), ..Batch::default() }).unwrap();
}

/// The numbers of all lines; none may be there twice.
fn numbers(dir: &Path) -> BTreeSet<usize> {
    let query = BlockQuery { range: TimeRange::ALL, streams: None, levels: None, prune: &Prune::Any };
    let found = Reader::open(dir).unwrap().snapshot().unwrap().candidates(&query).unwrap();
    assert_eq!(found.damaged, Vec::<String>::new());
    let mut numbers = BTreeSet::new();
    for block in &found.blocks {
        let block = block.open().unwrap();
        let lines = block.lines().unwrap();
        for i in 0..block.len() {
            let line = String::from_utf8(lines.get(i).to_vec()).unwrap();
            let number = line.strip_prefix("line ").unwrap().parse().unwrap();
            assert!(numbers.insert(number), "{line} is there twice");
        }
    }
    numbers
}

fn quiet() -> impl FnMut(Progress) {
    |_| {}
}

#[test]
fn a_backup_during_ingest_holds_all_that_was_acknowledged_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("data"), dir.path().join("backup"));
    let writer = open(&data);
    let (acknowledged, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0.. {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                append(&writer, i * 100..(i + 1) * 100);
                acknowledged.store((i + 1) * 100, Ordering::Release);
                if i % 20 == 19 {
                    writer.flush_blocking().unwrap();
                }
            }
        });
        for round in 0..4 {
            while acknowledged.load(Ordering::Acquire) < (round + 1) * 2_500 {
                std::thread::yield_now();
            }
            let before = acknowledged.load(Ordering::Acquire);
            to_folder(&data, &target, &mut quiet()).unwrap();
            let mut archive = Vec::new();
            to_archive(&data, &mut archive, &mut quiet()).unwrap();
            let after = acknowledged.load(Ordering::Acquire) + 100;
            for (name, from) in
                [("a", From::Folder(&target)), ("b", From::Archive(Box::new(archive.as_slice())))]
            {
                let to = dir.path().join(format!("{name}{round}"));
                restore(from, &to, false, false, &mut quiet()).unwrap();
                let found = numbers(&to);
                assert!(found.len() >= before && found.len() <= after, "{before} {} {after}", found.len());
                assert_eq!(found.last(), Some(&(found.len() - 1)), "lines are missing");
                assert_eq!(crate::verify::data(&to).unwrap().damage, Vec::<String>::new());
            }
        }
        stop.store(true, Ordering::Release);
    });
}

#[test]
fn a_second_backup_copies_only_what_is_new_and_mends_what_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("data"), dir.path().join("backup"));
    let writer = open(&data);
    append(&writer, 0..100);
    writer.flush_blocking().unwrap();
    to_folder(&data, &target, &mut quiet()).unwrap();
    append(&writer, 100..200);
    writer.flush_blocking().unwrap();
    let second = to_folder(&data, &target, &mut quiet()).unwrap();
    assert_eq!((second.copied_files, second.unchanged_files), (2, 1), "{second:?}");
    let part = files(&target).into_iter().find(|path| path.ends_with("part-00000001.blk")).unwrap();
    flip(&part, 60);
    assert!(!crate::verify::backup(&target).unwrap().damage.is_empty());
    let third = to_folder(&data, &target, &mut quiet()).unwrap();
    assert_eq!((third.copied_files, third.unchanged_files), (2, 1), "{third:?}");
    assert_eq!(crate::verify::backup(&target).unwrap().damage, Vec::<String>::new());
    // Damage in the data folder does not reach the backup's whole copy.
    flip(&data.join(part.strip_prefix(&target).unwrap()), 60);
    let fourth = to_folder(&data, &target, &mut quiet()).unwrap();
    assert_eq!((fourth.unchanged_files, fourth.damage.len()), (2, 1), "{fourth:?}");
    assert_eq!(crate::verify::backup(&target).unwrap().damage, Vec::<String>::new());
}

#[test]
fn a_restore_replaces_nothing_unless_told_and_refuses_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("data"), dir.path().join("backup"));
    let other = dir.path().join("other");
    for (path, lines) in [(&data, 0..50), (&other, 0..7)] {
        let writer = open(path);
        append(&writer, lines);
        writer.flush_blocking().unwrap();
    }
    to_folder(&data, &target, &mut quiet()).unwrap();
    let refused = to_folder(&other, &target, &mut quiet()).unwrap_err().to_string();
    assert!(refused.contains("another data folder"), "{refused}");
    let occupied = restore(From::Folder(&target), &other, false, false, &mut quiet()).unwrap_err();
    assert!(matches!(occupied, BackupError::Occupied { .. }), "{occupied}");
    assert_eq!(numbers(&other).len(), 7);
    for path in files(&target).into_iter().filter(|path| !path.ends_with("writer.lock")) {
        let len = std::fs::metadata(&path).unwrap().len();
        flip(&path, len / 2);
        let damaged = restore(From::Folder(&target), &other, true, false, &mut quiet());
        assert!(damaged.is_err(), "{}", path.display());
        flip(&path, len / 2);
    }
    assert_eq!(numbers(&other).len(), 7);
    let mut archive = Vec::new();
    to_archive(&data, &mut archive, &mut quiet()).unwrap();
    let cut = &archive[..archive.len() / 2];
    assert!(restore(From::Archive(Box::new(cut)), &other, true, false, &mut quiet()).is_err());
    restore(From::Folder(&target), &other, true, false, &mut quiet()).unwrap();
    assert_eq!(numbers(&other).len(), 50);
    drop(open(&other));
}

/// Every file below `dir`.
fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

fn flip(path: &Path, at: u64) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at as usize] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}
