//! Traces of everything that is stored, whatever its source, kept in the span index.
//!
//! Runs behind the store and never delays a source. The invariant: the position is stored with the spans, in one
//! transaction, and no open trace began before it. A restart, a killed process, or records that left memory
//! before they were read all lead to the same: beginning again there, on what is stored. Spans that are made
//! again are the same, so nothing is stored twice.

pub(crate) mod history;
pub(crate) mod ingested;
mod metrics;
#[cfg(test)]
mod tests;

use std::time::Duration;

use correlation::{Closed, Config, OpenTraces};
use serde::{Deserialize, Serialize};
use store::record::attribute;
use store::{CursorUpdate, Reader, Record, StoreError, TimeRange, TraceBatch, Writer};
use tokio_util::sync::CancellationToken;

use history::{History, traces_of};
pub use metrics::TraceMetrics;

/// Key of the position in the store.
const SOURCE: &str = "traces";
/// Records taken from the store at once.
const MAX_RECORDS: usize = 16_384;
/// Traces stored in one transaction: a millisecond or two and a sync, in which records wait to be stored.
const MAX_TRACES: usize = 100;
/// How often traces are looked at that may be complete.
const TICK: Duration = Duration::from_secs(1);
/// Looks between two writes of a position that moves while no trace closes.
const TICKS_PER_POSITION: u32 = 10;

/// How far traces have been made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    /// The last commit read.
    commit: u64,
    /// Time of the oldest line of an open trace; without one, of the last look.
    from_ns: i64,
}

/// Makes traces of every record committed, until cancelled.
pub async fn follow(config: Config, writer: Writer, metrics: TraceMetrics, cancel: CancellationToken) {
    let mut maker = Maker::new(config, writer, metrics);
    loop {
        // Building traces takes milliseconds: too long for the runtime.
        let stop = cancel.clone();
        let working = tokio::task::spawn_blocking(move || {
            let worked = maker.work(&stop);
            (maker, worked)
        });
        match working.await {
            Ok((back, worked)) => {
                maker = back;
                if let Err(error) = worked.or_else(|error| ended(error, &cancel)) {
                    tracing::warn!(%error, "traces could not be stored; trying again");
                }
            }
            Err(panic) => {
                tracing::error!(%panic, "no more traces are made until a restart");
                return;
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// Where the maker is.
#[derive(Debug)]
struct Progress {
    open: OpenTraces,
    commit: u64,
}

#[derive(Debug)]
struct Maker {
    config: Config,
    writer: Writer,
    reader: Reader,
    metrics: TraceMetrics,
    /// `None` before the first look and after a failure: begin again at the stored position.
    progress: Option<Progress>,
    stored: Option<Position>,
    ticks: u32,
}

impl Maker {
    fn new(config: Config, writer: Writer, metrics: TraceMetrics) -> Self {
        let reader = writer.reader();
        Self { config, writer, reader, metrics, progress: None, stored: None, ticks: 0 }
    }

    /// Reads what is new and stores what is complete.
    fn work(&mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        let progress = match self.progress.take() {
            Some(progress) => progress,
            None => {
                self.catch_up(stop)?;
                self.begin(stop)?
            }
        };
        let Some(progress) = self.read_on(progress, stop)? else { return Ok(()) };
        self.metrics.observe(&progress.open.counters());
        self.progress = Some(progress);
        Ok(())
    }

    /// Makes the traces of what an ingest stored while nobody made traces.
    fn catch_up(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let Some(range) = ingested::range(&self.writer)? else { return Ok(()) };
        tracing::info!("making the traces of the lines that `ingest` stored");
        traces_of(&self.reader.snapshot()?, &self.config, range, |closed, _| {
            if stop.is_cancelled() {
                return Err(StoreError::Closed);
            }
            self.store(&closed, None, stop)
        })?;
        let done = TraceBatch { cursors: vec![ingested::nothing()], ..TraceBatch::default() };
        self.writer.store_traces_blocking(done)?;
        Ok(())
    }

    /// Time of the oldest record with an id that was committed after `commit` and is in memory.
    fn oldest_after(&self, mut commit: u64) -> Result<Option<i64>, StoreError> {
        let mut oldest_ns = None;
        loop {
            let new = self.reader.commits_after(commit, MAX_RECORDS)?;
            if new.commits.is_empty() {
                return Ok(oldest_ns);
            }
            let records = new.commits.iter().flat_map(|(_, records)| records.iter());
            let oldest = records.filter(|record| has_id(record)).map(|record| record.timestamp_ns).min();
            oldest_ns = [oldest_ns, oldest].into_iter().flatten().min();
            commit = new.up_to;
        }
    }

    /// How far traces have been made, `None` in a folder where nobody has.
    fn position(&self) -> Result<Option<Position>, StoreError> {
        let position = match self.writer.cursor(SOURCE)? {
            store::Position::Unset => return Ok(None),
            store::Position::At(bytes) => serde_json::from_slice(&bytes).ok(),
            store::Position::Damaged => None,
        };
        if position.is_none() {
            tracing::warn!("how far traces have been made is damaged: all that is stored is read again");
        }
        // What is there already is not stored again.
        Ok(Some(position.unwrap_or(Position { commit: 0, from_ns: i64::MIN })))
    }

    /// Traces from the stored position on, up to the latest commit.
    fn begin(&mut self, stop: &CancellationToken) -> Result<Progress, StoreError> {
        let position = self.position()?;
        let snapshot = self.reader.snapshot()?;
        let commit = snapshot.last_commit();
        let mut open = OpenTraces::new(self.config.clone());
        let Some(Position { commit: read, mut from_ns }) = position else {
            // A new folder is read from its first commit; of an old one, what was stored before stays as it is.
            let is_old = self.reader.commits_after(0, 1)?.missed;
            return Ok(Progress { open, commit: if is_old { commit } else { 0 } });
        };
        from_ns = self.oldest_after(read)?.unwrap_or(from_ns).min(from_ns);
        let max_age_ns = i64::try_from(self.config.max_age.0.as_nanos()).unwrap_or(i64::MAX);
        let range = TimeRange { start_ns: from_ns.saturating_sub(max_age_ns), end_ns: i64::MAX };
        let mut history = History::new(&snapshot, range)?;
        while let Some((records, slice_end_ns)) = history.next_slice() {
            if stop.is_cancelled() {
                return Err(StoreError::Closed);
            }
            let mut closed = Closed::default();
            for record in &records {
                add(&mut closed, open.observe(record, record.timestamp_ns));
            }
            add(&mut closed, open.close_idle(slice_end_ns));
            // Older ones were stored before, and of some this saw only the end.
            closed.traces.retain(|trace| trace.spans.iter().any(|span| span.end_ns >= from_ns));
            self.store(&closed, None, stop)?;
        }
        Ok(Progress { open, commit })
    }

    /// Feeds the commits since the last; `None` when some of them could not be had, so that the next look
    /// begins again at the stored position.
    fn read_on(
        &mut self,
        mut progress: Progress,
        stop: &CancellationToken,
    ) -> Result<Option<Progress>, StoreError> {
        let mut closed = Closed::default();
        loop {
            let new = self.metrics.assembling(|| self.reader.commits_after(progress.commit, MAX_RECORDS))?;
            if new.missed {
                tracing::info!("traces fell behind what is in memory and go on from the disk");
                self.metrics.fell_behind();
                return Ok(None);
            }
            progress.commit = new.up_to;
            let now_ns = now_ns();
            self.metrics.assembling(|| {
                for record in new.commits.iter().flat_map(|(_, records)| records.iter()) {
                    add(&mut closed, progress.open.observe(record, now_ns));
                }
            });
            if new.commits.is_empty() || stop.is_cancelled() {
                break;
            }
            if closed.traces.len() >= MAX_TRACES {
                // Without a position: what is not complete yet would be missed after a restart.
                self.store(&std::mem::take(&mut closed), None, stop)?;
            }
        }
        let now_ns = now_ns();
        self.metrics.assembling(|| add(&mut closed, progress.open.close_idle(now_ns)));
        let from_ns = progress.open.oldest_open_ns().map_or(now_ns, |oldest| oldest.min(now_ns));
        let position = Position { commit: progress.commit, from_ns };
        self.ticks += 1;
        if closed.is_empty() && self.stored.is_some() && !self.ticks.is_multiple_of(TICKS_PER_POSITION) {
            return Ok(Some(progress));
        }
        self.store(&closed, Some(position), stop)?;
        self.stored = Some(position);
        Ok(Some(progress))
    }

    /// Stores spans, the position with the last of them; what is left when it must stop is made again after the
    /// next start.
    fn store(
        &self,
        closed: &Closed,
        position: Option<Position>,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let mut gone = closed.gone.iter().map(|(trace, span)| (trace.0, span.0)).collect();
        let mut rest = closed.traces.as_slice();
        loop {
            let (now, later) = rest.split_at(rest.len().min(MAX_TRACES));
            rest = later;
            let cursor = position.filter(|_| rest.is_empty()).map(|position| CursorUpdate {
                source: SOURCE.to_owned(),
                position: Some(serde_json::to_vec(&position).expect("BUG: a position is not JSON")),
                covered_ns: None,
            });
            let batch = TraceBatch {
                traces: now.iter().map(|trace| trace.to_rows(false)).collect(),
                gone: std::mem::take(&mut gone),
                cursors: cursor.into_iter().collect(),
            };
            if !(batch.traces.is_empty() && batch.gone.is_empty() && batch.cursors.is_empty()) {
                self.metrics.stored(&self.writer.store_traces_blocking(batch)?);
            }
            if rest.is_empty() {
                return Ok(());
            }
            if stop.is_cancelled() {
                return Err(StoreError::Closed);
            }
        }
    }
}

/// No failure at the end: the work was stopped on the way.
fn ended(error: StoreError, cancel: &CancellationToken) -> Result<(), StoreError> {
    match error {
        StoreError::Closed if cancel.is_cancelled() => Ok(()),
        error => Err(error),
    }
}

fn add(closed: &mut Closed, more: Closed) {
    closed.traces.extend(more.traces);
    closed.gone.extend(more.gone);
}

pub(crate) fn has_id(record: &Record) -> bool {
    [attribute::TRACE_ID, attribute::CORRELATION_ID].iter().any(|name| record.pair(name).is_some())
}

fn now_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
