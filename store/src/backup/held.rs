//! What is committed at one moment, held for as long as a backup takes: a copy of the catalog, and every part
//! it names as an open file.
//!
//! An open file can be read to its end whatever merges and retention do to its name, needs no right to write
//! to the data folder, and is let go however this process ends. Links in the data folder would have to be
//! cleaned up after a backup that was killed.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::catalog::CatalogReader;
use crate::error::StoreError;
use crate::parts::{WINDOWS_DIR, window_dir};

/// How often to begin anew when parts were replaced between the copy of the catalog and their opening.
const ATTEMPTS: usize = 5;

/// Descriptors left to the rest of the process.
const SPARE_FILES: u64 = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Held {
    /// The copy of the catalog.
    pub(super) catalog: PathBuf,
    pub(super) parts: Vec<HeldPart>,
    /// Parts that the catalog names and nobody finds, in words.
    pub(super) damage: Vec<String>,
    /// Number of the data folder, where it has one.
    pub(super) store: Option<u64>,
}

/// A part file, open for reading from its start.
#[derive(Debug)]
pub(super) struct HeldPart {
    /// Path within the data folder, and within the backup.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) bytes: u64,
}

impl Held {
    /// Copies the catalog of `data` to `catalog` and opens all parts.
    pub(super) fn take(data: &Path, catalog: &Path) -> Result<Self, StoreError> {
        let mut missing_before = None;
        for _ in 0..ATTEMPTS {
            let held = Self::try_take(data, catalog)?;
            // What two copies name and nobody has was not replaced in between: it is lost.
            if held.damage.is_empty() || missing_before.as_ref() == Some(&held.damage) {
                return Ok(held);
            }
            missing_before = Some(held.damage);
        }
        let what = format!("the parts of `{}` change faster than they can be opened", data.display());
        Err(StoreError::Damaged { what })
    }

    fn try_take(data: &Path, catalog: &Path) -> Result<Self, StoreError> {
        crate::orphans::remove(catalog);
        CatalogReader::open(data)?.copy_to(catalog)?;
        let mut copy = CatalogReader::open_copy(catalog)?;
        let store = copy.store_id()?;
        let (windows, rows) = copy.consistent(|view| Ok((view.windows()?, view.parts()?)))?;
        raise_open_files(rows.len() as u64 + SPARE_FILES);
        let mut held = Self {
            catalog: catalog.to_owned(),
            parts: Vec::with_capacity(rows.len()),
            damage: Vec::new(),
            store,
        };
        for row in rows {
            let Some(window) = windows.iter().find(|window| window.id == row.window) else {
                held.damage.push(format!("part {} belongs to no window", row.id));
                continue;
            };
            let path = window_dir(data, window).join(row.file());
            match File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file))) {
                Ok((bytes, file)) => {
                    let name = format!("{WINDOWS_DIR}/{}/{}", window.folder(), row.file());
                    held.parts.push(HeldPart { name, path, file, bytes });
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    held.damage.push(format!("`{}` is missing", path.display()));
                }
                Err(error) => return Err(StoreError::io("open", &path, error)),
            }
        }
        Ok(held)
    }

    /// Bytes of all parts.
    pub(super) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

/// Lets this process have `wanted` open files, as far as its hard limit goes. What is beyond shows when the
/// files are opened.
fn raise_open_files(wanted: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current.filter(|current| *current < wanted) else { return };
    let raised = limit.maximum.map_or(wanted, |maximum| wanted.min(maximum));
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum })
    {
        tracing::debug!(%error, current, wanted, "cannot raise the limit of open files");
    }
}
