//! How many spans retention deletes that somebody still meant to send.

use std::sync::atomic::{AtomicU64, Ordering};

/// See the module.
#[derive(Debug)]
pub(crate) struct Unsent {
    /// Spans with a higher sequence number still are to be sent.
    after: AtomicU64,
    expired: AtomicU64,
}

impl Default for Unsent {
    /// Nobody sends anything.
    fn default() -> Self {
        Self { after: AtomicU64::new(u64::MAX), expired: AtomicU64::new(0) }
    }
}

impl Unsent {
    pub(crate) fn begins_after(&self, seq: u64) {
        self.after.store(seq, Ordering::Relaxed);
    }

    /// Counts those of the deleted spans that were not sent.
    pub(super) fn expired(&self, seqs: &[u64]) {
        let after = self.after.load(Ordering::Relaxed);
        let unsent = seqs.iter().filter(|seq| **seq > after).count();
        self.expired.fetch_add(unsent as u64, Ordering::Relaxed);
    }

    /// How many it were since the last call.
    pub(crate) fn take_expired(&self) -> u64 {
        self.expired.swap(0, Ordering::Relaxed)
    }
}
