//! A data folder.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use super::Report;
use super::catalog::{self, Told};
use crate::backup::STAGING_DIR;
use crate::catalog::{FILE, PartRow, WindowRow, wal};
use crate::error::StoreError;
use crate::index::WordIndex;
use crate::lock;
use crate::orphans::{SET_ASIDE_DIR, TRASH_DIR};
use crate::part::Part;
use crate::parts::{WINDOWS_DIR, index_dir, window_dir};

/// How often to look again for the parts that took the place of those merged meanwhile.
const ROUNDS: usize = 3;
/// Parts that a flush may have written and not installed when its process was killed: one for each window.
const MAX_UNINSTALLED: u64 = 64;

/// Reads everything in a data folder. Blocking, and long: it reads every byte.
///
/// # Errors
/// When there is no store in the folder. What cannot be read is damage, and in the report.
pub fn data(dir: &Path) -> Result<Report, StoreError> {
    let mut report = Report::default();
    if dir.join(STAGING_DIR).exists() {
        report.damage.push(format!("`{}`: a restore was interrupted; do it again", dir.display()));
    }
    let in_use = lock::is_held(dir);
    if !in_use {
        match wal::damage(&dir.join(FILE)) {
            Ok(damage) => report.damage.extend(damage),
            Err(error) => report.damage.push(format!("cannot read the log of `{}`: {error}", dir.display())),
        }
    }
    let mut done = HashSet::new();
    let mut last = None;
    for round in 0..ROUNDS {
        let mut ignored = Report::default();
        let told = match catalog::read(dir, if round == 0 { &mut report } else { &mut ignored }) {
            Ok(told) => told,
            Err(error @ StoreError::NoStore { .. }) if !dir.join(WINDOWS_DIR).exists() => return Err(error),
            Err(error) => {
                report.damage.push(error.to_string());
                parts_without_catalog(dir, &mut report);
                return Ok(report);
            }
        };
        let missing = parts(dir, &told, &mut done, &mut report);
        // What two looks at the catalog name and nobody has was not merged in between: it is lost.
        if missing.is_empty() || !in_use || last.as_ref() == Some(&missing) || round + 1 == ROUNDS {
            report.damage.extend(missing.iter().map(|path| format!("`{path}` is missing")));
            indexes(dir, &told, &mut report);
            others(dir, &told, in_use, &mut report);
            break;
        }
        last = Some(missing);
    }
    Ok(report)
}

/// Reads the parts that are not yet `done`; returns those that cannot be found.
fn parts(dir: &Path, told: &Told, done: &mut HashSet<u64>, report: &mut Report) -> Vec<String> {
    let mut missing = Vec::new();
    for (row, window) in with_windows(told) {
        if !done.insert(row.id) {
            continue;
        }
        let path = window_dir(dir, window).join(row.file());
        let bytes = match fs::metadata(&path) {
            Ok(found) => found.len(),
            Err(_) => {
                done.remove(&row.id);
                missing.push(path.display().to_string());
                continue;
            }
        };
        report.bytes += bytes;
        match Part::open(&path) {
            Ok(part) => {
                report.part(&part);
                report.damage.extend(told.compare(row, window, &part, bytes));
            }
            Err(error) => report.damage.push(error.to_string()),
        }
    }
    missing
}

fn with_windows(told: &Told) -> Vec<(&PartRow, &WindowRow)> {
    let windows: HashMap<i64, &WindowRow> = told.windows.iter().map(|window| (window.id, window)).collect();
    told.parts.iter().filter_map(|row| Some((row, *windows.get(&row.window)?))).collect()
}

/// What can still be said when the catalog cannot be read.
fn parts_without_catalog(dir: &Path, report: &mut Report) {
    let root = dir.join(WINDOWS_DIR);
    for name in files_below(&root, &mut report.damage) {
        if !name.ends_with(".blk") {
            continue;
        }
        match Part::open(&root.join(name)) {
            Ok(part) => report.part(&part),
            Err(error) => report.damage.push(error.to_string()),
        }
    }
}

/// A missing index is made anew when the writer next looks; a damaged one is, too, but should not be.
fn indexes(dir: &Path, told: &Told, report: &mut Report) {
    for window in &told.windows {
        let folder = index_dir(dir, window);
        if !folder.exists() {
            report.notes.push(format!("`{}` does not exist yet", folder.display()));
            continue;
        }
        if let Err(error) = WordIndex::verify(&folder) {
            report.damage.push(format!(
                "word index `{}`: {error}; it is derived, `run` makes it anew",
                folder.display()
            ));
        }
    }
}

/// Files that the catalog does not know.
fn others(dir: &Path, told: &Told, in_use: bool, report: &mut Report) {
    let root = dir.join(WINDOWS_DIR);
    let folders: HashMap<String, i64> = told.windows.iter().map(|w| (w.folder(), w.id)).collect();
    let known: HashSet<String> = with_windows(told)
        .into_iter()
        .map(|(row, window)| format!("{WINDOWS_DIR}/{}/{}", window.folder(), row.file()))
        .collect();
    for name in files_below(dir, &mut report.damage) {
        let path = dir.join(&name);
        let steps: Vec<&str> = name.split('/').collect();
        match steps[..] {
            _ if known.contains(&name) => {}
            [file] if file == lock::FILE || is_catalog(file) => {}
            [TRASH_DIR | STAGING_DIR, ..] => report.notes.push(format!("`{}` is left over", path.display())),
            [SET_ASIDE_DIR, ..] => report
                .notes
                .push(format!("`{}` was set aside: a damaged catalog did not know it", path.display())),
            [WINDOWS_DIR, window, "index", ..] if folders.contains_key(window) => {}
            [WINDOWS_DIR, _, part] if in_use || is_remains(part, told.last_part) => {
                report.notes.push(format!("`{}` is left over; the next start deletes it", path.display()));
            }
            [WINDOWS_DIR, window, ..] if in_use && !folders.contains_key(window) => {}
            _ => report.damage.push(format!("`{}` does not belong here", path.display())),
        }
    }
    if !root.exists() && !told.windows.is_empty() {
        report.damage.push(format!("`{}` is missing", root.display()));
    }
}

fn is_catalog(file: &str) -> bool {
    file.strip_prefix(FILE).is_some_and(|rest| ["", "-wal", "-shm", "-journal"].contains(&rest))
}

/// Whether a writer that was killed may have left this file: a part unfinished, or replaced.
fn is_remains(file: &str, last_part: u64) -> bool {
    let Some((number, kind)) = file.strip_prefix("part-").and_then(|rest| rest.split_once('.')) else {
        return false;
    };
    match (number.parse::<u64>(), kind) {
        (Ok(_), "tmp") => true,
        // A flush that was not installed has made the next few.
        (Ok(number), "blk") => number <= last_part + MAX_UNINSTALLED,
        _ => false,
    }
}

/// Every file below `dir`, as a path within it. Folders that cannot be read are damage.
pub(super) fn files_below(dir: &Path, damage: &mut Vec<String>) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(dir.join(&folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                damage.push(format!("cannot list `{}`: {error}", dir.join(&folder).display()));
                continue;
            }
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(name);
            } else {
                files.push(name);
            }
        }
    }
    files.sort();
    files
}
