//! Counting what was stored, whatever its source.

use store::Reader;
use tokio_util::sync::CancellationToken;

use super::LogMetrics;

/// Records taken from the store at once.
const MAX_RECORDS: usize = 16_384;

/// Counts every record committed from now on, until cancelled. Runs behind the store: it never delays a source.
pub async fn follow(metrics: LogMetrics, reader: Reader, cancel: CancellationToken) {
    let mut commits = reader.subscribe();
    let mut counted = *commits.borrow_and_update();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            changed = commits.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
        while counted < *commits.borrow_and_update() {
            let (reader, metrics) = (reader.clone(), metrics.clone());
            // Reading a line's fields takes a microsecond; thousands of lines are too long for the runtime.
            let counting = tokio::task::spawn_blocking(move || {
                let new = reader.commits_after(counted, MAX_RECORDS)?;
                for (commit, records) in &new.commits {
                    metrics.observe(records);
                    counted = *commit;
                }
                Ok::<_, store::StoreError>((counted, new.missed, new.commits.is_empty()))
            });
            match counting.await {
                Ok(Ok((reached, missed, nothing))) => {
                    counted = reached;
                    if missed {
                        tracing::warn!("log metrics miss records that left memory before they were counted");
                    }
                    if nothing {
                        break;
                    }
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "log metrics cannot read the new records");
                    break;
                }
                Err(panic) => {
                    tracing::error!(%panic, "log metrics ended");
                    return;
                }
            }
        }
    }
}
