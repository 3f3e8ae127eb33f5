//! Damage of every kind in every file of a folder, drawn from a seed: `verify` finds it, or what is read is the same as
//! before.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::data;
use super::folder::files_below;
use crate::readings::{Reading, Round};
use crate::writer::{Batch, Container, CursorUpdate, Gap, GapReason, Writer};
use crate::{
    BlockQuery, Config, Labels, Level, Prune, Reader, Record, SpanRow, StoreError, Text, TimeRange,
    TraceBatch, TraceRows,
};

const START_NS: i64 = 1_795_168_800_000_000_000;
const DAY_NS: i64 = 86_400_000_000_000;
/// Harms done to each kind of file. With 300 and another seed 6,900 were tried; they take nine minutes.
const HARMS: usize = 8;

/// Numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(1);
        (xxhash_rust::xxh3::xxh3_64(&self.0.to_le_bytes()) % end.max(1) as u64) as usize
    }
}

fn records(round: i64) -> Vec<Record> {
    let labels = |i: i64| Arc::new(Labels::new([("service_name", ["cart", "pay"][i as usize % 2])]));
    let record = |i: i64| Record {
        timestamp_ns: START_NS + round % 2 * DAY_NS + round * 1_000_000 + i * 1_000,
        labels: labels(i),
        line: format!("order {round}{i} of 4bf92f3577b34da6a3ce929d0e0e{i:04x} refused\u{e9} by shop{round}")
            .into(),
        level: [Level::Info, Level::Error][i as usize % 2],
        pairs: Vec::new(),
    };
    (0..200).map(record).collect()
}

fn traces(writer: &Writer) {
    let span = |i: u8| SpanRow {
        span_id: [i + 1; 8],
        service: ["cart", "pay"][usize::from(i) % 2].into(),
        operation: format!("op {}", i % 3),
        kind: 2,
        start_ns: START_NS + i64::from(i),
        end_ns: START_NS + 1_000 * i64::from(i) + 1_000,
        error: i.is_multiple_of(5),
        tags: vec![("order".into(), i.to_string().into())],
        body: format!("{{\"body\":{i}}}").into_bytes(),
    };
    let traces = (0..4u8).map(|t| TraceRows {
        trace_id: [t + 1; 16],
        whole: true,
        spans: (0..6).map(|i| span(t * 6 + i)).collect(),
    });
    let cursors = vec![cursor("traces", Some(b"{\"commit\":3}"), None)];
    writer
        .store_traces_blocking(TraceBatch { traces: traces.collect(), cursors, ..TraceBatch::default() })
        .unwrap();
}

fn cursor(source: &str, position: Option<&[u8]>, covered_ns: Option<i64>) -> CursorUpdate {
    CursorUpdate { source: source.to_owned(), position: position.map(<[u8]>::to_vec), covered_ns }
}

/// Writes what every table, part and index has something of; hands over the folder as it is before the writer ends.
fn fill(dir: &Path, killed: Option<&Path>) {
    let writer = Writer::open(dir, &Config::default(), &prometheus::Registry::new()).unwrap();
    for round in 0..5 {
        let container = Container {
            id: format!("{round:064x}"),
            name: "cart".to_owned(),
            image: "shop".to_owned(),
            service: "cart".to_owned(),
            project: "p".to_owned(),
            state: "running".to_owned(),
            created_ns: START_NS,
            started_ns: Some(START_NS),
            finished_ns: None,
            exit_code: Some(round),
            source: Container::FROM_API.to_owned(),
        };
        let source = format!("docker/{round:064x}");
        let gap = Gap {
            source: source.clone(),
            name: "cart".to_owned(),
            from_ns: START_NS,
            to_ns: START_NS + round,
            lines: Some(3),
            reason: GapReason::Rotated,
        };
        let batch = Batch {
            records: records(round),
            cursors: vec![cursor(&source, Some(b"{\"v\":\"1\",\"out\":{}}"), Some(START_NS + round))],
            gaps: vec![gap],
            containers: vec![container],
            coverage: Vec::new(),
        };
        writer.append_blocking(batch).unwrap();
        let reading = Reading { container_id: format!("{round:012x}"), cpu_ns: 5, ..Reading::default() };
        writer.store_readings_blocking(&Round { at_ns: START_NS + round, readings: vec![reading] }).unwrap();
        match round {
            2 => traces(&writer),
            1 | 3 => writer.flush_blocking().unwrap(),
            _ => {}
        }
    }
    if let Some(killed) = killed {
        // The indexes are written when the writer ends; here they are left out.
        copy(dir, killed);
    }
}

/// Makes `to` what `from` is.
fn copy(from: &Path, to: &Path) {
    for name in files_below(to, &mut Vec::new()) {
        fs::remove_file(to.join(name)).unwrap();
    }
    for name in files_below(from, &mut Vec::new()) {
        fs::create_dir_all(to.join(&name).parent().unwrap()).unwrap();
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

/// Everything that can be read, in words.
fn content(dir: &Path) -> Result<String, StoreError> {
    let reader = Reader::open(dir)?;
    let (mut told, mut lines) = (String::new(), Vec::new());
    let snapshot = reader.snapshot()?;
    let text = |bytes: &str| Prune::Text(Text::substring(bytes));
    for prune in [Prune::Any, text("refused"), text(" of 4bf92f3577b34da6a3ce929d0e0e0007 "), text("shop3")] {
        let query = BlockQuery { range: TimeRange::ALL, streams: None, levels: None, prune: &prune };
        let found = snapshot.candidates(&query)?;
        for block in found.blocks {
            let read = block.open().and_then(|open| {
                for (i, line) in open.lines()?.iter().enumerate() {
                    let holds = match &prune {
                        Prune::Text(text) => memchr::memmem::find(line, &text.bytes).is_some(),
                        _ => true,
                    };
                    if holds {
                        let pairs: Vec<_> = open.pairs()?.get(i).collect();
                        let (at, level) = (open.timestamps()?[i], open.levels()?[i]);
                        let line = String::from_utf8_lossy(line);
                        lines.push(format!("{prune:?} {at} {:?} {level:?} {pairs:?} {line}", open.labels()));
                    }
                }
                Ok(())
            });
            lines.extend(read.err().map(|error| error.to_string()));
        }
        lines.extend(found.damaged);
    }
    lines.sort();
    told += &lines.join("\n");
    // The number of a gap is only there to tell them apart.
    let mut gaps = reader.gaps(TimeRange::ALL)?;
    gaps.sort_by_key(|gap| (gap.from_ns, gap.to_ns));
    told += &format!("{gaps:?}\n{:?}\n{:?}\n", reader.coverage()?, reader.containers()?);
    told += &format!("{:?}\n", reader.catalog().cursors("")?);
    told += &format!("{:?}\n{:?}\n", reader.spans_after(0, 1_000)?, reader.span_stats()?.spans);
    told += &format!("{:?}\n", reader.readings(TimeRange::ALL, &[])?);
    for service in reader.span_services()? {
        told += &format!("{service} {:?}\n", reader.span_operations(&service)?);
    }
    Ok(told)
}

/// As [`content`], after a writer had the folder.
fn content_after_a_start(dir: &Path) -> Result<String, StoreError> {
    drop(Writer::open(dir, &Config::default(), &prometheus::Registry::new())?);
    content(dir)
}

fn kind(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    let is_segment = file.len() > 32 && file.as_bytes()[..32].iter().all(u8::is_ascii_hexdigit);
    match file.rsplit_once('.') {
        Some((_, extension)) if is_segment || file.starts_with("part-") => extension.to_owned(),
        _ => file.to_owned(),
    }
}

/// Changes the bytes of a file; says how.
fn harm(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    let (len, at) = (bytes.len(), random.below(bytes.len()));
    let some = 1 + random.below(64.min(len - at));
    match random.below(7) {
        0 => {
            bytes.truncate(at);
            format!("cut to {at} of {len}")
        }
        1 => {
            bytes.truncate(len - some.min(len));
            let zeros = random.below(2) * some;
            bytes.resize(bytes.len() + zeros, 0);
            format!("tail of {some} torn, {zeros} zeros of {len}")
        }
        2 => {
            bytes[at..at + some].fill(0);
            format!("{some} zeros at {at} of {len}")
        }
        3 => {
            bytes[at..at + some].iter_mut().for_each(|byte| *byte = random.below(256) as u8);
            format!("{some} of noise at {at} of {len}")
        }
        _ => {
            let bit = random.below(8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} flipped at {at} of {len}")
        }
    }
}

#[test]
fn damage_to_any_file_is_found_or_changes_nothing() {
    let [ended, killed, trials] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    fill(ended.path(), Some(killed.path()));
    let mut random = Random(7);
    let (mut missed, mut done) = (Vec::new(), BTreeMap::<String, (usize, usize)>::new());
    for (base, base_name) in [(ended.path(), "ended"), (killed.path(), "killed")] {
        let trial = |name: &str| {
            let dir = trials.path().join(name);
            copy(base, &dir);
            dir
        };
        let whole = trial("whole");
        assert_eq!(data(&whole).unwrap().damage, Vec::<String>::new());
        let before = (content(&whole).unwrap(), content_after_a_start(&whole).unwrap());
        let mut kinds = BTreeMap::<String, Vec<String>>::new();
        for name in files_below(base, &mut Vec::new()) {
            kinds.entry(kind(&name)).or_default().push(name);
        }
        for (kind, names) in kinds {
            for _ in 0..HARMS {
                let name = &names[random.below(names.len())];
                let dir = trial("harmed");
                let mut bytes = fs::read(dir.join(name)).unwrap();
                if bytes.is_empty() {
                    break;
                }
                let how = harm(&mut bytes, &mut random);
                fs::write(dir.join(name), &bytes).unwrap();
                let found = data(&dir).map_or_else(|error| vec![error.to_string()], |report| report.damage);
                let (harms, harmless) = done.entry(kind.clone()).or_default();
                *harms += 1;
                if !found.is_empty() {
                    continue;
                }
                *harmless += 1;
                for (when, before, after) in [
                    ("read", &before.0, content(&dir)),
                    ("read after a start", &before.1, content_after_a_start(&dir)),
                ] {
                    if after.as_ref().ok() != Some(before) {
                        missed.push(format!("{base_name} {name}: {how}: {when} differs"));
                    }
                }
            }
        }
    }
    println!("harms by kind of file, and those of them that change nothing: {done:?}");
    assert_eq!(missed, Vec::<String>::new());
}

#[test]
fn damage_to_any_file_of_a_backup_is_found() {
    let [folder, backup] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    fill(folder.path(), None);
    crate::backup::to_folder(folder.path(), backup.path(), &mut |_| {}).unwrap();
    let mut random = Random(9);
    let found = || super::backup(backup.path()).map_or_else(|e| vec![e.to_string()], |report| report.damage);
    assert_eq!(found(), Vec::<String>::new());
    for name in files_below(backup.path(), &mut Vec::new()) {
        let path = backup.path().join(&name);
        let whole = fs::read(&path).unwrap();
        for _ in 0..20 * usize::from(name != crate::lock::FILE) {
            let mut bytes = whole.clone();
            let how = harm(&mut bytes, &mut random);
            fs::write(&path, &bytes).unwrap();
            assert!(bytes == whole || !found().is_empty(), "{name}: {how}");
        }
        fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn a_change_of_any_value_in_the_catalog_is_found() {
    let [whole, harmed] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    fill(whole.path(), None);
    let catalog = Connection::open(whole.path().join("catalog.db")).unwrap();
    let names = |query: &str| -> Vec<String> {
        let mut statement = catalog.prepare(query).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    copy(whole.path(), harmed.path());
    let before = (content(harmed.path()).unwrap(), content_after_a_start(harmed.path()).unwrap());
    let mut missed = Vec::new();
    for table in names("SELECT name FROM sqlite_schema WHERE type = 'table'") {
        let columns = names(&format!("SELECT name FROM pragma_table_info('{table}')"));
        let mut statement = catalog.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let mut rows = statement.query([]).unwrap();
        let mut number = 0;
        while let Some(row) = rows.next().unwrap() {
            number += 1;
            if table != "settings" && ![1, 2, 5].contains(&number) {
                continue;
            }
            let values: Vec<Value> = (0..columns.len()).map(|i| row.get(i).unwrap()).collect();
            let place: Vec<String> =
                columns.iter().enumerate().map(|(i, c)| format!("{c} IS ?{}", i + 1)).collect();
            for (i, column) in columns.iter().enumerate() {
                for value in others(&values[i]) {
                    copy(whole.path(), harmed.path());
                    let other = Connection::open(harmed.path().join("catalog.db")).unwrap();
                    other.pragma_update(None, "foreign_keys", false).unwrap();
                    let mut parameters = values.clone();
                    parameters.push(value.clone());
                    let changed = other.execute(
                        &format!(
                            "UPDATE {table} SET {column} = ?{} WHERE {}",
                            columns.len() + 1,
                            place.join(" AND ")
                        ),
                        rusqlite::params_from_iter(&parameters),
                    );
                    drop(other);
                    // A value that the table itself refuses cannot be there.
                    if changed.is_ok()
                        && data(harmed.path()).is_ok_and(|report| report.damage.is_empty())
                        && (content(harmed.path()).ok() != Some(before.0.clone())
                            || content_after_a_start(harmed.path()).ok() != Some(before.1.clone()))
                    {
                        missed
                            .push(format!("{table}.{column} of row {number}: {:?} to {value:?}", values[i]));
                    }
                }
            }
        }
    }
    assert_eq!(missed, Vec::<String>::new());
}

/// Values that a changed byte makes of a value.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Integer(number) => [0, 7, 40].map(|bit| Value::Integer(number ^ 1 << bit)).to_vec(),
        Value::Blob(bytes) if !bytes.is_empty() => [0, bytes.len() / 2, bytes.len() - 1]
            .map(|at| {
                let mut bytes = bytes.clone();
                bytes[at] ^= 4;
                Value::Blob(bytes)
            })
            .to_vec(),
        Value::Text(text) if !text.is_empty() => vec![Value::Text(format!("x{}", text.split_at(1).1))],
        _ => vec![Value::Integer(1)],
    }
}
