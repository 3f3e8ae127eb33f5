//! How much is stored, and where it lies.

use std::path::Path;

use super::Reader;
use crate::Level;
use crate::catalog;
use crate::parts::index_dir;
use crate::writer::StoreError;

/// How much is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Streams with records.
    pub streams: usize,
    /// Records.
    pub records: u64,
    /// Bytes of their lines, without line ends.
    pub line_bytes: u64,
    /// Of the records, those that are not yet in parts.
    pub head_records: u64,
    /// Memory that these take.
    pub head_bytes: u64,
    /// Bytes on disk of the parts: blocks with their id filters.
    pub part_bytes: u64,
    /// Bytes on disk of the word indexes.
    pub index_bytes: u64,
    /// Bytes on disk of the catalog, with the records that are not yet in parts.
    pub catalog_bytes: u64,
    /// Number of the latest commit.
    pub last_commit: u64,
    /// The windows, by time. Records not yet in parts are not among theirs.
    pub windows: Vec<WindowStats>,
}

/// How much one window holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowStats {
    /// First nanosecond of the window.
    pub start_ns: i64,
    /// First nanosecond after it.
    pub end_ns: i64,
    /// Part files.
    pub parts: usize,
    /// Records.
    pub records: u64,
    /// Bytes of their lines, without line ends.
    pub line_bytes: u64,
    /// Bytes on disk of its parts.
    pub part_bytes: u64,
    /// Number of records by level code.
    pub level_counts: [u64; Level::COUNT],
}

impl Reader {
    /// How much is stored. Blocking: looks at the files of every window's index.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        let snapshot = self.snapshot()?;
        let mut stats = Stats {
            streams: snapshot.streams.len(),
            last_commit: self.inner.shared.lock().last_commit,
            catalog_bytes: catalog_bytes(&self.inner.dir),
            ..Stats::default()
        };
        for commit in &snapshot.head {
            stats.head_records += commit.records.len() as u64;
            stats.head_bytes += commit.memory as u64;
            stats.line_bytes += commit.line_bytes();
        }
        stats.records = stats.head_records;
        for entry in snapshot.windows.values() {
            let mut window = WindowStats {
                start_ns: entry.window.start_ns,
                end_ns: entry.window.end_ns,
                parts: entry.parts.len(),
                records: 0,
                line_bytes: 0,
                part_bytes: 0,
                level_counts: [0; Level::COUNT],
            };
            for part in entry.parts.iter().map(|part| &part.row) {
                window.records += part.records;
                window.line_bytes += part.line_bytes;
                window.part_bytes += part.bytes;
                for (sum, count) in window.level_counts.iter_mut().zip(part.levels) {
                    *sum += count;
                }
            }
            stats.records += window.records;
            stats.line_bytes += window.line_bytes;
            stats.part_bytes += window.part_bytes;
            stats.index_bytes += folder_bytes(&index_dir(&self.inner.dir, &entry.window));
            stats.windows.push(window);
        }
        Ok(stats)
    }
}

fn catalog_bytes(dir: &Path) -> u64 {
    ["", "-wal", "-shm"]
        .iter()
        .filter_map(|suffix| std::fs::metadata(dir.join(format!("{}{suffix}", catalog::FILE))).ok())
        .map(|file| file.len())
        .sum()
}

/// Bytes of the files in a folder; 0 when there is none.
fn folder_bytes(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}
