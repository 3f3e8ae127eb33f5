//! Going on behind a stored message that the daemon cannot read.
//!
//! Every reply that reaches back to what was read breaks off at the damaged message. Replies with fewer
//! messages from the end of the log do not reach it; the longest of those is looked for, and what it does not
//! hold is recorded as a gap.

use super::engine::Engine;
use super::frames::DecodeError;
use super::pass::{Log, ReadError};
use super::shared::Permits;

/// Messages behind the damage that are looked for at most.
const MAX_TAIL: u32 = 1 << 20;
/// While the damage was looked for, the log may have grown by some messages.
const GROWN: [u32; 4] = [16, 4, 1, 0];

/// Reads what stands behind the damage; returns how many messages were new, `None` when nothing stands there.
pub(super) async fn skip(
    log: &mut Log,
    engine: &Engine,
    permits: &mut Permits,
) -> Result<Option<u64>, ReadError> {
    let Some(tail) = longest_undamaged(log, engine).await? else { return Ok(None) };
    for grown in GROWN {
        match log.read_tail(engine, tail.saturating_add(grown), permits).await {
            Ok(new) => return Ok(Some(new)),
            Err(error) if is_damage(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Whether the reply itself said that the log cannot be read on.
pub(super) const fn is_damage(error: &ReadError) -> bool {
    matches!(
        error,
        ReadError::Decode(
            DecodeError::Daemon(_)
                | DecodeError::Header(_)
                | DecodeError::TooLong(_)
                | DecodeError::Timestamp(_)
        )
    )
}

async fn longest_undamaged(log: &Log, engine: &Engine) -> Result<Option<u32>, ReadError> {
    let mut good = 0;
    let mut bad = 1;
    while bad <= MAX_TAIL && begins_behind(log, engine, bad).await? {
        good = bad;
        bad *= 2;
    }
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if begins_behind(log, engine, middle).await? {
            good = middle;
        } else {
            bad = middle;
        }
    }
    Ok((good > 0).then_some(good))
}

/// Whether the last `tail` messages begin behind the damage.
async fn begins_behind(log: &Log, engine: &Engine, tail: u32) -> Result<bool, ReadError> {
    match log.peek(engine, tail).await {
        Ok(first) => Ok(first.is_some_and(|(_, new)| new)),
        Err(error) if is_damage(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
