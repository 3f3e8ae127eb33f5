//! Every matching row of all blocks, in no order, into one sum per thread.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use store::block::BlockError;
use store::{Block, BlockRef, TimeRange};

use super::{Context, ExecError, on_threads};

/// Runs `each` over `blocks` on several threads, each with a sum of its own from `init`, and joins the sums
/// with `merge`. `each` opens the block when it must ([`BlockRef::open`]), so that whole blocks can be answered from
/// their counts. Blocking.
///
/// # Errors
/// When the query is cancelled or uses more than it may, or `each` says so. Damaged blocks are noted in
/// `context` instead: their part of the sum may be missing.
pub fn fold<A: Send>(
    blocks: &[BlockRef],
    context: &Context,
    init: impl Fn() -> A + Sync,
    each: impl Fn(&mut A, &BlockRef) -> Result<(), FoldError> + Sync,
    merge: impl Fn(&mut A, A) + Sync,
) -> Result<A, ExecError> {
    let total = Mutex::new(init());
    let next = AtomicUsize::new(0);
    on_threads(context.threads_for(blocks.len()), || {
        let mut sum = init();
        while let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
            context.check()?;
            match each(&mut sum, block) {
                Ok(()) => {}
                Err(FoldError::Damaged(error)) => context.note_damaged(&error),
                Err(FoldError::Exec(error)) => return Err(error),
            }
        }
        merge(&mut total.lock().unwrap_or_else(PoisonError::into_inner), sum);
        Ok(())
    })?;
    Ok(total.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Why a block could not be added to a sum.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The block cannot be read; the fold goes on.
    #[error(transparent)]
    Damaged(#[from] BlockError),
    /// The query ends.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

/// Rows of a block whose times lie in `range`.
///
/// # Errors
/// When the times cannot be read.
pub fn rows_in(block: &Block, range: TimeRange) -> Result<Range<usize>, BlockError> {
    let timestamps = block.timestamps()?;
    let start = timestamps.partition_point(|ts| *ts < range.start_ns);
    let end = timestamps.partition_point(|ts| *ts < range.end_ns);
    Ok(start..end.max(start))
}

/// Whether every record of the block lies in `range`, as far as its bounds tell.
#[must_use]
pub fn lies_within(block: &BlockRef, range: TimeRange) -> bool {
    range.contains(block.min_ns()) && range.contains(block.max_ns())
}
