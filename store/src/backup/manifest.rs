//! The list of a backup's files, with its own checksum.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_128;

use super::BackupError;

/// Name of the file within a backup.
pub(crate) const FILE: &str = "backup.json";

/// Version of the manifest and of what it lists.
const FORMAT: u32 = 1;

/// Most bytes of a manifest that are read: a bound for readers, some million files.
pub(super) const MAX_BYTES: u64 = 256 << 20;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(super) format: u32,
    /// Version of Binnacle that wrote it.
    pub(super) binnacle: String,
    /// When the backup began, RFC 3339.
    pub(crate) begun_at: String,
    /// Number of the data folder, where it has one.
    pub(crate) store: Option<u64>,
    /// False until the first backup into a folder is complete.
    pub(crate) complete: bool,
    pub(crate) files: Vec<Entry>,
    /// What the data folder itself lacked, in words.
    pub(crate) damage: Vec<String>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Path within the backup, with `/`.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// XXH3-128 in hexadecimal digits.
    pub(crate) xxh3_128: String,
}

/// The manifest as a file: its text, and the checksum of this text.
#[derive(Serialize, Deserialize)]
struct Sealed<'a> {
    xxh3_128: String,
    #[serde(borrow)]
    manifest: &'a RawValue,
}

impl<'a> Sealed<'a> {
    fn of(manifest: &'a RawValue) -> Self {
        Self { xxh3_128: format!("{:032x}", xxh3_128(manifest.get().as_bytes())), manifest }
    }

    fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

impl Manifest {
    pub(super) fn new(store: Option<u64>) -> Self {
        Self {
            format: FORMAT,
            binnacle: env!("CARGO_PKG_VERSION").to_owned(),
            begun_at: jiff::Timestamp::now().to_string(),
            store,
            ..Self::default()
        }
    }

    pub(super) fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let text = serde_json::value::to_raw_value(self)?;
        Sealed::of(&text).encode()
    }

    /// Reads what [`Manifest::encode`] wrote; `path` is for the error.
    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<Self, BackupError> {
        let unreadable = |what: String| BackupError::Unreadable { path: path.display().to_string(), what };
        let sealed: Sealed<'_> = serde_json::from_slice(bytes)
            .map_err(|error| unreadable(format!("`{FILE}` is damaged: {error}")))?;
        // Sealed anew it must be the same bytes, those around the manifest included.
        if Sealed::of(sealed.manifest).encode().ok().as_deref() != Some(bytes) {
            return Err(unreadable(format!("`{FILE}` is damaged: its checksum does not match")));
        }
        let manifest: Self = serde_json::from_str(sealed.manifest.get())
            .map_err(|error| unreadable(format!("`{FILE}` is damaged: {error}")))?;
        if manifest.format > FORMAT {
            return Err(unreadable(format!(
                "it has format {}, this binnacle reads up to {FORMAT}: upgrade binnacle",
                manifest.format
            )));
        }
        if let Some(entry) = manifest.files.iter().find(|entry| !is_ours(&entry.path)) {
            return Err(unreadable(format!("`{}` is no file of a backup", entry.path)));
        }
        Ok(manifest)
    }

    /// The manifest in folder `dir`, `None` when there is none.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, BackupError> {
        let path = dir.join(FILE);
        let bytes = match std::fs::metadata(&path).and_then(|found| match found.len() {
            0..=MAX_BYTES => std::fs::read(&path),
            _ => Err(std::io::ErrorKind::FileTooLarge.into()),
        }) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(BackupError::io("read", &path, error)),
        };
        Self::decode(&bytes, dir).map(Some)
    }

    /// The entry of the catalog's copy.
    pub(super) fn catalog(&self) -> Option<&Entry> {
        self.files.iter().find(|entry| is_catalog(&entry.path))
    }
}

/// Name of a catalog's copy with this checksum.
pub(super) fn catalog_name(checksum: &str) -> String {
    format!("catalog-{}.db", checksum.get(..16).unwrap_or(checksum))
}

/// Whether this is the name of a catalog's copy.
pub(crate) fn is_catalog(path: &str) -> bool {
    path.starts_with("catalog-") && path.ends_with(".db") && !path.contains('/')
}

/// Whether a backup may hold a file of this name: nothing else is ever written, whatever an archive says.
pub(super) fn is_ours(path: &str) -> bool {
    if is_catalog(path) {
        return true;
    }
    let steps: Vec<Component<'_>> = Path::new(path).components().collect();
    let [Component::Normal(windows), Component::Normal(_), Component::Normal(part)] = steps[..] else {
        return false;
    };
    let part = part.to_string_lossy();
    windows == crate::parts::WINDOWS_DIR && part.starts_with("part-") && part.ends_with(".blk")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let path = "windows/20261120T100000Z-1/part-00000001.blk".to_owned();
        Manifest {
            complete: true,
            files: vec![Entry { path, bytes: 7, xxh3_128: "0".repeat(32) }],
            ..Manifest::new(Some(3))
        }
    }

    #[test]
    fn a_manifest_reads_back_and_any_other_byte_is_noticed() {
        let bytes = manifest().encode().unwrap();
        assert_eq!(Manifest::decode(&bytes, Path::new("b")).unwrap(), manifest_like(&bytes));
        for at in 0..bytes.len() {
            for bit in [0x01, 0x20] {
                let mut changed = bytes.clone();
                changed[at] ^= bit;
                assert!(Manifest::decode(&changed, Path::new("b")).is_err(), "byte {at}");
            }
        }
        assert!(Manifest::decode(&bytes[..bytes.len() - 1], Path::new("b")).is_err());
    }

    fn manifest_like(bytes: &[u8]) -> Manifest {
        let read = Manifest::decode(bytes, Path::new("b")).unwrap();
        Manifest { begun_at: read.begun_at, ..manifest() }
    }

    #[test]
    fn paths_that_lead_elsewhere_are_no_files_of_a_backup() {
        for path in ["catalog-0123.db", "windows/w-1/part-00000001.blk"] {
            assert!(is_ours(path), "{path}");
        }
        for path in [
            "../catalog-1.db",
            "/windows/w/part-1.blk",
            "windows/../part-1.blk",
            "windows/w/part-1.blk/..",
            "windows/w/x/part-1.blk",
            "windows/w/meta.json",
            "writer.lock",
            "catalog-/../1.db",
        ] {
            assert!(!is_ours(path), "{path}");
        }
    }
}
