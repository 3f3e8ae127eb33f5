//! The copier: copies the catalog's log into the catalog whenever there is much in it, so that no append waits for that.
//!
//! A log that is copied whole begins anew with the next transaction. While transactions follow each other without a pause
//! it never is, and grows; then the committer copies the rest of it between two of them.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::catalog::LogCopier;
use crate::error::StoreError;
use crate::writer::lifecycle::Request;
use crate::writer::threads::Common;

/// How often to look whether the writer ends.
const TICK: Duration = Duration::from_secs(1);
/// How often what was committed meanwhile is copied, too.
const ROUNDS: usize = 4;
/// Pages (8 KiB each) of a log that is too long to wait for a pause: 8 MiB.
const LONG_PAGES: i64 = 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Copier {
    common: Arc<Common>,
    log: LogCopier,
}

impl Copier {
    /// For the folder of `common`, whose catalog is open.
    pub(crate) fn open(common: Arc<Common>) -> Result<Self, StoreError> {
        let log = LogCopier::open(&common.dir)?;
        Ok(Self { common, log })
    }

    /// Works until the writer ends, and leaves the log empty: the committer cannot, where it ends while the log is being
    /// copied.
    pub(crate) fn run(self, requests: &Receiver<Request>) {
        self.copy_when_asked(requests);
        if let Err(error) = self.log.empty() {
            tracing::warn!(%error, "the catalog's log keeps its size");
        }
    }

    fn copy_when_asked(&self, requests: &Receiver<Request>) {
        loop {
            let request = requests.recv_timeout(TICK);
            if self.common.tenure.is_stopping() || matches!(request, Err(RecvTimeoutError::Disconnected)) {
                return;
            }
            if request.is_err() {
                continue;
            }
            match self.copy() {
                Ok(()) | Err(StoreError::Closed) => {}
                Err(error) => tracing::warn!(%error, "the catalog's log keeps its size"),
            }
        }
    }

    fn copy(&self) -> Result<(), StoreError> {
        let mut log = self.log.copy()?;
        for _ in 1..ROUNDS {
            if log.is_all() {
                return Ok(());
            }
            self.common.tenure.check()?;
            log = self.log.copy()?;
        }
        if !log.is_all() && log.pages >= LONG_PAGES {
            self.common.committer(|committer| committer.catalog.copy_log())?;
        }
        Ok(())
    }
}
