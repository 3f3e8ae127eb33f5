//! Lines of a file or pipe, as slices of what was read together.
//!
//! Lines take the memory of their bytes, however little a pipe gives at once, and a line longer than the limit never more
//! than the limit.

use std::io::{ErrorKind, Read};

use bytes::Bytes;

/// Read at once: large enough that system calls do not count, small enough to stay in the cache.
const READ_BYTES: usize = 256 << 10;

/// A line without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) bytes: Bytes,
    /// Length before it was cut.
    pub(super) truncated_from: Option<u64>,
}

/// Cuts what it reads into lines.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    max_line_bytes: usize,
    /// What the system reads into.
    buffer: Box<[u8]>,
    /// Read and not yet given out: begins at the start of a line.
    pending: Vec<u8>,
    /// Of the line at the start of `pending` so many bytes were dropped: it is over the limit.
    dropped: u64,
    ended: bool,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(input: R, max_line_bytes: usize) -> Self {
        let buffer = vec![0; READ_BYTES].into_boxed_slice();
        Self { input, max_line_bytes, buffer, pending: Vec::new(), dropped: 0, ended: false }
    }

    /// Reads once and appends the lines that are complete by that to `out`, with the number of bytes read;
    /// `None` when the input has ended and all is given out.
    pub(super) fn read(&mut self, out: &mut Vec<Line>) -> std::io::Result<Option<usize>> {
        if self.ended {
            return Ok(None);
        }
        let read = loop {
            match self.input.read(&mut self.buffer) {
                Ok(read) => break read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        if read == 0 {
            self.ended = true;
            // The last line needs no line end.
            if !self.pending.is_empty() || self.dropped > 0 {
                let rest = Bytes::from(std::mem::take(&mut self.pending));
                out.push(self.line(rest));
            }
            return Ok(Some(0));
        }
        let (lines, rest) = match memchr::memrchr(b'\n', &self.buffer[..read]) {
            Some(end) => self.buffer[..read].split_at(end + 1),
            None => (&[][..], &self.buffer[..read]),
        };
        let chunk = (!lines.is_empty()).then(|| Bytes::from([&self.pending, lines].concat()));
        if chunk.is_some() {
            self.pending.clear();
        }
        self.pending.extend_from_slice(rest);
        if let Some(chunk) = chunk {
            self.give_out(&chunk, out);
        }
        self.drop_excess();
        Ok(Some(read))
    }

    /// Gives out the lines of `chunk`, which ends with a line end. Of the first the beginning may have been dropped.
    fn give_out(&mut self, chunk: &Bytes, out: &mut Vec<Line>) {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', chunk) {
            let line = self.line(chunk.slice(start..end));
            out.push(line);
            start = end + 1;
        }
    }

    /// Keeps no more of an endless line than is needed. Two bytes more than the limit: one that shows it is
    /// over, one that may be the carriage return before its end.
    fn drop_excess(&mut self) {
        let most = self.max_line_bytes.saturating_add(2);
        if self.pending.len() > most {
            self.dropped += (self.pending.len() - most) as u64;
            // The last byte is kept: it tells whether the line ends in a carriage return.
            let last = self.pending[self.pending.len() - 1];
            self.pending.truncate(most);
            self.pending[most - 1] = last;
        }
    }

    fn line(&mut self, bytes: Bytes) -> Line {
        let dropped = std::mem::take(&mut self.dropped);
        let bytes = match bytes.last() {
            Some(b'\r') => bytes.slice(..bytes.len() - 1),
            _ => bytes,
        };
        let length = bytes.len() as u64 + dropped;
        if length <= self.max_line_bytes as u64 {
            return Line { bytes, truncated_from: None };
        }
        Line { bytes: bytes.slice(..bytes.len().min(self.max_line_bytes)), truncated_from: Some(length) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives out its bytes in pieces of the sizes given, again and again.
    struct Pieces<'a>(&'a [u8], std::iter::Cycle<std::vec::IntoIter<usize>>);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = self.1.next().unwrap_or(1).min(buffer.len()).min(self.0.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    fn all(input: impl Read, limit: usize) -> Vec<Line> {
        let (mut lines, mut out) = (Lines::new(input, limit), Vec::new());
        while lines.read(&mut out).unwrap().is_some() {
            assert!(lines.pending.len() <= limit + 2 + READ_BYTES);
        }
        out
    }

    #[test]
    fn line_ends_are_taken_off_and_the_last_line_needs_none() {
        for (input, expected) in [
            ("", vec![]),
            ("a", vec!["a"]),
            ("a\n", vec!["a"]),
            ("a\r\n\n\r\nb\rc\n\n", vec!["a", "", "", "b\rc", ""]),
            ("a\nb\r", vec!["a", "b"]),
        ] {
            let lines: Vec<_> = all(input.as_bytes(), 100).into_iter().map(|line| line.bytes).collect();
            assert_eq!(lines, expected, "{input:?}");
        }
    }

    #[test]
    fn lines_that_come_one_by_one_take_no_more_memory_than_they_have_bytes() {
        let input = Pieces(b"one\ntwo and more\nthree\n", vec![4, 13, 6].into_iter().cycle());
        for line in all(input, 1000) {
            let len = line.bytes.len();
            let memory = line.bytes.try_into_mut().unwrap();
            assert!(memory.capacity() <= len + 1, "{} for {len}", memory.capacity());
        }
    }

    proptest! {
        #[test]
        fn lines_are_those_of_a_plain_split_however_they_are_read(
            input in proptest::collection::vec(prop_oneof![4 => Just(b'a'), 1 => Just(b'\n'), 1 => Just(b'\r')], 0..200),
            pieces in proptest::collection::vec(1_usize..20, 1..5),
            limit in 1_usize..12,
        ) {
            let mut expected: Vec<&[u8]> = input.split(|b| *b == b'\n').collect();
            if expected.last().is_some_and(|last| last.is_empty()) {
                expected.pop();
            }
            let lines = all(Pieces(&input, pieces.into_iter().cycle()), limit);
            prop_assert_eq!(lines.len(), expected.len());
            for (line, whole) in lines.iter().zip(expected) {
                let whole = whole.strip_suffix(b"\r").unwrap_or(whole);
                prop_assert_eq!(&line.bytes[..], &whole[..whole.len().min(limit)]);
                let cut = (whole.len() > limit).then_some(whole.len() as u64);
                prop_assert_eq!(line.truncated_from, cut);
            }
        }
    }
}
