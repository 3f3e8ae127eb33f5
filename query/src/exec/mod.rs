//! Execution: candidate blocks in, rows or sums out. Every query language runs on these two loops:
//! [`page::page`] (rows in a total order, up to a limit) and [`fold::fold`] (every matching row, no order).
//!
//! Invariants: memory is bounded by the page, not by the matches; a query ends within one block's work
//! after it is cancelled or out of time; a damaged block is named and skipped.

pub mod completeness;
pub mod count;
pub mod cursor;
mod export;
pub mod fold;
pub mod gate;
pub mod page;
pub mod question;
pub mod search;
pub mod select;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use store::block::BlockError;
use store::writer::StoreError;
use store::{BlockRef, Candidates};
use tokio_util::sync::CancellationToken;

use crate::Config;

/// Damaged blocks named in one answer; further ones are only counted.
const MAX_DAMAGED_NAMED: usize = 20;

/// Why a query ended without an answer.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The client left, or the process is ending.
    #[error("the query was cancelled")]
    Cancelled,
    /// It took too long.
    #[error(
        "the query took longer than {}; narrow its time range, add terms, or raise `query.timeout`",
        store::config::Period(*.limit)
    )]
    Timeout {
        /// `query.timeout`
        limit: Duration,
    },
    /// It read too much.
    #[error(
        "the query would decode more than {} of lines; narrow its time range, add terms, or raise \
         `query.max_decoded_bytes`",
        store::config::ByteSize(*.limit)
    )]
    TooManyBytes {
        /// `query.max_decoded_bytes`
        limit: u64,
    },
    /// The answer would be too big.
    #[error("the answer has more than {limit} points; {hint}, or raise `query.max_series_points`")]
    TooManyPoints {
        /// `query.max_series_points`
        limit: usize,
        /// What else helps.
        hint: &'static str,
    },
    /// It cannot be compiled: the client's to mend.
    #[error("{0}")]
    Query(String),
    /// Too many queries wait already.
    #[error(
        "{waiting} queries are waiting; try again, or raise `query.max_concurrent` or `query.max_queued`"
    )]
    Busy {
        /// How many wait.
        waiting: usize,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A thread of the query ended by itself.
    #[error("the query failed inside binnacle: {0}")]
    Panicked(String),
}

/// What one query may use, and what it has used. Shared by its threads.
#[derive(Debug)]
pub struct Context {
    cancel: CancellationToken,
    started: Instant,
    timeout: Duration,
    max_decoded_bytes: u64,
    threads: usize,
    /// When the present page was begun, and the bytes decoded before it.
    page: Mutex<(Instant, u64)>,
    decoded_bytes: AtomicU64,
    decoded_blocks: AtomicUsize,
    lines: AtomicU64,
    damaged: Mutex<Vec<String>>,
    damaged_blocks: AtomicUsize,
}

impl Context {
    /// A query that starts now and ends when `cancel` is.
    #[must_use]
    pub fn new(config: &Config, cancel: CancellationToken) -> Self {
        let started = Instant::now();
        Self {
            cancel,
            started,
            page: Mutex::new((started, 0)),
            timeout: config.timeout.0,
            max_decoded_bytes: config.max_decoded_bytes.0,
            threads: config.query_threads(),
            decoded_bytes: AtomicU64::new(0),
            decoded_blocks: AtomicUsize::new(0),
            lines: AtomicU64::new(0),
            damaged: Mutex::default(),
            damaged_blocks: AtomicUsize::new(0),
        }
    }

    /// Begins another page, which may use as much time and as many bytes as the one before.
    pub fn next_page(&self) {
        let used = self.decoded_bytes.load(Ordering::Relaxed);
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), used);
    }

    /// Bytes of lines decoded so far.
    #[must_use]
    pub fn decoded_bytes(&self) -> u64 {
        self.decoded_bytes.load(Ordering::Relaxed)
    }

    /// Time since the present page was begun.
    #[must_use]
    pub fn page_seconds(&self) -> f64 {
        self.page().0.elapsed().as_secs_f64()
    }

    fn page(&self) -> (Instant, u64) {
        *self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the query may go on.
    ///
    /// # Errors
    /// When it was cancelled or its time is over.
    pub fn check(&self) -> Result<(), ExecError> {
        if self.cancel.is_cancelled() {
            return Err(ExecError::Cancelled);
        }
        if self.page().0.elapsed() > self.timeout {
            return Err(ExecError::Timeout { limit: self.timeout });
        }
        Ok(())
    }

    /// Books the lines of a block that is about to be read.
    ///
    /// # Errors
    /// When the query may not go on, or has no bytes left.
    pub fn charge(&self, block: &BlockRef) -> Result<(), ExecError> {
        self.check()?;
        let bytes = self.decoded_bytes.fetch_add(block.line_bytes(), Ordering::Relaxed) + block.line_bytes();
        if self.max_decoded_bytes > 0 && bytes - self.page().1 > self.max_decoded_bytes {
            return Err(ExecError::TooManyBytes { limit: self.max_decoded_bytes });
        }
        self.decoded_blocks.fetch_add(1, Ordering::Relaxed);
        self.lines.fetch_add(block.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Notes a block that could not be read; the query goes on without it.
    pub fn note_damaged(&self, error: &BlockError) {
        tracing::error!(%error, "block skipped by a query");
        self.damaged_blocks.fetch_add(1, Ordering::Relaxed);
        self.name_damaged(error.to_string());
    }

    /// Notes what the store itself found damaged while it looked for candidates.
    pub fn note_candidates(&self, found: &Candidates) {
        for damage in &found.damaged {
            self.damaged_blocks.fetch_add(1, Ordering::Relaxed);
            self.name_damaged(damage.clone());
        }
    }

    fn name_damaged(&self, damage: String) {
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        if damaged.len() < MAX_DAMAGED_NAMED && !damaged.contains(&damage) {
            damaged.push(damage);
        }
    }

    /// Blocks that could not be read, in words.
    #[must_use]
    pub fn damaged(&self) -> Vec<String> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the query has used so far.
    #[must_use]
    pub fn stats(&self, found: &Candidates) -> Stats {
        Stats {
            blocks_considered: found.considered,
            blocks_dropped_by_level: found.dropped_by_level,
            blocks_dropped_by_words: found.dropped_by_words,
            blocks_dropped_by_ids: found.dropped_by_ids,
            blocks_decoded: self.decoded_blocks.load(Ordering::Relaxed),
            bytes_decoded: self.decoded_bytes.load(Ordering::Relaxed),
            lines_decoded: self.lines.load(Ordering::Relaxed),
            seconds: self.started.elapsed().as_secs_f64(),
        }
    }

    /// Threads worth starting for `blocks` blocks.
    #[must_use]
    pub(crate) fn threads_for(&self, blocks: usize) -> usize {
        // One block is read faster than a thread is started.
        self.threads.min(blocks.div_ceil(2)).max(1)
    }
}

/// What a query read.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Blocks of the right streams and times.
    pub blocks_considered: usize,
    /// Of these, ruled out by their level counts.
    pub blocks_dropped_by_level: usize,
    /// Of these, ruled out by the word index, the templates of their messages or, in the head, their terms.
    pub blocks_dropped_by_words: usize,
    /// Of these, ruled out by the id filters.
    pub blocks_dropped_by_ids: usize,
    /// Blocks read.
    pub blocks_decoded: usize,
    /// Bytes of their lines.
    pub bytes_decoded: u64,
    /// Number of their lines.
    pub lines_decoded: u64,
    /// Time taken.
    pub seconds: f64,
}

/// How much queries give way to everything else in the process: so much nicer, a thread that searches gets a tenth of the time
/// of one that collects, when they want the same processor.
const NICER: i32 = 10;
/// The most that Linux knows.
const NICEST: i32 = 19;

/// Lets this thread, and those that it starts, give way to collection. It can never be taken back.
pub(crate) fn give_way() {
    use rustix::process::{getpid, getpriority_process, setpriority_process};
    // On Linux that of a process is its first thread's, and what is set is of this thread alone.
    let given = getpriority_process(Some(getpid()))
        .and_then(|own| setpriority_process(None, own.saturating_add(NICER).min(NICEST)));
    if let Err(error) = given {
        tracing::debug!(%error, "queries cannot give way to collection");
    }
}

/// Runs `work` on a thread of its own that gives way to collection, as do the threads that it starts. When the
/// future is dropped, `work` goes on to its end.
pub(crate) async fn yielding<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ExecError> + Send + 'static,
) -> Result<T, ExecError> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let run = move || {
        give_way();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
            .unwrap_or_else(|panic| Err(ExecError::Panicked(panic_text(panic.as_ref()))));
        if sender.send(outcome).is_err() {
            tracing::debug!("nobody waits for the query any more");
        }
    };
    std::thread::Builder::new()
        .name("query".to_owned())
        .spawn(run)
        .map_err(|error| ExecError::Panicked(format!("cannot start a thread: {error}")))?;
    receiver.await.unwrap_or_else(|_| Err(ExecError::Panicked("its thread is gone".to_owned())))
}

/// Runs `work` on the query's threads, this one included, and gives the first error.
pub(crate) fn on_threads(
    threads: usize,
    work: impl Fn() -> Result<(), ExecError> + Sync,
) -> Result<(), ExecError> {
    if threads <= 1 {
        return work();
    }
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(&work)).collect();
        let mut outcome = work();
        for helper in helpers {
            let theirs =
                helper.join().unwrap_or_else(|panic| Err(ExecError::Panicked(panic_text(panic.as_ref()))));
            outcome = outcome.and(theirs);
        }
        outcome
    })
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a thread panicked".to_owned())
}
