//! Spans and readings, as readers see them: what is committed now, from whatever process.

use std::sync::{MutexGuard, PoisonError};

use super::Reader;
use crate::readings::Round;
use crate::record::TimeRange;
use crate::spans::{Operation, SpanPage, SpanReader, SpanStats, StoredSpan, TraceQuery};
use crate::writer::StoreError;

impl Reader {
    fn spans(&self) -> MutexGuard<'_, SpanReader> {
        self.inner.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Services with spans, by name. Blocking.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn span_services(&self) -> Result<Vec<String>, StoreError> {
        self.spans().services()
    }

    /// Operations of a service, by name and kind. Blocking.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn span_operations(&self, service: &str) -> Result<Vec<Operation>, StoreError> {
        self.spans().operations(service)
    }

    /// Ids of the traces that `query` wants, each once: those whose latest fitting span began last come first.
    /// Blocking.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn find_traces(&self, query: &TraceQuery) -> Result<Vec<[u8; 16]>, StoreError> {
        self.spans().find_traces(query)
    }

    /// The spans of a trace, by start; empty when it is not known. Blocking.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn spans_of(&self, trace_id: [u8; 16]) -> Result<Vec<StoredSpan>, StoreError> {
        self.spans().spans_of(trace_id)
    }

    /// Up to `max` spans with a higher sequence number than `seq`, by that number; fewer when they take more than
    /// 2 MiB. Blocking.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn spans_after(&self, seq: u64, max: usize) -> Result<SpanPage, StoreError> {
        self.spans().spans_after(seq, max)
    }

    /// What these containers, by full or short id, used at the moments in `range`, by time; the first 2,000
    /// moments. Blocking.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn readings(&self, range: TimeRange, containers: &[&str]) -> Result<Vec<Round>, StoreError> {
        self.spans().readings(range, containers)
    }

    /// How much the span index holds. Blocking.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn span_stats(&self) -> Result<SpanStats, StoreError> {
        self.spans().stats()
    }
}
