//! Bringing a backup back.
//!
//! Everything is first copied into a folder beside its final place and compared with the manifest; only then does
//! it take the place of what was there. While that folder exists no writer opens the data folder.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::checksum::copy;
use super::folder::sync;
use super::manifest::{Entry, FILE, MAX_BYTES, Manifest, is_catalog, is_ours};
use super::{BackupError, Progress};
use crate::lock::FolderLock;
use crate::orphans::{self, TRASH_DIR};
use crate::parts::WINDOWS_DIR;
use crate::{catalog, lock};

/// Folder within the data folder that takes up the files before they count.
pub(crate) const STAGING_DIR: &str = "restoring";

/// Where a backup comes from.
pub enum From<'a> {
    /// A folder that [`super::to_folder`] has filled.
    Folder(&'a Path),
    /// What [`super::to_archive`] has written.
    Archive(Box<dyn Read + 'a>),
}

impl std::fmt::Debug for From<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => f.debug_tuple("Folder").field(path).finish(),
            Self::Archive(_) => f.debug_tuple("Archive").finish_non_exhaustive(),
        }
    }
}

/// What a restore did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// When the backup began, RFC 3339.
    pub begun_at: String,
    /// Files restored.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// What the backup lacks or holds damaged, in words.
    pub damage: Vec<String>,
}

/// Restores a backup to the data folder `data`; `force` replaces what is there, `accept_damage` restores what
/// can be read of a damaged backup. Blocking.
///
/// # Errors
/// When the backup cannot be read or is damaged, when `data` is in use or not empty, or cannot be written. What
/// was in `data` is then still there, unless the error says that it was being replaced.
pub fn restore(
    from: From<'_>,
    data: &Path,
    force: bool,
    accept_damage: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Restored, BackupError> {
    fs::create_dir_all(data).map_err(|e| BackupError::io("make folder", data, e))?;
    let _lock = FolderLock::take(data)?;
    if !force {
        check_empty(data)?;
    }
    // A restore that was interrupted between the steps below has nothing left to lose.
    let staging = data.join(STAGING_DIR);
    orphans::remove(&staging);
    let mut staged = Staged { dir: staging.clone(), found: HashMap::new(), progress: Progress::default() };
    let result = staged.fill(from, progress).and_then(|manifest| {
        let damage = staged.compare(&manifest)?;
        if !damage.is_empty() && !accept_damage {
            return Err(BackupError::Damaged { damage });
        }
        Ok((manifest, damage))
    });
    let (manifest, mut damage) = match result {
        Ok(compared) => compared,
        Err(error) => {
            orphans::remove(&staging);
            return Err(error);
        }
    };
    take_place(data, &staging)?;
    damage.extend(manifest.damage);
    let (files, bytes) = (staged.found.len() as u64, staged.progress.bytes);
    Ok(Restored { begun_at: manifest.begun_at, files, bytes, damage })
}

fn check_empty(data: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(data).map_err(|e| BackupError::io("list", data, e))?.flatten() {
        let name = entry.file_name();
        if name != lock::FILE && name != "lost+found" {
            let (dir, found) = (data.display().to_string(), name.display().to_string());
            return Err(BackupError::Occupied { dir, found });
        }
    }
    Ok(())
}

/// Files on their way.
struct Staged {
    dir: PathBuf,
    /// By path: length and checksum of what was copied.
    found: HashMap<String, (u64, String)>,
    progress: Progress,
}

impl Staged {
    fn fill(&mut self, from: From<'_>, progress: &mut dyn FnMut(Progress)) -> Result<Manifest, BackupError> {
        fs::create_dir_all(&self.dir).map_err(|e| BackupError::io("make folder", &self.dir, e))?;
        match from {
            From::Folder(dir) => self.fill_from_folder(dir, progress),
            From::Archive(read) => self.fill_from_archive(read, progress),
        }
    }

    fn fill_from_folder(
        &mut self,
        dir: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Manifest, BackupError> {
        let manifest = Manifest::read(dir)?.ok_or_else(|| unreadable(dir, "it has no `backup.json`"))?;
        self.progress.total = manifest.files.iter().map(|entry| entry.bytes).sum();
        for entry in &manifest.files {
            let path = dir.join(&entry.path);
            match File::open(&path) {
                Ok(file) => self.add(&entry.path, file, progress)?,
                // What is missing is told when all is compared.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(BackupError::io("open", &path, error)),
            }
        }
        check_complete(manifest, dir)
    }

    fn fill_from_archive(
        &mut self,
        read: Box<dyn Read + '_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Manifest, BackupError> {
        let name = Path::new("the archive");
        let broken = |e: std::io::Error| unreadable(name, &format!("the tar stream is broken: {e}"));
        let mut archive = tar::Archive::new(read);
        let mut manifest = None;
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let path = entry.path().map_err(broken)?.to_string_lossy().into_owned();
            if path == FILE {
                let mut bytes = Vec::new();
                (&mut entry).take(MAX_BYTES).read_to_end(&mut bytes).map_err(broken)?;
                manifest = Some(Manifest::decode(&bytes, name)?);
            } else if is_ours(&path) {
                self.add(&path, entry, progress)?;
            } else {
                return Err(unreadable(name, &format!("`{path}` is no file of a backup")));
            }
        }
        let manifest = manifest.ok_or_else(|| unreadable(name, "it ends before its `backup.json`"))?;
        check_complete(manifest, name)
    }

    fn add(
        &mut self,
        path: &str,
        from: impl Read,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), BackupError> {
        let to = self.dir.join(if is_catalog(path) { catalog::FILE } else { path });
        let folder = to.parent().unwrap_or(&self.dir);
        fs::create_dir_all(folder).map_err(|e| BackupError::io("make folder", folder, e))?;
        let mut file = File::create(&to).map_err(|e| BackupError::io("make", &to, e))?;
        let found = copy(from, &mut file, |bytes| {
            self.progress.bytes += bytes;
            progress(self.progress);
        })
        .and_then(|found| file.sync_all().map(|()| found))
        .map_err(|e| BackupError::io("copy to", &to, e))?;
        self.found.insert(path.to_owned(), found);
        Ok(())
    }

    /// What is not as the manifest says. Files that it does not name are taken away.
    fn compare(&mut self, manifest: &Manifest) -> Result<Vec<String>, BackupError> {
        let mut damage = Vec::new();
        let mut others = std::mem::take(&mut self.found);
        for Entry { path, bytes, xxh3_128 } in &manifest.files {
            match others.remove(path) {
                None => damage.push(format!("`{path}` is missing")),
                Some(found) => {
                    if found.0 != *bytes {
                        damage.push(format!("`{path}` has {} bytes instead of {bytes}", found.0));
                    } else if found.1 != *xxh3_128 {
                        damage.push(format!("the checksum of `{path}` does not match"));
                    }
                    self.found.insert(path.clone(), found);
                }
            }
        }
        for path in others.keys() {
            damage.push(format!("`{path}` does not belong to the backup"));
            if !is_catalog(path) {
                orphans::remove(&self.dir.join(path));
            }
        }
        if !manifest.catalog().is_some_and(|entry| self.found.contains_key(&entry.path)) {
            return Err(BackupError::Damaged { damage });
        }
        Ok(damage)
    }
}

fn check_complete(manifest: Manifest, path: &Path) -> Result<Manifest, BackupError> {
    if manifest.complete {
        return Ok(manifest);
    }
    Err(unreadable(path, "the first backup into it was interrupted; make it again"))
}

fn unreadable(path: &Path, what: &str) -> BackupError {
    BackupError::Unreadable { path: path.display().to_string(), what: what.to_owned() }
}

/// Puts the staged files in the place of what was there. Until the last step a writer finds the staging folder
/// and refuses.
fn take_place(data: &Path, staging: &Path) -> Result<(), BackupError> {
    sync_all(staging)?;
    for suffix in ["", "-wal", "-shm", "-journal"] {
        orphans::remove(&data.join(format!("{}{suffix}", catalog::FILE)));
    }
    let windows = data.join(WINDOWS_DIR);
    orphans::remove(&windows);
    orphans::remove(&data.join(TRASH_DIR));
    let moved = |name: &str| {
        let (from, to) = (staging.join(name), data.join(name));
        fs::rename(&from, &to).map_err(|e| BackupError::io("put in place", &to, e))
    };
    if staging.join(WINDOWS_DIR).exists() {
        moved(WINDOWS_DIR)?;
    }
    moved(catalog::FILE)?;
    sync(data)?;
    orphans::remove(staging);
    sync(data)
}

fn sync_all(staging: &Path) -> Result<(), BackupError> {
    let windows = staging.join(WINDOWS_DIR);
    if windows.exists() {
        for window in fs::read_dir(&windows).map_err(|e| BackupError::io("list", &windows, e))?.flatten() {
            sync(&window.path())?;
        }
        sync(&windows)?;
    }
    sync(staging)
}
