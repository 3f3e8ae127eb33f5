//! What tantivy does not check, or takes for granted.
//!
//! Its files end in a checksum, but those that list them do not: `meta.json` and `.managed.json`. A file that is too
//! short, or an impossible number there, makes tantivy panic; a file that is not listed as managed goes unchecked.
//! Only the `opstamp`s in `meta.json` can change unseen: numbers without a meaning once written.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use tantivy::directory::Directory;
use tantivy::error::DataCorruption;
use tantivy::{Index, IndexMeta, IndexSettings, SegmentReader, TantivyError};

/// What lists the segments.
const META: &str = "meta.json";
/// The least that a file ends with: length of its footer, and a magic number.
const MIN_FILE_BYTES: u64 = 8;

/// Checks every file of the index in `dir` that searches read.
pub(super) fn check(dir: &Path, index: &Index) -> Result<(), TantivyError> {
    let meta = check_meta(index)?;
    let managed: HashSet<PathBuf> = index.directory().list_managed_files();
    for file in meta.list_segment_files() {
        let len = match std::fs::metadata(dir.join(&file)) {
            Ok(found) => found.len(),
            // A segment without deletions, say, has no file for them; one that is needed is missed when it is opened.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        if !managed.contains(&file) {
            return Err(corrupt(format!("`.managed.json` lacks `{}`", file.display())));
        }
        if len < MIN_FILE_BYTES {
            return Err(corrupt(format!("`{}` is cut off", file.display())));
        }
    }
    // A flipped bit in a posting list would hide lines; nothing else in tantivy looks for one.
    let damaged = index.validate_checksum()?;
    if !damaged.is_empty() {
        return Err(corrupt(format!("checksum of {damaged:?}")));
    }
    Ok(())
}

/// `meta.json` must be what tantivy writes for what it says.
fn check_meta(index: &Index) -> Result<IndexMeta, TantivyError> {
    let stored = index.directory().atomic_read(Path::new(META))?;
    let meta = index.load_metas()?;
    let mut written = serde_json::to_vec_pretty(&meta).map_err(|error| corrupt(error.to_string()))?;
    written.push(b'\n');
    let is_ours = meta.index_settings == IndexSettings::default()
        && meta.payload.is_none()
        && meta.persisted_custom_extensions.is_empty()
        && meta.segments.iter().all(|segment| segment.num_deleted_docs() <= segment.max_doc());
    if written != stored || !is_ours {
        return Err(corrupt(format!("`{META}` is not as it was written")));
    }
    Ok(meta)
}

/// A segment must have as many documents as `meta.json` says.
pub(super) fn check_counts(segment: &SegmentReader, rows: u32) -> Result<(), TantivyError> {
    let alive = segment.alive_bitset().map_or(segment.max_doc(), |alive| alive.num_alive_docs() as u32);
    if rows != segment.max_doc() || alive != segment.num_docs() {
        return Err(corrupt(format!("`{META}` has other numbers of documents than the segments")));
    }
    Ok(())
}

fn corrupt(what: String) -> TantivyError {
    DataCorruption::comment_only(what).into()
}
