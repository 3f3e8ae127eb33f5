//! Checksums of whole files: XXH3-128, against decay and mistakes, not against forgers.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

/// Read at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Bytes read or written, counted and summed.
pub(super) struct Summed<T> {
    inner: T,
    hasher: Xxh3,
    bytes: u64,
}

impl<T> Summed<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, hasher: Xxh3::new(), bytes: 0 }
    }

    /// Number of bytes, and their checksum.
    pub(super) fn end(self) -> (u64, String) {
        (self.bytes, format!("{:032x}", self.hasher.digest128()))
    }

    fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.add(&buffer[..read]);
        Ok(read)
    }
}

/// Copies all of `from`; returns the number of bytes and their checksum.
pub(super) fn copy(
    from: impl Read,
    to: &mut impl Write,
    mut step: impl FnMut(u64),
) -> io::Result<(u64, String)> {
    let mut from = Summed::new(from);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(from.end()),
            Ok(read) => {
                to.write_all(&buffer[..read])?;
                step(read as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Length and checksum of a file.
pub(crate) fn of_file(path: &Path) -> io::Result<(u64, String)> {
    copy(File::open(path)?, &mut io::sink(), |_| {})
}
