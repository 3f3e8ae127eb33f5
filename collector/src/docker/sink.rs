//! From one container's records to the store: batches, each with the cursor that covers it.
//!
//! The invariant: nothing is given up, and batches arrive in order. A batch that the store refuses is offered
//! again until it is taken or the process ends. One batch is on its way while the next is being filled, so
//! that a container that ends within milliseconds is read while its first lines are still being made
//! durable; when the next is full too, reading waits.

use std::time::{Duration, Instant};

use store::{Batch, Container, CursorUpdate, Gap, GapReason, Record, StoreError, Writer};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::metrics::Metrics;

/// A batch is handed over when it holds this many records or bytes: enough that the store's cost per batch
/// does not count, and little enough to be found soon. Two of them are what a container holds in memory.
const MAX_RECORDS: usize = 4096;
const MAX_BYTES: usize = 1 << 20;
/// Waits between offers of a refused batch.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// No more batches are taken: the store is closed, or the process ends.
#[derive(Debug)]
pub(super) struct Stopped;

/// Where batches go.
#[derive(Clone, Debug)]
pub(super) struct Outlet {
    pub(super) writer: Writer,
    pub(super) metrics: Metrics,
    pub(super) token: CancellationToken,
    /// Owns the appends that are under way.
    pub(super) appends: TaskTracker,
}

/// Collects and hands over the batches of one source.
#[derive(Debug)]
pub(super) struct Sink {
    outlet: Outlet,
    source: String,
    /// Records of the batch being filled; its owner appends to it directly.
    pub(super) records: Vec<Record>,
    gaps: Vec<Gap>,
    containers: Vec<Container>,
    bytes: usize,
    counted: usize,
    under_way: Option<JoinHandle<Result<(), Stopped>>>,
}

impl Sink {
    pub(super) const fn new(outlet: Outlet, source: String) -> Self {
        Self {
            outlet,
            source,
            records: Vec::new(),
            gaps: Vec::new(),
            containers: Vec::new(),
            bytes: 0,
            counted: 0,
            under_way: None,
        }
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Lines of the container `name` may be missing between two times.
    pub(super) fn lost(&mut self, name: &str, from_ns: i64, to_ns: i64, reason: GapReason) {
        tracing::warn!(container = name, reason = reason.name(), from_ns, to_ns, "lines may be missing");
        self.outlet.metrics.gap(reason);
        let (source, name) = (self.source.clone(), name.to_owned());
        self.gaps.push(Gap { source, name, from_ns, to_ns, lines: None, reason });
    }

    pub(super) fn container(&mut self, container: Container) {
        self.containers.push(container);
    }

    /// Whether it is time to [`Sink::commit`].
    pub(super) fn is_full(&mut self) -> bool {
        self.bytes += self.records[self.counted..].iter().map(|record| record.line.len()).sum::<usize>();
        self.counted = self.records.len();
        self.counted >= MAX_RECORDS || self.bytes >= MAX_BYTES
    }

    /// Whether there is anything that is worth a batch of its own at once.
    pub(super) fn has_news(&self) -> bool {
        !self.records.is_empty() || !self.gaps.is_empty()
    }

    /// Whether there is nothing at all.
    pub(super) fn is_empty(&self) -> bool {
        !self.has_news() && self.containers.is_empty()
    }

    /// Hands over what there is together with the cursor behind it (`None` leaves the cursor as it is), once
    /// the batch before is stored. `turn` is held until this one is.
    pub(super) async fn commit(
        &mut self,
        cursor: Option<CursorUpdate>,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Result<(), Stopped> {
        debug_assert!(cursor.is_some() || self.records.is_empty(), "records go with their cursor");
        self.settle().await?;
        let batch = Batch {
            records: std::mem::take(&mut self.records),
            cursors: cursor.into_iter().collect(),
            gaps: std::mem::take(&mut self.gaps),
            containers: std::mem::take(&mut self.containers),
            coverage: Vec::new(),
        };
        (self.bytes, self.counted) = (0, 0);
        let (outlet, source) = (self.outlet.clone(), self.source.clone());
        self.under_way = Some(self.outlet.appends.spawn(async move {
            let stored = outlet.offer(batch, &source).await;
            drop(turn);
            stored
        }));
        Ok(())
    }

    /// Whether everything handed over is durable.
    pub(super) fn is_settled(&self) -> bool {
        self.under_way.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until everything handed over is durable.
    pub(super) async fn settle(&mut self) -> Result<(), Stopped> {
        let Some(append) = &mut self.under_way else { return Ok(()) };
        let stored = append.await;
        self.under_way = None;
        // A panic in the store is logged by its thread; this source reads on at the stored cursor next time.
        stored.unwrap_or(Err(Stopped))
    }
}

impl Outlet {
    async fn offer(&self, batch: Batch, source: &str) -> Result<(), Stopped> {
        let started = Instant::now();
        let mut retry = FIRST_RETRY;
        loop {
            match self.writer.append(batch.clone()).await {
                Ok(_) => break,
                Err(StoreError::Closed) => return Err(Stopped),
                Err(error) => {
                    self.metrics.append_failed();
                    if retry == FIRST_RETRY {
                        tracing::error!(source, %error, "the store refuses lines; reading waits until it takes them");
                    }
                }
            }
            tokio::select! {
                () = self.token.cancelled() => return Err(Stopped),
                () = tokio::time::sleep(retry) => {}
            }
            retry = (retry * 2).min(LAST_RETRY);
        }
        self.metrics.committed(started.elapsed());
        if retry > FIRST_RETRY {
            tracing::info!(source, "the store takes lines again");
        }
        Ok(())
    }
}
