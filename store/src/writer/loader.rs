//! Many records at once, straight into parts.
//!
//! An append is durable at once because its records are written twice: as a batch, then in blocks. A file that
//! is loaded is its own log, so its records are written once. They are visible and durable part by part, all
//! of them when [`Loader::finish`] returns.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::budget::Share;
use super::lifecycle::Load;
use super::wait::block_on;
use super::{Inner, check_sizes};
use crate::error::StoreError;
use crate::head::memory_of;
use crate::record::Record;

/// Loads that wait for the flusher or are being written; while there are as many, [`Loader::add`] waits.
const MAX_IN_FLIGHT: usize = 1;

/// Loads records past the head. Made by [`super::Writer::loader`]. Dropped without [`Loader::finish`], it
/// leaves the records of the last parts out.
#[derive(Debug)]
pub struct Loader {
    inner: Arc<Inner>,
    records: Vec<Record>,
    bytes: usize,
    share: Share,
    in_flight: VecDeque<InFlight>,
    stored: u64,
}

/// So many records on their way into parts.
#[derive(Debug)]
struct InFlight {
    records: u64,
    done: oneshot::Receiver<Result<(), StoreError>>,
}

impl Loader {
    pub(super) const fn new(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            records: Vec::new(),
            bytes: 0,
            share: Share::NONE,
            in_flight: VecDeque::new(),
            stored: 0,
        }
    }

    /// Takes records, in the order in which they were logged; writes parts when there are enough. Blocking.
    ///
    /// # Errors
    /// When these records are refused, or earlier ones could not be written: the load is incomplete then.
    pub fn add(&mut self, records: Vec<Record>) -> Result<(), StoreError> {
        self.inner.budget.check()?;
        check_sizes(&records)?;
        let bytes = records.iter().map(memory_of).sum();
        if self.bytes + bytes > self.inner.flush_bytes {
            self.write()?;
        }
        let share = match self.inner.budget.try_take(bytes) {
            Some(share) => share,
            None => {
                // What this loader holds itself may be what is missing.
                self.write()?;
                self.inner.metrics.append_waits.inc();
                self.inner.flusher.wake();
                block_on(self.inner.budget.take(bytes))?
            }
        };
        self.share += share;
        self.bytes += bytes;
        self.records.extend(records);
        Ok(())
    }

    /// How many of the records, from the first, are known to be durable and visible.
    #[must_use]
    pub const fn stored(&self) -> u64 {
        self.stored
    }

    /// Writes what is left; when this returns, all records are durable and visible. Blocking.
    ///
    /// # Errors
    /// When some records could not be written.
    pub fn finish(mut self) -> Result<(), StoreError> {
        self.write()?;
        self.wait_for(0)
    }

    fn write(&mut self) -> Result<(), StoreError> {
        if self.records.is_empty() {
            return Ok(());
        }
        self.wait_for(MAX_IN_FLIGHT - 1)?;
        let (reply, done) = oneshot::channel();
        let load = std::mem::take(&mut self.records);
        let records = load.len() as u64;
        let share = std::mem::take(&mut self.share);
        self.bytes = 0;
        self.inner.flusher.load(Load { records: load, share, reply })?;
        self.in_flight.push_back(InFlight { records, done });
        Ok(())
    }

    /// Waits until at most `max` loads are not yet written.
    fn wait_for(&mut self, max: usize) -> Result<(), StoreError> {
        while self.in_flight.len() > max {
            let Some(InFlight { records, done }) = self.in_flight.pop_front() else { break };
            block_on(done).map_err(|_| StoreError::Closed)??;
            self.stored += records;
        }
        Ok(())
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.inner.budget.give_back(std::mem::take(&mut self.share));
    }
}
