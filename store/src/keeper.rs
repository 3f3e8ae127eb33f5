//! The keeper: what has to be done to parts after they are written, one thing after the other.
//!
//! Merges, retention, the index of words, and the files nobody needs any more. None of it is needed for
//! records to be durable or visible, so it may lag.

use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::RetentionConfig;
use crate::error::StoreError;
use crate::indexer::Indexer;
use crate::merge;
use crate::orphans;
use crate::parts::PartEntry;
use crate::readings;
use crate::retention;
use crate::spans;
use crate::writer::lifecycle::{Request, next_request};
use crate::writer::threads::Common;

/// How often to look for work nobody announces.
const TICK: Duration = Duration::from_secs(1);
/// How often retention is enforced.
const RETENTION_INTERVAL: Duration = Duration::from_secs(15);
/// How long the files of replaced parts stay, so that queries of other processes end well.
const GRACE: Duration = Duration::from_secs(120);
/// How long they stay at most while a query of this process holds them.
const MAX_GRACE: Duration = Duration::from_secs(3600);

/// See the module.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) common: Arc<Common>,
    pub(crate) retention: Arc<Mutex<RetentionConfig>>,
    pub(crate) merges: merge::Planner,
    pub(crate) trash: Trash,
    indexer: Indexer,
    last_retention: Option<Instant>,
}

impl Keeper {
    pub(crate) fn new(common: Arc<Common>, retention: Arc<Mutex<RetentionConfig>>) -> Self {
        let merges = merge::Planner::default();
        let indexer = Indexer::new(Arc::clone(&common));
        Self { common, retention, merges, trash: Trash::default(), indexer, last_retention: None }
    }

    /// Works until the writer ends.
    pub(crate) fn run(mut self, requests: &Receiver<Request>) {
        while let Some(request) = next_request(requests, TICK, &self.common.tenure) {
            let all = matches!(request, Request::All(_));
            let result = self.work(all);
            if let Err(error) = &result
                && !matches!(error, StoreError::Closed)
            {
                tracing::warn!(%error, "maintenance of the stored parts failed and is tried again");
            }
            if let Request::All(reply) = request {
                // Whoever no longer waits does not want the answer.
                drop(reply.send(result));
            }
        }
    }

    fn work(&mut self, all: bool) -> Result<(), StoreError> {
        let forgotten = self.common.shared.lock().forget_recent(Instant::now());
        drop(forgotten);
        if all || self.last_retention.is_none_or(|at| at.elapsed() >= RETENTION_INTERVAL) {
            self.last_retention = Some(Instant::now());
            let config = self.retention.lock().unwrap_or_else(PoisonError::into_inner).clone();
            retention::enforce(self, &config)?;
            spans::enforce(self, &config)?;
            readings::enforce(self, &config)?;
        }
        while merge::step(self)? {
            self.common.tenure.check()?;
        }
        self.indexer.work(all)?;
        self.trash.empty(Instant::now());
        Ok(())
    }
}

/// Files that the catalog no longer knows, until nobody reads them.
#[derive(Debug, Default)]
pub(crate) struct Trash {
    parts: Vec<(Instant, Arc<PartEntry>)>,
    folders: Vec<(Instant, PathBuf)>,
}

impl Trash {
    pub(crate) fn add_part(&mut self, part: Arc<PartEntry>) {
        self.parts.push((Instant::now(), part));
    }

    /// The folder of a window that is gone, with all that is in it.
    pub(crate) fn add_folder(&mut self, folder: PathBuf) {
        self.folders.push((Instant::now(), folder));
    }

    /// Deletes what nobody can be reading.
    fn empty(&mut self, now: Instant) {
        self.parts.retain(|(since, part)| {
            let age = now.duration_since(*since);
            let held = Arc::strong_count(part) > 1;
            let keep = age < GRACE || (held && age < MAX_GRACE);
            if !keep {
                orphans::remove(&part.path);
            }
            keep
        });
        self.folders.retain(|(since, folder)| {
            let keep = now.duration_since(*since) < GRACE;
            if !keep {
                orphans::remove(folder);
            }
            keep
        });
    }

    /// Deletes everything at once: the disk is nearly full, and queries that read it lose.
    pub(crate) fn empty_now(&mut self) {
        for (_, part) in self.parts.drain(..) {
            orphans::remove(&part.path);
        }
        for (_, folder) in self.folders.drain(..) {
            orphans::remove(&folder);
        }
    }
}
