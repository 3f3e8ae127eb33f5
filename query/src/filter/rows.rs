//! Rows of a block that hold what a condition names, found in its columns.

use store::block::{BlockError, Needle, Rows};
use store::{Block, Prune, Text};

/// Where a condition looks for its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// In the line.
    Line,
    /// In the line or a value of a pair.
    Record,
}

/// The rows that may fulfil `condition`; `None` when nothing is known of them.
///
/// # Errors
/// When a column cannot be read.
pub fn rows_that_may(condition: &Prune, within: Within, block: &Block) -> Result<Option<Rows>, BlockError> {
    match condition {
        Prune::Any => Ok(None),
        Prune::Text(text) => {
            let Some(needle) = needle_of(text) else { return Ok(None) };
            let mut found = block.rows_with(&needle)?;
            if within == Within::Record {
                found.add(&block.rows_with_value(&needle)?);
            }
            Ok(Some(found))
        }
        Prune::Pair { name, value } => {
            let pairs = block.pairs_named(name)?;
            Ok(Some(Rows::with(block.len(), |row| pairs.value(row) == Some(value))))
        }
        Prune::And(all) => all_of(block, all, |condition| rows_that_may(condition, within, block)),
        Prune::Or(any) => any_of(block, any, |condition| rows_that_may(condition, within, block)),
    }
}

/// The rows that pass every test, as far as `rows_of` knows; reads no further once there is none.
pub(super) fn all_of<T>(
    block: &Block,
    tests: &[T],
    rows_of: impl Fn(&T) -> Result<Option<Rows>, BlockError>,
) -> Result<Option<Rows>, BlockError> {
    let mut kept: Option<Rows> = None;
    for test in tests {
        let Some(rows) = rows_of(test)? else { continue };
        let kept = kept.get_or_insert_with(|| Rows::with(block.len(), |_| true));
        kept.keep(&rows);
        if kept.is_empty() {
            break;
        }
    }
    Ok(kept)
}

/// The rows that pass at least one test; `None` when nothing is known of one.
pub(super) fn any_of<T>(
    block: &Block,
    tests: &[T],
    rows_of: impl Fn(&T) -> Result<Option<Rows>, BlockError>,
) -> Result<Option<Rows>, BlockError> {
    let mut found = Rows::with(block.len(), |_| false);
    for test in tests {
        match rows_of(test)? {
            Some(rows) => found.add(&rows),
            None => return Ok(None),
        }
    }
    Ok(Some(found))
}

/// `None` where bytes that are no text are to match regardless of case.
fn needle_of(text: &Text) -> Option<Needle> {
    match std::str::from_utf8(&text.bytes) {
        Ok(letters) if text.ignore_case => Some(Needle::ignoring_case(letters)),
        Err(_) if text.ignore_case => None,
        _ => Some(Needle::exact(&text.bytes)),
    }
}
