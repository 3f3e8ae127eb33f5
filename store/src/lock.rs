//! The lock of a data folder: one writer at a time, and a second one is told who holds it.
//!
//! The lock is an advisory lock of the operating system on `writer.lock`, so it ends with its process however
//! that ends. The file's text only serves to name the holder.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::error::StoreError;

/// Name of the file within the folder.
pub(crate) const FILE: &str = "writer.lock";
/// More than a command line that helps anyone; the file may have been replaced by anything.
const MAX_HOLDER_BYTES: u64 = 1024;

/// Held as long as it lives.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock of `dir`.
    pub(crate) fn take(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| StoreError::io("open", &path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { dir: dir.display().to_string(), holder: holder(&mut file) });
            }
            Err(TryLockError::Error(e)) => return Err(StoreError::io("lock", &path, e)),
        }
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(myself().as_bytes()))
            .map_err(|e| StoreError::io("write", &path, e))?;
        Ok(Self { _file: file })
    }
}

/// Whether some process holds the lock of `dir` now.
pub(crate) fn is_held(dir: &Path) -> bool {
    holder_of(dir).is_some()
}

/// Who holds the lock of `dir` now, `None` when nobody does.
pub(crate) fn holder_of(dir: &Path) -> Option<String> {
    let mut file = File::open(dir.join(FILE)).ok()?;
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)).then(|| holder(&mut file))
}

fn myself() -> String {
    let command: Vec<String> =
        std::env::args_os().take(2).map(|arg| arg.to_string_lossy().into_owned()).collect();
    format!("`{}` (pid {}, since {})", command.join(" "), std::process::id(), jiff::Timestamp::now())
}

fn holder(file: &mut File) -> String {
    let mut text = Vec::new();
    match file.take(MAX_HOLDER_BYTES).read_to_end(&mut text) {
        Ok(read) if read > 0 => String::from_utf8_lossy(&text).trim().to_owned(),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_and_names_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        let first = FolderLock::take(dir.path()).unwrap();
        let refused = FolderLock::take(dir.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("pid {}", std::process::id())), "{refused}");
        assert!(refused.contains("--data"), "{refused}");
        drop(first);
        FolderLock::take(dir.path()).unwrap();
    }
}
