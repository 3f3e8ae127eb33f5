//! Positioned reads of a part file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::block::BlockError;

/// An open part file. Reads need no lock, and go on working after the file has been unlinked.
#[derive(Debug)]
pub(crate) struct PartFile {
    file: File,
    path: PathBuf,
    len: u64,
}

impl PartFile {
    pub(crate) fn open(path: &Path) -> Result<Self, BlockError> {
        let failed = |source| BlockError::Io { file: path.display().to_string(), source };
        let file = File::open(path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        Ok(Self { file, path: path.to_owned(), len })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// Reads `len` bytes at `at` for block `number`. Bytes beyond the end of the file are damage, and are
    /// known to be so before memory is set aside for them.
    pub(crate) fn read(&self, at: u64, len: usize, number: u32) -> Result<Vec<u8>, BlockError> {
        if at.checked_add(len as u64).is_none_or(|end| end > self.len) {
            return Err(self.damaged(number, "the file is too short"));
        }
        let mut bytes = vec![0; len];
        match self.file.read_exact_at(&mut bytes, at) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.damaged(number, "the file has become shorter"))
            }
            Err(source) => Err(BlockError::Io { file: self.name(), source }),
        }
    }

    pub(crate) fn damaged(&self, number: u32, what: &str) -> BlockError {
        BlockError::Damaged { file: self.name(), block: number, what: what.to_owned() }
    }

    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }
}
