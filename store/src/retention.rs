//! Retention: what is too old, too much, or in the way of a disk that fills up is deleted, oldest first.
//!
//! The catalog forgets first, in one transaction, then the files go. Whole windows are deleted; only when the
//! newest window alone is too large do its oldest parts go one by one.

use std::path::Path;
use std::sync::Arc;

use crate::catalog::{Cleanup, Dropped};
use crate::config::{Limit, RetentionConfig};
use crate::error::StoreError;
use crate::keeper::Keeper;
use crate::parts::{PartEntry, window_dir};
use crate::record::StreamId;
use crate::state::{State, Windows};
use crate::writer::committer::Committer;
use crate::writer::lifecycle::Step;
use crate::writer::threads::Common;

/// Why something is deleted; also the label of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Age,
    Size,
    FreeSpace,
}

impl Reason {
    const fn name(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Size => "size",
            Self::FreeSpace => "free_space",
        }
    }
}

/// Deletes what `config` does not keep.
pub(crate) fn enforce(keeper: &mut Keeper, config: &RetentionConfig) -> Result<(), StoreError> {
    measure_free(&keeper.common)?;
    if let Some(cutoff_ns) = cutoff_ns(config) {
        let windows = windows_of(&keeper.common);
        let old: Vec<i64> =
            windows.values().filter(|w| w.window.end_ns <= cutoff_ns).map(|w| w.window.start_ns).collect();
        delete(keeper, &windows, &old, &[], Reason::Age)?;
    }
    if let Limit(Some(max)) = config.max_bytes {
        let windows = windows_of(&keeper.common);
        let excess = total_bytes(&windows).saturating_sub(max.0);
        delete_bytes(keeper, &windows, excess, Reason::Size)?;
    }
    if let Limit(Some(floor)) = config.min_free_bytes {
        keep_free(keeper, floor.0)?;
    } else {
        keeper.common.budget.refuse(None);
    }
    Ok(())
}

/// Time before which nothing is kept.
pub(crate) fn cutoff_ns(config: &RetentionConfig) -> Option<i64> {
    let Limit(Some(age)) = config.max_age else { return None };
    let now_ns = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
    Some(now_ns.saturating_sub(i64::try_from(age.0.as_nanos()).unwrap_or(i64::MAX)))
}

fn windows_of(common: &Common) -> Arc<Windows> {
    Arc::clone(&common.shared.lock().windows)
}

fn total_bytes(windows: &Windows) -> u64 {
    windows.values().flat_map(|window| &window.parts).map(|part| part.row.bytes).sum()
}

/// Deletes until the disk has `floor` bytes free; refuses appends when there is nothing left to delete.
fn keep_free(keeper: &mut Keeper, floor: u64) -> Result<(), StoreError> {
    let mut free = measure_free(&keeper.common)?;
    if free < floor {
        keeper.trash.empty_now();
        let windows = windows_of(&keeper.common);
        delete_bytes(keeper, &windows, floor - free, Reason::FreeSpace)?;
        keeper.trash.empty_now();
        free = measure_free(&keeper.common)?;
    }
    let nothing_left = windows_of(&keeper.common).is_empty();
    let refusal = (free < floor && nothing_left).then(|| StoreError::NoSpace {
        dir: keeper.common.dir.display().to_string(),
        free,
        floor,
    });
    keeper.common.budget.refuse(refusal);
    Ok(())
}

/// Free space of the disk that holds the data; the metric tells it, whatever may be deleted.
fn measure_free(common: &Common) -> Result<u64, StoreError> {
    let free = free_bytes(&common.dir)?;
    common.metrics.free_bytes.set(i64::try_from(free).unwrap_or(i64::MAX));
    Ok(free)
}

/// Free space of the disk that holds `dir`.
pub(crate) fn free_bytes(dir: &Path) -> Result<u64, StoreError> {
    let stat =
        rustix::fs::statvfs(dir).map_err(|e| StoreError::io("look up the free space of", dir, e.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Deletes the oldest windows, and of the newest the oldest parts, until `bytes` are gone.
fn delete_bytes(
    keeper: &mut Keeper,
    windows: &Windows,
    bytes: u64,
    reason: Reason,
) -> Result<(), StoreError> {
    let mut gone = 0;
    let mut whole = Vec::new();
    let mut single = Vec::new();
    for (i, (start_ns, window)) in windows.iter().enumerate() {
        if gone >= bytes {
            break;
        }
        let newest = i + 1 == windows.len();
        let mut parts: Vec<&Arc<PartEntry>> = window.parts.iter().collect();
        parts.sort_by_key(|part| part.row.max_ns);
        let mut taken = 0;
        for part in &parts {
            if newest && gone >= bytes {
                break;
            }
            gone += part.row.bytes;
            taken += 1;
        }
        if taken == parts.len() {
            whole.push(*start_ns);
        } else {
            single.extend(parts[..taken].iter().map(|part| part.row.id));
        }
    }
    delete(keeper, windows, &whole, &single, reason)
}

/// Deletes whole windows, named by their start, and single parts of another.
fn delete(
    keeper: &mut Keeper,
    windows: &Windows,
    whole: &[i64],
    single: &[u64],
    reason: Reason,
) -> Result<(), StoreError> {
    if whole.is_empty() && single.is_empty() {
        return Ok(());
    }
    let common = Arc::clone(&keeper.common);
    let windows_of_rows: Vec<i64> =
        whole.iter().filter_map(|start| windows.get(start)).map(|entry| entry.window.id).collect();
    let (starts, parts) = (whole.to_vec(), single.to_vec());
    common.committer({
        let common = Arc::clone(&common);
        move |committer| forget(committer, &common, &starts, &Dropped { windows: windows_of_rows, parts })
    })?;
    for start in whole {
        let Some(entry) = windows.get(start) else { continue };
        keeper.trash.add_folder(window_dir(&common.dir, &entry.window));
        common.metrics.dropped_windows.with_label_values(&[reason.name()]).inc();
        let records: u64 = entry.parts.iter().map(|part| part.row.records).sum();
        tracing::info!(
            window = entry.window.folder(),
            records,
            reason = reason.name(),
            "deleted by retention"
        );
    }
    for part in windows.values().flat_map(|window| &window.parts).filter(|p| single.contains(&p.row.id)) {
        keeper.trash.add_part(Arc::clone(part));
        tracing::info!(part = %part.path.display(), records = part.row.records, reason = reason.name(), "deleted by retention");
    }
    Ok(())
}

/// Takes windows and parts out of the catalog and the state, with all that only described them. Runs on the
/// committer's thread, so no record can arrive in between.
fn forget(
    committer: &mut Committer,
    common: &Common,
    starts: &[i64],
    dropped: &Dropped,
) -> Result<(), StoreError> {
    committer.catalog.drop_data(dropped)?;
    common.tenure.reached(Step::RowsDeleted)?;
    let mut state = common.shared.lock();
    let windows = Arc::make_mut(&mut state.windows);
    for start in starts {
        windows.remove(start);
    }
    for window in windows.values_mut() {
        window.parts.retain(|part| !dropped.parts.contains(&part.row.id));
    }
    common.metrics.observe_state(&state);
    let Some(before_ns) = oldest_ns(&state) else { return Ok(()) };
    let unused: Vec<_> = state.streams.iter().filter(|s| s.max_ns < before_ns).cloned().collect();
    drop(state);
    let ids: Vec<StreamId> = unused.iter().map(|stream| stream.id).collect();
    committer.catalog.clean_up(&Cleanup { before_ns, streams: &ids })?;
    committer.streams.forget(unused.iter().map(|stream| &stream.labels));
    Arc::make_mut(&mut common.shared.lock().streams).retain(|stream| ids.binary_search(&stream.id).is_err());
    Ok(())
}

/// Time of the oldest record, by the start of its window; `None` without records.
pub(crate) fn oldest_ns(state: &State) -> Option<i64> {
    let in_windows = state.windows.keys().next().copied();
    let in_head = state.head.iter().flat_map(|commit| &commit.groups).map(|group| group.min_ns).min();
    in_windows.into_iter().chain(in_head).min()
}
