//! How many queries run and wait at the same time, so that queries never starve collection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ExecError;
use crate::Config;

/// The door all queries pass. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Gate {
    permits: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    max_queued: usize,
}

/// Leave to run; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
}

impl Gate {
    /// A door for `query.max_concurrent` running and `query.max_queued` waiting queries.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(config.concurrent_queries())),
            waiting: Arc::default(),
            max_queued: config.max_queued,
        }
    }

    /// Waits for leave to run; leaves the queue when dropped.
    ///
    /// # Errors
    /// When too many wait already.
    pub async fn enter(&self) -> Result<Permit, ExecError> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(Permit { _permit: permit });
        }
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _leave = Leave(&self.waiting);
        if waiting >= self.max_queued {
            return Err(ExecError::Busy { waiting });
        }
        match Arc::clone(&self.permits).acquire_owned().await {
            Ok(permit) => Ok(Permit { _permit: permit }),
            // The semaphore is never closed; if it were, nothing could run.
            Err(_) => Err(ExecError::Cancelled),
        }
    }

    /// Queries that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Queries that run.
    #[must_use]
    pub fn running(&self, config: &Config) -> usize {
        config.concurrent_queries().saturating_sub(self.permits.available_permits())
    }
}

struct Leave<'a>(&'a AtomicUsize);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_runs_one_waits_and_the_next_is_refused() {
        let config = Config { max_concurrent: 1, max_queued: 1, ..Config::default() };
        let gate = Gate::new(&config);
        let running = gate.enter().await.unwrap();
        let mut waiting = Box::pin(gate.enter());
        assert!(futures_util::poll!(&mut waiting).is_pending());
        assert_eq!((gate.running(&config), gate.waiting()), (1, 1));
        assert!(matches!(gate.enter().await, Err(ExecError::Busy { waiting: 1 })));
        drop(running);
        drop(waiting.await.unwrap());
        assert_eq!((gate.running(&config), gate.waiting()), (0, 0));
        let abandoned = Box::pin(gate.enter());
        drop(abandoned);
        assert_eq!(gate.waiting(), 0);
    }
}
