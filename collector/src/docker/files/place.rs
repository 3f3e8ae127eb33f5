//! A place in one file: behind the last record read of it.
//!
//! The invariant: every read takes the bytes before the place along and compares them with what was read
//! before, so bytes of a file that was cut or replaced meanwhile are never taken for the next ones. They end
//! with the time of the last record, which tells generations of equal lines apart.
//!
//! Memory: one read of 256 KiB, or one record where that is longer.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::FilesError;
use super::chain::{FileId, Generation};

/// Bytes of one read.
pub(super) const READ: usize = 256 << 10;
/// Longest record: 16 KiB of which every byte is escaped by six are 100 KB. What is longer is damage.
pub(super) const MAX_RECORD: usize = 1 << 20;
/// Bytes before a place that are compared; the time of a record is among its last 40.
const COMPARED: usize = 64;
/// Bytes that tell generations apart by their beginning.
const HEAD: usize = 256;

/// Behind the last record read, in a file that is held open.
#[derive(Debug)]
pub(in super::super) struct Place {
    path: PathBuf,
    file: File,
    pub(super) id: FileId,
    pub(super) offset: u64,
    /// What stands before `offset`, at most [`COMPARED`] bytes.
    before: Vec<u8>,
}

impl Place {
    pub(super) fn start(Generation { path, file, id, .. }: Generation) -> Self {
        Self { path, file, id, offset: 0, before: Vec::new() }
    }

    /// In the middle of a file, maybe inside a record.
    pub(super) fn inside(generation: Generation, offset: u64) -> Self {
        Self { offset, ..Self::start(generation) }
    }

    /// The first bytes of the file.
    pub(super) fn head(&self) -> Result<Vec<u8>, FilesError> {
        let mut head = vec![0; HEAD];
        let length = self.file.read_at(&mut head, 0).map_err(|source| self.io(source))?;
        head.truncate(length);
        Ok(head)
    }

    fn io(&self, source: std::io::Error) -> FilesError {
        FilesError::Io { path: self.path.clone(), source }
    }

    /// The whole lines that follow, moving behind them; empty at the end of the file.
    pub(super) fn lines(&mut self) -> Result<Vec<u8>, FilesError> {
        let mut wanted = READ;
        loop {
            let mut buffer = vec![0; self.before.len() + wanted];
            let from = self.offset - self.before.len() as u64;
            let length = self.file.read_at(&mut buffer, from).map_err(|source| self.io(source))?;
            buffer.truncate(length);
            let Some(read) = buffer.strip_prefix(&self.before[..]) else {
                return Err(FilesError::Changed { path: self.path.clone() });
            };
            if let Some(end) = memchr::memrchr(b'\n', read) {
                let lines = read[..=end].to_vec();
                self.move_behind(&lines);
                return Ok(lines);
            }
            if read.len() < wanted {
                return Ok(Vec::new());
            }
            if wanted > MAX_RECORD {
                // No record is so long. What is left of the line will be no record either.
                let damage = read.to_vec();
                self.move_behind(&damage);
                return Ok(damage);
            }
            wanted *= 2;
        }
    }

    fn move_behind(&mut self, read: &[u8]) {
        self.offset += read.len() as u64;
        self.before.extend_from_slice(&read[read.len().saturating_sub(COMPARED)..]);
        self.before.drain(..self.before.len().saturating_sub(COMPARED));
    }

    /// Length of the file, in bytes.
    pub(super) fn length(&self) -> Result<u64, FilesError> {
        Ok(self.file.metadata().map_err(|source| self.io(source))?.len())
    }
}
