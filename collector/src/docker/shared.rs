//! What all containers' readers share: settings, the store, and the right to load the daemon.
//!
//! Fairness: reads of containers that are writing now and reads of long histories draw from different
//! permits, and of the histories one batch at a time is on its way into the store, so a backlog delays
//! nobody's fresh lines by more than that batch.

use std::sync::Arc;

use store::Writer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::coverage::Coverage;
use super::engine::Engine;
use super::metrics::Metrics;
use super::select::Selection;
use super::sink::{Outlet, Stopped};
use crate::config::CollectConfig;
use crate::config::IngestConfig;
use crate::parse::Enricher;

/// Reads of live logs at once. More only queue in the daemon.
const LIVE_READS: usize = 16;
/// Reads of histories at once. Each can keep a core of the daemon busy; the rest is for live reads.
const BULK_READS: usize = 4;
/// Batches of histories on their way into the store at once.
const BULK_APPENDS: usize = 1;
/// Inspects at once: thousands of containers are found at the same time.
const INSPECTS: usize = 8;
/// Follows held open at once; each costs the daemon 0.1 MB. Quiet containers beyond are asked every 5 s.
const DOORBELLS: usize = 256;
/// A live read that has brought this many messages goes on as the read of a history.
const MUCH: u64 = 16_384;

/// Shared by all readers.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: CollectConfig,
    pub(super) ingest: IngestConfig,
    pub(super) enricher: Arc<Enricher>,
    pub(super) selection: Selection,
    pub(super) outlet: Outlet,
    pub(super) coverage: Coverage,
    pub(super) metrics: Metrics,
    /// Value of the label `host`.
    pub(super) host: String,
    /// When the process started.
    pub(super) started_ns: i64,
    /// The daemon while it answers. Written by the watcher alone.
    pub(super) engine: watch::Receiver<Option<Engine>>,
    pub(super) token: CancellationToken,
    pub(super) inspects: Semaphore,
    pub(super) doorbells: Arc<Semaphore>,
    limits: Limits,
}

/// Rights to read logs.
#[derive(Debug)]
pub(super) struct Limits {
    live: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
    bulk_appends: Arc<Semaphore>,
}

/// What a shared part needs from its maker.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) config: CollectConfig,
    pub(super) ingest: IngestConfig,
    pub(super) enricher: Arc<Enricher>,
    pub(super) selection: Selection,
    pub(super) writer: Writer,
    pub(super) metrics: Metrics,
    pub(super) host: String,
    pub(super) started_ns: i64,
}

impl Shared {
    pub(super) fn new(
        parts: Parts,
        engine: watch::Receiver<Option<Engine>>,
        token: CancellationToken,
    ) -> Self {
        let Parts { config, ingest, enricher, selection, writer, metrics, host, started_ns } = parts;
        let limits = Limits {
            live: Arc::new(Semaphore::new(LIVE_READS)),
            bulk: Arc::new(Semaphore::new(BULK_READS)),
            bulk_appends: Arc::new(Semaphore::new(BULK_APPENDS)),
        };
        Self {
            config,
            ingest,
            enricher,
            selection,
            outlet: Outlet {
                writer,
                metrics: metrics.clone(),
                token: token.clone(),
                appends: TaskTracker::new(),
            },
            coverage: Coverage::default(),
            metrics,
            host,
            started_ns,
            engine,
            token,
            inspects: Semaphore::new(INSPECTS),
            doorbells: Arc::new(Semaphore::new(DOORBELLS)),
            limits,
        }
    }

    /// Waits for `future`, but not beyond the end of the process.
    pub(super) async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Result<T, Stopped> {
        tokio::select! {
            biased;
            () = self.token.cancelled() => Err(Stopped),
            output = future => Ok(output),
        }
    }

    /// Waits for the right to read a log, as a live one or (`bulk`) as a history.
    pub(super) async fn permits(&self, bulk: bool) -> Result<Permits, Stopped> {
        let semaphore = if bulk { &self.limits.bulk } else { &self.limits.live };
        let permit = self.unless_stopped(Arc::clone(semaphore).acquire_owned()).await?;
        Ok(Permits { permit: permit.ok(), bulk })
    }
}

/// The right to read one log.
#[derive(Debug)]
pub(super) struct Permits {
    permit: Option<OwnedSemaphorePermit>,
    bulk: bool,
}

impl Permits {
    /// For storing without reading.
    pub(super) const fn none() -> Self {
        Self { permit: None, bulk: false }
    }

    /// A read has brought `new` messages: if that is much, it lets the live reads pass.
    pub(super) async fn reading_much(&mut self, shared: &Shared, new: u64) {
        if self.bulk || new < MUCH {
            return;
        }
        self.permit = None;
        self.bulk = true;
        if let Ok(permit) = shared.unless_stopped(Arc::clone(&shared.limits.bulk).acquire_owned()).await {
            self.permit = permit.ok();
        }
    }

    /// Waits for the turn of a history's batch; live batches do not wait.
    pub(super) async fn turn_to_append(&self, shared: &Shared) -> Option<OwnedSemaphorePermit> {
        if !self.bulk {
            return None;
        }
        Arc::clone(&shared.limits.bulk_appends).acquire_owned().await.ok()
    }
}
