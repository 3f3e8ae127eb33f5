//! Backups: everything committed at one moment, copied while a writer goes on, and brought back.
//!
//! The invariant: a backup is what its manifest says or it is refused. The manifest is written last, holds
//! the checksum of every file and of itself, and is replaced in one step, so that an interrupted backup
//! leaves the one before it whole.
//!
//! ```text
//! backup.json                           the manifest
//! catalog-<checksum>.db                 a copy of the catalog, of one moment
//! windows/<window>/part-<number>.blk    the parts that the copy names
//! ```
//! The word indexes are left out: they are made anew from the parts. As a tar archive the same files follow
//! each other, the manifest last. docs/backup.md is the user's page.

mod archive;
mod checksum;
mod folder;
mod held;
mod manifest;
mod restore;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use archive::to_archive;
pub use folder::to_folder;
pub(crate) use manifest::FILE as MANIFEST;
pub(crate) use manifest::Manifest;
pub(crate) use restore::STAGING_DIR;
pub use restore::{From, Restored, restore};

pub(crate) use checksum::of_file;

use crate::error::StoreError;

/// Why a backup cannot be made or brought back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The data folder, or a disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The manifest is missing, damaged or of a newer version.
    #[error("`{path}` is no backup that can be read: {what}")]
    Unreadable {
        /// Folder or archive.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// The target is in use for something else.
    #[error("`{target}` {what}; give another folder, or an empty one")]
    Target {
        /// Folder.
        target: String,
        /// What is in it.
        what: String,
    },
    /// There is something where a backup is to be restored to.
    #[error(
        "`{dir}` is not empty (`{found}`): give another folder with --data, or --force to replace what is there"
    )]
    Occupied {
        /// Data folder.
        dir: String,
        /// Something in it.
        found: String,
    },
    /// Files of the backup are not what was written.
    #[error(
        "the backup is damaged, nothing was restored: {}; --accept-damage restores what can be read of it",
        damage.join("; ")
    )]
    Damaged {
        /// Each file, and what is wrong with it.
        damage: Vec<String>,
    },
}

impl BackupError {
    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        StoreError::io(action, path, source).into()
    }
}

/// How far a backup or a restore has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes done.
    pub bytes: u64,
    /// Bytes in all; 0 when not known.
    pub total: u64,
}

/// What a backup did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files copied.
    pub copied_files: u64,
    /// Bytes copied.
    pub copied_bytes: u64,
    /// Part files that the target already had.
    pub unchanged_files: u64,
    /// Bytes of these.
    pub unchanged_bytes: u64,
    /// Files that an earlier backup had and this one does not need.
    pub removed_files: u64,
    /// What is missing from the backup or damaged, in words.
    pub damage: Vec<String>,
}
