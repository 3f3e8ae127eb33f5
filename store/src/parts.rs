//! Parts as the rest of the store handles them: opened when first read, closed when too many are open.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::block::BlockError;
use crate::catalog::{PartRow, WindowRow};
use crate::part::{DictionaryCache, Part};

/// Parts kept open, each with a file descriptor and the directory of its blocks. Beyond it the one opened
/// first is closed, once no query reads it.
const MAX_OPEN_PARTS: usize = 256;

/// Folder of all windows within the data folder.
pub(crate) const WINDOWS_DIR: &str = "windows";

/// Folder of a window.
pub(crate) fn window_dir(dir: &Path, window: &WindowRow) -> PathBuf {
    dir.join(WINDOWS_DIR).join(window.folder())
}

/// Folder of a window's word index.
pub(crate) fn index_dir(dir: &Path, window: &WindowRow) -> PathBuf {
    window_dir(dir, window).join("index")
}

/// A part that is in the catalog.
#[derive(Debug)]
pub(crate) struct PartEntry {
    pub(crate) row: PartRow,
    pub(crate) path: PathBuf,
    open: Mutex<Option<Arc<Part>>>,
}

impl PartEntry {
    pub(crate) fn new(dir: &Path, window: &WindowRow, row: PartRow) -> Self {
        let path = window_dir(dir, window).join(row.file());
        Self { row, path, open: Mutex::new(None) }
    }

    /// The part, opened if need be. Blocking.
    pub(crate) fn part(self: &Arc<Self>, open_parts: &OpenParts) -> Result<Arc<Part>, BlockError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = &*open {
            return Ok(Arc::clone(part));
        }
        let part = Arc::new(Part::open_with(&self.path, &open_parts.dictionaries)?);
        *open = Some(Arc::clone(&part));
        drop(open);
        open_parts.opened(self);
        Ok(part)
    }

    fn close(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Which parts are open, oldest first.
#[derive(Debug, Default)]
pub(crate) struct OpenParts {
    parts: Mutex<VecDeque<std::sync::Weak<PartEntry>>>,
    dictionaries: Arc<DictionaryCache>,
}

impl OpenParts {
    fn opened(&self, entry: &Arc<PartEntry>) {
        let mut open = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        open.push_back(Arc::downgrade(entry));
        let closed = if open.len() > MAX_OPEN_PARTS { open.pop_front() } else { None };
        drop(open);
        if let Some(entry) = closed.and_then(|entry| entry.upgrade()) {
            entry.close();
        }
    }
}
