//! Which messages of a reply are new: the exact part of the collector.
//!
//! A log is read by asking again and again, never by following: a follower that falls behind a rotation
//! is made to skip or repeat whole files without a word, while each reply to a plain request is the end of
//! the log as it is. The replies overlap, and the overlap is checked.
//!
//! The invariant: what was read is always the front of the log. So in a reply everything up to the message
//! read last is old and everything behind it is new. A reply in which that message is not found before the
//! first new one does not reach back far enough; where even the whole log does not, lines are missing and a
//! gap is recorded.
//!
//! A cursor loaded from the store may stay behind in a stream (`pending`): there the message at which the
//! stream goes on must be found.

use super::cursor::Cursor;
use super::frames::{Frame, Stream};

/// How far the order of the log may differ from the order of times. The streams are written by two
/// threads of the daemon: up to 35 ms were measured.
const DISORDER_NS: i64 = 2_000_000_000;
/// Messages asked for at least. A request for them costs the daemon 0.4 ms, for 1 000 it costs 6 ms.
const MIN_TAIL: u32 = 16;
/// Largest number of messages asked for before asking for all.
const MAX_TAIL: u32 = 1 << 20;
/// Growth of the number after a reply that did not reach back far enough.
const GROWTH: u32 = 8;

/// Bounds of a request for the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// Only messages of this time and later.
    pub(super) since_ns: Option<i64>,
    /// Only this many messages from the end.
    pub(super) tail: Option<u32>,
}

impl Query {
    /// The next request: `new` messages came last time, `open_ns` is the time of an unfinished line.
    ///
    /// `since` alone makes the daemon read the log from its start, so `tail` is always sent too, except to
    /// engines that count it wrongly. The time is never taken later than now: the clock may be set back.
    pub(super) fn next(
        cursor: &Cursor,
        open_ns: Option<i64>,
        now_ns: i64,
        new: u64,
        counts_tail: bool,
    ) -> Self {
        let Some(last_ns) = cursor.last_ns().or(cursor.pending_ns()) else { return Self::default() };
        let earliest =
            [cursor.pending_ns(), open_ns].into_iter().flatten().fold(last_ns.min(now_ns), i64::min);
        let expected =
            u32::try_from(new.saturating_add(new / 4)).unwrap_or(u32::MAX).saturating_add(MIN_TAIL);
        Self {
            since_ns: Some(earliest.saturating_sub(DISORDER_NS)),
            tail: (counts_tail && expected <= MAX_TAIL).then_some(expected),
        }
    }

    /// The request after a reply to this one that did not reach back far enough.
    pub(super) fn wider(self) -> Self {
        let tail = self.tail.map(|tail| tail.saturating_mul(GROWTH)).filter(|tail| *tail <= MAX_TAIL);
        Self { tail, ..self }
    }
}

/// What a message of a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Read before.
    Old,
    /// The next of the log.
    New,
    /// New, but not known to be the next: messages before it may be missing in this reply.
    Uncovered,
}

/// Judges the messages of one reply, in their order.
#[derive(Debug)]
pub(super) struct Pass {
    /// The reply is the whole log (from some time on), not a number of messages from its end.
    whole: bool,
    /// The reply is known to reach back to what was read.
    covered: bool,
    streams: [StreamPass; 2],
}

#[derive(Debug, Default)]
struct StreamPass {
    /// The mark of this stream lies behind us: everything from here on is new.
    passed: bool,
    group: Option<Group>,
}

/// Messages of one stream with one time.
#[derive(Clone, Copy, Debug)]
struct Group {
    ts: i64,
    count: u32,
    /// The reply begins before the group, so the count is the ordinal.
    from_start: bool,
}

impl Pass {
    /// For the reply to a request with or (`whole`) without `tail`.
    pub(super) fn new(cursor: &Cursor, whole: bool) -> Self {
        Self { whole, covered: cursor.is_empty(), streams: Default::default() }
    }

    /// Whether the reply is known to reach back to what was read.
    pub(super) const fn covered(&self) -> bool {
        self.covered
    }

    /// What `frame` is. `cursor` must have been advanced over every message judged new.
    pub(super) fn judge(&mut self, cursor: &Cursor, frame: &Frame) -> Verdict {
        let stream = &mut self.streams[frame.stream.index()];
        let (ordinal, from_start) = stream.count(frame.timestamp_ns, self.whole);
        if stream.passed {
            return Verdict::New;
        }
        let position = cursor.stream(frame.stream);
        if let Some(mark) = position.mark {
            if frame.timestamp_ns < mark.ts {
                return Verdict::Old;
            }
            if frame.timestamp_ns == mark.ts {
                if mark.ordinal > 0 && !from_start {
                    return Verdict::Uncovered;
                }
                if ordinal < mark.ordinal {
                    return Verdict::Old;
                }
                if frame.hash() != mark.hash {
                    return Verdict::Uncovered;
                }
                stream.passed = true;
                self.covered |= cursor.last == Some(frame.stream) && position.pending.is_none();
                return Verdict::Old;
            }
            if mark.high.is_some_and(|high| frame.timestamp_ns <= high) {
                return Verdict::Old;
            }
        }
        match position.pending {
            Some(pending) if pending == frame.timestamp_ns => self.covered = true,
            Some(_) => return Verdict::Uncovered,
            None if !self.covered => return Verdict::Uncovered,
            None => {}
        }
        stream.passed = true;
        Verdict::New
    }

    /// Goes on at an uncovered message of `stream`: what is missing before it is missing.
    pub(super) fn accept_gap(&mut self, stream: Stream) {
        self.covered = true;
        self.streams[stream.index()].passed = true;
    }
}

impl StreamPass {
    /// Number of this message among those of its time in the reply, and whether they all are in the reply.
    fn count(&mut self, ts: i64, whole: bool) -> (u32, bool) {
        match &mut self.group {
            Some(group) if group.ts == ts => {
                group.count += 1;
                (group.count - 1, group.from_start)
            }
            before => {
                let from_start = whole || before.is_some();
                *before = Some(Group { ts, count: 1, from_start });
                (0, from_start)
            }
        }
    }
}
