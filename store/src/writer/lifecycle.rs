//! How the writer's threads end, and how whoever waits for that learns of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::error::StoreError;
use crate::lock::FolderLock;
use crate::record::Record;
use crate::writer::budget::Share;
use crate::writer::wait::block_on;

/// Held by every thread of the writer: the folder stays locked until the last has ended.
#[derive(Debug)]
pub(crate) struct Tenure {
    // The order matters: the lock is gone when `ended` says so.
    _lock: FolderLock,
    _ended: watch::Sender<()>,
    stopping: AtomicBool,
    #[cfg(test)]
    crash_at: std::sync::Mutex<Option<Step>>,
}

/// A step after which a test lets the writer end as a killed process would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The catalog has the batch, the head does not.
    Committed,
    /// The part files are complete, the catalog does not know them.
    PartsWritten,
    /// The catalog has the parts, nothing else knows it.
    PartsInstalled,
    /// The catalog no longer has the windows or parts, their files are there.
    RowsDeleted,
    /// The parts are installed, the index does not have them.
    BeforeIndex,
}

impl Tenure {
    /// The tenure, and a receiver that reports an error once it has ended.
    pub(crate) fn begin(lock: FolderLock) -> (Self, watch::Receiver<()>) {
        let (sender, receiver) = watch::channel(());
        let tenure = Self {
            _lock: lock,
            _ended: sender,
            stopping: AtomicBool::new(false),
            #[cfg(test)]
            crash_at: std::sync::Mutex::new(None),
        };
        (tenure, receiver)
    }

    /// Asks the threads to end at their next step.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Fails when the threads should end.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.is_stopping() { Err(StoreError::Closed) } else { Ok(()) }
    }

    /// Marks a step at which tests end the writer.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the tests' version uses both")]
    pub(crate) const fn reached(&self, _step: Step) -> Result<(), StoreError> {
        Ok(())
    }

    /// Fails, and stops the writer, when a test wants it to end here.
    #[cfg(test)]
    pub(crate) fn reached(&self, step: Step) -> Result<(), StoreError> {
        if *self.crash_at.lock().unwrap() == Some(step) {
            self.stop();
            return Err(StoreError::Closed);
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn crash_at(&self, step: Option<Step>) {
        *self.crash_at.lock().unwrap() = step;
    }
}

/// What a background thread is asked for.
pub(crate) enum Request {
    /// Look whether there is something to do.
    Wake,
    /// Do all there is to do and answer.
    All(oneshot::Sender<Result<(), StoreError>>),
    /// Put records into parts. For the flusher.
    Load(Load),
}

/// Records on their way past the head.
pub(crate) struct Load {
    pub(crate) records: Vec<Record>,
    pub(crate) share: Share,
    pub(crate) reply: oneshot::Sender<Result<(), StoreError>>,
}

/// Requests that wait for a background thread. Wakes beyond it are dropped: one is enough.
const QUEUE_REQUESTS: usize = 16;

/// A background thread, to be woken.
#[derive(Clone, Debug)]
pub(crate) struct Worker(SyncSender<Request>);

impl Worker {
    pub(crate) fn new() -> (Self, Receiver<Request>) {
        let (sender, receiver) = sync_channel(QUEUE_REQUESTS);
        (Self(sender), receiver)
    }

    pub(crate) fn wake(&self) {
        match self.0.try_send(Request::Wake) {
            // A full queue wakes it anyway, an ended thread cannot be woken.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    /// Hands records over; waits only while earlier requests fill the queue.
    pub(crate) fn load(&self, load: Load) -> Result<(), StoreError> {
        self.0.send(Request::Load(load)).map_err(|_| StoreError::Closed)
    }

    /// Waits until the thread has done all there is to do.
    pub(crate) fn all(&self) -> Result<(), StoreError> {
        let (reply, done) = oneshot::channel();
        self.0.send(Request::All(reply)).map_err(|_| StoreError::Closed)?;
        block_on(done).map_err(|_| StoreError::Closed)?
    }
}

/// The next request; [`Request::Wake`] when none comes within `tick`, `None` at the end.
pub(crate) fn next_request(requests: &Receiver<Request>, tick: Duration, tenure: &Tenure) -> Option<Request> {
    let request = match requests.recv_timeout(tick) {
        Ok(request) => request,
        Err(RecvTimeoutError::Timeout) => Request::Wake,
        Err(RecvTimeoutError::Disconnected) => return None,
    };
    (!tenure.is_stopping()).then_some(request)
}
