//! The memory that accepted records may take until they are in parts.
//!
//! An append takes its share before it is queued, a flush gives the shares of what it wrote back. So queue and
//! head together stay below `store.head_bytes`, however fast the sources are.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, watch};

use crate::error::StoreError;

/// Bytes per permit of the semaphore, which counts in 32 bits per request.
const UNIT_BYTES: usize = 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Budget {
    permits: Semaphore,
    /// The most permits one append takes, so that a batch above the limit waits for all and not for ever.
    max: usize,
    /// Appends that wait.
    waiting: AtomicUsize,
    /// Why blocks cannot be written at present; appends that would wait fail instead.
    trouble: watch::Sender<Option<Arc<str>>>,
    /// Why no append is accepted at present.
    refusal: Mutex<Option<StoreError>>,
}

/// Permits taken from a [`Budget`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share(usize);

impl Share {
    pub(crate) const NONE: Self = Self(0);
}

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        let max = usize::try_from(bytes).unwrap_or(usize::MAX) / UNIT_BYTES;
        let max = max.clamp(1, u32::MAX as usize >> 3);
        Self {
            permits: Semaphore::new(max),
            max,
            waiting: AtomicUsize::new(0),
            trouble: watch::channel(None).0,
            refusal: Mutex::new(None),
        }
    }

    fn share_of(&self, bytes: usize) -> Share {
        Share(bytes.div_ceil(UNIT_BYTES).min(self.max))
    }

    /// Takes the share of `bytes` when there is enough left.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<Share> {
        let share = self.share_of(bytes);
        self.permits.try_acquire_many(share.0 as u32).ok()?.forget();
        Some(share)
    }

    /// Takes the share of `bytes`, waits until there is enough left.
    ///
    /// Fails while blocks cannot be written, since nothing would end the wait.
    pub(crate) async fn take(&self, bytes: usize) -> Result<Share, StoreError> {
        let share = self.share_of(bytes);
        let mut trouble = self.trouble.subscribe();
        let _waiting = Waiting::new(&self.waiting);
        tokio::select! {
            biased;
            permit = self.permits.acquire_many(share.0 as u32) => {
                permit.map_err(|_| StoreError::Closed)?.forget();
                Ok(share)
            }
            cause = trouble.wait_for(Option::is_some) => match cause {
                Ok(cause) => Err(StoreError::Stalled { cause: cause.as_deref().unwrap_or_default().to_owned() }),
                Err(_) => Err(StoreError::Closed),
            },
        }
    }

    /// Takes as much of the share of `bytes` as is left: for records that are there already, after a restart.
    pub(crate) fn take_what_is_left(&self, bytes: usize) -> Share {
        Share(self.permits.forget_permits(self.share_of(bytes).0))
    }

    /// Gives a share back.
    pub(crate) fn give_back(&self, share: Share) {
        self.permits.add_permits(share.0);
    }

    /// Whether an append waits.
    pub(crate) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Fails while appends are refused.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match &*self.refusal.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(()),
        }
    }

    /// Refuses every append, or no longer.
    pub(crate) fn refuse(&self, refusal: Option<StoreError>) {
        let mut current = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*current, &refusal) {
            (None, Some(refusal)) => tracing::error!(error = %refusal, "new records are refused"),
            (Some(_), None) => tracing::info!("new records are accepted again"),
            _ => {}
        }
        *current = refusal;
    }

    /// Says why blocks cannot be written, or that they can again.
    pub(crate) fn set_trouble(&self, cause: Option<Arc<str>>) {
        self.trouble.send_replace(cause);
    }

    /// Lets every append that waits, now or later, fail with [`StoreError::Closed`].
    pub(crate) fn close(&self) {
        self.permits.close();
    }
}

/// Counts an append as waiting while it lives, also when its future is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::ops::AddAssign for Share {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::wait::block_on;

    #[test]
    fn a_batch_above_the_limit_takes_all_and_the_next_waits_or_learns_why() {
        let budget = Budget::new(10 * 1024);
        let all = block_on(budget.take(1 << 20)).unwrap();
        assert_eq!(budget.try_take(1), None);
        budget.set_trouble(Some("disk full".into()));
        assert!(block_on(budget.take(1)).unwrap_err().to_string().contains("disk full"));
        budget.give_back(all);
        assert!(block_on(budget.take(1)).is_ok(), "trouble does not matter while there is room");
    }
}
