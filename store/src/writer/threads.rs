//! What the writer's threads have in common.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::error::StoreError;
use crate::indexer::FreshWords;
use crate::metrics::Metrics;
use crate::spans::Unsent;
use crate::state::Shared;
use crate::writer::budget::Budget;
use crate::writer::committer::{Committer, Message};
use crate::writer::lifecycle::{Tenure, Worker};
use crate::writer::wait::block_on;

/// See the module.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) dir: PathBuf,
    pub(crate) shared: Arc<Shared>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tenure: Arc<Tenure>,
    pub(crate) flusher: Worker,
    pub(crate) keeper: Worker,
    pub(crate) copier: Worker,
    pub(crate) fresh_words: FreshWords,
    pub(crate) unsent: Arc<Unsent>,
    /// Weak, so that the committer ends with the last writer.
    pub(crate) queue: mpsc::WeakSender<Message>,
    /// Numbers given last; never reused, even when what they were given to came to nothing.
    pub(crate) last_window: AtomicI64,
    pub(crate) last_part: AtomicU64,
}

impl Common {
    pub(crate) fn next_window(&self) -> i64 {
        self.last_window.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn next_part(&self) -> u64 {
        self.last_part.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Runs `work` on the committer's thread, between two commits, and waits for its result.
    pub(crate) fn committer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Committer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let queue = self.queue.upgrade().ok_or(StoreError::Closed)?;
        run_on_committer(&queue, work)
    }
}

/// Runs `work` on the committer's thread, between two commits, and waits for its result.
pub(crate) fn run_on_committer<T: Send + 'static>(
    queue: &mpsc::Sender<Message>,
    work: impl FnOnce(&mut Committer) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (reply, done) = oneshot::channel();
    let message = Message::Write(Box::new(move |committer| {
        // Whoever no longer waits does not want the answer.
        drop(reply.send(work(committer)));
    }));
    block_on(queue.send(message)).map_err(|_| StoreError::Closed)?;
    block_on(done).map_err(|_| StoreError::Closed)?
}
