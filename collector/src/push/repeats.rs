//! Requests that come again because their answer was lost.
//!
//! A sender that gets no answer must send the same bytes again; they stand for the same lines, which Loki, too,
//! keeps once. So a body that was stored lately is not stored again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use xxhash_rust::xxh3::Xxh3;

use super::error::PushError;

/// Bodies remembered. Senders retry within seconds; at 100 requests a second this is more than half a minute.
const REMEMBERED: usize = 4096;

/// Hashes of the bodies being stored and of those stored lately.
#[derive(Clone, Default)]
pub(super) struct Repeats {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// `false` while the body is being stored.
    stored: HashMap<u128, bool>,
    /// The stored ones, the oldest first.
    order: VecDeque<u128>,
}

/// A body that is being stored. Dropped without [`Reservation::stored`] it is forgotten: it may be tried again.
pub(super) struct Reservation {
    repeats: Repeats,
    hash: u128,
    done: bool,
}

impl Repeats {
    /// Claims a body; `None` when it is stored already, an error when that is not yet known.
    pub(super) fn reserve(&self, format: &str, body: &[u8]) -> Result<Option<Reservation>, PushError> {
        let mut hasher = Xxh3::new();
        hasher.update(format.as_bytes());
        hasher.update(body);
        let hash = hasher.digest128();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.stored.get(&hash) {
            Some(true) => Ok(None),
            Some(false) => Err(PushError::InFlight),
            None => {
                seen.stored.insert(hash, false);
                Ok(Some(Reservation { repeats: self.clone(), hash, done: false }))
            }
        }
    }
}

impl Reservation {
    /// The body's lines are durable.
    pub(super) fn stored(mut self) {
        self.done = true;
        let mut seen = self.repeats.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.stored.insert(self.hash, true);
        seen.order.push_back(self.hash);
        if seen.order.len() > REMEMBERED
            && let Some(oldest) = seen.order.pop_front()
        {
            seen.stored.remove(&oldest);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.done {
            let mut seen = self.repeats.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.stored.remove(&self.hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_stored_once_and_a_failed_one_may_be_tried_again() {
        let repeats = Repeats::default();
        let first = repeats.reserve("f", b"a").unwrap().unwrap();
        assert!(matches!(repeats.reserve("f", b"a"), Err(PushError::InFlight)));
        drop(first);
        repeats.reserve("f", b"a").unwrap().unwrap().stored();
        assert!(repeats.reserve("f", b"a").unwrap().is_none());
        assert!(repeats.reserve("g", b"a").unwrap().is_some());
    }

    #[test]
    fn only_so_many_bodies_are_remembered() {
        let repeats = Repeats::default();
        for i in 0..=REMEMBERED {
            repeats.reserve("f", &i.to_le_bytes()).unwrap().unwrap().stored();
        }
        assert_eq!(repeats.seen.lock().unwrap().stored.len(), REMEMBERED);
        assert!(repeats.reserve("f", &0_usize.to_le_bytes()).unwrap().is_some());
    }
}
