//! Word indexes kept open between queries.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::index::WordIndex;

/// Indexes kept open. Beyond it all are closed: a query over that many windows is slow for other reasons.
const MAX_OPEN: usize = 1024;

/// When and how large the index's list of segments was written; changes with every commit of the index.
type Stamp = (SystemTime, u64);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct WordIndexes(Mutex<HashMap<PathBuf, (Stamp, Arc<WordIndex>)>>);

impl WordIndexes {
    /// The index in `dir` as of its last commit; `None` when it cannot be used and queries do without.
    pub(super) fn open(&self, dir: &Path) -> Option<Arc<WordIndex>> {
        let meta = std::fs::metadata(dir.join("meta.json")).ok()?;
        let stamp = (meta.modified().ok()?, meta.len());
        if let Some((known, index)) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(dir)
            && *known == stamp
        {
            return Some(Arc::clone(index));
        }
        let index = match WordIndex::open(dir) {
            Ok(index) => Arc::new(index),
            Err(error) => {
                tracing::debug!(dir = %dir.display(), %error, "a word index cannot be used");
                return None;
            }
        };
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_OPEN {
            open.clear();
        }
        open.insert(dir.to_owned(), (stamp, Arc::clone(&index)));
        Some(index)
    }
}
