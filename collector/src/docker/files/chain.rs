//! The generations of a log that rotation has left: which there are, and in which order.
//!
//! Docker renames them one by one while they are looked at, so they are opened first and looked at again
//! after that. What is open stays what it was.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::FilesError;

/// Looks before the files are said not to hold still. Renaming takes Docker less than a millisecond.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// Tells files apart while they are open; the number of a removed one is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn new(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// One file of the log.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) id: FileId,
    /// Its length when it was opened, in bytes.
    pub(super) length: u64,
    pub(super) is_compressed: bool,
}

/// Its name: the newest has the number 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    number: u32,
    is_compressed: bool,
    path: PathBuf,
}

/// All generations of the log at `path`, the oldest first, the one being written last.
///
/// # Errors
/// When the newest is missing, one cannot be opened, or they do not hold still.
pub(super) fn generations(path: &Path) -> Result<Vec<Generation>, FilesError> {
    for look in 0..LOOKS {
        if look > 0 {
            std::thread::sleep(BETWEEN_LOOKS);
        }
        let names = names(path)?;
        let Some(generations) = open(&names)? else { continue };
        if self::names(path)? == names && are_still_named(&generations) {
            return Ok(generations);
        }
    }
    // A log without its newest file is none: say what the system says of that.
    std::fs::metadata(path).map_err(|source| FilesError::Io { path: path.to_owned(), source })?;
    Err(FilesError::Unsettled { path: path.to_owned() })
}

/// The names, the oldest first. Of a generation that is being compressed, the file that is whole already.
fn names(path: &Path) -> Result<Vec<Named>, FilesError> {
    let io = |source| FilesError::Io { path: path.to_owned(), source };
    let folder = path.parent().ok_or_else(|| io(ErrorKind::NotFound.into()))?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let found = entry.map_err(io)?.path();
        if let Some((number, is_compressed)) = number(path, &found) {
            names.push(Named { number, is_compressed, path: found });
        }
    }
    names.sort();
    names.dedup_by_key(|named| named.number);
    names.reverse();
    Ok(names)
}

/// The number of the generation `found` of the log at `path`, and whether it is compressed.
fn number(path: &Path, found: &Path) -> Option<(u32, bool)> {
    let rest = name(found)?.strip_prefix(name(path)?)?;
    let Some(rest) = rest.strip_prefix('.') else { return rest.is_empty().then_some((0, false)) };
    let (digits, is_compressed) = match rest.strip_suffix(".gz") {
        Some(digits) => (digits, true),
        None => (rest, false),
    };
    Some((digits.parse().ok().filter(|number| *number > 0)?, is_compressed))
}

fn name(path: &Path) -> Option<&str> {
    path.file_name().and_then(OsStr::to_str)
}

/// Opens them; `None` when one is gone already, or the newest is not there yet.
fn open(names: &[Named]) -> Result<Option<Vec<Generation>>, FilesError> {
    if names.last().is_none_or(|named| named.number > 0) {
        return Ok(None);
    }
    let mut generations = Vec::with_capacity(names.len());
    for Named { is_compressed, path, .. } in names {
        let io = |source| FilesError::Io { path: path.clone(), source };
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(io)?,
        };
        let metadata = file.metadata().map_err(io)?;
        generations.push(Generation {
            path: path.clone(),
            file,
            id: FileId::new(&metadata),
            length: metadata.len(),
            is_compressed: *is_compressed,
        });
    }
    Ok(Some(generations))
}

/// Whether each still has the name by which it was opened.
fn are_still_named(generations: &[Generation]) -> bool {
    generations.iter().all(|generation| {
        std::fs::metadata(&generation.path).is_ok_and(|metadata| FileId::new(&metadata) == generation.id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(names: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let path = folder.path().join("a-json.log");
        (folder, path)
    }

    #[test]
    fn generations_come_oldest_first_by_their_number() {
        let (_folder, path) = log_of(&[
            "a-json.log",
            "a-json.log.1",
            "a-json.log.2.gz",
            "a-json.log.10.gz",
            "a-json.log.x",
            "a-json.log.2.gz.tmp",
            "a-json.log.0",
            "ab-json.log",
            "config.v2.json",
        ]);
        let names: Vec<String> = generations(&path)
            .unwrap()
            .iter()
            .map(|generation| name(&generation.path).unwrap().to_owned())
            .collect();
        assert_eq!(names, ["a-json.log.10.gz", "a-json.log.2.gz", "a-json.log.1", "a-json.log"]);
    }

    #[test]
    fn of_a_generation_being_compressed_the_whole_file_is_taken() {
        let (_folder, path) = log_of(&["a-json.log", "a-json.log.1", "a-json.log.1.gz"]);
        let compressed: Vec<bool> = generations(&path).unwrap().iter().map(|g| g.is_compressed).collect();
        assert_eq!(compressed, [false, false]);
    }

    #[test]
    fn a_log_that_is_not_there_is_missing() {
        let (_folder, path) = log_of(&["a-json.log.1"]);
        assert!(generations(&path).unwrap_err().is_missing());
        assert!(generations(Path::new("/nowhere/at/all")).unwrap_err().is_missing());
    }
}
