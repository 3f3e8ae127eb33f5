//! From the bytes of a `logs` reply to messages: the raw format of containers with a terminal.
//!
//! There are no frames: each message is `TIMESTAMP SPACE payload`, and ends with its line end or after
//! 16 384 bytes, where the daemon cuts long lines and writes the time again without any line end before it.
//! Everything is standard output, line ends are `\r\n`.

use bytes::{Buf, Bytes, BytesMut};

use super::frames::{DecodeError, Frame, Stream, no_timestamp};
use super::timestamp;

/// The daemon cuts lines into messages of this many bytes.
const MAX_MESSAGE: usize = 16_384;

/// Decoder of a terminal's log. Holds at most one message and the chunk pushed last.
#[derive(Debug, Default)]
pub struct TtyDecoder {
    buffer: BytesMut,
    /// Time of the message whose payload begins the buffer.
    open: Option<i64>,
    /// Bytes of the buffer known to belong to the open message, although no line end follows.
    ends_at: Option<usize>,
}

impl TtyDecoder {
    /// Takes the next bytes of the reply.
    ///
    /// The daemon writes each message in one chunk. A message without line end (the last before an exit)
    /// is told from the next only by that: where the open message has none and a chunk begins with a later
    /// time, it is the next message.
    pub fn push(&mut self, chunk: &[u8]) {
        if let (Some(open_ns), None) = (self.open, self.ends_at)
            && !self.buffer.is_empty()
            && memchr::memchr(b'\n', &self.buffer).is_none()
            && timestamp::split(chunk).is_some_and(|(next_ns, _)| next_ns > open_ns)
        {
            self.ends_at = Some(self.buffer.len());
        }
        self.buffer.extend_from_slice(chunk);
    }

    /// The next message, `None` when more bytes are needed.
    ///
    /// # Errors
    /// When a message does not begin with a timestamp.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        let timestamp_ns = match self.open {
            Some(ns) => ns,
            None => match self.take_timestamp()? {
                Some(ns) => *self.open.insert(ns),
                None => return Ok(None),
            },
        };
        let window = &self.buffer[..self.buffer.len().min(MAX_MESSAGE)];
        let end = match (self.ends_at, memchr::memchr(b'\n', window)) {
            (Some(end), _) => end.min(MAX_MESSAGE),
            (None, Some(newline)) => newline + 1,
            (None, None) if window.len() == MAX_MESSAGE => MAX_MESSAGE,
            (None, None) => return Ok(None),
        };
        Ok(Some(self.take_message(timestamp_ns, end)))
    }

    /// Ends the reply; gives the last message when it had no line end.
    ///
    /// # Errors
    /// [`DecodeError::Cut`] when the reply ended inside a timestamp.
    pub fn finish(&mut self) -> Result<Option<Frame>, DecodeError> {
        match self.open {
            Some(timestamp_ns) => Ok(Some(self.take_message(timestamp_ns, self.buffer.len()))),
            None if self.buffer.is_empty() => Ok(None),
            None => Err(DecodeError::Cut),
        }
    }

    fn take_timestamp(&mut self) -> Result<Option<i64>, DecodeError> {
        if let Some((ns, payload)) = timestamp::split(&self.buffer) {
            let head = self.buffer.len() - payload.len();
            self.buffer.advance(head);
            return Ok(Some(ns));
        }
        let whole = self.buffer.len() > timestamp::MAX_LEN || self.buffer.contains(&b' ');
        if whole { Err(no_timestamp(&self.buffer)) } else { Ok(None) }
    }

    fn take_message(&mut self, timestamp_ns: i64, end: usize) -> Frame {
        let payload = Bytes::copy_from_slice(&self.buffer[..end]);
        self.buffer.advance(end);
        self.open = None;
        self.ends_at = None;
        Frame { stream: Stream::Stdout, timestamp_ns, payload }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frames::tests::decode;
    use super::*;

    fn message(second: u8, payload: &[u8]) -> Vec<u8> {
        [format!("1970-01-01T00:00:{second:02}.000000000Z ").as_bytes(), payload].concat()
    }

    fn payloads(chunks: &[&[u8]]) -> Vec<(i64, Vec<u8>)> {
        let (frames, error) = decode(true, chunks.iter().copied());
        assert_eq!(error, None);
        frames.into_iter().map(|f| (f.timestamp_ns / 1_000_000_000, f.payload.to_vec())).collect()
    }

    #[test]
    fn messages_end_at_their_line_end() {
        let input = [message(1, b"a\r\n"), message(2, b"\r\n"), message(3, b"\x00\x01\x02 z\r\n")].concat();
        let expected =
            vec![(1, b"a\r\n".to_vec()), (2, b"\r\n".to_vec()), (3, b"\x00\x01\x02 z\r\n".to_vec())];
        assert_eq!(payloads(&[&input]), expected);
    }

    #[test]
    fn times_inside_a_long_line_are_taken_out() {
        let line = [vec![b'x'; 40_000], b"\r\n".to_vec()].concat();
        let mut input = Vec::new();
        for part in line.chunks(MAX_MESSAGE) {
            input.extend(message(1, part));
        }
        input.extend(message(2, b"next\r\n"));
        let lengths: Vec<usize> = payloads(&[&input]).iter().map(|(_, p)| p.len()).collect();
        assert_eq!(lengths, [16_384, 16_384, 7_234, 6]);
    }

    #[test]
    fn a_line_of_exactly_one_message_is_followed_by_its_line_end() {
        let input = [message(1, &[b'x'; MAX_MESSAGE]), message(1, b"\r\n"), message(2, b"y\r\n")].concat();
        let lengths: Vec<usize> = payloads(&[&input]).iter().map(|(_, p)| p.len()).collect();
        assert_eq!(lengths, [16_384, 2, 3]);
    }

    #[test]
    fn the_last_message_may_lack_its_line_end() {
        assert_eq!(payloads(&[&message(1, b"prompt> ")]), [(1, b"prompt> ".to_vec())]);
        assert_eq!(payloads(&[&message(1, b"")]), [(1, b"".to_vec())]);
    }

    #[test]
    fn a_message_without_line_end_is_told_from_the_next_run_by_its_chunk() {
        let (end, next) = (message(1, b"bye"), message(5, b"hello\r\n"));
        assert_eq!(payloads(&[&end, &next]), [(1, b"bye".to_vec()), (5, b"hello\r\n".to_vec())]);
    }

    #[test]
    fn input_without_time_is_refused() {
        assert!(matches!(decode(true, [&b"no time at all\r\n"[..]]).1, Some(DecodeError::Timestamp(_))));
        assert!(matches!(decode(true, [&[b'x'; 100][..]]).1, Some(DecodeError::Timestamp(_))));
        assert_eq!(decode(true, [&b"1970-01-01T00"[..]]).1, Some(DecodeError::Cut));
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_messages(
            lines in prop::collection::vec((0..60u8, prop::collection::vec(any::<u8>(), 0..200), 0..3usize), 0..8),
            sizes in prop::collection::vec(prop_oneof![1..60usize, 1_000..40_000usize], 1..20),
        ) {
            let mut input = Vec::new();
            for (second, mut line, times) in lines {
                line.retain(|b| *b != b'\n');
                let mut line = line.repeat(1 + times * 100);
                line.extend(b"\r\n");
                for part in line.chunks(MAX_MESSAGE) {
                    input.extend(message(second, part));
                }
            }
            let mut chunks = Vec::new();
            let mut rest = &input[..];
            for size in sizes.iter().cycle() {
                if rest.is_empty() { break }
                let (chunk, tail) = rest.split_at((*size).min(rest.len()));
                chunks.push(chunk);
                rest = tail;
            }
            prop_assert_eq!(decode(true, chunks), decode(true, [&input[..]]));
        }
    }
}
