//! Files that the catalog does not know: remains of unfinished work, or all there is when the catalog is lost.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::catalog::{self, PartRow, WindowRow, wal};
use crate::error::StoreError;
use crate::parts::WINDOWS_DIR;

/// Folders of deleted windows on their way out.
pub(crate) const TRASH_DIR: &str = "trash";

/// What a damaged catalog did not know; kept for a person to look at.
pub(crate) const SET_ASIDE_DIR: &str = "set-aside";

/// A writer makes the catalog first and never empties it. Where there are records without one, a new one would take
/// them for remains.
pub(crate) fn refuse_without_catalog(dir: &Path) -> Result<(), StoreError> {
    let catalog = catalog::file_of(dir);
    let len = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    if len(&catalog) == 0 && (len(&wal::file_of(&catalog)) > 0 || has_parts(dir)) {
        return Err(StoreError::NoCatalog { path: catalog.display().to_string() });
    }
    Ok(())
}

/// Whether there is a part, known to the catalog or not.
pub(crate) fn has_parts(dir: &Path) -> bool {
    let root = dir.join(WINDOWS_DIR);
    names(&root).iter().any(|window| names(&root.join(window)).iter().any(|name| is_part(name)))
}

/// Puts files and folders of windows that the catalog does not know out of the way: deletes them when the catalog is
/// `whole`. What cannot be moved or deleted is reported and stays: it is in nobody's way.
pub(crate) fn clear(dir: &Path, windows: &[WindowRow], parts: &[PartRow], whole: bool) {
    remove(&dir.join(TRASH_DIR));
    let clear = |path: PathBuf| if whole { remove(&path) } else { set_aside(dir, &path) };
    let folders: HashSet<String> = windows.iter().map(WindowRow::folder).collect();
    let root = dir.join(WINDOWS_DIR);
    names(&root).into_iter().filter(|name| !folders.contains(name)).for_each(|name| clear(root.join(name)));
    for window in windows {
        let folder = root.join(window.folder());
        let known: HashSet<String> =
            parts.iter().filter(|part| part.window == window.id).map(PartRow::file).collect();
        let orphans = names(&folder).into_iter().filter(|name| is_part(name) && !known.contains(name));
        orphans.for_each(|name| clear(folder.join(name)));
    }
}

fn is_part(name: &str) -> bool {
    name.starts_with("part-")
}

fn set_aside(dir: &Path, path: &Path) {
    let Ok(place) = path.strip_prefix(dir) else { return };
    let target = dir.join(SET_ASIDE_DIR).join(place);
    let moved = target.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::rename(path, &target));
    match moved {
        Ok(()) => tracing::warn!(path = %target.display(), "set aside: the damaged catalog does not know it"),
        Err(error) => tracing::warn!(path = %path.display(), %error, "cannot set aside"),
    }
}

/// Names in a folder; none when it cannot be read.
fn names(dir: &Path) -> Vec<String> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect(),
        Err(error) => {
            if error.kind() != std::io::ErrorKind::NotFound {
                tracing::warn!(path = %dir.display(), %error, "cannot look for remains of unfinished work");
            }
            Vec::new()
        }
    }
}

/// Deletes a file or a folder with all in it.
pub(crate) fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(path = %path.display(), %error, "cannot delete"),
    }
}
