//! Containers that were removed while this process was not there to see it.
//!
//! What they logged since they were read last is gone: a gap says so, once, unless they were known to have
//! ended and been read to the end.
//!
//! Missing is not removed: another daemon may answer for once. So the position in such a log is kept for some days
//! and forgotten after them.

use std::collections::{BTreeMap, HashMap, HashSet};

use store::{Batch, Container, CursorUpdate, Gap, GapReason, StoreError, Writer};

use super::metrics::Metrics;
use super::opening;
use super::timestamp;

/// State of a container that the daemon does not know any more.
const REMOVED: &str = "removed";
/// How long the position in the log of a missing container is kept, from when it was read last.
const POSITION_KEPT_NS: i64 = 7 * 86_400 * 1_000_000_000;

/// Records every container of the catalog that was collected and is not among `listed`, the ids of all
/// containers that the daemon has.
///
/// # Errors
/// When the catalog cannot be read or written.
pub(super) async fn record(
    writer: &Writer,
    metrics: &Metrics,
    listed: HashSet<String>,
) -> Result<(), StoreError> {
    let (reader, catalog) = (writer.reader(), writer.clone());
    // The catalog is read from disk.
    let read = tokio::task::spawn_blocking(move || {
        let (known, covered) = (reader.containers()?, reader.coverage()?.into_iter().collect());
        let positions = catalog.cursors(&opening::source(""))?;
        let positions = positions.into_iter().map(|(source, _)| source).collect();
        let cursors = outdated(&known, &covered, positions, &listed);
        Ok::<_, StoreError>(Batch { cursors, ..batch(known, &covered, &listed) })
    });
    let Ok(batch) = read.await else { return Err(StoreError::Closed) };
    let batch = batch?;
    if batch.containers.is_empty() && batch.cursors.is_empty() {
        return Ok(());
    }
    for gap in &batch.gaps {
        metrics.gap(gap.reason);
        let Gap { name, from_ns, to_ns, .. } = gap;
        tracing::warn!(container = name, reason = gap.reason.name(), from_ns, to_ns, "lines may be missing");
    }
    writer.append(batch).await.map(|_| ())
}

fn batch(known: Vec<Container>, covered: &BTreeMap<String, i64>, listed: &HashSet<String>) -> Batch {
    let now_ns = timestamp::now_ns();
    let mut batch = Batch::default();
    for container in known {
        if !container.was_read() || container.state == REMOVED || listed.contains(&container.id) {
            continue;
        }
        let source = opening::source(&container.id);
        let covered_ns = covered.get(&source).copied();
        let ended_ns = container.finished_ns.filter(|_| container.state == "exited");
        let complete = ended_ns.zip(covered_ns).is_some_and(|(ended, covered)| covered >= ended);
        if !complete {
            let from_ns = covered_ns.unwrap_or(container.created_ns);
            let (name, reason) = (container.name.clone(), GapReason::Removed);
            batch.gaps.push(Gap { source, name, from_ns, to_ns: now_ns.max(from_ns), lines: None, reason });
        }
        batch.containers.push(Container { state: REMOVED.to_owned(), ..container });
    }
    batch
}

/// Forgets the positions in the logs of containers that an earlier process found to be gone, and that nobody has
/// read for long.
fn outdated(
    known: &[Container],
    covered: &BTreeMap<String, i64>,
    positions: Vec<String>,
    listed: &HashSet<String>,
) -> Vec<CursorUpdate> {
    let states: HashMap<String, &str> =
        known.iter().map(|container| (opening::source(&container.id), container.state.as_str())).collect();
    let listed: HashSet<String> = listed.iter().map(|id| opening::source(id)).collect();
    let before_ns = timestamp::now_ns().saturating_sub(POSITION_KEPT_NS);
    let is_outdated = |source: &String| {
        // Retention drops the rows of containers that were removed, and of no others.
        let is_gone = states.get(source).is_none_or(|state| *state == REMOVED);
        let is_old = covered.get(source).is_none_or(|covered_ns| *covered_ns < before_ns);
        is_gone && is_old && !listed.contains(source)
    };
    let outdated = positions.into_iter().filter(is_outdated);
    outdated.map(|source| CursorUpdate { source, position: None, covered_ns: None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, state: &str, finished_ns: Option<i64>) -> Container {
        Container {
            id: id.to_owned(),
            name: id.to_owned(),
            image: "shop".to_owned(),
            service: id.to_owned(),
            project: String::new(),
            state: state.to_owned(),
            created_ns: 10,
            started_ns: Some(10),
            finished_ns,
            exit_code: None,
            source: Container::FROM_API.to_owned(),
        }
    }

    #[test]
    fn only_what_may_have_logged_unseen_leaves_a_gap() {
        let known = vec![
            container("listed", "running", None),
            container("running", "running", None),
            container("unread", "created", None),
            container("drained", "exited", Some(50)),
            container("cut-off", "exited", Some(70)),
            container("long-gone", "removed", Some(50)),
        ];
        let covered = [("docker/running", 40), ("docker/drained", 50), ("docker/cut-off", 60)];
        let covered = covered.map(|(source, ns)| (source.to_owned(), ns)).into();
        let batch = batch(known, &covered, &HashSet::from(["listed".to_owned()]));
        let gaps: Vec<(&str, i64)> = batch.gaps.iter().map(|gap| (gap.name.as_str(), gap.from_ns)).collect();
        assert_eq!(gaps, [("running", 40), ("unread", 10), ("cut-off", 60)]);
        let removed: Vec<&str> = batch.containers.iter().map(|c| c.id.as_str()).collect();
        assert_eq!(removed, ["running", "unread", "drained", "cut-off"]);
        assert!(batch.containers.iter().all(|c| c.state == REMOVED));
    }

    #[test]
    fn positions_in_logs_that_are_long_gone_are_forgotten() {
        let known = [
            container("listed", "removed", None),
            container("missing-now", "running", None),
            container("gone", "removed", None),
            container("gone-lately", "removed", None),
        ];
        let sources = ["listed", "missing-now", "gone", "gone-lately", "unknown"].map(opening::source);
        let mut covered: BTreeMap<String, i64> = sources.iter().map(|source| (source.clone(), 40)).collect();
        covered.insert(opening::source("gone-lately"), timestamp::now_ns());
        let listed = HashSet::from(["listed".to_owned()]);
        let forgotten = outdated(&known, &covered, sources.to_vec(), &listed);
        assert!(forgotten.iter().all(|update| update.position.is_none() && update.covered_ns.is_none()));
        let forgotten: Vec<&str> = forgotten.iter().map(|update| update.source.as_str()).collect();
        assert_eq!(forgotten, ["docker/gone", "docker/unknown"]);
    }
}
