//! The word index of a window: a tantivy index with one document per block, whose terms are the distinct
//! words of the block's lines.
//!
//! It is derived data. Everything in it can be read again from the parts, so it is committed lazily, and
//! thrown away and rebuilt when anything is wrong with it. A query treats a part that the index does not
//! fully hold as if every word were in it ([`search::WordIndex::covers`]).

mod integrity;
mod search;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use search::{BlockSet, WordIndex, WordPattern};
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::schema::{BytesOptions, FAST, Field, INDEXED, Schema};
use tantivy::{Index, IndexWriter, TantivyDocument, Term};

use crate::part::{Part, PartId};
use crate::terms::BlockWords;

/// Version of the words in the index: of `token` and `terms`. An index of another version is rebuilt.
const WORDS_VERSION: u32 = 1;

/// Memory for words not yet in a segment: tantivy's least. Some hundred blocks fit; what is beyond
/// becomes a segment earlier.
const ARENA_BYTES: usize = 15_000_000;

/// Why the index of a window cannot be written. Searches go on without it.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} word index `{dir}`: {source}")]
pub(crate) struct IndexError {
    action: &'static str,
    dir: String,
    source: tantivy::TantivyError,
}

/// The fields of a document.
#[derive(Clone, Copy, Debug)]
struct Fields {
    part: Field,
    block: Field,
    word: Field,
}

fn schema() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let part = schema.add_u64_field("part", INDEXED | FAST);
    let block = schema.add_u64_field("block", FAST);
    // Bytes rather than text: the words are cut already. The name carries the version, so that an index
    // of other words has another schema.
    let word =
        schema.add_bytes_field(&format!("word_v{WORDS_VERSION}"), BytesOptions::default().set_indexed());
    (schema.build(), Fields { part, block, word })
}

/// Writes the index of one window. One at a time per window, and few at once: each has its own threads.
pub(crate) struct WindowIndex {
    dir: PathBuf,
    fields: Fields,
    writer: IndexWriter,
}

impl std::fmt::Debug for WindowIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WindowIndex").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl WindowIndex {
    /// Opens the index in folder `dir`; makes an empty one when there is none or it cannot be used.
    ///
    /// # Errors
    /// When the folder cannot be written, or another writer has it open.
    pub(crate) fn open(dir: &Path) -> Result<Self, IndexError> {
        match Self::try_open(dir) {
            Err(error) if !matches!(error.source, tantivy::TantivyError::LockFailure(..)) => {
                if dir.exists() {
                    tracing::warn!(%error, "word index is rebuilt");
                }
                remove_dir(dir).map_err(|error| failed("remove", dir, error.into()))?;
                Self::try_open(dir)
            }
            result => result,
        }
    }

    fn try_open(dir: &Path) -> Result<Self, IndexError> {
        let (schema, fields) = schema();
        std::fs::create_dir_all(dir).map_err(|error| failed("make", dir, error.into()))?;
        let directory = tantivy::directory::MmapDirectory::open(dir)
            .map_err(|error| failed("open", dir, error.into()))?;
        let index = Index::open_or_create(directory, schema).map_err(|error| failed("open", dir, error))?;
        WordIndex::of(dir, &index).map_err(|error| failed("read", dir, error))?;
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .num_merge_threads(1)
            .memory_budget_per_thread(ARENA_BYTES)
            .build();
        let writer = index.writer_with_options(options).map_err(|error| failed("open", dir, error))?;
        let mut merges = LogMergePolicy::default();
        merges.set_min_num_segments(8);
        writer.set_merge_policy(Box::new(merges));
        Ok(Self { dir: dir.to_owned(), fields, writer })
    }

    /// Adds a part, one entry of `words` per block. Visible after [`WindowIndex::commit`].
    ///
    /// # Errors
    /// When tantivy's thread has failed.
    pub(crate) fn add_part(&self, id: PartId, words: &[BlockWords]) -> Result<(), IndexError> {
        self.remove_part(id); // never twice, whatever happened before
        for (number, words) in words.iter().enumerate() {
            let mut doc = TantivyDocument::default();
            doc.add_u64(self.fields.part, id.0);
            doc.add_u64(self.fields.block, number as u64);
            for word in words.iter() {
                doc.add_bytes(self.fields.word, word);
            }
            self.writer.add_document(doc).map_err(|error| failed("write to", &self.dir, error))?;
        }
        Ok(())
    }

    /// Removes a part that is gone.
    pub(crate) fn remove_part(&self, id: PartId) {
        self.writer.delete_term(Term::from_field_u64(self.fields.part, id.0));
    }

    /// Makes the index hold exactly the blocks of `parts`: forgets other parts, and reads the words of
    /// those it lacks. Commits when something changed. Returns what could not be read.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub(crate) fn sync(&mut self, parts: &[Arc<Part>]) -> Result<Vec<String>, IndexError> {
        let mut damaged = Vec::new();
        let found = WordIndex::of(&self.dir, self.writer.index())
            .map_err(|error| failed("read", &self.dir, error))?;
        let live: HashSet<PartId> = parts.iter().map(|part| part.id()).collect();
        let mut changed = false;
        for id in found.parts().filter(|id| !live.contains(id)) {
            self.remove_part(id);
            changed = true;
        }
        for part in parts.iter().filter(|part| !found.covers(part)) {
            self.add_part(part.id(), &part.words(&mut damaged))?;
            changed = true;
        }
        if changed {
            self.commit()?;
        }
        Ok(damaged)
    }

    /// Makes all changes durable and visible to searches opened from now on. Takes 10 to 700 ms.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub(crate) fn commit(&mut self) -> Result<(), IndexError> {
        self.writer.commit().map(drop).map_err(|error| failed("commit to", &self.dir, error))
    }

    /// Waits for merges under way; what is not committed is dropped.
    ///
    /// # Errors
    /// When a merge fails.
    pub(crate) fn close(self) -> Result<(), IndexError> {
        self.writer.wait_merging_threads().map_err(|error| failed("merge", &self.dir, error))
    }
}

fn failed(action: &'static str, dir: &Path, source: tantivy::TantivyError) -> IndexError {
    IndexError { action, dir: dir.display().to_string(), source }
}

fn remove_dir(dir: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
