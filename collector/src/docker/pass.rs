//! Reads a container's log up to its present end: asks, judges, and hands records to the store.
//!
//! The invariant: [`Log::cursor`] is behind every message taken and nothing else, whatever breaks off, so
//! reading again is always right.

use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{CursorUpdate, GapReason};

use super::clock::EngineClock;
use super::cursor::Cursor;
use super::engine::Engine;
use super::files::{FilesError, LogFiles};
use super::frames::{DecodeError, Decoder, Frame};
use super::lane::{self, Lane, Shape};
use super::metrics::Mode;
use super::pace::{self, Pace};
use super::poll::Query;
use super::regain::Latest;
use super::shared::{Permits, Shared};
use super::sink::{Sink, Stopped};
use super::timestamp;
use super::transport::LogsError;

mod files;
mod request;

use request::Reach;

/// Where to begin in a log that has no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At the first line that Docker holds.
    First,
    /// At the first line of a container that was made while we watched. If its log was rotated before the
    /// first read, lines of it are missing.
    Birth { created_ns: i64, kept_bytes: Option<u64> },
    /// At this time.
    Since(i64),
    /// This many lines before the end; once read, whatever came after `at`.
    Tail { lines: u32, at: i64 },
}

/// Why the log could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Logs(#[from] LogsError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The process ends.
    #[error("stopped")]
    Stopped,
}

impl From<Stopped> for ReadError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

/// A container's log and how far it is read.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) id: String,
    pub(super) name: String,
    tty: bool,
    start: Start,
    /// Behind the last message taken.
    pub(super) cursor: Cursor,
    lanes: [Lane; 2],
    pub(super) sink: Sink,
    shared: Arc<Shared>,
    pace: Pace,
    /// What the read under way has brought so far.
    brought: Brought,
    /// Time of the first message ever taken by this process.
    first_ns: Option<i64>,
    clock: EngineClock,
    /// The clock may have been set back since the last read that went well.
    clock_unsure: bool,
    /// The last reply held nothing of what was read before.
    vanished: bool,
    /// The stored position is damaged: what of each stream is stored last, by which it is to be found again.
    pub(super) lost_place: Option<[Option<Latest>; 2]>,
    /// Docker compresses what it rotates.
    pub(super) compresses: bool,
    /// Its files, while the log is read from them and not through the API.
    pub(super) files: Option<LogFiles>,
}

/// New messages of one read.
#[derive(Clone, Copy, Debug, Default)]
struct Brought {
    messages: u64,
    bytes: u64,
}

impl Log {
    pub(super) fn new(
        (id, name, tty): (String, String, bool),
        start: Start,
        cursor: Cursor,
        lanes: [Lane; 2],
        sink: Sink,
        shared: Arc<Shared>,
    ) -> Self {
        let (pace, brought) = (Pace::default(), Brought::default());
        Self {
            id,
            name,
            tty,
            start,
            cursor,
            lanes,
            sink,
            shared,
            pace,
            brought,
            first_ns: None,
            clock: EngineClock::default(),
            clock_unsure: false,
            vanished: false,
            lost_place: None,
            compresses: false,
            files: None,
        }
    }

    /// The container was renamed.
    pub(super) fn rename(&mut self, name: String, shapes: [Shape; 2]) {
        self.name = name;
        for (lane, shape) in self.lanes.iter_mut().zip(shapes) {
            lane.reshape(shape);
        }
    }

    /// Reads to the present end; returns how many messages were new. What was read before a failure is kept.
    pub(super) async fn read(&mut self, engine: &Engine, permits: &mut Permits) -> Result<u64, ReadError> {
        let (started, started_ns) = (Instant::now(), timestamp::now_ns());
        let expected = self.pace.request(started);
        self.brought = Brought::default();
        self.vanished = false;
        if let Some(latest) = self.lost_place {
            self.regain(engine, latest).await?;
            self.lost_place = None;
        }
        let unread = self.cursor.is_empty();
        let outcome = match self.read_files(permits).await {
            Some(outcome) => outcome,
            None => self.ask(engine, expected, permits).await,
        };
        let Brought { messages, bytes } = self.brought;
        let took = started.elapsed();
        tracing::trace!(container = self.name, messages, ?took, error = ?outcome.as_ref().err(), "read");
        self.pace.brought(messages, bytes);
        self.clock_unsure &= outcome.is_err();
        match self.start {
            Start::Tail { at, .. } if outcome.is_ok() => self.start = Start::Since(at),
            Start::Birth { created_ns, kept_bytes: Some(kept_bytes) }
                if unread && messages > 0 && pace::may_be_rotated(messages, bytes, kept_bytes) =>
            {
                let first_ns = self.first_ns.unwrap_or(created_ns);
                self.gap(created_ns.min(first_ns), first_ns, GapReason::Rotated);
            }
            _ => {}
        }
        let covered_ns = if outcome.is_ok() { Some(started_ns) } else { self.cursor.last_ns() };
        self.commit(covered_ns, permits).await?;
        outcome.map(|()| messages)
    }

    /// Reads through the API.
    async fn ask(&mut self, engine: &Engine, expected: u64, permits: &mut Permits) -> Result<(), ReadError> {
        self.lanes.iter_mut().for_each(|lane| lane.comes_by(Mode::Api));
        let mut query = self.next_query(engine, timestamp::now_ns(), expected);
        // Since another process has read it, the clock may have been set back. Where `tail` is not counted, to ask
        // without a time would mean to read all of every log.
        self.clock_unsure |= !self.clock.is_known() && query.tail.is_some();
        loop {
            tracing::trace!(container = self.name, ?query, "asks");
            query = match self.attempt(engine, query, permits, GapReason::Rotated).await? {
                Reach::Enough => return Ok(()),
                Reach::TooShort if self.compresses => query.wider_for_compressed(),
                Reach::TooShort => query.wider(),
            }
        }
    }

    /// Pause before the next read; see [`Pace::pause`].
    pub(super) fn pause(&self, kept_bytes: Option<u64>, took: Duration) -> Duration {
        self.pace.pause(self.shared.config.poll_interval.0, kept_bytes, took)
    }

    /// Goes on behind a place where every reply breaks off: takes the `tail` messages at the end, as far as
    /// they are new, and records a gap before them.
    pub(super) async fn read_tail(
        &mut self,
        engine: &Engine,
        tail: u32,
        permits: &mut Permits,
    ) -> Result<u64, ReadError> {
        self.brought = Brought::default();
        let query = Query { since_ns: None, tail: Some(tail) };
        let outcome = self.attempt(engine, query, permits, GapReason::DaemonError).await;
        self.commit(self.cursor.last_ns(), permits).await?;
        outcome.map(|_| self.brought.messages)
    }

    /// The first message of the reply to `tail` messages from the end, and whether it is new. `None` for an
    /// empty reply.
    pub(super) async fn peek(&self, engine: &Engine, tail: u32) -> Result<Option<(Frame, bool)>, ReadError> {
        let query = Query { since_ns: None, tail: Some(tail) };
        let mut reply = engine.logs.read(&self.id, query).await?;
        let mut decoder = Decoder::new(self.tty);
        let frame = loop {
            let Some(chunk) = self.shared.unless_stopped(reply.chunk()).await?? else {
                break decoder.finish()?;
            };
            decoder.push(&chunk);
            if let Some(frame) = decoder.next_frame()? {
                break Some(frame);
            }
        };
        Ok(frame.map(|frame| {
            let old = self.cursor.stream(frame.stream).mark.is_some_and(|mark| frame.timestamp_ns <= mark.ts);
            (frame, !old)
        }))
    }

    /// When [`Log::flush_due`] is next of use.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lanes.iter().filter_map(Lane::deadline).min()
    }

    /// Stores the stack traces that have waited long enough for their next line.
    pub(super) async fn flush_due(&mut self) -> Result<(), Stopped> {
        let now = Instant::now();
        for lane in &mut self.lanes {
            lane.flush_due(now, &mut self.sink.records);
        }
        self.commit(self.cursor.last_ns(), &Permits::none()).await
    }

    /// Stores everything: the container has ended, nothing will complete what is unfinished.
    pub(super) async fn flush(&mut self, covered_ns: Option<i64>) -> Result<(), Stopped> {
        if std::mem::take(&mut self.vanished) {
            let from_ns = self.cursor.gap_from_ns().unwrap_or(0);
            self.gap(from_ns, timestamp::now_ns(), GapReason::Rotated);
        }
        self.end_lanes();
        if !self.sink.has_news() && !self.cursor.is_empty() {
            // So that a later process knows that nothing was left to read (see `departed`).
            let update = self.cursor_update(Some(self.position().to_bytes()), covered_ns);
            return self.sink.commit(Some(update), None).await;
        }
        self.commit(covered_ns, &Permits::none()).await
    }

    /// As [`Log::flush`], waits until all is stored, and the source is forgotten or (`keep`) its cursor kept.
    pub(super) async fn close(&mut self, keep: bool) -> Result<(), Stopped> {
        self.end_lanes();
        let known = !self.cursor.is_empty() || self.cursor.unreadable;
        let position = (keep && known).then(|| self.position().to_bytes());
        let cursor = (!keep || known).then(|| self.cursor_update(position, None));
        self.sink.commit(cursor, None).await?;
        self.sink.settle().await
    }

    /// Records that lines may be missing between what was read last and `to_ns`.
    pub(super) fn gap(&mut self, from_ns: i64, to_ns: i64, reason: GapReason) {
        self.sink.lost(&self.name, from_ns, to_ns, reason);
    }

    /// Hands what is complete to the store. What only changes the catalog waits for
    /// [`Log::commit_rows`]: it must not hold up the reading of a container that is about to end.
    pub(super) async fn commit(&mut self, covered_ns: Option<i64>, permits: &Permits) -> Result<(), Stopped> {
        if !self.sink.has_news() {
            self.note_coverage(covered_ns);
            return Ok(());
        }
        if self.cursor.is_empty() {
            return self.sink.commit(None, None).await;
        }
        let position = self.position();
        let newest_ns = self.sink.records.last().map(|record| record.timestamp_ns);
        let covered_ns = match (position.pending_ns(), covered_ns) {
            (Some(pending), Some(covered)) => Some(covered.min(pending)),
            (None, covered) => covered,
            (Some(_), None) => None,
        };
        let turn = permits.turn_to_append(&self.shared).await;
        let update = self.cursor_update(Some(position.to_bytes()), covered_ns);
        self.sink.commit(Some(update), turn).await?;
        if let Some(newest_ns) = newest_ns {
            let age_ns = timestamp::now_ns().saturating_sub(newest_ns).max(0);
            self.lanes[0].lag(age_ns as f64 / 1e9);
        }
        Ok(())
    }

    /// Nothing was new up to `covered_ns`. Not noted while something read before is still on its way.
    fn note_coverage(&self, covered_ns: Option<i64>) {
        if let Some(covered_ns) = covered_ns
            && self.sink.is_settled()
            && self.position().pending_ns().is_none()
        {
            self.shared.coverage.note(self.sink.source(), covered_ns);
        }
    }

    /// Stores what is known about the container, if that changed.
    pub(super) async fn commit_rows(&mut self) -> Result<(), Stopped> {
        if self.sink.has_news() {
            return self.commit(self.cursor.last_ns(), &Permits::none()).await;
        }
        if self.sink.is_empty() {
            return Ok(());
        }
        self.sink.commit(None, None).await
    }

    fn end_lanes(&mut self) {
        let now = Instant::now();
        for lane in &mut self.lanes {
            lane.flush(now, &mut self.sink.records);
        }
    }

    fn cursor_update(&self, position: Option<Vec<u8>>, covered_ns: Option<i64>) -> CursorUpdate {
        CursorUpdate { source: self.sink.source().to_owned(), position, covered_ns }
    }

    fn position(&self) -> Cursor {
        lane::position(&self.lanes, &self.cursor)
    }
}
