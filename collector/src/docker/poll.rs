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
//! stream goes on must be found. Else the message read last is the front of all that was read, and what follows it is
//! new in both streams: also a chunk of a long line, of which only its number tells whether it was read.

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
        let expected = u32::try_from(new.saturating_add(new / 4)).unwrap_or(u32::MAX);
        // Of a line in chunks all are counted, from the first on.
        let expected = expected.saturating_add(cursor.last_ordinal()).saturating_add(MIN_TAIL);
        Self {
            since_ns: Some(earliest.saturating_sub(DISORDER_NS)),
            tail: (counts_tail && expected <= MAX_TAIL).then_some(expected),
        }
    }

    /// All of this time and later, and what the order of the log puts beside it.
    pub(super) const fn from(ns: i64) -> Self {
        Self { since_ns: Some(ns.saturating_sub(DISORDER_NS)), tail: None }
    }

    /// The request after a reply to this one that did not reach back far enough.
    pub(super) fn wider(self) -> Self {
        let tail = self.tail.map(|tail| tail.saturating_mul(GROWTH)).filter(|tail| *tail <= MAX_TAIL);
        Self { tail, ..self }
    }

    /// The request to send instead when the clock may have been set back since the last one: without a time, before
    /// which the engine may leave out what is new.
    pub(super) fn for_unsure_clock(self) -> Self {
        Self { since_ns: None, ..self }
    }

    /// The request to send instead for a log whose rotated files are compressed.
    ///
    /// Where the oldest of them ends before `since`, engine 20.10 leaves out all of them, also those that do not.
    /// So a time is sent only with a number of messages, where a reply that leaves out too much is noticed.
    pub(super) fn for_compressed(self) -> Self {
        Self { since_ns: self.since_ns.filter(|_| self.tail.is_some()), ..self }
    }

    /// As [`Query::wider`], for a log whose rotated files are compressed.
    pub(super) fn wider_for_compressed(self) -> Self {
        Self { since_ns: None, ..self.wider() }
    }
}

/// What a message of a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Read before.
    Old,
    /// The next of the log.
    New,
    /// New, and messages before it are missing.
    NewAfterGap,
    /// New, but this reply does not reach back to what was read: ask for more.
    TooShort,
}

/// What a reply was, by its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Everything to the end of the log was judged.
    Complete,
    /// It does not reach back to what was read: ask for more.
    TooShort,
    /// The log is empty, although something was read. What comes next will show a gap; where nothing will
    /// come, it has to be recorded.
    Vanished,
    /// A stream stayed behind, and the messages at which it would go on are not in the log any more.
    Lost,
    /// The log does not hold what was read, and yet everything in it looks old: the clock was set back and
    /// the log rotated since. All of it is new; forget the cursor and ask again.
    Replaced,
}

/// Judges the messages of one reply, in their order.
#[derive(Debug)]
pub(super) struct Pass {
    /// The reply is the whole log (from some time on), not a number of messages from its end.
    whole: bool,
    /// Asking for more is possible.
    may_widen: bool,
    /// The reply is known to reach back to what was read.
    covered: bool,
    streams: [StreamPass; 2],
    /// Messages found to be old.
    old: u64,
    /// Messages with the very time of a mark are among them: of a line that rotation cut, say.
    near: bool,
    /// The stream of the message behind which nothing was read, if that is known.
    front: Option<Stream>,
    /// That message lies behind us.
    past_front: bool,
    /// The stream of the message judged last.
    ending: Option<Stream>,
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
    /// For a reply to the bearer of `cursor`: the `whole` log (from some time on), or only its end.
    pub(super) fn new(cursor: &Cursor, whole: bool) -> Self {
        Self {
            whole,
            may_widen: !whole && !cursor.is_empty(),
            covered: cursor.is_empty(),
            streams: Default::default(),
            old: 0,
            near: false,
            front: cursor.last.filter(|_| cursor.front),
            past_front: cursor.is_empty(),
            ending: None,
        }
    }

    /// As [`Pass::new`] where no longer reply can be had.
    pub(super) fn last_resort(cursor: &Cursor, whole: bool) -> Self {
        Self { may_widen: false, ..Self::new(cursor, whole) }
    }

    /// For messages that are known to follow on what was read.
    pub(super) fn going_on() -> Self {
        let stream = || StreamPass { passed: true, group: None };
        Self {
            whole: false,
            may_widen: false,
            covered: true,
            streams: [stream(), stream()],
            old: 0,
            near: false,
            front: None,
            past_front: true,
            ending: None,
        }
    }

    /// Messages judged old so far.
    pub(super) const fn old(&self) -> u64 {
        self.old
    }

    /// Whether the messages judged last are known to follow on what was read.
    pub(super) const fn is_covered(&self) -> bool {
        self.covered
    }

    /// Whether nothing was read behind the messages judged last, before they were.
    pub(super) const fn is_past_front(&self) -> bool {
        self.past_front
    }

    /// What `frame` is. `cursor` must have been advanced over every message judged new.
    pub(super) fn judge(&mut self, cursor: &Cursor, frame: &Frame) -> Verdict {
        self.ending = Some(frame.stream);
        match self.compare(cursor, frame) {
            Some(true) => Verdict::New,
            Some(false) => {
                self.old += 1;
                Verdict::Old
            }
            None if self.may_widen => Verdict::TooShort,
            None => {
                self.covered = true;
                self.streams[frame.stream.index()].passed = true;
                Verdict::NewAfterGap
            }
        }
    }

    /// What the reply was, at its end.
    pub(super) fn end(&self, cursor: &Cursor) -> End {
        let behind = Stream::ALL.into_iter().any(|stream| self.is_behind(cursor, stream));
        if (behind || !self.covered) && self.may_widen {
            End::TooShort
        } else if behind && self.whole {
            End::Lost
        } else if !self.covered && self.whole && self.old == 0 {
            End::Vanished
        } else if !self.covered && self.whole && !self.near {
            End::Replaced
        } else {
            End::Complete
        }
    }

    /// After [`End::Complete`]: nothing is read behind the message judged last.
    pub(super) fn note_front(&self, cursor: &mut Cursor) {
        if let Some(stream) = self.ending.filter(|stream| self.covered && self.streams[stream.index()].passed)
        {
            (cursor.last, cursor.front) = (Some(stream), true);
        }
    }

    /// After [`End::Lost`]: what is lost is waited for no longer. Returns its earliest time.
    pub(super) fn give_up_lost(&self, cursor: &mut Cursor) -> Option<i64> {
        let lost_ns = cursor.pending_ns();
        for stream in Stream::ALL {
            if self.is_behind(cursor, stream) {
                cursor.stream_mut(stream).pending = None;
            } else if self.streams[stream.index()].passed {
                // The message read last was among the lost ones, so this one is the last that can be found.
                (cursor.last, cursor.front) = (Some(stream), false);
            }
        }
        lost_ns
    }

    /// Whether the reply did not show where a stream that stayed behind goes on.
    fn is_behind(&self, cursor: &Cursor, stream: Stream) -> bool {
        cursor.stream(stream).pending.is_some() && !self.streams[stream.index()].passed
    }

    /// All that was read lies behind us: what follows is new, in each stream that did not stay behind. Of a stream whose
    /// own mark is not in the reply nothing else would tell: of a further chunk of a long line, say.
    fn pass_front(&mut self, cursor: &Cursor) {
        self.past_front = true;
        for stream in Stream::ALL {
            self.streams[stream.index()].passed |= cursor.stream(stream).pending.is_none();
        }
    }

    /// Whether `frame` is new; `None` when it is, but may not be the next.
    fn compare(&mut self, cursor: &Cursor, frame: &Frame) -> Option<bool> {
        let stream = &mut self.streams[frame.stream.index()];
        let (ordinal, from_start) = stream.count(frame.timestamp_ns, self.whole);
        if stream.passed {
            return Some(true);
        }
        let position = cursor.stream(frame.stream);
        if let Some(mark) = position.mark {
            if frame.timestamp_ns < mark.ts {
                return Some(false);
            }
            if frame.timestamp_ns == mark.ts {
                if (mark.ordinal > 0 || ends_open(frame)) && !from_start {
                    return None;
                }
                self.near = true;
                if ordinal < mark.ordinal {
                    return Some(false);
                }
                if ordinal == mark.ordinal {
                    if frame.hash() != mark.hash {
                        return None;
                    }
                    if position.pending.is_none() {
                        stream.passed = true;
                        self.covered |= cursor.last == Some(frame.stream);
                        if self.front == Some(frame.stream) {
                            self.pass_front(cursor);
                        }
                    }
                    return Some(false);
                }
            }
            if mark.high.is_some_and(|high| frame.timestamp_ns <= high) {
                return Some(false);
            }
        }
        match position.pending {
            Some(pending) => {
                let found = pending.ts == frame.timestamp_ns && pending.hash == frame.hash();
                if !found || (ends_open(frame) && !from_start) {
                    return None;
                }
                self.covered = true;
            }
            None if !self.covered => return None,
            None => {}
        }
        stream.passed = true;
        Some(true)
    }
}

/// Whether `frame` may be a chunk of a line. The chunks of a line may be all alike, so they are told apart by
/// their number alone.
fn ends_open(frame: &Frame) -> bool {
    frame.payload.last() != Some(&b'\n')
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

#[cfg(test)]
mod tests;
