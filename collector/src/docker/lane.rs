//! One stream of one container on its way from messages to records.
//!
//! A message may wait in two places: in an unfinished line, and in a stack trace that may go on. The
//! invariant: [`position`] is behind the last message that is part of a record handed out, and names
//! the time of the first that is not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use store::{Labels, Pair, Record};

use super::cursor::{Cursor, Mark, StreamCursor};
use super::frames::{Frame, Stream};
use super::metrics::{Mode, Series};
use super::partial::{Assembler, Line};
use crate::multiline::{Joined, Joiner, RawLine};
use crate::parse::{Enricher, ParseOptions};

/// Lines waiting in the joiner, oldest first: as many as it holds.
#[derive(Debug)]
struct Waiting {
    start: Mark,
    end: Mark,
}

/// Messages in, records out.
#[derive(Debug)]
pub(super) struct Lane {
    stream: Stream,
    assembler: Assembler<Mark>,
    joiner: Joiner,
    enricher: Arc<Enricher>,
    options: ParseOptions,
    labels: Arc<Labels>,
    pairs: Vec<Pair>,
    series: Arc<Series>,
    mode: Mode,
    waiting: VecDeque<Waiting>,
    /// Last message of the last record handed out.
    emitted: Option<Mark>,
    lines: Vec<Line<Mark>>,
    joined: Vec<Joined>,
}

/// What the lines of a container become.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) enricher: Arc<Enricher>,
    pub(super) options: ParseOptions,
    pub(super) labels: Arc<Labels>,
    pub(super) pairs: Vec<Pair>,
    pub(super) series: Arc<Series>,
}

/// The position that covers the records handed out of both lanes, and no more; `read` is how far their log is
/// read.
pub(super) fn position([out, err]: &[Lane; 2], read: &Cursor) -> Cursor {
    let (mut out, mut err) = (out.position(), err.position());
    // A stream that stayed behind when the cursor was stored stays so until it was read again.
    out.pending = out.pending.or(read.out.pending);
    err.pending = err.pending.or(read.err.pending);
    Cursor { out, err, ..*read }
}

impl Lane {
    /// A lane that goes on behind `emitted`.
    pub(super) fn new(
        stream: Stream,
        assembler: Assembler<Mark>,
        joiner: Joiner,
        shape: Shape,
        emitted: Option<Mark>,
    ) -> Self {
        let Shape { enricher, options, labels, pairs, series } = shape;
        let (waiting, lines, joined) = (VecDeque::new(), Vec::new(), Vec::new());
        Self {
            stream,
            assembler,
            joiner,
            enricher,
            options,
            labels,
            pairs,
            series,
            mode: Mode::Api,
            waiting,
            emitted,
            lines,
            joined,
        }
    }

    /// The container was renamed: later records carry the new labels.
    pub(super) fn reshape(&mut self, shape: Shape) {
        let Shape { enricher, options, labels, pairs, series } = shape;
        (self.enricher, self.options, self.labels) = (enricher, options, labels);
        (self.pairs, self.series) = (pairs, series);
    }

    /// From now on messages come this way.
    pub(super) const fn comes_by(&mut self, mode: Mode) {
        self.mode = mode;
    }

    /// Takes the next message, whose mark is `mark`.
    pub(super) fn push(&mut self, frame: &Frame, mark: Mark, now: Instant, out: &mut Vec<Record>) {
        let lines = &mut self.lines;
        self.assembler.push(frame.timestamp_ns, &frame.payload, mark, |line| lines.push(line));
        self.drain(now, out);
    }

    /// Gives out a trace that has waited long enough for its next line.
    pub(super) fn flush_due(&mut self, now: Instant, out: &mut Vec<Record>) {
        self.joiner.flush_due(now, &mut self.joined);
        self.emit(out);
    }

    /// Gives out everything: the container has ended, or messages are missing here and what is unfinished must
    /// not be joined to what comes behind them.
    pub(super) fn flush(&mut self, now: Instant, out: &mut Vec<Record>) {
        let lines = &mut self.lines;
        self.assembler.flush(&mut |line| lines.push(line));
        self.drain(now, out);
        self.joiner.flush(&mut self.joined);
        self.emit(out);
    }

    /// When [`Lane::flush_due`] is next of use.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.joiner.deadline()
    }

    /// Time of the unfinished line.
    pub(super) fn open_ns(&self) -> Option<i64> {
        self.assembler.open_ns()
    }

    /// The next message comes behind `emitted`; `None` where the log is another one now.
    pub(super) const fn goes_on_behind(&mut self, emitted: Option<Mark>) {
        self.emitted = emitted;
    }

    /// Age of the container's newest line, in seconds.
    pub(super) fn lag(&self, seconds: f64) {
        self.series.lag(seconds);
    }

    fn position(&self) -> StreamCursor {
        let waiting = self.waiting.front().map(|line| line.start);
        StreamCursor { mark: self.emitted, pending: waiting.or(self.assembler.open_start()) }
    }

    fn drain(&mut self, now: Instant, out: &mut Vec<Record>) {
        for line in self.lines.drain(..) {
            self.series.line(
                self.stream,
                self.mode,
                line.line.len(),
                line.chunks,
                line.truncated_from.is_some(),
            );
            self.waiting.push_back(Waiting { start: line.start, end: line.end });
            let Line { timestamp_ns, line, truncated_from, .. } = line;
            self.joiner.push(RawLine { timestamp_ns, line, truncated_from }, now, &mut self.joined);
        }
        self.emit(out);
    }

    fn emit(&mut self, out: &mut Vec<Record>) {
        for joined in self.joined.drain(..) {
            for _ in 0..joined.parts {
                if let Some(line) = self.waiting.pop_front() {
                    self.emitted = Some(line.end);
                }
            }
            out.push(self.enricher.record(joined.line, &self.labels, &self.pairs, self.options));
        }
    }
}
