//! Opening a data folder as its writer: whatever state the last one left, the result is consistent.
//!
//! The catalog alone says what is stored. Files it does not know are remains of unfinished work and are
//! deleted; what it knows and cannot be read is reported and left out, and never ends the start.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::Config;
use crate::backup::STAGING_DIR;
use crate::catalog::{BatchRow, CatalogWriter, PartRow, WindowRow};
use crate::error::StoreError;
use crate::head::Commit;
use crate::metrics::Metrics;
use crate::parts::{PartEntry, WINDOWS_DIR};
use crate::payload;
use crate::record::{Labels, StreamId};
use crate::state::{State, WindowParts, Windows};
use crate::writer::budget::Budget;
use crate::writer::committer::Streams;
use crate::writer::{Gap, GapReason};

/// Folders of deleted windows on their way out.
pub(crate) const TRASH_DIR: &str = "trash";

/// What a writer begins with.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) catalog: CatalogWriter,
    pub(crate) streams: Streams,
    pub(crate) state: State,
    pub(crate) window_ns: i64,
    /// Order key of the next record.
    pub(crate) next_seq: u64,
    pub(crate) last_window: i64,
    pub(crate) last_part: u64,
}

/// Brings the folder, whose lock the caller holds, into a consistent state.
pub(crate) fn open(
    dir: &Path,
    config: &Config,
    budget: &Budget,
    metrics: &Metrics,
) -> Result<Recovered, StoreError> {
    if dir.join(STAGING_DIR).exists() {
        // A new catalog would take what is restored so far for remains.
        return Err(StoreError::Restoring { dir: dir.display().to_string() });
    }
    let window_ns = i64::try_from(config.window.0.as_nanos()).unwrap_or(i64::MAX);
    let mut catalog = CatalogWriter::open(dir, window_ns)?;
    let found_window_ns = catalog.window_ns()?;
    if found_window_ns != window_ns {
        tracing::warn!(
            dir = %dir.display(), seconds = found_window_ns / 1_000_000_000,
            "`store.window` is fixed when the data folder is made; this folder keeps its own",
        );
    }
    let (stream_rows, last_stream) = catalog.streams()?;
    let (windows, parts) = catalog.windows_and_parts()?;
    let mut next_seq = parts.iter().map(|part| part.end_seq).max().unwrap_or(0);
    remove_orphans(dir, &windows, &parts);
    let (last_window, last_part) = catalog.highest_window_and_part()?;
    let mut state = State::default();
    state.add_streams(&stream_rows);
    state.windows = Arc::new(group_by_window(dir, windows, parts));
    report_missing(&state.windows, metrics);
    let damaged = load_head(&catalog, budget, &mut state, &mut next_seq)?;
    state.last_commit = catalog.highest_batch()?;
    for (row, what) in damaged {
        metrics.damaged.inc();
        tracing::error!(
            batch = row.id,
            records = row.records,
            what,
            "damaged batch set aside; its records are lost"
        );
        catalog.quarantine(row.id, Some(&gap_of(&row)))?;
    }
    let streams = Streams::new(&stream_rows, last_stream);
    Ok(Recovered { catalog, streams, state, window_ns: found_window_ns, next_seq, last_window, last_part })
}

/// Reads the batches into the head; returns those that cannot be read, and why.
fn load_head(
    catalog: &CatalogWriter,
    budget: &Budget,
    state: &mut State,
    next_seq: &mut u64,
) -> Result<Vec<(BatchRow, String)>, StoreError> {
    let mut damaged = Vec::new();
    catalog.each_batch(|row| {
        *next_seq = (*next_seq).max(row.first_seq + row.records);
        match decode_batch(&row, |stream| state.stream(stream).map(|s| Arc::clone(&s.labels))) {
            Ok(mut commit) => {
                commit.share = budget.take_what_is_left(commit.memory);
                state.push(Arc::new(commit));
            }
            Err(what) => damaged.push((BatchRow { payload: Vec::new(), ..row }, what)),
        }
    })?;
    Ok(damaged)
}

/// The records of a stored batch, or what is wrong with it.
pub(crate) fn decode_batch(
    row: &BatchRow,
    labels_of: impl Fn(StreamId) -> Option<Arc<Labels>>,
) -> Result<Commit, String> {
    let (records, streams) =
        payload::decode(&row.payload, row.checksum, labels_of).map_err(|error| error.to_string())?;
    if records.len() as u64 != row.records {
        return Err(format!("it holds {} records instead of {}", records.len(), row.records));
    }
    Ok(Commit::new(row.id, row.first_seq, records, &streams))
}

fn gap_of(row: &BatchRow) -> Gap {
    Gap {
        source: "store".to_owned(),
        name: format!("batch {}", row.id),
        from_ns: row.min_ns,
        to_ns: row.max_ns,
        lines: Some(row.records),
        reason: GapReason::Damaged,
    }
}

/// The parts by window, each list by order key.
pub(crate) fn group_by_window(dir: &Path, windows: Vec<WindowRow>, parts: Vec<PartRow>) -> Windows {
    let mut by_id: BTreeMap<i64, WindowParts> =
        windows.into_iter().map(|window| (window.id, WindowParts { window, parts: Vec::new() })).collect();
    for row in parts {
        // The catalog's foreign key rules out a part without its window.
        if let Some(entry) = by_id.get_mut(&row.window) {
            entry.parts.push(Arc::new(PartEntry::new(dir, &entry.window, row)));
        }
    }
    by_id.into_values().map(|entry| (entry.window.start_ns, entry)).collect()
}

fn report_missing(windows: &Windows, metrics: &Metrics) {
    for part in windows.values().flat_map(|window| &window.parts) {
        if let Err(error) = fs::metadata(&part.path) {
            metrics.damaged.inc();
            tracing::error!(
                path = %part.path.display(), %error, records = part.row.records,
                "a part cannot be found; its records are missing from answers",
            );
        }
    }
}

/// Deletes files and folders of windows that the catalog does not know. What cannot be deleted is reported
/// and stays: it is in nobody's way.
fn remove_orphans(dir: &Path, windows: &[WindowRow], parts: &[PartRow]) {
    remove(&dir.join(TRASH_DIR));
    let folders: HashSet<String> = windows.iter().map(WindowRow::folder).collect();
    let root = dir.join(WINDOWS_DIR);
    for name in entries(&root) {
        if !folders.contains(&name) {
            remove(&root.join(&name));
        }
    }
    for window in windows {
        let folder = root.join(window.folder());
        let known: HashSet<String> =
            parts.iter().filter(|part| part.window == window.id).map(PartRow::file).collect();
        for name in entries(&folder) {
            if name.starts_with("part-") && !known.contains(&name) {
                remove(&folder.join(&name));
            }
        }
    }
}

/// Names in a folder; none when it cannot be read.
fn entries(dir: &Path) -> Vec<String> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect(),
        Err(error) => {
            if error.kind() != std::io::ErrorKind::NotFound {
                tracing::warn!(path = %dir.display(), %error, "cannot look for remains of unfinished work");
            }
            Vec::new()
        }
    }
}

/// Deletes a file or a folder with all in it.
pub(crate) fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(path = %path.display(), %error, "cannot delete"),
    }
}
