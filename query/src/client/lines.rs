//! Lines of a body as it comes in.

use axum::body::{Body, BodyDataStream};
use axum::response::Response;
use futures_util::StreamExt;

use super::ClientError;

/// Longest line accepted, in bytes: the longest log line (1 MiB), escaped as JSON and again in base64, fits many
/// times. A longer one is no answer of ours.
const MAX_LINE_BYTES: usize = 64 << 20;

/// Lines of a body.
#[derive(Debug)]
pub(super) struct Lines {
    chunks: BodyDataStream,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that have been given out.
    given: usize,
    /// Bytes of `buffer` that hold no line end.
    searched: usize,
}

impl Lines {
    pub(super) fn of(response: Response<Body>) -> Self {
        Self { chunks: response.into_body().into_data_stream(), buffer: Vec::new(), given: 0, searched: 0 }
    }

    /// The next line without its end, `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        loop {
            if let Some(length) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
                let end = self.searched + length;
                let line = self.buffer[self.given..end].to_vec();
                self.given = end + 1;
                self.searched = self.given;
                return Ok(Some(line));
            }
            self.buffer.drain(..self.given);
            self.given = 0;
            self.searched = self.buffer.len();
            if self.searched > MAX_LINE_BYTES {
                return Err(ClientError::NotUnderstood(format!(
                    "a line is longer than {MAX_LINE_BYTES} bytes"
                )));
            }
            match self.chunks.next().await {
                Some(Ok(chunk)) => self.buffer.extend_from_slice(&chunk),
                Some(Err(error)) => return Err(ClientError::broken(error)),
                None => return Ok(None),
            }
        }
    }
}
