//! Backups as a tar stream: written in one go, with the manifest last, so that a stream that was cut off shows.

use std::io::{self, Read, Write};
use std::path::Path;

use super::checksum::Summed;
use super::held::Held;
use super::manifest::{Entry, FILE, Manifest, catalog_name};
use super::{BackupError, Progress, Summary};

/// Writes a backup of the data folder `data` to `out` as a tar archive. A writer may work meanwhile: the backup
/// holds everything that was stored when it began. Blocking.
///
/// # Errors
/// When the data folder cannot be read, or `out` not be written; the archive is then of no use.
pub fn to_archive(
    data: &Path,
    out: impl Write,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, BackupError> {
    let scratch =
        tempfile::tempdir().map_err(|e| BackupError::io("make a folder in", &std::env::temp_dir(), e))?;
    let held = Held::take(data, &scratch.path().join("catalog.db"))?;
    let mut archive = Archive {
        tar: tar::Builder::new(out),
        manifest: Manifest { damage: held.damage.clone(), ..Manifest::new(held.store) },
        summary: Summary { damage: held.damage.clone(), ..Summary::default() },
    };
    let mut done = Progress { bytes: 0, total: held.bytes() };
    for part in held.parts {
        let entry = archive.add(&part.name, part.bytes, part.file, &part.path)?;
        archive.manifest.files.push(entry);
        done.bytes += part.bytes;
        progress(done);
    }
    archive.catalog(&held.catalog)?;
    archive.end()
}

struct Archive<W: Write> {
    tar: tar::Builder<W>,
    manifest: Manifest,
    summary: Summary,
}

impl<W: Write> Archive<W> {
    /// `bytes` of `from` as the file `name`.
    fn add(&mut self, name: &str, bytes: u64, from: impl Read, path: &Path) -> Result<Entry, BackupError> {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes);
        header.set_mode(0o600);
        let mut from = Summed::new(from.take(bytes));
        self.tar
            .append_data(&mut header, name, &mut from)
            .map_err(|e| BackupError::io("write to the archive", path, e))?;
        let (read, xxh3_128) = from.end();
        if read != bytes {
            let short = io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter");
            return Err(BackupError::io("read", path, short));
        }
        self.summary.copied_files += 1;
        self.summary.copied_bytes += bytes;
        Ok(Entry { path: name.to_owned(), bytes, xxh3_128 })
    }

    fn catalog(&mut self, path: &Path) -> Result<(), BackupError> {
        let failed = |e| BackupError::io("read", path, e);
        let (bytes, checksum) = super::of_file(path).map_err(failed)?;
        let file = std::fs::File::open(path).map_err(failed)?;
        let entry = self.add(&catalog_name(&checksum), bytes, file, path)?;
        self.manifest.files.push(entry);
        Ok(())
    }

    fn end(mut self) -> Result<Summary, BackupError> {
        let failed = |e| BackupError::io("write", Path::new("the archive"), e);
        self.manifest.complete = true;
        let manifest = self.manifest.encode().map_err(|e| failed(e.into()))?;
        self.add(FILE, manifest.len() as u64, manifest.as_slice(), Path::new(FILE))?;
        self.tar.into_inner().and_then(|mut out| out.flush()).map_err(failed)?;
        self.summary.copied_files -= 1; // the manifest is none of the data
        Ok(self.summary)
    }
}
