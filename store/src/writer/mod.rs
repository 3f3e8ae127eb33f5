//! The one writer of a data folder.
//!
//! Four threads do the work: the committer makes batches durable and visible, the copier moves what it has put into
//! the catalog's log into the catalog, the flusher builds parts from the head, the keeper merges parts, feeds the
//! index and deletes what retention lets go. Only the committer changes the catalog; the others hand it their
//! changes.

mod batch;
pub(crate) mod budget;
pub(crate) mod committer;
mod copier;
pub(crate) mod lifecycle;
mod loader;
pub(crate) mod threads;
pub(crate) mod wait;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};

pub use crate::error::StoreError;
pub use batch::{Batch, Committed, Container, CursorUpdate, Gap, GapReason, Position};
pub use loader::Loader;

use crate::block;
use crate::flush::Flusher;
use crate::head::memory_of_batch;
use crate::indexer::FreshWords;
use crate::keeper::Keeper;
use crate::lock::FolderLock;
use crate::metrics::Metrics;
use crate::reader::Reader;
use crate::readings::{self, Round};
use crate::record::Record;
use crate::spans::{self, EncodedTrace, StoredTraces, TraceBatch, Unsent};
use crate::state::Shared;
use crate::{Config, RetentionConfig, recovery, retention};
use budget::Budget;
use committer::{Append, Committer, Message};
use copier::Copier;
use lifecycle::{Tenure, Worker};
use threads::{Common, run_on_committer};
use wait::block_on;

/// Appends and other work that wait for the committer. When it is full, appends wait; their memory is bounded
/// by `store.head_bytes`, this bounds the rest of them.
const QUEUE_MESSAGES: usize = 1024;

/// The one writer of a data folder. Cloning shares it; dropping the last clone stores what is queued and waits
/// for the writer's threads to end.
#[derive(Clone, Debug)]
pub struct Writer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// `None` only while dropping.
    queue: Option<mpsc::Sender<Message>>,
    budget: Arc<Budget>,
    metrics: Arc<Metrics>,
    flusher: Worker,
    keeper: Worker,
    retention: Arc<Mutex<RetentionConfig>>,
    flush_bytes: usize,
    ended: watch::Receiver<()>,
    reader: Reader,
    unsent: Arc<Unsent>,
    #[cfg(test)]
    tenure: std::sync::Weak<Tenure>,
}

impl Writer {
    /// Opens or makes the data folder and takes its lock; the store's metrics go into `registry`.
    ///
    /// # Errors
    /// When another process holds the lock, or the folder cannot be used or recovered.
    pub fn open(dir: &Path, config: &Config, registry: &prometheus::Registry) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(|e| StoreError::io("make folder", dir, e))?;
        let (tenure, ended) = Tenure::begin(FolderLock::take(dir)?);
        let metrics = Arc::new(Metrics::new(registry));
        let budget = Arc::new(Budget::new(config.head_bytes.0));
        let recovered = recovery::open(dir, config, &budget, &metrics)?;
        metrics.observe_state(&recovered.state);
        let shared = Arc::new(Shared::new(recovered.state));
        let (flusher, flush_requests) = Worker::new();
        let (keeper, keep_requests) = Worker::new();
        let (copier, copy_requests) = Worker::new();
        let (queue, messages) = mpsc::channel(QUEUE_MESSAGES);
        let common = Arc::new(Common {
            dir: dir.to_owned(),
            shared: Arc::clone(&shared),
            budget,
            metrics,
            tenure: Arc::new(tenure),
            flusher,
            keeper,
            copier,
            fresh_words: FreshWords::default(),
            unsent: Arc::default(),
            queue: queue.downgrade(),
            last_window: recovered.last_window.into(),
            last_part: recovered.last_part.into(),
        });
        let reader = Reader::of_writer(dir, shared)?;
        let retention = Arc::new(Mutex::new(RetentionConfig::keep_all()));
        let flush_bytes = usize::try_from(config.flush_bytes.0).unwrap_or(usize::MAX);
        let (catalog, streams, next_seq) = (recovered.catalog, recovered.streams, recovered.next_seq);
        let committer = Committer::new(catalog, streams, next_seq, Arc::clone(&common), flush_bytes)?;
        let copy = Copier::open(Arc::clone(&common))?;
        let flush = Flusher::new(Arc::clone(&common), config.clone(), recovered.window_ns);
        let keep = Keeper::new(Arc::clone(&common), Arc::clone(&retention));
        spawn("binnacle-commit", Arc::clone(&common), move || committer.run(messages))?;
        spawn("binnacle-copy", Arc::clone(&common), move || copy.run(&copy_requests))?;
        spawn("binnacle-flush", Arc::clone(&common), move || flush.run(&flush_requests))?;
        spawn("binnacle-keep", Arc::clone(&common), move || keep.run(&keep_requests))?;
        let inner = Inner {
            queue: Some(queue),
            flusher: common.flusher.clone(),
            keeper: common.keeper.clone(),
            retention,
            flush_bytes,
            budget: Arc::clone(&common.budget),
            metrics: Arc::clone(&common.metrics),
            ended,
            reader,
            unsent: Arc::clone(&common.unsent),
            #[cfg(test)]
            tenure: Arc::downgrade(&common.tenure),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Sets what is deleted, and when. Until this is called, nothing is.
    pub fn set_retention(&self, config: RetentionConfig) {
        *self.inner.retention.lock().unwrap_or_else(PoisonError::into_inner) = config;
        self.inner.keeper.wake();
    }

    /// Time before which records are deleted by their age, if any: records older than that are stored, and
    /// gone soon after.
    #[must_use]
    pub fn retention_cutoff_ns(&self) -> Option<i64> {
        retention::cutoff_ns(&self.inner.retention.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Builds blocks from all that is stored up to now and indexes them; waits for it. For the end of a bulk
    /// load: nothing else needs it. Blocking.
    ///
    /// # Errors
    /// When blocks cannot be written; the records stay stored and visible.
    pub fn flush_blocking(&self) -> Result<(), StoreError> {
        self.inner.flusher.all()?;
        self.inner.keeper.all()?;
        self.inner.shrink()
    }

    /// Stores a batch. When this returns, the batch is on disk and every later snapshot sees it. Dropping the
    /// future leaves open whether the batch is stored.
    ///
    /// # Errors
    /// When the batch could not be stored; nothing of it is visible then.
    pub async fn append(&self, batch: Batch) -> Result<Committed, StoreError> {
        let (inner, since) = (&*self.inner, Instant::now());
        inner.budget.check()?;
        check_sizes(&batch.records)?;
        let bytes = memory_of_batch(&batch);
        let share = match inner.budget.try_take(bytes) {
            Some(share) => share,
            None => {
                inner.metrics.append_waits.inc();
                inner.flusher.wake();
                inner.budget.take(bytes).await?
            }
        };
        let (reply, committed) = oneshot::channel();
        let append = Append { batch, bytes, share, since, reply };
        inner.queue()?.send(Message::Append(append)).await.map_err(|_| StoreError::Closed)?;
        committed.await.map_err(|_| StoreError::Closed)?
    }

    /// [`Writer::append`] for threads outside the async runtime.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub fn append_blocking(&self, batch: Batch) -> Result<Committed, StoreError> {
        block_on(self.append(batch))
    }

    /// Stores what is new or changed of these traces. Blocking.
    ///
    /// # Errors
    /// When they could not be stored, or a span is too large; nothing of the batch is stored then.
    pub fn store_traces_blocking(&self, batch: TraceBatch) -> Result<StoredTraces, StoreError> {
        let mut compressor = spans::Compressor::new()
            .map_err(|e| StoreError::io("set up compression for", Path::new("spans"), e))?;
        let mut traces = Vec::with_capacity(batch.traces.len());
        for trace in batch.traces {
            traces.push(EncodedTrace::new(trace, &mut compressor)?);
        }
        self.inner
            .committer(move |committer| committer.catalog.store_traces(traces, &batch.gone, &batch.cursors))
    }

    /// Stores what containers used at one moment. Blocking.
    ///
    /// # Errors
    /// When it could not be stored.
    pub fn store_readings_blocking(&self, round: &Round) -> Result<(), StoreError> {
        let (at_ns, content) = (round.at_ns, round.encode()?);
        self.inner.committer(move |committer| {
            committer.catalog.change_spans("store readings", |t| readings::put(t, at_ns, &content))
        })
    }

    /// Says that spans with a higher sequence number than `seq` are still to be sent somewhere, so that those
    /// that retention deletes before are counted ([`Writer::take_expired_spans`]).
    pub fn keep_count_of_spans_after(&self, seq: u64) {
        self.inner.unsent.begins_after(seq);
    }

    /// How many spans that were still to be sent retention has deleted since the last call.
    #[must_use]
    pub fn take_expired_spans(&self) -> u64 {
        self.inner.unsent.take_expired()
    }

    /// For files and other sources that can be read again: stores records in bulk at half the cost, durable
    /// when the load is finished rather than one by one.
    #[must_use]
    pub fn loader(&self) -> Loader {
        Loader::new(Arc::clone(&self.inner))
    }

    /// Position stored under `source`.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn cursor(&self, source: &str) -> Result<Position, StoreError> {
        self.inner.reader.catalog().cursor(source)
    }

    /// The sources that begin with `prefix` and their positions, by source.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn cursors(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.inner.reader.catalog().cursors(prefix)
    }

    /// A reader of the same folder that shares this writer's head.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.inner.reader.clone()
    }

    /// Stores what is queued and ends the writer's threads. Later appends fail with [`StoreError::Closed`].
    ///
    /// # Errors
    /// When the writer had ended before.
    pub async fn close(self) -> Result<(), StoreError> {
        let inner = &*self.inner;
        inner.budget.close();
        let sent = inner.queue()?.send(Message::Close).await;
        let mut ended = inner.ended.clone();
        // The sender is never used, so a change can only be its end.
        while ended.changed().await.is_ok() {}
        sent.map_err(|_| StoreError::Closed)
    }
}

fn check_sizes(records: &[Record]) -> Result<(), StoreError> {
    for record in records {
        let bytes =
            record.line.len() + record.pairs.iter().map(|p| p.name.len() + p.value.len()).sum::<usize>();
        if bytes > block::MAX_RECORD_BYTES {
            return Err(StoreError::RecordTooLarge { bytes, limit: block::MAX_RECORD_BYTES });
        }
    }
    Ok(())
}

impl Inner {
    fn queue(&self) -> Result<&mpsc::Sender<Message>, StoreError> {
        self.queue.as_ref().ok_or(StoreError::Closed)
    }

    /// Gives the disk what deleted batches took in the catalog.
    fn shrink(&self) -> Result<(), StoreError> {
        self.committer(|committer| committer.catalog.shrink())
    }

    /// Runs `work` between two commits and waits for its result; counts it when it fails.
    fn committer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Committer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let result = run_on_committer(self.queue()?, work);
        if result.as_ref().is_err_and(|error| !matches!(error, StoreError::Closed)) {
            self.metrics.commit_failures.inc();
        }
        result
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue = None;
        block_on(async { while self.ended.changed().await.is_ok() {} });
    }
}

fn spawn(name: &str, common: Arc<Common>, work: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let _fuse = Fuse(common);
            work();
        })
        .map(drop)
        .map_err(|e| StoreError::io("start thread", Path::new(name), e))
}

/// Ends the writer when one of its threads panics: appends fail then instead of waiting for ever.
struct Fuse(Arc<Common>);

impl Drop for Fuse {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a thread of the store has failed; nothing more is stored until a restart");
            self.0.tenure.stop();
            self.0.budget.close();
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
