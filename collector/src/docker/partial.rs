//! From messages to lines, for one stream of one container: the daemon cuts lines into chunks of 16 KiB.
//!
//! All chunks of a line carry the time of the first, nothing marks the last. A line is open while chunks of
//! the same time arrive; it ends with its line end, with a message shorter than a chunk (the last output
//! before an exit, or driver `local` of old engines, which drops the line end), or before a message with
//! another time. Memory: at most `max_line` bytes.

use bytes::{Bytes, BytesMut};

/// `\r\n`; kept behind the longest line, so that its length is known.
const MAX_LINE_END: usize = 2;

/// A line put together, without its line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line<P> {
    /// Time of its first chunk.
    pub(super) timestamp_ns: i64,
    /// Its bytes, at most `max_line` of them.
    pub(super) line: Bytes,
    /// Its length when that was more.
    pub(super) truncated_from: Option<u64>,
    /// How many messages it was made of.
    pub(super) chunks: u32,
    /// Position of its first message.
    pub(super) start: P,
    /// Position of its last message.
    pub(super) end: P,
}

/// Joins the messages of one stream to lines; `P` is the position of a message, kept for the caller.
#[derive(Debug)]
pub(super) struct Assembler<P> {
    chunk_size: usize,
    max_line: usize,
    tty: bool,
    open: Option<Open<P>>,
}

#[derive(Debug)]
struct Open<P> {
    timestamp_ns: i64,
    kept: BytesMut,
    length: u64,
    chunks: u32,
    /// Length of the line end of the last message.
    line_end: usize,
    start: P,
    end: P,
}

impl<P: Copy> Assembler<P> {
    /// For an engine that cuts at `chunk_size` bytes, keeping `max_line` bytes of a line.
    pub(super) const fn new(chunk_size: usize, max_line: usize, tty: bool) -> Self {
        Self { chunk_size, max_line, tty, open: None }
    }

    /// Position of the first message of the line that is still open.
    pub(super) fn open_start(&self) -> Option<P> {
        self.open.as_ref().map(|open| open.start)
    }

    /// Time of the line that is still open.
    pub(super) fn open_ns(&self) -> Option<i64> {
        self.open.as_ref().map(|open| open.timestamp_ns)
    }

    /// Takes the next message and hands each line that it ends to `emit`.
    pub(super) fn push(&mut self, timestamp_ns: i64, payload: &Bytes, end: P, mut emit: impl FnMut(Line<P>)) {
        if self.open_ns().is_some_and(|open_ns| open_ns != timestamp_ns) {
            self.flush(&mut emit);
        }
        let line_end = line_end(payload, self.tty);
        let ends = line_end > 0 || payload.len() < self.chunk_size;
        let keep = self.max_line + MAX_LINE_END;
        match &mut self.open {
            None if ends => emit(self.single(timestamp_ns, payload, end)),
            None => {
                let kept = BytesMut::from(&payload[..payload.len().min(keep)]);
                let length = payload.len() as u64;
                self.open = Some(Open { timestamp_ns, kept, length, chunks: 1, line_end, start: end, end });
            }
            Some(open) => {
                let room = keep.saturating_sub(open.kept.len());
                open.kept.extend_from_slice(&payload[..payload.len().min(room)]);
                open.length += payload.len() as u64;
                open.chunks = open.chunks.saturating_add(1);
                open.line_end = line_end;
                open.end = end;
                if ends {
                    self.flush(&mut emit);
                }
            }
        }
    }

    /// Ends the open line, if any: nothing more of it will come.
    pub(super) fn flush(&mut self, emit: &mut impl FnMut(Line<P>)) {
        let Some(open) = self.open.take() else { return };
        let mut kept = open.kept;
        // A chunk may end between `\r` and `\n`, so look at the whole line where there is the whole line.
        let complete = open.length == kept.len() as u64;
        let line_end = if complete { line_end(&kept, self.tty) } else { open.line_end };
        let length = open.length - line_end as u64;
        kept.truncate(usize::try_from(length).unwrap_or(usize::MAX).min(self.max_line));
        let truncated_from = (length > kept.len() as u64).then_some(length);
        emit(Line {
            timestamp_ns: open.timestamp_ns,
            line: kept.freeze(),
            truncated_from,
            chunks: open.chunks,
            start: open.start,
            end: open.end,
        });
    }

    fn single(&self, timestamp_ns: i64, payload: &Bytes, end: P) -> Line<P> {
        let length = payload.len() - line_end(payload, self.tty);
        let kept = length.min(self.max_line);
        Line {
            timestamp_ns,
            line: payload.slice(..kept),
            truncated_from: (length > kept).then_some(length as u64),
            chunks: 1,
            start: end,
            end,
        }
    }
}

/// Length of the line end of `line`; a terminal writes `\r\n`.
fn line_end(line: &[u8], tty: bool) -> usize {
    match line {
        [.., b'\r', b'\n'] if tty => 2,
        [.., b'\n'] => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHUNK: usize = 16_384;

    /// Lines of messages (time, payload), as (time, length or text, cut from, chunks).
    fn lines(messages: &[(i64, &[u8])], max_line: usize, tty: bool) -> Vec<Line<usize>> {
        let mut assembler = Assembler::new(CHUNK, max_line, tty);
        let mut out = Vec::new();
        for (i, (time, payload)) in messages.iter().enumerate() {
            assembler.push(*time, &Bytes::copy_from_slice(payload), i, |line| out.push(line));
        }
        assembler.flush(&mut |line| out.push(line));
        out
    }

    /// `line` with its line end, cut as the daemon does.
    fn cut(line: &[u8]) -> Vec<&[u8]> {
        let mut parts: Vec<&[u8]> = line.chunks(CHUNK).collect();
        if line.len() > CHUNK && line.len() % CHUNK == 1 {
            assert_eq!(parts.last(), Some(&&b"\n"[..]));
        }
        if parts.is_empty() {
            parts.push(b"");
        }
        parts
    }

    #[test]
    fn lines_at_the_edges_of_a_chunk_are_whole() {
        for length in [0, 1, 16_383, 16_384, 16_385, 32_767, 32_768, 32_769, 40_000, 102_400] {
            let line = [vec![b'x'; length], b"\n".to_vec()].concat();
            let messages: Vec<(i64, &[u8])> = cut(&line).into_iter().map(|part| (7, part)).collect();
            let out = lines(&messages, 1 << 20, false);
            assert_eq!(out.len(), 1, "{length}");
            assert_eq!((out[0].line.len(), out[0].truncated_from), (length, None));
            assert_eq!((out[0].chunks as usize, out[0].end), (messages.len(), messages.len() - 1));
        }
    }

    #[test]
    fn driver_local_of_old_engines_drops_the_line_end() {
        let (full, rest) = (vec![b'x'; CHUNK], vec![b'y'; 4_126]);
        let out = lines(&[(1, &full), (1, &rest), (2, &full), (2, b""), (3, b"z\n")], 1 << 20, false);
        let lengths: Vec<usize> = out.iter().map(|line| line.line.len()).collect();
        assert_eq!(lengths, [CHUNK + 4_126, CHUNK, 1]);
    }

    #[test]
    fn a_line_whose_end_never_came_ends_before_the_next_time() {
        let full = vec![b'x'; CHUNK];
        let out = lines(&[(1, &full), (2, b"next\n"), (3, b"last output")], 1 << 20, false);
        let lengths: Vec<usize> = out.iter().map(|line| line.line.len()).collect();
        assert_eq!(lengths, [CHUNK, 4, 11]);
    }

    #[test]
    fn lines_of_the_same_time_stay_apart() {
        let out = lines(&[(1, b"a\n"), (1, b"a\n"), (1, b"\n")], 1 << 20, false);
        let texts: Vec<&[u8]> = out.iter().map(|line| &line.line[..]).collect();
        assert_eq!(texts, [&b"a"[..], b"a", b""]);
    }

    #[test]
    fn a_terminal_ends_lines_with_two_bytes_even_across_chunks() {
        let chunk = [vec![b'x'; CHUNK - 1], b"\r".to_vec()].concat();
        let out = lines(&[(1, b"a\r\n"), (2, b"b\r\r\n"), (3, &chunk), (3, b"\n")], 1 << 20, true);
        assert_eq!(out[0].line, "a");
        assert_eq!(out[1].line, "b\r");
        assert_eq!(out[2].line.len(), CHUNK - 1);
        assert_eq!(lines(&[(1, b"a\r\n")], 1 << 20, false)[0].line, "a\r");
    }

    #[test]
    fn a_line_longer_than_the_limit_keeps_its_first_part_and_its_length() {
        let line = [vec![b'x'; 100_000], b"\n".to_vec()].concat();
        let messages: Vec<(i64, &[u8])> = cut(&line).into_iter().map(|part| (7, part)).collect();
        let out = lines(&messages, 40_000, false);
        assert_eq!((out[0].line.len(), out[0].truncated_from), (40_000, Some(100_000)));
        assert_eq!(lines(&messages, 100_000, false)[0].truncated_from, None);
        assert_eq!(lines(&messages, 99_999, false)[0].truncated_from, Some(100_000));
        assert_eq!(lines(&[(1, b"0123456789\n")], 4, false)[0].truncated_from, Some(10));
    }

    #[test]
    fn an_endless_line_takes_bounded_memory() {
        let full = Bytes::from(vec![b'x'; CHUNK]);
        let mut assembler = Assembler::new(CHUNK, 1 << 20, false);
        for _ in 0..1_000 {
            assembler.push(1, &full, (), |_| panic!("no line ended"));
        }
        assert!(assembler.open.as_ref().unwrap().kept.len() <= (1 << 20) + MAX_LINE_END);
    }

    proptest! {
        #[test]
        fn lines_come_out_as_they_were_written(lengths in prop::collection::vec(0..70_000usize, 1..6)) {
            let written: Vec<Vec<u8>> =
                lengths.iter().map(|n| [vec![b'x'; *n], b"\n".to_vec()].concat()).collect();
            let mut messages: Vec<(i64, &[u8])> = Vec::new();
            for (time, line) in (0..).zip(&written) {
                messages.extend(cut(line).into_iter().map(|part| (time, part)));
            }
            let out: Vec<usize> = lines(&messages, 1 << 20, false).iter().map(|line| line.line.len()).collect();
            prop_assert_eq!(out, lengths);
        }
    }
}
