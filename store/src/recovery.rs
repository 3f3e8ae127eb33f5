//! Opening a data folder as its writer: whatever state the last one left, the result is consistent.
//!
//! The catalog alone says what is stored. Files it does not know are remains of unfinished work and are
//! deleted; what it knows and cannot be read is reported and left out, and does not end the start.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::Config;
use crate::backup::STAGING_DIR;
use crate::catalog::{self, BatchRow, CatalogWriter, PartRow, WindowRow, wal};
use crate::error::StoreError;
use crate::head::Commit;
use crate::metrics::Metrics;
use crate::orphans;
use crate::parts::PartEntry;
use crate::payload;
use crate::record::{Labels, StreamId};
use crate::state::{State, WindowParts, Windows};
use crate::writer::budget::Budget;
use crate::writer::committer::Streams;
use crate::writer::{Batch, Gap, GapReason};

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
    // SQLite leaves out what is damaged without a word, and then writes over it.
    let lost = lost_commits(&catalog::file_of(dir));
    orphans::refuse_without_catalog(dir)?;
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
    orphans::clear(dir, &windows, &parts, lost.is_none());
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
    if let Some((what, gap)) = lost {
        metrics.damaged.inc();
        tracing::error!(
            what,
            "commits are lost that had been acknowledged; `binnacle verify` checks the rest"
        );
        let gaps = Batch { gaps: vec![gap], ..Batch::default() };
        catalog.commit(&[], &[], std::iter::once(&gaps))?;
    }
    for what in catalog.wrong_rows()? {
        metrics.damaged.inc();
        tracing::error!(
            what,
            "a row of the catalog is not as it was written; `binnacle verify` checks the rest"
        );
    }
    catalog.distrust_damaged_positions()?;
    let streams = Streams::new(&stream_rows, last_stream);
    Ok(Recovered { catalog, streams, state, window_ns: found_window_ns, next_seq, last_window, last_part })
}

/// What is wrong with the catalog's log, and when the commits were made that may be lost with it: after the catalog was
/// last written back, and before the log was last written.
fn lost_commits(catalog: &Path) -> Option<(String, Gap)> {
    let what = match wal::damage(catalog) {
        Ok(damage) => damage?,
        Err(error) => format!("cannot read the log of `{}`: {error}", catalog.display()),
    };
    let written_ns = |path: &Path| {
        let time = fs::metadata(path).ok()?.modified().ok()?;
        i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()
    };
    let from_ns = written_ns(catalog).unwrap_or(0);
    let to_ns = written_ns(&wal::file_of(catalog)).unwrap_or(from_ns).max(from_ns);
    let (source, name) = ("store".to_owned(), "the log of the catalog".to_owned());
    Some((what, Gap { source, name, from_ns, to_ns, lines: None, reason: GapReason::Damaged }))
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

#[cfg(test)]
mod tests;
