//! Reads a container's log up to its present end: asks, judges, and hands records to the store.
//!
//! The invariant: [`Log::cursor`] is behind every message taken and nothing else, whatever breaks off, so
//! reading again is always right.

use std::sync::Arc;
use std::time::Instant;

use store::{CursorUpdate, Gap, GapReason};

use super::cursor::Cursor;
use super::engine::Engine;
use super::frames::{DecodeError, Decoder, Frame, Stream};
use super::lane::{Lane, Shape};
use super::poll::{Pass, Query, Verdict};
use super::shared::{Permits, Shared};
use super::sink::{Sink, Stopped};
use super::timestamp;
use super::transport::LogsError;

/// Where to begin in a log that has no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At the first line that Docker holds.
    First,
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
    /// When the last request was sent, and how many new messages a second came since the one before.
    last_request: Option<Instant>,
    per_second: f64,
}

/// Whether a reply reached back far enough.
enum Reach {
    Enough,
    TooShort,
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
        Self { id, name, tty, start, cursor, lanes, sink, shared, last_request: None, per_second: 0.0 }
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
        let since_last =
            self.last_request.replace(started).map(|last| started.duration_since(last).as_secs_f64());
        let mut query = self.next_query(engine, started_ns, since_last);
        let mut new = 0;
        let outcome = loop {
            match self.attempt(engine, query, permits, &mut new, GapReason::Rotated).await {
                Ok(Reach::Enough) => break Ok(()),
                Ok(Reach::TooShort) => query = query.wider(),
                Err(error) => break Err(error),
            }
        };
        let took = started.elapsed();
        tracing::trace!(container = self.name, new, ?took, ?query, result = ?outcome.as_ref().err(), "read");
        self.per_second = since_last.map_or(0.0, |seconds| new as f64 / seconds.max(0.001));
        if outcome.is_ok()
            && let Start::Tail { at, .. } = self.start
        {
            self.start = Start::Since(at);
        }
        let covered_ns = if outcome.is_ok() { Some(started_ns) } else { self.cursor.last_ns() };
        self.commit(covered_ns, permits).await?;
        outcome.map(|()| new)
    }

    /// Goes on behind a place where every reply breaks off: takes the `tail` messages at the end, as far as
    /// they are new, and records a gap before them.
    pub(super) async fn read_tail(
        &mut self,
        engine: &Engine,
        tail: u32,
        permits: &mut Permits,
    ) -> Result<u64, ReadError> {
        let mut new = 0;
        let query = Query { since_ns: None, tail: Some(tail) };
        let outcome = self.attempt(engine, query, permits, &mut new, GapReason::DaemonError).await;
        self.commit(self.cursor.last_ns(), permits).await?;
        outcome.map(|_| new)
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
        self.end_lanes();
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
        let name = self.name.clone();
        tracing::warn!(container = name, reason = reason.name(), from_ns, to_ns, "lines may be missing");
        let source = self.sink.source().to_owned();
        self.sink.gap(Gap { source, name, from_ns, to_ns, lines: None, reason });
    }

    /// Hands what is complete to the store. What only changes the catalog waits for
    /// [`Log::commit_rows`]: it must not hold up the reading of a container that is about to end.
    pub(super) async fn commit(&mut self, covered_ns: Option<i64>, permits: &Permits) -> Result<(), Stopped> {
        if !self.sink.has_news() {
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

    fn next_query(&self, engine: &Engine, now_ns: i64, since_last: Option<f64>) -> Query {
        if !self.cursor.is_empty() {
            let open_ns = self.lanes.iter().filter_map(Lane::open_ns).min();
            let expected = self.per_second * since_last.unwrap_or(0.0);
            return Query::next(&self.cursor, open_ns, now_ns, expected as u64, !engine.podman);
        }
        match self.start {
            Start::First => Query::default(),
            Start::Since(ns) => Query { since_ns: Some(ns), tail: None },
            Start::Tail { lines, .. } => Query { since_ns: None, tail: Some(lines) },
        }
    }

    async fn attempt(
        &mut self,
        engine: &Engine,
        query: Query,
        permits: &mut Permits,
        new: &mut u64,
        reason: GapReason,
    ) -> Result<Reach, ReadError> {
        let shared = Arc::clone(&self.shared);
        let started = Instant::now();
        let mut reply = shared.unless_stopped(engine.logs.read(&self.id, query)).await??;
        let mut decoder = Decoder::new(self.tty);
        // Where the log's end is all that can be had, it must do.
        let may_widen = query.tail.is_some() && reason == GapReason::Rotated && !self.cursor.is_empty();
        let mut taker =
            Taker { pass: Pass::new(&self.cursor, query.tail.is_none()), may_widen, reason, old: 0, new: 0 };
        let reach = loop {
            let Some(chunk) = shared.unless_stopped(reply.chunk()).await?? else {
                if let Some(frame) = decoder.finish()?
                    && let Reach::TooShort = taker.take(self, &frame, Instant::now())
                {
                    break Reach::TooShort;
                }
                break self.end_of_reply(&taker);
            };
            decoder.push(&chunk);
            let now = Instant::now();
            let taken_before = taker.new;
            let reach = taker.take_all(self, &mut decoder, now);
            *new += taker.new - taken_before;
            if let Reach::TooShort = reach? {
                break Reach::TooShort;
            }
            if self.sink.is_full() {
                permits.reading_much(&shared, taker.new).await;
                self.commit(self.cursor.last_ns(), permits).await?;
            }
        };
        shared.metrics.overlap(taker.old);
        shared.metrics.request("logs", started.elapsed());
        Ok(reach)
    }

    /// Judges a reply that has ended.
    fn end_of_reply(&mut self, taker: &Taker) -> Reach {
        if taker.pass.covered() {
            return Reach::Enough;
        }
        if taker.may_widen {
            return Reach::TooShort;
        }
        if taker.old > 0 && taker.reason == GapReason::Rotated {
            // The whole log, all of it seemingly old, but what was read last is not in it: the clock was set
            // back and the log rotated. Everything that is left is new.
            let from_ns = self.cursor.latest_ns().unwrap_or(0);
            self.gap(from_ns, timestamp::now_ns(), GapReason::Rotated);
            self.cursor = Cursor::default();
            self.lanes.iter_mut().for_each(Lane::forget);
            return Reach::TooShort;
        }
        Reach::Enough
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
        let [out, err] = &self.lanes;
        Cursor { out: out.position(), err: err.position(), ..self.cursor }
    }
}

/// Takes the messages of one reply into a log.
struct Taker {
    pass: Pass,
    /// A reply that does not reach back far enough is asked for again, longer.
    may_widen: bool,
    /// Why lines are missing where it cannot be.
    reason: GapReason,
    old: u64,
    new: u64,
}

impl Taker {
    fn take_all(&mut self, log: &mut Log, decoder: &mut Decoder, now: Instant) -> Result<Reach, DecodeError> {
        while let Some(frame) = decoder.next_frame()? {
            if let Reach::TooShort = self.take(log, &frame, now) {
                return Ok(Reach::TooShort);
            }
        }
        Ok(Reach::Enough)
    }

    fn take(&mut self, log: &mut Log, frame: &Frame, now: Instant) -> Reach {
        match self.pass.judge(&log.cursor, frame) {
            Verdict::Old => {
                self.old += 1;
                return Reach::Enough;
            }
            Verdict::Uncovered if self.may_widen => return Reach::TooShort,
            Verdict::Uncovered => {
                let from_ns = log.cursor.latest_ns().unwrap_or(frame.timestamp_ns);
                log.gap(from_ns, frame.timestamp_ns, self.reason);
                self.pass.accept_gap(frame.stream);
            }
            Verdict::New => {}
        }
        let (mark, set_back) = log.cursor.advance(frame);
        if set_back {
            log.shared.metrics.clock_step();
        }
        let lane = match frame.stream {
            Stream::Stdout => &mut log.lanes[0],
            Stream::Stderr => &mut log.lanes[1],
        };
        lane.push(frame, mark, now, &mut log.sink.records);
        self.new += 1;
        Reach::Enough
    }
}
