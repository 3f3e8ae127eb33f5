//! The position in a container's log: what was read of each of its two streams.
//!
//! Time alone is no position: the streams are written by two threads of the daemon, so the order in the log
//! is not the order of the times, and all chunks of a long line carry one time. Within a stream times only
//! grow (unless the clock is set back), so a position is a mark per stream: the time of its last message,
//! its number among the messages of that time, and its hash.
//!
//! A stored cursor stays *before* what is read but not yet a record: `pending` is the first message of a
//! stream behind its mark that was read already.

use serde::{Deserialize, Serialize};

use super::frames::{Frame, Stream};

/// The last message read of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Its time.
    pub(super) ts: i64,
    /// Its number among the messages of its stream with this time, from 0.
    pub(super) ordinal: u32,
    /// Hash of its payload.
    pub(super) hash: u64,
    /// Latest time read before the clock was set back, while that is later than `ts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) high: Option<i64>,
}

/// Position in one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StreamCursor {
    /// The last message that is part of a record; `None` before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mark: Option<Mark>,
    /// The message after it, where that was read but is part of no record yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pending: Option<Mark>,
}

/// Position in a container's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    pub(super) out: StreamCursor,
    pub(super) err: StreamCursor,
    /// Stream of the message that a further read must find: the one read last, or the last of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<Stream>,
    /// Nothing behind that message was read. Unknown while a stream that stayed behind catches up with the other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) front: bool,
    /// The log cannot be read at all, and that was recorded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) unreadable: bool,
}

/// What is stored. A new notation is a new variant; old ones stay readable.
#[derive(Serialize, Deserialize)]
#[serde(tag = "v")]
enum Stored {
    #[serde(rename = "1")]
    V1(Cursor),
}

/// The stored position cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("the stored position `{text}` cannot be read ({reason}); was it written by a newer Binnacle?")]
pub(super) struct CursorError {
    text: String,
    reason: String,
}

impl Cursor {
    /// The notation for the store.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        serde_json::to_vec(&Stored::V1(self)).unwrap_or_default()
    }

    /// Reads [`Cursor::to_bytes`].
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, CursorError> {
        match serde_json::from_slice(bytes) {
            Ok(Stored::V1(cursor)) => Ok(cursor),
            Err(error) => {
                let text = String::from_utf8_lossy(bytes).chars().take(200).collect();
                Err(CursorError { text, reason: error.to_string() })
            }
        }
    }

    pub(super) const fn stream(&self, stream: Stream) -> &StreamCursor {
        match stream {
            Stream::Stdout => &self.out,
            Stream::Stderr => &self.err,
        }
    }

    pub(super) const fn stream_mut(&mut self, stream: Stream) -> &mut StreamCursor {
        match stream {
            Stream::Stdout => &mut self.out,
            Stream::Stderr => &mut self.err,
        }
    }

    /// Whether nothing was read yet.
    pub(super) const fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Where a gap begins when what comes next is missing: at the latest time read, or where a stream stayed
    /// behind that.
    pub(super) fn gap_from_ns(&self) -> Option<i64> {
        let latest_ns =
            [self.out, self.err].iter().filter_map(|stream| stream.mark.map(|mark| mark.ts)).max();
        latest_ns.into_iter().chain(self.pending_ns()).min()
    }

    /// The times within which messages are missing, when what comes next was found at `ns`, and lines begun at `open_ns`
    /// and later are unfinished. Where `ns` is no later than what was read it is that of such a line, since all chunks
    /// carry the time of the first: when it was written is not known, but for that it was before `now_ns`.
    pub(super) fn gap_before(&self, ns: i64, open_ns: Option<i64>, now_ns: i64) -> (i64, i64) {
        let read_ns = self.gap_from_ns().unwrap_or(ns);
        let from_ns = open_ns.unwrap_or(read_ns).min(read_ns).min(ns);
        (from_ns, if ns <= read_ns { now_ns.max(read_ns) } else { ns })
    }

    /// Time of the message that a further read must find.
    pub(super) fn last_ns(&self) -> Option<i64> {
        self.stream(self.last?).mark.map(|mark| mark.ts)
    }

    /// Number of the same message among those of its time, from 0.
    pub(super) fn last_ordinal(&self) -> u32 {
        self.last.and_then(|last| self.stream(last).mark).map_or(0, |mark| mark.ordinal)
    }

    /// Earliest time that was read without becoming part of a record.
    pub(super) fn pending_ns(&self) -> Option<i64> {
        [self.out.pending, self.err.pending].into_iter().flatten().map(|mark| mark.ts).min()
    }

    /// Moves behind `frame`, the next of its stream, and at the `front` of all that is read or not. Returns its mark, and
    /// whether the clock was set back.
    pub(super) fn advance(&mut self, frame: &Frame, front: bool) -> (Mark, bool) {
        let before = self.stream(frame.stream).mark;
        let ordinal =
            before.filter(|m| m.ts == frame.timestamp_ns).map_or(0, |m| m.ordinal.saturating_add(1));
        let latest = before.map(|m| m.high.unwrap_or(m.ts));
        let mark = Mark {
            ts: frame.timestamp_ns,
            ordinal,
            hash: frame.hash(),
            high: latest.filter(|latest| *latest > frame.timestamp_ns),
        };
        *self.stream_mut(frame.stream) = StreamCursor { mark: Some(mark), pending: None };
        (self.last, self.front) = (Some(frame.stream), front);
        (mark, before.is_some_and(|m| m.ts > frame.timestamp_ns))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn frame(stream: Stream, timestamp_ns: i64, payload: &'static str) -> Frame {
        Frame { stream, timestamp_ns, payload: Bytes::from_static(payload.as_bytes()) }
    }

    #[test]
    fn a_stored_cursor_reads_back() {
        let mut cursor = Cursor::default();
        assert_eq!(Cursor::from_bytes(&cursor.to_bytes()).unwrap(), cursor);
        for f in [frame(Stream::Stdout, 9, "a"), frame(Stream::Stderr, 7, "b"), frame(Stream::Stdout, 4, "c")]
        {
            cursor.advance(&f, true);
        }
        cursor.err.pending = cursor.out.mark;
        assert_eq!(Cursor::from_bytes(&cursor.to_bytes()).unwrap(), cursor);
    }

    #[test]
    fn the_notation_of_version_1_stays_readable() {
        let stored = br#"{"v":"1","out":{"mark":{"ts":5,"ordinal":1,"hash":18446744073709551615},"pending":{"ts":6,"ordinal":0,"hash":7}},"err":{},"last":"stdout"}"#;
        let cursor = Cursor::from_bytes(stored).unwrap();
        assert_eq!(cursor.out.mark, Some(Mark { ts: 5, ordinal: 1, hash: u64::MAX, high: None }));
        assert_eq!(cursor.out.pending, Some(Mark { ts: 6, ordinal: 0, hash: 7, high: None }));
        assert_eq!(cursor.last, Some(Stream::Stdout));
    }

    #[test]
    fn a_newer_or_broken_notation_is_refused_with_a_sentence() {
        for stored in [&br#"{"v":"2","x":1}"#[..], b"", b"\xff\xff", b"{}"] {
            let message = Cursor::from_bytes(stored).unwrap_err().to_string();
            assert!(message.contains("newer Binnacle"), "{message}");
        }
    }

    #[test]
    fn messages_of_one_time_are_numbered_per_stream() {
        let mut cursor = Cursor::default();
        assert_eq!(cursor.advance(&frame(Stream::Stdout, 5, "a"), true).0.ordinal, 0);
        assert_eq!(cursor.advance(&frame(Stream::Stderr, 5, "a"), true).0.ordinal, 0);
        assert_eq!(cursor.advance(&frame(Stream::Stdout, 5, "a"), true).0.ordinal, 1);
        assert_eq!(cursor.advance(&frame(Stream::Stdout, 6, "a"), true).0.ordinal, 0);
    }

    #[test]
    fn a_clock_set_back_is_remembered_until_it_is_passed() {
        let mut cursor = Cursor::default();
        cursor.advance(&frame(Stream::Stdout, 100, "a"), true);
        let (mark, set_back) = cursor.advance(&frame(Stream::Stdout, 90, "b"), true);
        assert_eq!((mark.high, set_back), (Some(100), true));
        assert_eq!(
            cursor.advance(&frame(Stream::Stdout, 95, "c"), true),
            (Mark { ts: 95, ordinal: 0, hash: cursor.out.mark.unwrap().hash, high: Some(100) }, false)
        );
        assert_eq!(cursor.advance(&frame(Stream::Stdout, 101, "d"), true).0.high, None);
    }
}
