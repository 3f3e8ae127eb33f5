//! Following a catalog that another process writes to.
//!
//! The invariant: parts and batches are read in one transaction, so each record is seen once, as a batch or in
//! a part. Batches already read are kept; only new ones are read and decoded.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Inner;
use crate::catalog::{BatchRow, CatalogReader, PartRow, StreamRow, View, WindowRow};
use crate::parts::PartEntry;
use crate::record::StreamId;
use crate::recovery::{decode_batch, group_by_window};
use crate::state::{Left, Shared, State, Windows};
use crate::writer::StoreError;

/// How often to look for commits while someone waits for them: a look costs microseconds, and a live tail
/// should show a line within a second.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How far the catalog has been read.
#[derive(Debug)]
pub(super) struct Follower {
    catalog: CatalogReader,
    version: Option<i64>,
    generation: Option<i64>,
    last_batch: u64,
    last_stream: StreamId,
}

/// What changed in the catalog.
struct News {
    generation: i64,
    /// Windows and parts, when they changed.
    parts: Option<(Vec<WindowRow>, Vec<PartRow>)>,
    /// New streams, or all of them when the parts changed.
    streams: Vec<StreamRow>,
    first_batch: Option<u64>,
    last_batch: u64,
    batches: Vec<BatchRow>,
}

impl Follower {
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        let catalog = CatalogReader::open(dir)?;
        Ok(Self { catalog, version: None, generation: None, last_batch: 0, last_stream: StreamId(0) })
    }

    /// Brings `shared` up to what the catalog says now.
    pub(super) fn refresh(&mut self, dir: &Path, shared: &Shared) -> Result<(), StoreError> {
        // Read before the rest: a commit in between makes the next refresh look again, and none is missed.
        let version = self.catalog.data_version()?;
        if self.version == Some(version) {
            return Ok(());
        }
        let (generation, last_batch, last_stream) = (self.generation, self.last_batch, self.last_stream);
        let news = self.catalog.consistent(|view| read_news(view, generation, last_batch, last_stream))?;
        self.version = Some(version);
        self.generation = Some(news.generation);
        self.last_batch = news.last_batch;
        self.last_stream = news.streams.last().map_or(last_stream, |stream| stream.id.max(last_stream));
        let mut state = shared.lock();
        let left = apply(dir, &mut state, news);
        let commit = state.last_commit;
        drop(state);
        drop(left);
        shared.changed.send_if_modified(|known| std::mem::replace(known, commit) != commit);
        Ok(())
    }
}

fn read_news(
    view: &View<'_>,
    known_generation: Option<i64>,
    last_batch: u64,
    last_stream: StreamId,
) -> rusqlite::Result<News> {
    let generation = view.generation()?;
    let changed = known_generation != Some(generation);
    let parts = if changed { Some((view.windows()?, view.parts()?)) } else { None };
    let streams = view.streams_after(if changed { StreamId(0) } else { last_stream })?;
    let mut batches = Vec::new();
    view.each_batch_after(last_batch, |row| batches.push(row))?;
    Ok(News {
        generation,
        parts,
        streams,
        first_batch: view.first_batch()?,
        last_batch: view.last_batch()?,
        batches,
    })
}

fn apply(dir: &Path, state: &mut State, news: News) -> Left {
    let left = state.leave_head(news.first_batch.map_or(news.last_batch, |first| first.saturating_sub(1)));
    match news.parts {
        Some((windows, parts)) => {
            let mut windows = group_by_window(dir, windows, parts);
            keep_open_parts(&mut windows, &state.windows);
            state.windows = Arc::new(windows);
            state.set_streams(&news.streams);
        }
        None => state.add_streams(&news.streams),
    }
    for row in news.batches {
        match decode_batch(&row, |id| state.stream(id).map(|stream| Arc::clone(&stream.labels))) {
            Ok(commit) => state.push(Arc::new(commit)),
            Err(what) => {
                let message = format!("batch {} with {} records: {what}", row.id, row.records);
                tracing::error!(batch = row.id, what, "damaged batch left out of answers");
                Arc::make_mut(&mut state.damaged).push(message);
            }
        }
    }
    state.last_commit = news.last_batch;
    left
}

/// Parts that were there before keep their open files.
fn keep_open_parts(windows: &mut Windows, before: &Windows) {
    let known: HashMap<u64, &Arc<PartEntry>> =
        before.values().flat_map(|window| &window.parts).map(|part| (part.row.id, part)).collect();
    for part in windows.values_mut().flat_map(|window| &mut window.parts) {
        if let Some(known) = known.get(&part.row.id) {
            *part = Arc::clone(known);
        }
    }
}

/// Starts the thread that looks for commits while someone waits for them; it ends with the reader.
pub(super) fn spawn(inner: &Arc<Inner>) -> Result<(), StoreError> {
    let inner = Arc::downgrade(inner);
    std::thread::Builder::new()
        .name("binnacle-follow".to_owned())
        .spawn(move || poll(&inner))
        .map(drop)
        .map_err(|e| StoreError::io("start thread", Path::new("binnacle-follow"), e))
}

fn poll(inner: &Weak<Inner>) {
    let mut failing = false;
    loop {
        std::thread::sleep(POLL_INTERVAL);
        let Some(inner) = inner.upgrade() else { return };
        if inner.shared.changed.receiver_count() == 0 {
            continue;
        }
        match inner.refresh() {
            Ok(()) => failing = false,
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "cannot look for new records; trying again");
                }
                failing = true;
            }
        }
    }
}
