//! Consistent views of the data: which streams there are, which blocks may hold an answer.
//!
//! In the writer's process a reader shares the writer's state. In another it follows the catalog: the same
//! state, read again when the catalog has changed.

mod follow;
mod snapshot;
mod spans;
mod stats;
mod words;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::catalog::{CatalogReader, StreamRow};
use crate::config::ByteSize;
use crate::part::FilterCache;
use crate::parts::OpenParts;
use crate::record::{Labels, Record, StreamId, TimeRange};
use crate::spans::SpanReader;
use crate::state::{Shared, State};
use crate::writer::{Container, Gap, StoreError};
use follow::Follower;
use words::WordIndexes;

pub use snapshot::{BlockQuery, BlockRef, Candidates, Snapshot};
pub use stats::{Stats, WindowStats};

/// Memory for id filters between queries: those of blocks with some seven million lines, of groups with some hundred million.
const FILTER_CACHE: ByteSize = ByteSize(64 << 20);
const GROUP_CACHE: ByteSize = ByteSize(24 << 20);

/// A stream and its labels.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// The catalog's number.
    pub id: StreamId,
    /// Labels.
    pub labels: Arc<Labels>,
    /// Time of the earliest and the latest record, inclusive, as far as the catalog knows (it may be wider).
    /// A stream without records has `min_ns > max_ns`.
    pub min_ns: i64,
    /// See `min_ns`.
    pub max_ns: i64,
}

impl StreamInfo {
    pub(crate) fn of_row(row: &StreamRow) -> Self {
        Self { id: row.id, labels: Arc::clone(&row.labels), min_ns: row.min_ns, max_ns: row.max_ns }
    }
}

/// What [`Reader::commits_after`] found.
#[derive(Clone, Debug)]
pub struct NewRecords {
    /// Number of each commit and its records.
    pub commits: Vec<(u64, Arc<Vec<Record>>)>,
    /// Whether earlier commits could no longer be had.
    pub missed: bool,
    /// The commit to go on after: the last one found or missed.
    pub up_to: u64,
}

/// A reader of a data folder, in the writer's process or in another. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Reader {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    shared: Arc<Shared>,
    catalog: Mutex<CatalogReader>,
    spans: Mutex<SpanReader>,
    /// In another process than the writer's.
    follower: Option<Mutex<Follower>>,
    open_parts: OpenParts,
    filters: FilterCache,
    words: WordIndexes,
}

impl Reader {
    /// Opens a folder that another process may be writing to, now, later or never again.
    ///
    /// # Errors
    /// When there is no store in the folder, or it cannot be read.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let inner = Arc::new(Inner {
            dir: dir.to_owned(),
            shared: Arc::new(Shared::new(State::default())),
            catalog: Mutex::new(CatalogReader::open(dir)?),
            spans: Mutex::new(SpanReader::open(dir)?),
            follower: Some(Mutex::new(Follower::open(dir)?)),
            open_parts: OpenParts::default(),
            filters: FilterCache::new(FILTER_CACHE, GROUP_CACHE),
            words: WordIndexes::default(),
        });
        inner.refresh()?;
        follow::spawn(&inner)?;
        Ok(Self { inner })
    }

    pub(crate) fn of_writer(dir: &Path, shared: Arc<Shared>) -> Result<Self, StoreError> {
        let catalog = Mutex::new(CatalogReader::open(dir)?);
        let inner = Inner {
            dir: dir.to_owned(),
            shared,
            catalog,
            spans: Mutex::new(SpanReader::open(dir)?),
            follower: None,
            open_parts: OpenParts::default(),
            filters: FilterCache::new(FILTER_CACHE, GROUP_CACHE),
            words: WordIndexes::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub(crate) fn catalog(&self) -> MutexGuard<'_, CatalogReader> {
        self.inner.catalog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything committed up to now, unchanged by later commits, flushes and merges. Cheap; blocking
    /// (short reads of the catalog when the writer is another process): call it off the async runtime.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.inner.refresh()?;
        let state = self.inner.shared.lock();
        Ok(Snapshot {
            streams: Arc::clone(&state.streams),
            windows: Arc::clone(&state.windows),
            head: state.head.iter().cloned().collect(),
            damaged: Arc::clone(&state.damaged),
            last_commit: state.last_commit,
            inner: Arc::clone(&self.inner),
        })
    }

    /// The number of the latest commit, to wait on for new records.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.inner.shared.changed.subscribe()
    }

    /// The records of the commits after `commit`, oldest first, for live tails: at most `max_records`
    /// (but at least one commit). `missed` is true when some of these commits left the head before this
    /// call, so that the tail has a hole.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn commits_after(&self, commit: u64, max_records: usize) -> Result<NewRecords, StoreError> {
        self.inner.refresh()?;
        Ok(self.inner.shared.lock().commits_after(commit, max_records))
    }

    /// Gaps that overlap `range`, by time.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn gaps(&self, range: TimeRange) -> Result<Vec<Gap>, StoreError> {
        self.catalog().gaps(range)
    }

    /// Newest time covered, by source.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn coverage(&self) -> Result<Vec<(String, i64)>, StoreError> {
        self.catalog().coverage()
    }

    /// The container with this full id, if the catalog knows it.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn container(&self, id: &str) -> Result<Option<Container>, StoreError> {
        self.catalog().container(id)
    }

    /// Every container the catalog knows, by creation time.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn containers(&self) -> Result<Vec<Container>, StoreError> {
        self.catalog().containers()
    }
}

impl Inner {
    /// Brings the state up to the catalog's, when the writer is another process.
    fn refresh(&self) -> Result<(), StoreError> {
        match &self.follower {
            None => Ok(()),
            Some(follower) => {
                let mut follower = follower.lock().unwrap_or_else(PoisonError::into_inner);
                follower.refresh(&self.dir, &self.shared)
            }
        }
    }
}
