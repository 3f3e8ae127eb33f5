//! What becomes of old spans: they go with the records they were made from, and when they take too much.

use rusqlite::Transaction;

use super::{delete_before, delete_oldest, total_bytes};
use crate::RetentionConfig;
use crate::config::Limit;
use crate::error::StoreError;
use crate::keeper::Keeper;
use crate::retention::{cutoff_ns, oldest_ns};

/// Spans deleted in one transaction: some milliseconds, in which records wait to be stored.
const STEP: usize = 500;

/// Deletes spans that are older than every record, and the oldest above `retention.max_span_bytes`.
pub(crate) fn enforce(keeper: &Keeper, config: &RetentionConfig) -> Result<(), StoreError> {
    let oldest = oldest_ns(&keeper.common.shared.lock());
    if let Some(before_ns) = oldest.max(cutoff_ns(config)) {
        delete(keeper, "age", move |transaction| delete_before(transaction, before_ns, STEP))?;
    }
    if let Limit(Some(max)) = config.max_span_bytes {
        delete(keeper, "size", move |transaction| {
            if total_bytes(transaction)?.1 <= max.0 {
                return Ok(Vec::new());
            }
            delete_oldest(transaction, STEP)
        })?;
    }
    let (spans, bytes) = keeper
        .common
        .committer(|committer| committer.catalog.change_spans("count spans", |t| total_bytes(t)))?;
    keeper.common.metrics.spans.set(i64::try_from(spans).unwrap_or(i64::MAX));
    keeper.common.metrics.span_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    Ok(())
}

/// Runs `step` until it deletes nothing more, each time between two commits of records.
fn delete(
    keeper: &Keeper,
    reason: &str,
    step: impl Fn(&Transaction<'_>) -> rusqlite::Result<Vec<u64>> + Clone + Send + 'static,
) -> Result<(), StoreError> {
    loop {
        keeper.common.tenure.check()?;
        let step = step.clone();
        let expired = keeper
            .common
            .committer(move |committer| committer.catalog.change_spans("delete old spans", step))?;
        if expired.is_empty() {
            return Ok(());
        }
        keeper.common.unsent.expired(&expired);
        keeper.common.metrics.expired_spans.with_label_values(&[reason]).inc_by(expired.len() as u64);
    }
}
