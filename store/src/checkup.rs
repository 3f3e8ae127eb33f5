//! The state of a data folder, looked at from outside: nothing is opened for writing, nothing is changed.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::error::StoreError;
use crate::{lock, retention};

/// What a look at a data folder shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkup {
    /// The folder, or the nearest one above it that exists: there it would be made.
    pub folder: PathBuf,
    /// Whether the folder itself exists.
    pub exists: bool,
    /// Why it cannot be written to, `None` when it can.
    pub refusal: Option<String>,
    /// Free space of its disk that this user may fill, in bytes.
    pub free_bytes: u64,
    /// Who writes to it now.
    pub holder: Option<String>,
}

/// Looks at `dir`.
///
/// # Errors
/// When nothing can be said about its disk.
pub fn look(dir: &Path) -> Result<Checkup, StoreError> {
    let absolute = std::path::absolute(dir).map_err(|e| StoreError::io("find", dir, e))?;
    let folder = absolute.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned();
    let refusal = if folder.is_dir() {
        access(&folder, Access::WRITE_OK | Access::EXEC_OK).err().map(|e| std::io::Error::from(e).to_string())
    } else {
        Some("it is no folder".to_owned())
    };
    Ok(Checkup {
        exists: folder == absolute,
        refusal,
        free_bytes: retention::free_bytes(&folder)?,
        holder: lock::holder_of(&absolute),
        folder,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_tells_who_writes_to_it_and_whether_one_could() {
        let dir = tempfile::tempdir().unwrap();
        let (data, file) = (dir.path().join("a/data"), dir.path().join("file"));
        let missing = look(&data).unwrap();
        assert_eq!((missing.exists, missing.folder.as_path(), missing.refusal), (false, dir.path(), None));
        assert!(missing.free_bytes > 0);

        let config = crate::Config::default();
        let writer = crate::Writer::open(&data, &config, &prometheus::Registry::new()).unwrap();
        let held = look(&data).unwrap();
        assert!(held.exists);
        assert!(held.holder.unwrap().contains(&format!("pid {}", std::process::id())));
        drop(writer);

        std::fs::write(&file, "").unwrap();
        assert_eq!(look(&file).unwrap().refusal.as_deref(), Some("it is no folder"));
    }
}
