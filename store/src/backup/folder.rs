//! Backups into a folder: what is there already is not copied again.
//!
//! A part never changes and its number is never given twice, so a file of the same name is either the same or
//! damaged, here or there. Which of the two is found out by reading both.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::checksum::{copy, of_file};
use super::held::{Held, HeldPart};
use super::manifest::{Entry, FILE, Manifest, catalog_name, is_catalog, is_ours};
use super::{BackupError, Progress, Summary};
use crate::catalog;
use crate::lock::FolderLock;
use crate::part::Part;
use crate::parts::WINDOWS_DIR;

/// The catalog's copy before it has its name.
const CATALOG_TMP: &str = "catalog.tmp";

/// Backs up the data folder `data` into the folder `target`, where an earlier backup of it may be. A writer may
/// work meanwhile: the backup holds everything that was stored when it began. Blocking.
///
/// # Errors
/// When the data folder cannot be read, or `target` not be written or holds something else. An earlier backup
/// in `target` is then still whole.
pub fn to_folder(
    data: &Path,
    target: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, BackupError> {
    fs::create_dir_all(target).map_err(|e| BackupError::io("make folder", target, e))?;
    let _lock = FolderLock::take(target)?;
    let before = earlier(data, target)?;
    let held = Held::take(data, &target.join(CATALOG_TMP))?;
    if let Some(before) = &before
        && before.store.is_some()
        && before.store != held.store
    {
        crate::orphans::remove(&held.catalog);
        return Err(refused(target, "holds a backup of another data folder"));
    }
    let manifest = Manifest { damage: held.damage.clone(), ..Manifest::new(held.store) };
    if before.is_none() {
        // Says whose folder this is, should the backup be interrupted.
        write_manifest(target, &manifest)?;
    }
    let mut backup = Backup {
        target,
        before: before.unwrap_or_default(),
        manifest,
        summary: Summary { damage: held.damage.clone(), ..Summary::default() },
        folders: HashSet::new(),
        progress: Progress { bytes: 0, total: held.bytes() },
    };
    for part in &held.parts {
        backup.part(part, progress)?;
    }
    backup.catalog(&held.catalog)?;
    backup.end()
}

/// The manifest of the backup that is in `target`, `None` when there is nothing.
fn earlier(data: &Path, target: &Path) -> Result<Option<Manifest>, BackupError> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if real(target).starts_with(real(data)) || target.join(catalog::FILE).exists() {
        return Err(refused(target, "is a data folder, or in one"));
    }
    if let Some(manifest) = Manifest::read(target)? {
        return Ok(Some(manifest));
    }
    for entry in fs::read_dir(target).map_err(|e| BackupError::io("list", target, e))?.flatten() {
        if entry.file_name() != crate::lock::FILE && entry.file_name() != "lost+found" {
            let what = format!("holds `{}` and is no backup", entry.file_name().display());
            return Err(refused(target, &what));
        }
    }
    Ok(None)
}

fn refused(target: &Path, what: &str) -> BackupError {
    BackupError::Target { target: target.display().to_string(), what: what.to_owned() }
}

/// A backup under way.
struct Backup<'a> {
    target: &'a Path,
    before: Manifest,
    manifest: Manifest,
    summary: Summary,
    /// Folders that got files, to be synced.
    folders: HashSet<PathBuf>,
    progress: Progress,
}

/// What to do about a file that the target has already.
enum Found {
    Same(Entry),
    /// The target's is whole, the data folder's is not.
    Better(Entry),
    Other,
}

impl Backup<'_> {
    fn part(&mut self, part: &HeldPart, progress: &mut dyn FnMut(Progress)) -> Result<(), BackupError> {
        let path = self.target.join(&part.name);
        match self.look(part, &path)? {
            Found::Same(entry) => self.keep(entry),
            Found::Better(entry) => {
                self.summary.damage.push(format!(
                    "`{}` is damaged; the backup keeps its whole copy of it",
                    part.path.display()
                ));
                self.keep(entry);
            }
            Found::Other => {
                let entry = self.copy(part, &path, progress)?;
                self.summary.copied_files += 1;
                self.summary.copied_bytes += entry.bytes;
                self.manifest.files.push(entry);
                return Ok(());
            }
        }
        self.progress.bytes += part.bytes;
        progress(self.progress);
        Ok(())
    }

    fn keep(&mut self, entry: Entry) {
        self.summary.unchanged_files += 1;
        self.summary.unchanged_bytes += entry.bytes;
        self.manifest.files.push(entry);
    }

    fn look(&self, part: &HeldPart, path: &Path) -> Result<Found, BackupError> {
        let Ok((bytes, xxh3_128)) = of_file(path) else { return Ok(Found::Other) };
        let found = Entry { path: part.name.clone(), bytes, xxh3_128 };
        let source = copy(&part.file, &mut std::io::sink(), |_| {})
            .map_err(|e| BackupError::io("read", &part.path, e))?;
        if source == (found.bytes, found.xxh3_128.clone()) {
            return Ok(Found::Same(found));
        }
        let ours_is_whole = self.before.files.contains(&found);
        Ok(if ours_is_whole && !is_whole(&part.path) { Found::Better(found) } else { Found::Other })
    }

    fn copy(
        &mut self,
        part: &HeldPart,
        path: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Entry, BackupError> {
        let folder = path.parent().unwrap_or(self.target);
        fs::create_dir_all(folder).map_err(|e| BackupError::io("make folder", folder, e))?;
        self.folders.insert(folder.to_owned());
        let tmp = path.with_extension("tmp");
        let mut out = File::create(&tmp).map_err(|e| BackupError::io("make", &tmp, e))?;
        let start = self.progress.bytes;
        // A look at it may have moved its position.
        let source = std::io::Seek::rewind(&mut &part.file).and_then(|()| {
            copy(&part.file, &mut out, |bytes| {
                self.progress.bytes += bytes;
                progress(self.progress);
            })
        });
        let (bytes, xxh3_128) = source.map_err(|e| BackupError::io("copy", &part.path, e))?;
        self.progress.bytes = start + part.bytes;
        out.sync_all()
            .and_then(|()| fs::rename(&tmp, path))
            .map_err(|e| BackupError::io("write", path, e))?;
        Ok(Entry { path: part.name.clone(), bytes, xxh3_128 })
    }

    fn catalog(&mut self, copied: &Path) -> Result<(), BackupError> {
        let (bytes, xxh3_128) = of_file(copied).map_err(|e| BackupError::io("read", copied, e))?;
        let path = catalog_name(&xxh3_128);
        let place = self.target.join(&path);
        fs::rename(copied, &place).map_err(|e| BackupError::io("rename", &place, e))?;
        self.summary.copied_files += 1;
        self.summary.copied_bytes += bytes;
        self.manifest.files.push(Entry { path, bytes, xxh3_128 });
        Ok(())
    }

    /// Makes the backup the one that counts, then deletes what only earlier ones needed.
    fn end(mut self) -> Result<Summary, BackupError> {
        for folder in &self.folders {
            sync(folder)?;
        }
        let windows = self.target.join(WINDOWS_DIR);
        if windows.exists() {
            sync(&windows)?;
        }
        self.manifest.complete = true;
        write_manifest(self.target, &self.manifest)?;
        self.remove_others();
        Ok(self.summary)
    }

    /// What cannot be deleted is in nobody's way, and the next backup tries again.
    fn remove_others(&mut self) {
        let wanted: HashSet<&str> = self.manifest.files.iter().map(|entry| entry.path.as_str()).collect();
        let mut removed = 0;
        for name in names(self.target).into_iter().filter(|name| is_catalog(name)) {
            if !wanted.contains(name.as_str()) {
                crate::orphans::remove(&self.target.join(name));
            }
        }
        for window in names(&self.target.join(WINDOWS_DIR)) {
            let folder = self.target.join(WINDOWS_DIR).join(&window);
            for part in names(&folder) {
                let path = format!("{WINDOWS_DIR}/{window}/{part}");
                if (is_ours(&path) && !wanted.contains(path.as_str())) || part.ends_with(".tmp") {
                    crate::orphans::remove(&folder.join(part));
                    removed += 1;
                }
            }
            // Only an empty folder can be removed this way.
            if fs::remove_dir(&folder).is_ok() {
                tracing::debug!(folder = %folder.display(), "removed an empty folder");
            }
        }
        self.summary.removed_files = removed;
    }
}

/// Whether every byte of a part is what was written.
fn is_whole(path: &Path) -> bool {
    Part::open(path).is_ok_and(|part| part.damage().is_empty())
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn write_manifest(dir: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let path = dir.join(FILE);
    let tmp = dir.join("backup.tmp");
    let bytes = manifest.encode().map_err(|e| BackupError::io("write", &path, e.into()))?;
    fs::write(&tmp, bytes)
        .and_then(|()| File::open(&tmp)?.sync_all())
        .and_then(|()| fs::rename(&tmp, &path))
        .map_err(|e| BackupError::io("write", &path, e))?;
    sync(dir)
}

/// Makes the names in a folder durable.
pub(super) fn sync(dir: &Path) -> Result<(), BackupError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| BackupError::io("sync", dir, e))
}
