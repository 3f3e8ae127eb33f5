//! Small kernel files: one number, or a name and a number per line.
//!
//! `max` and numbers that say "no limit" are `None`.

use std::path::Path;

/// Above this a v1 limit means none: the kernel rounds its largest value down to a page.
const UNLIMITED_BYTES: u64 = 1 << 62;

/// The number in a file.
pub(super) fn number(dir: &Path, file: &str) -> Option<u64> {
    std::fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok()
}

/// The limit in a file, `None` for no limit and for no file.
pub(super) fn limit(dir: &Path, file: &str) -> Option<u64> {
    number(dir, file).filter(|limit| *limit < UNLIMITED_BYTES)
}

/// A file of `name number` lines.
#[derive(Debug, Default)]
pub(super) struct Keyed(String);

impl Keyed {
    /// Reads the file; empty when it cannot be read.
    pub(super) fn read(dir: &Path, file: &str) -> Self {
        Self(std::fs::read_to_string(dir.join(file)).unwrap_or_default())
    }

    /// The number behind `name`.
    pub(super) fn get(&self, name: &str) -> Option<u64> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    }

    /// The `total=` number of the line that starts with `name`, as pressure files write it.
    pub(super) fn total(&self, name: &str) -> Option<u64> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.split(' ').find_map(|word| word.strip_prefix("total=")?.parse().ok())
    }

    /// Whether nothing was read.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
