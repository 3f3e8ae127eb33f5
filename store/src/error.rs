//! Why the store refuses or fails, in sentences for the person who runs it.
//!
//! Errors are cloned: one failed group commit fails every append in it.

use std::path::Path;
use std::sync::Arc;

use crate::block::BlockError;
use crate::part::AddError;

/// Why the store refuses or fails.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process writes to this folder.
    #[error("`{dir}` is written by {holder}; end it, or give this one another folder with --data")]
    Locked {
        /// Data folder.
        dir: String,
        /// Who holds the lock: command, pid, since when.
        holder: String,
    },
    /// Nothing to read.
    #[error(
        "no store in `{dir}`: nothing has been collected there yet, or --data should name another folder"
    )]
    NoStore {
        /// Data folder.
        dir: String,
    },
    /// A restore has not ended.
    #[error(
        "a restore into `{dir}` was interrupted: do it again with `binnacle restore --force`, or delete the folder \
         `restoring` in it to go on without"
    )]
    Restoring {
        /// Data folder.
        dir: String,
    },
    /// Written by a newer version.
    #[error(
        "`{dir}` has store format {found}, this binnacle reads up to {known}: upgrade binnacle, or give another \
         folder with --data"
    )]
    Newer {
        /// Data folder.
        dir: String,
        /// Its format version.
        found: i64,
        /// The newest version this build reads.
        known: i64,
    },
    /// Records, and nothing that says what they are.
    #[error(
        "`{path}` is missing or empty, though records are stored beside it: put it back, restore a backup with \
         `binnacle restore --force`, or move the folder `windows` and the files `catalog.db*` away to begin anew"
    )]
    NoCatalog {
        /// The catalog's file.
        path: String,
    },
    /// The operating system says no.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// The system's word.
        source: Arc<std::io::Error>,
    },
    /// No space left on the disk, though something had to be written.
    #[error(
        "cannot {action} `{path}`: the disk is full; free some space, or lower `retention.max_bytes` so that \
         older records make room"
    )]
    DiskFull {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
    },
    /// Free space is below the floor and no old data is left to delete.
    #[error(
        "`{dir}` has {free} bytes of free disk, below `retention.min_free_bytes` ({floor}), and no older records \
         to delete; free some space or lower that setting"
    )]
    NoSpace {
        /// Data folder.
        dir: String,
        /// Bytes free.
        free: u64,
        /// Bytes wanted free.
        floor: u64,
    },
    /// The catalog refuses.
    #[error("cannot {action} in catalog `{path}`: {source}{}", in_sqlite(*code))]
    Catalog {
        /// What was tried.
        action: &'static str,
        /// The catalog's file.
        path: String,
        /// SQLite's extended result code (<https://sqlite.org/rescode.html>), which says more than its words.
        code: Option<i32>,
        /// SQLite's word.
        source: Arc<rusqlite::Error>,
    },
    /// Records not yet in blocks have used up their memory, and blocks cannot be written.
    #[error("`store.head_bytes` is used up and blocks cannot be written: {cause}")]
    Stalled {
        /// Why blocks cannot be written.
        cause: String,
    },
    /// A record that no block can hold.
    #[error("a record of {bytes} bytes is above the limit of {limit} bytes")]
    RecordTooLarge {
        /// Bytes of its line and pairs.
        bytes: usize,
        /// The most a record may have.
        limit: usize,
    },
    /// A span that the index does not take.
    #[error("a span of {bytes} bytes is above the limit of {limit} bytes")]
    SpanTooLarge {
        /// Bytes of its tags and body.
        bytes: usize,
        /// The most a span may have.
        limit: usize,
    },
    /// Bytes on disk are not what was written.
    #[error("damaged: {what}")]
    Damaged {
        /// What does not fit, and where.
        what: String,
    },
    /// The writer has ended.
    #[error("the store is closed")]
    Closed,
}

impl From<BlockError> for StoreError {
    fn from(error: BlockError) -> Self {
        Self::Damaged { what: error.to_string() }
    }
}

impl From<AddError> for StoreError {
    fn from(error: AddError) -> Self {
        match error {
            AddError::Source(error) => error.into(),
            AddError::Store(error) => error,
        }
    }
}

impl StoreError {
    /// An error of the operating system while doing `action` on `path`.
    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        let path = path.display().to_string();
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { action, path }
            }
            _ => Self::Io { action, path, source: Arc::new(source) },
        }
    }
}

/// ` (SQLite's code 6410)`
fn in_sqlite(code: Option<i32>) -> String {
    code.map(|code| format!(" (SQLite's code {code})")).unwrap_or_default()
}
