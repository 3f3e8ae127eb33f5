//! The stored spans that are not sent yet: those after a sequence number that is stored with them.

use correlation::Span;
use store::{CursorUpdate, Position, Reader, StoreError, TraceBatch, Writer};

use super::ExportMetrics;

/// Key of the position in the store.
const SOURCE: &str = "export";

/// Why the queue cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum QueueError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("reading spans ended: {0}")]
    Panic(#[from] tokio::task::JoinError),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Queue {
    writer: Writer,
    reader: Reader,
    metrics: ExportMetrics,
    /// All spans up to this sequence number are done with; `None` until it was read.
    position: Option<u64>,
}

/// Spans of one look, by sequence number.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) spans: Vec<Span>,
    /// Their sequence numbers.
    seqs: Vec<u64>,
    /// How many more there are that cannot be read.
    damaged: u64,
    /// Where to go on when all of them are done.
    up_to: u64,
    after: u64,
}

impl Page {
    /// Whether nothing waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.up_to == self.after
    }

    /// The position once the first `done` spans are done.
    fn position_after(&self, done: usize) -> u64 {
        if done >= self.spans.len() {
            return self.up_to;
        }
        done.checked_sub(1).and_then(|last| self.seqs.get(last)).copied().unwrap_or(self.after)
    }
}

impl Queue {
    pub(super) fn new(writer: Writer, metrics: ExportMetrics) -> Self {
        let reader = writer.reader();
        Self { writer, reader, metrics, position: None }
    }

    /// The next spans, at most `most`.
    pub(super) async fn read(&mut self, most: usize) -> Result<Page, QueueError> {
        let (writer, reader, known) = (self.writer.clone(), self.reader.clone(), self.position);
        let reading = tokio::task::spawn_blocking(move || -> Result<_, StoreError> {
            let position = match known {
                Some(position) => position,
                None => begin(&writer)?,
            };
            let last = reader.span_stats()?.last_seq;
            let page = reader.spans_after(position, most)?;
            Ok((position, last, page))
        });
        let (position, last, stored) = reading.await??;
        if self.position.is_none() {
            self.writer.keep_count_of_spans_after(position);
        }
        self.position = Some(position);
        self.metrics.waiting(last.saturating_sub(position), stored.up_to == position);
        self.metrics.expired(self.writer.take_expired_spans());
        let mut page =
            Page { damaged: stored.damaged, up_to: stored.up_to, after: position, ..Page::default() };
        for row in &stored.spans {
            match Span::of_row(row) {
                Some(span) => {
                    page.spans.push(span);
                    page.seqs.push(row.seq);
                }
                None => page.damaged += 1,
            }
        }
        Ok(page)
    }

    /// Stores that the first `done` spans of the page are done with, and with the last of them what cannot be read:
    /// a page that is read again after a failure must not count that again.
    pub(super) async fn advance(&mut self, page: &Page, done: usize) -> Result<(), QueueError> {
        let position = page.position_after(done);
        let writer = self.writer.clone();
        tokio::task::spawn_blocking(move || store_position(&writer, position)).await??;
        self.position = Some(position);
        self.writer.keep_count_of_spans_after(position);
        if position == page.up_to {
            self.metrics.damaged(page.damaged);
        }
        Ok(())
    }
}

/// The stored position. Where there is none, export begins now: history is for `export-traces`.
fn begin(writer: &Writer) -> Result<u64, StoreError> {
    let position = match writer.cursor(SOURCE)? {
        Position::At(bytes) if let Some(position) = parse(&bytes) => return Ok(position),
        Position::Unset => writer.reader().span_stats()?.last_seq,
        Position::At(_) | Position::Damaged => {
            tracing::warn!("how far spans were exported is damaged: those that are stored are sent again");
            0
        }
    };
    store_position(writer, position)?;
    Ok(position)
}

fn parse(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn store_position(writer: &Writer, position: u64) -> Result<(), StoreError> {
    let cursor = CursorUpdate {
        source: SOURCE.to_owned(),
        position: Some(position.to_string().into_bytes()),
        covered_ns: None,
    };
    writer.store_traces_blocking(TraceBatch { cursors: vec![cursor], ..TraceBatch::default() })?;
    Ok(())
}
