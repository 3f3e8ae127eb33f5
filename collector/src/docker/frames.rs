//! From the bytes of a `logs` reply to messages: the multiplexed format of containers without a terminal.
//!
//! A frame is an 8-byte header (stream, three zero bytes, length as u32 big endian) and the message
//! `TIMESTAMP SPACE payload`. Type 3 is an error of the daemon inside a reply whose status was 200.
//! The decoder accepts any chunking of the input and gives the same frames for each.

use bytes::{Buf, Bytes, BytesMut};

use super::timestamp;
use super::tty::TtyDecoder;

/// Longest frame accepted, in bytes. Docker's chunks are 16 KiB; drivers with larger ones end at 1 MB.
const MAX_FRAME: usize = (1 << 20) + 4096;
const HEADER: usize = 8;

/// Which of a container's two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output; all output of a container with a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Both, in the order of [`Stream::index`].
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// Value of the stream label `stream`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// Index into an array with one element per stream.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// One message of a container's log: a line, or a chunk of a long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where it was written.
    pub stream: Stream,
    /// When the daemon read it from the container; all chunks of a line have the time of the first.
    pub timestamp_ns: i64,
    /// Its bytes, with the line end where there was one.
    pub payload: Bytes,
}

impl Frame {
    /// Identifies the message among those of its stream with the same time.
    #[must_use]
    pub fn hash(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&self.payload)
    }
}

/// Why a reply cannot be read on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The daemon reported an error inside the reply.
    #[error("the daemon reports: {0}")]
    Daemon(String),
    /// What stands where a frame header should is none.
    #[error("`{0:02x?}` is not a frame header")]
    Header([u8; HEADER]),
    /// A frame claims more bytes than any engine sends.
    #[error("a frame of {0} bytes is longer than the {MAX_FRAME} accepted")]
    TooLong(usize),
    /// A message does not begin with its time.
    #[error("a message begins with `{0}` instead of a timestamp")]
    Timestamp(String),
    /// The reply ended inside a message.
    #[error("the reply ends inside a message")]
    Cut,
}

/// Decoder of one reply.
#[derive(Debug)]
pub enum Decoder {
    /// Of a container without a terminal.
    Multiplexed(FrameDecoder),
    /// Of a container with one.
    Tty(TtyDecoder),
}

impl Decoder {
    /// The decoder for a container with (`true`) or without a terminal.
    #[must_use]
    pub fn new(tty: bool) -> Self {
        if tty { Self::Tty(TtyDecoder::default()) } else { Self::Multiplexed(FrameDecoder::default()) }
    }

    /// Takes the next bytes of the reply.
    pub fn push(&mut self, chunk: &[u8]) {
        match self {
            Self::Multiplexed(decoder) => decoder.push(chunk),
            Self::Tty(decoder) => decoder.push(chunk),
        }
    }

    /// The next message, `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the input is no log; the decoder must not be used afterwards.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        match self {
            Self::Multiplexed(decoder) => decoder.next_frame(),
            Self::Tty(decoder) => decoder.next_frame(),
        }
    }

    /// Ends the reply; gives the last message of a terminal when it had no line end.
    ///
    /// # Errors
    /// [`DecodeError::Cut`] when the reply ended inside a message.
    pub fn finish(&mut self) -> Result<Option<Frame>, DecodeError> {
        match self {
            Self::Multiplexed(decoder) => decoder.finish().map(|()| None),
            Self::Tty(decoder) => decoder.finish(),
        }
    }
}

/// Decoder of multiplexed frames. Holds at most one frame and the chunk pushed last.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: BytesMut,
}

impl FrameDecoder {
    /// Takes the next bytes of the reply.
    pub fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next frame, `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the input is no multiplexed log, or holds an error of the daemon.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        let Some(header) = self.buffer.first_chunk::<HEADER>() else { return Ok(None) };
        let [kind, 0, 0, 0, length @ ..] = *header else { return Err(DecodeError::Header(*header)) };
        if kind > 3 {
            return Err(DecodeError::Header(*header));
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_FRAME {
            return Err(DecodeError::TooLong(length));
        }
        let Some(message) = self.buffer.get(HEADER..HEADER + length) else { return Ok(None) };
        if kind == 3 {
            return Err(DecodeError::Daemon(String::from_utf8_lossy(message).trim().to_owned()));
        }
        let (timestamp_ns, payload) = timestamp::split(message).ok_or_else(|| no_timestamp(message))?;
        let stream = if kind == 2 { Stream::Stderr } else { Stream::Stdout };
        // Copied, so that a line kept in memory does not keep the whole read buffer.
        let payload = Bytes::copy_from_slice(payload);
        self.buffer.advance(HEADER + length);
        Ok(Some(Frame { stream, timestamp_ns, payload }))
    }

    /// Ends the reply.
    ///
    /// # Errors
    /// [`DecodeError::Cut`] when it ended inside a frame.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.buffer.is_empty() { Ok(()) } else { Err(DecodeError::Cut) }
    }
}

pub(super) fn no_timestamp(message: &[u8]) -> DecodeError {
    DecodeError::Timestamp(
        String::from_utf8_lossy(&message[..message.len().min(timestamp::MAX_LEN)]).into_owned(),
    )
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `message` as the daemon sends it.
    pub(crate) fn encode(kind: u8, message: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, 0, 0, 0];
        bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        bytes.extend(message);
        bytes
    }

    /// Everything a decoder gives for input in these chunks.
    pub(crate) fn decode<'a>(
        tty: bool,
        chunks: impl IntoIterator<Item = &'a [u8]>,
    ) -> (Vec<Frame>, Option<DecodeError>) {
        let mut decoder = Decoder::new(tty);
        let mut frames = Vec::new();
        for chunk in chunks {
            decoder.push(chunk);
            loop {
                match decoder.next_frame() {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error)),
                }
            }
        }
        match decoder.finish() {
            Ok(last) => frames.extend(last),
            Err(error) => return (frames, Some(error)),
        }
        (frames, None)
    }

    fn frame(stream: Stream, timestamp_ns: i64, payload: &[u8]) -> Frame {
        Frame { stream, timestamp_ns, payload: Bytes::copy_from_slice(payload) }
    }

    #[test]
    fn frames_of_both_streams_are_decoded() {
        let mut input = encode(1, b"1970-01-01T00:00:01.000000000Z out\n");
        input.extend(encode(2, b"1970-01-01T02:00:02.5+02:00 \xff\x00err"));
        input.extend(encode(1, b"1970-01-01T00:00:03Z \n"));
        input.extend(encode(0, b"1970-01-01T00:00:04Z "));
        let expected = vec![
            frame(Stream::Stdout, 1_000_000_000, b"out\n"),
            frame(Stream::Stderr, 2_500_000_000, b"\xff\x00err"),
            frame(Stream::Stdout, 3_000_000_000, b"\n"),
            frame(Stream::Stdout, 4_000_000_000, b""),
        ];
        assert_eq!(decode(false, [&input[..]]), (expected, None));
    }

    #[test]
    fn an_error_of_the_daemon_is_no_line() {
        let mut input = encode(1, b"1970-01-01T00:00:01Z a\n");
        input.extend(encode(3, b"Error grabbing logs: unexpected EOF\n"));
        let (frames, error) = decode(false, [&input[..]]);
        assert_eq!(frames.len(), 1);
        assert_eq!(error, Some(DecodeError::Daemon("Error grabbing logs: unexpected EOF".into())));
    }

    #[test]
    fn hostile_input_is_refused_before_it_is_buffered() {
        let huge = [1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(decode(false, [&huge[..]]).1, Some(DecodeError::TooLong(0xffff_ffff)));
        assert_eq!(decode(false, [&b"plain text"[..]]).1, Some(DecodeError::Header(*b"plain te")));
        let other_kind = [4, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(decode(false, [&other_kind[..]]).1, Some(DecodeError::Header(other_kind)));
        let input = encode(1, b"no time here\n");
        assert_eq!(decode(false, [&input[..]]).1, Some(DecodeError::Timestamp("no time here\n".into())));
    }

    #[test]
    fn a_reply_cut_inside_a_frame_is_told_from_one_that_ended() {
        let input = encode(1, b"1970-01-01T00:00:01Z a\n");
        for cut in 1..input.len() {
            assert_eq!(decode(false, [&input[..cut]]), (vec![], Some(DecodeError::Cut)), "{cut}");
        }
        assert_eq!(decode(false, [&b""[..]]), (vec![], None));
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_frames(
            messages in prop::collection::vec(
                (1..=2u8, 0..i64::MAX / 2, prop::collection::vec(any::<u8>(), 0..300)), 0..12),
            cut in 0..40usize,
            garbage in prop::collection::vec(any::<u8>(), 0..12),
            sizes in prop::collection::vec(1..50usize, 1..20),
        ) {
            let mut input = Vec::new();
            for (kind, ns, payload) in &messages {
                let time = jiff::Timestamp::from_nanosecond(i128::from(*ns)).unwrap().to_string();
                let mut message = [time.as_bytes(), b" "].concat();
                message.extend(payload);
                input.extend(encode(*kind, &message));
            }
            input.truncate(input.len().saturating_sub(cut));
            input.extend(garbage);
            let mut chunks = Vec::new();
            let mut rest = &input[..];
            for size in sizes.iter().cycle() {
                if rest.is_empty() { break }
                let (chunk, tail) = rest.split_at((*size).min(rest.len()));
                chunks.push(chunk);
                rest = tail;
            }
            prop_assert_eq!(decode(false, chunks), decode(false, [&input[..]]));
        }
    }
}
