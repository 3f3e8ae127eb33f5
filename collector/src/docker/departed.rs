//! Containers that were removed while this process was not there to see it.
//!
//! What they logged since they were read last is gone: a gap says so, once, unless they were known to have
//! ended and been read to the end.

use std::collections::{BTreeMap, HashSet};

use store::{Batch, Container, Gap, GapReason, StoreError, Writer};

use super::metrics::Metrics;
use super::opening;
use super::timestamp;

/// State of a container that the daemon does not know any more.
const REMOVED: &str = "removed";

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
    let reader = writer.reader();
    // The catalog is read from disk.
    let read = tokio::task::spawn_blocking(move || {
        Ok::<_, StoreError>(batch(reader.containers()?, &reader.coverage()?.into_iter().collect(), &listed))
    });
    let Ok(batch) = read.await else { return Err(StoreError::Closed) };
    let batch = batch?;
    if batch.containers.is_empty() {
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
        let was_read = container.source == "poll" && container.state != REMOVED;
        if !was_read || listed.contains(&container.id) {
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
            source: "poll".to_owned(),
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
}
