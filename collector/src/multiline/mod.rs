//! Joins the lines of a stack trace to one record.
//!
//! The invariant: the parts of all [`Joined`] put after one another are the lines that were pushed, none lost,
//! none added, in their order. A line that can neither begin nor continue a trace leaves with the call that
//! brought it, after those held before it.
//!
//! One [`Joiner`] per stream. It holds at most one trace, bounded in lines, bytes and time.

mod rules;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use regex::bytes::Regex;

use crate::config::{IngestConfig, Multiline};
use rules::{Step, Trace};

/// A line as its source gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawLine {
    /// When it was logged, nanoseconds since the epoch.
    pub timestamp_ns: i64,
    /// Its bytes without the line end.
    pub line: Bytes,
    /// Its length before it was cut, `None` for a whole one.
    pub truncated_from: Option<u64>,
}

/// One record's lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The lines joined by `\n`, with the time of the first.
    pub line: RawLine,
    /// How many lines that are.
    pub parts: usize,
}

/// Joins the lines of one stream.
#[derive(Debug)]
pub struct Joiner {
    limits: Limits,
    mode: Mode,
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    lines: usize,
    bytes: usize,
    wait: Duration,
}

#[derive(Debug)]
enum Mode {
    Off,
    /// Stack traces as [`rules`] know them.
    Traces,
    /// A record starts with each line that matches.
    FirstLine(Regex),
}

/// The record being put together.
#[derive(Debug)]
struct Open {
    /// What may follow; `None` while [`Mode::FirstLine`] decides.
    trace: Option<Trace>,
    lines: Vec<RawLine>,
    /// Lines at the end of `lines` that belong to the trace only if it goes on after them.
    doubtful: usize,
    bytes: usize,
    last_push: Instant,
}

/// Of the first line of what may become a trace this share of the wait is enough: a process writes its traces
/// at once, and the line is no later found than a person can look.
const UNCONFIRMED_SHARE: u32 = 5;

// === impl Joiner ===

impl Joiner {
    /// A joiner as configured; a container's own expression for first lines goes before the configuration.
    #[must_use]
    pub fn new(config: &IngestConfig, first_line: Option<Regex>) -> Self {
        let mode = match (first_line, config.multiline) {
            (Some(regex), _) => Mode::FirstLine(regex),
            (None, Multiline::Auto) => Mode::Traces,
            (None, Multiline::Off) => Mode::Off,
        };
        let limits = Limits {
            lines: config.multiline_max_lines,
            bytes: usize::try_from(config.multiline_max_bytes.0).unwrap_or(usize::MAX),
            wait: config.multiline_wait.0,
        };
        Self { limits, mode, open: None }
    }

    /// Takes the next line. What is complete by that goes to `out`.
    pub fn push(&mut self, line: RawLine, now: Instant, out: &mut Vec<Joined>) {
        if matches!(self.mode, Mode::Off) {
            out.push(Joined { line, parts: 1 });
            return;
        }
        if self.open.as_ref().is_some_and(|open| open.is_too_old_for(&line, now, self.limits.wait)) {
            self.flush(out);
        }
        // Lines that turn out not to belong to the trace they followed are looked at afresh, in their order.
        let mut queue = VecDeque::from([line]);
        while let Some(line) = queue.pop_front() {
            let given_back = self.take(line, now, out);
            for line in given_back.into_iter().rev() {
                queue.push_front(line);
            }
        }
    }

    /// Gives out what has been held for long enough.
    pub fn flush_due(&mut self, now: Instant, out: &mut Vec<Joined>) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.flush(out);
        }
    }

    /// Gives out all that is held: the stream has ended.
    pub fn flush(&mut self, out: &mut Vec<Joined>) {
        if let Some(mut open) = self.open.take() {
            let doubtful = open.lines.split_off(open.lines.len() - open.doubtful);
            out.extend(join(open.lines));
            out.extend(doubtful.into_iter().map(|line| Joined { line, parts: 1 }));
        }
    }

    /// When [`Joiner::flush_due`] is next of use; `None` while nothing is held.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let open = self.open.as_ref()?;
        Some(open.last_push + open.wait(self.limits.wait))
    }

    /// Takes one line; gives back those that must be looked at again because the open trace ended before them.
    fn take(&mut self, line: RawLine, now: Instant, out: &mut Vec<Joined>) -> Vec<RawLine> {
        let Some(mut open) = self.open.take() else {
            self.begin(line, now, out);
            return Vec::new();
        };
        let step = match (&self.mode, &mut open.trace) {
            (Mode::FirstLine(regex), _) if regex.is_match(&line.line) => Step::End,
            (Mode::FirstLine(_), _) | (_, None) => Step::Continue,
            (_, Some(trace)) => trace.step(&line.line),
        };
        if matches!(step, Step::End) {
            let mut again = open.lines.split_off(open.lines.len() - open.doubtful);
            again.push(line);
            out.extend(join(open.lines));
            return again;
        }
        let fits = open.lines.len() < self.limits.lines
            && open.bytes.saturating_add(line.line.len() + 1) <= self.limits.bytes;
        if !fits {
            // The trace goes on in the next record: its state stays, its lines leave.
            out.extend(join(std::mem::take(&mut open.lines)));
            (open.bytes, open.doubtful) = (0, 0);
        }
        open.doubtful = if matches!(step, Step::Doubtful) { open.doubtful + 1 } else { 0 };
        open.bytes += line.line.len() + 1;
        open.lines.push(line);
        open.last_push = now;
        self.open = Some(open);
        Vec::new()
    }

    /// Takes a line while nothing is open.
    fn begin(&mut self, line: RawLine, now: Instant, out: &mut Vec<Joined>) {
        let trace = match &self.mode {
            Mode::FirstLine(regex) if regex.is_match(&line.line) => None,
            Mode::Traces => match Trace::begin(&line.line) {
                Some(trace) => Some(trace),
                None => return out.push(Joined { line, parts: 1 }),
            },
            Mode::FirstLine(_) | Mode::Off => return out.push(Joined { line, parts: 1 }),
        };
        let bytes = line.line.len();
        self.open = Some(Open { trace, lines: vec![line], doubtful: 0, bytes, last_push: now });
    }
}

// === impl Open ===

impl Open {
    /// Whether `line` comes too late to belong here, by our clock or by its own.
    fn is_too_old_for(&self, line: &RawLine, now: Instant, wait: Duration) -> bool {
        let last = self.lines.last().map_or(line.timestamp_ns, |last| last.timestamp_ns);
        let gap_ns = line.timestamp_ns.saturating_sub(last);
        // By the lines' own times the whole wait counts: a backlog is read faster than it was written.
        i128::from(gap_ns) > i128::try_from(wait.as_nanos()).unwrap_or(i128::MAX)
            || now >= self.last_push + self.wait(wait)
    }

    fn wait(&self, wait: Duration) -> Duration {
        if self.trace.is_some() && self.lines.len() == 1 { wait / UNCONFIRMED_SHARE } else { wait }
    }
}

/// Whether a line is the first of a stack trace as the runtimes print them.
pub(crate) fn begins_trace(line: &[u8]) -> bool {
    Trace::begin(line).is_some()
}

/// Makes one record of the lines, `None` of none.
fn join(mut lines: Vec<RawLine>) -> Option<Joined> {
    let parts = lines.len();
    if parts <= 1 {
        return lines.pop().map(|line| Joined { line, parts });
    }
    let mut bytes = BytesMut::with_capacity(lines.iter().map(|l| l.line.len() + 1).sum());
    let mut original = 0_u64;
    let cut = lines.iter().any(|line| line.truncated_from.is_some());
    for (i, line) in lines.iter().enumerate() {
        if i > 0 {
            bytes.extend_from_slice(b"\n");
            original += 1;
        }
        bytes.extend_from_slice(&line.line);
        original = original.saturating_add(line.truncated_from.unwrap_or(line.line.len() as u64));
    }
    let line = RawLine {
        timestamp_ns: lines[0].timestamp_ns,
        line: bytes.freeze(),
        truncated_from: cut.then_some(original),
    };
    Some(Joined { line, parts })
}
