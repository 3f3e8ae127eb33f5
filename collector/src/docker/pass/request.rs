//! One request for a log, and what its reply brings.

use std::sync::Arc;
use std::time::Instant;

use store::GapReason;

use super::super::cursor::Cursor;
use super::super::engine::Engine;
use super::super::frames::{DecodeError, Decoder, Frame, Stream};
use super::super::lane::Lane;
use super::super::poll::{End, Pass, Query, Verdict};
use super::super::regain::{Latest, Search};
use super::super::shared::Permits;
use super::super::timestamp;
use super::{Log, ReadError, Start};

/// Whether a reply reached back far enough.
pub(super) enum Reach {
    Enough,
    TooShort,
}

impl Log {
    pub(super) fn next_query(&self, engine: &Engine, now_ns: i64, expected: u64) -> Query {
        let query = match self.start {
            _ if !self.cursor.is_empty() => {
                let open_ns = self.lanes.iter().filter_map(Lane::open_ns).min();
                Query::next(&self.cursor, open_ns, now_ns, expected, !engine.podman)
            }
            Start::First | Start::Birth { .. } => Query::default(),
            Start::Since(ns) => Query { since_ns: Some(ns), tail: None },
            Start::Tail { lines, .. } => Query { since_ns: None, tail: Some(lines) },
        };
        if self.compresses { query.for_compressed() } else { query }
    }

    /// Whether the log begins for us behind `frame`. The daemon was asked to leave it out, and may not have.
    fn begins_behind(&self, frame: &Frame) -> bool {
        self.cursor.is_empty() && matches!(self.start, Start::Since(ns) if frame.timestamp_ns < ns)
    }

    pub(super) async fn attempt(
        &mut self,
        engine: &Engine,
        query: Query,
        permits: &mut Permits,
        reason: GapReason,
    ) -> Result<Reach, ReadError> {
        let shared = Arc::clone(&self.shared);
        let started = Instant::now();
        let query = if self.clock_unsure { query.for_unsure_clock() } else { query };
        let mut reply = shared.unless_stopped(engine.logs.read(&self.id, query)).await??;
        let date_ns = reply.date_ns().unwrap_or_else(timestamp::now_ns);
        if self.clock.was_set_back(Instant::now(), date_ns) && !self.clock_unsure {
            self.clock_unsure = true;
            let query = query.for_unsure_clock();
            reply = shared.unless_stopped(engine.logs.read(&self.id, query)).await??;
        }
        let mut decoder = Decoder::new(self.tty);
        let pass = match reason {
            // Behind damage the end of the log is all that can be had.
            GapReason::DaemonError => Pass::last_resort(&self.cursor, query.tail.is_none()),
            _ => Pass::new(&self.cursor, query.tail.is_none()),
        };
        let mut taker = Taker::new(pass, reason);
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
            if let Reach::TooShort = taker.take_all(self, &mut decoder, now)? {
                break Reach::TooShort;
            }
            if self.sink.is_full() {
                permits.reading_much(&shared, self.brought.messages).await;
                self.commit(self.cursor.last_ns(), permits).await?;
            }
        };
        shared.metrics.overlap(taker.pass.old());
        shared.metrics.request("logs", started.elapsed());
        Ok(reach)
    }

    /// Finds the place behind what is stored of this log.
    pub(super) async fn regain(
        &mut self,
        engine: &Engine,
        latest: [Option<Latest>; 2],
    ) -> Result<(), ReadError> {
        let Some(earliest_ns) = latest.iter().flatten().map(|latest| latest.ns).min() else { return Ok(()) };
        let query = Query::from(earliest_ns);
        let query = if self.compresses { query.for_compressed() } else { query };
        let mut search = Search::new(latest, engine.chunk_size(), self.tty);
        let mut reply = self.shared.unless_stopped(engine.logs.read(&self.id, query)).await??;
        let mut decoder = Decoder::new(self.tty);
        while let Some(chunk) = self.shared.unless_stopped(reply.chunk()).await?? {
            decoder.push(&chunk);
            while let Some(frame) = decoder.next_frame()? {
                search.pass(&frame);
            }
        }
        if let Some(frame) = decoder.finish()? {
            search.pass(&frame);
        }
        self.cursor = search.end();
        for stream in Stream::ALL {
            self.lanes[stream.index()].goes_on_behind(self.cursor.stream(stream).mark);
        }
        tracing::warn!(
            container = self.name,
            "the stored position is damaged: reading goes on behind the lines that are stored"
        );
        Ok(())
    }

    /// Messages are missing between what was read and `frame`: of `streams`.
    fn gap_before(&mut self, frame: &Frame, reason: GapReason, streams: &[Stream]) {
        let open_ns = self.lanes.iter().filter_map(Lane::open_ns).min();
        let (from_ns, to_ns) = self.cursor.gap_before(frame.timestamp_ns, open_ns, timestamp::now_ns());
        self.gap(from_ns, to_ns, reason);
        let now = Instant::now();
        for stream in streams {
            self.lanes[stream.index()].flush(now, &mut self.sink.records);
        }
    }

    /// Judges a reply that has ended.
    pub(super) fn end_of_reply(&mut self, taker: &Taker) -> Reach {
        if taker.ends_in_damage() {
            let now_ns = timestamp::now_ns();
            self.gap(self.cursor.gap_from_ns().unwrap_or(now_ns), now_ns, GapReason::DaemonError);
            self.end_lanes();
        }
        match taker.pass.end(&self.cursor) {
            End::Complete => {
                taker.pass.note_front(&mut self.cursor);
                Reach::Enough
            }
            End::Vanished => {
                self.vanished = true;
                Reach::Enough
            }
            End::TooShort => Reach::TooShort,
            End::Lost => {
                let now_ns = timestamp::now_ns();
                let lost_ns = taker.pass.give_up_lost(&mut self.cursor).unwrap_or(now_ns);
                self.gap(lost_ns, now_ns, GapReason::Rotated);
                Reach::Enough
            }
            End::Replaced => {
                let from_ns = self.cursor.gap_from_ns().unwrap_or(0);
                self.gap(from_ns, timestamp::now_ns(), GapReason::Rotated);
                self.end_lanes();
                self.cursor = Cursor::default();
                self.lanes.iter_mut().for_each(|lane| lane.goes_on_behind(None));
                Reach::TooShort
            }
        }
    }
}

/// Takes the messages of one reply into a log.
pub(super) struct Taker {
    pub(super) pass: Pass,
    /// Why messages are missing where they are.
    reason: GapReason,
    /// Something that is no message stood before the next one.
    damaged: bool,
}

impl Taker {
    pub(super) const fn new(pass: Pass, reason: GapReason) -> Self {
        Self { pass, reason, damaged: false }
    }

    /// What stands here is no message: unless it was passed before, there is a gap.
    pub(super) const fn damaged(&mut self) {
        self.damaged = true;
    }

    /// Whether the log ended with damage behind what was read.
    pub(super) fn ends_in_damage(&self) -> bool {
        self.damaged && self.pass.is_covered()
    }

    fn take_all(&mut self, log: &mut Log, decoder: &mut Decoder, now: Instant) -> Result<Reach, DecodeError> {
        while let Some(frame) = decoder.next_frame()? {
            if let Reach::TooShort = self.take(log, &frame, now) {
                return Ok(Reach::TooShort);
            }
        }
        Ok(Reach::Enough)
    }

    pub(super) fn take(&mut self, log: &mut Log, frame: &Frame, now: Instant) -> Reach {
        if log.begins_behind(frame) {
            return Reach::Enough;
        }
        let (damaged, was_covered) = (std::mem::take(&mut self.damaged), self.pass.is_covered());
        match self.pass.judge(&log.cursor, frame) {
            Verdict::Old => return Reach::Enough,
            Verdict::TooShort => return Reach::TooShort,
            Verdict::New if damaged => log.gap_before(frame, GapReason::DaemonError, &Stream::ALL),
            Verdict::New => {}
            // A stream that stayed behind has its own gap: the other was found, and its unfinished line may go on.
            Verdict::NewAfterGap if was_covered => log.gap_before(frame, self.reason, &[frame.stream]),
            Verdict::NewAfterGap => log.gap_before(frame, self.reason, &Stream::ALL),
        }
        let (mark, set_back) = log.cursor.advance(frame, self.pass.is_past_front());
        if set_back {
            log.shared.metrics.clock_step();
        }
        let lane = match frame.stream {
            Stream::Stdout => &mut log.lanes[0],
            Stream::Stderr => &mut log.lanes[1],
        };
        lane.push(frame, mark, now, &mut log.sink.records);
        log.first_ns.get_or_insert(frame.timestamp_ns);
        log.brought.messages += 1;
        log.brought.bytes += frame.payload.len() as u64;
        Reach::Enough
    }
}
