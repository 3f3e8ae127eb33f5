//! Requests that come again because their answer was lost.
//!
//! A sender that gets no answer must send the same bytes again; they stand for the same lines, which Loki, too,
//! keeps once. So a body that was stored lately is not stored again, and is answered as it was then.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use xxhash_rust::xxh3::Xxh3;

use super::error::PushError;
use super::refused::Refused;

/// Bodies remembered. Senders retry within seconds; at 100 requests a second this is more than half a minute.
const REMEMBERED: usize = 4096;

/// A body whose lines are durable, but for those refused.
#[derive(Clone)]
struct Stored {
    refused: Option<Arc<Refused>>,
}

/// Hashes of the bodies being stored and of those stored lately.
#[derive(Clone, Default)]
pub(super) struct Repeats {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// `None` while the body is being stored.
    stored: HashMap<u128, Option<Stored>>,
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
    /// Claims a body; `None` when it is stored already, an error when that is not yet known or lines of it were refused.
    pub(super) fn reserve(&self, format: &str, body: &[u8]) -> Result<Option<Reservation>, PushError> {
        let mut hasher = Xxh3::new();
        hasher.update(format.as_bytes());
        hasher.update(body);
        let hash = hasher.digest128();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.stored.get(&hash) {
            Some(Some(Stored { refused: None })) => Ok(None),
            Some(Some(Stored { refused: Some(refused) })) => Err(PushError::Lines(Refused::clone(refused))),
            Some(None) => Err(PushError::InFlight),
            None => {
                seen.stored.insert(hash, None);
                Ok(Some(Reservation { repeats: self.clone(), hash, done: false }))
            }
        }
    }
}

impl Reservation {
    /// The body's lines are durable, but for those refused.
    pub(super) fn stored(mut self, refused: Option<&Refused>) {
        self.done = true;
        let mut seen = self.repeats.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.stored
            .insert(self.hash, Some(Stored { refused: refused.map(|refused| Arc::new(refused.clone())) }));
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
        repeats.reserve("f", b"a").unwrap().unwrap().stored(None);
        assert!(repeats.reserve("f", b"a").unwrap().is_none());
        assert!(repeats.reserve("g", b"a").unwrap().is_some());
    }

    #[test]
    fn a_body_that_was_refused_in_part_is_refused_again() {
        let repeats = Repeats::default();
        let mut refused = Refused::default();
        refused.line(Some("too old".to_owned()));
        let refused = refused.of(2);
        repeats.reserve("f", b"a").unwrap().unwrap().stored(refused.as_ref());
        let again = repeats.reserve("f", b"a").err().unwrap();
        assert_eq!(again.to_string(), "too old, total ignored: 1 out of 2");
    }

    #[test]
    fn only_so_many_bodies_are_remembered() {
        let repeats = Repeats::default();
        for i in 0..=REMEMBERED {
            repeats.reserve("f", &i.to_le_bytes()).unwrap().unwrap().stored(None);
        }
        assert_eq!(repeats.seen.lock().unwrap().stored.len(), REMEMBERED);
        assert!(repeats.reserve("f", &0_usize.to_le_bytes()).unwrap().is_some());
    }
}
