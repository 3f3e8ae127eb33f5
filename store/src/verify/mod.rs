//! Reading everything that is stored, to find what is damaged before somebody needs it.
//!
//! Every block, column, filter and checksum of every part; the catalog, its write-ahead log and the batches in
//! it; what catalog and parts say of each other; the word indexes; and files that do not belong there. Nothing
//! is changed or mended. A writer may work meanwhile.

mod catalog;
mod folder;
#[cfg(test)]
mod sweep;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::backup::{self, BackupError, Manifest};
use crate::part::Part;

pub use folder::data;

/// What was read, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What is damaged: file, place and what is wrong there.
    pub damage: Vec<String>,
    /// What is unusual and does no harm.
    pub notes: Vec<String>,
    /// Part files read.
    pub parts: u64,
    /// Blocks of these.
    pub blocks: u64,
    /// Batches in the catalog read.
    pub batches: u64,
    /// Records in blocks and batches.
    pub records: u64,
    /// Bytes of the files read.
    pub bytes: u64,
}

impl Report {
    /// Reads a part and adds what is wrong with it.
    fn part(&mut self, part: &Part) {
        self.parts += 1;
        self.blocks += part.blocks().len() as u64;
        self.records += part.blocks().iter().map(|block| u64::from(block.records)).sum::<u64>();
        self.damage.extend(part.damage());
    }
}

/// Reads a backup folder: every file against the manifest, then every block of its parts. Blocking.
///
/// # Errors
/// When `dir` holds no backup that can be read.
pub fn backup(dir: &Path) -> Result<Report, BackupError> {
    let Some(manifest) = Manifest::read(dir)? else {
        let what = format!("it has no `{}`", backup::MANIFEST);
        return Err(BackupError::Unreadable { path: dir.display().to_string(), what });
    };
    let mut report = Report::default();
    if !manifest.complete {
        report.damage.push(format!("`{}`: the first backup into it was interrupted", dir.display()));
    }
    report.damage.extend(manifest.damage.iter().map(|what| format!("when it was made: {what}")));
    for entry in &manifest.files {
        let path = dir.join(&entry.path);
        match backup::of_file(&path) {
            Ok((bytes, checksum)) if bytes == entry.bytes && checksum == entry.xxh3_128 => {}
            Ok((bytes, _)) if bytes != entry.bytes => {
                report.damage.push(format!(
                    "`{}` has {bytes} bytes instead of {}",
                    path.display(),
                    entry.bytes
                ));
            }
            Ok(_) => report.damage.push(format!("`{}`: the checksum does not match", path.display())),
            Err(error) => report.damage.push(format!("cannot read `{}`: {error}", path.display())),
        }
        report.bytes += entry.bytes;
        if entry.path.ends_with(".blk") && path.exists() {
            match Part::open(&path) {
                Ok(part) => report.part(&part),
                Err(error) => report.damage.push(error.to_string()),
            }
        }
    }
    let known: std::collections::HashSet<&str> =
        manifest.files.iter().map(|entry| entry.path.as_str()).collect();
    for name in folder::files_below(dir, &mut report.damage) {
        let ours = [backup::MANIFEST, crate::lock::FILE].contains(&name.as_str());
        if !ours && !known.contains(name.as_str()) {
            report.damage.push(format!("`{}` does not belong to the backup", dir.join(name).display()));
        }
    }
    Ok(report)
}
