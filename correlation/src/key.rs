//! Which trace a line belongs to, by the ids it holds.
//!
//! A trace id of up to 32 hexadecimal digits is taken as it is (B3 and Jaeger drop leading zeros), and so is a
//! correlation id of 32. Any other id becomes a trace id by [`hashed`], which must never change: the same id makes
//! the same trace after a restart, in another version and on another machine.

use store::Record;
use store::record::attribute;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::span::{SpanId, TraceId};

/// Stands before the id in the hash; a new number would mean new trace ids.
const VERSION: &[u8] = b"binnacle-trace-v1:";
/// Longer ids are not ids; they are left out as attributes and cut before hashing.
const MAX_ID_BYTES: usize = 256;

/// The ids of a line, each as the key of its trace. At least one is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    /// Of `trace_id`.
    pub(crate) trace: Option<TraceId>,
    /// Of `correlation_id`.
    pub(crate) correlation: Option<TraceId>,
}

/// The ids of a record as logged, none of them empty.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ids<'a> {
    pub(crate) trace: Option<&'a str>,
    pub(crate) correlation: Option<&'a str>,
    pub(crate) span: Option<&'a str>,
    pub(crate) parent: Option<&'a str>,
    pub(crate) container: Option<&'a str>,
}

impl<'a> Ids<'a> {
    /// Of two pairs of one name the sender's counts, as in [`Record::pair`].
    pub(crate) fn of(record: &'a Record) -> Self {
        let mut ids = Self::default();
        let mut origins = [None; 5];
        for pair in &record.pairs {
            let (place, id) = match &*pair.name {
                attribute::TRACE_ID => (0, &mut ids.trace),
                attribute::CORRELATION_ID => (1, &mut ids.correlation),
                attribute::SPAN_ID => (2, &mut ids.span),
                attribute::PARENT_SPAN_ID => (3, &mut ids.parent),
                attribute::CONTAINER_ID => (4, &mut ids.container),
                _ => continue,
            };
            if origins[place].is_none_or(|known| pair.origin < known) {
                origins[place] = Some(pair.origin);
                *id = Some(&*pair.value);
            }
        }
        for id in [&mut ids.trace, &mut ids.correlation, &mut ids.span, &mut ids.parent] {
            *id = id.filter(|id| !id.is_empty());
        }
        ids
    }
}

/// The trace id of a correlation or request id: the 128-bit xxh3 of `binnacle-trace-v1:` and the id as logged,
/// its high half first.
#[must_use]
pub fn hashed(id: &str) -> TraceId {
    let mut text = Vec::with_capacity(VERSION.len() + id.len());
    text.extend_from_slice(VERSION);
    text.extend_from_slice(cut(id).as_bytes());
    TraceId(xxh3_128(&text).max(1).to_be_bytes())
}

/// The trace id that lines with this `trace_id` or `correlation_id` have, unless another line links them to another.
#[must_use]
pub fn trace_id(id: &str) -> TraceId {
    TraceId::parse(id).unwrap_or_else(|| hashed(id))
}

/// A span id as logged: up to 16 hexadecimal digits as they are, any other id by its hash.
pub(crate) fn span_id(id: &str) -> SpanId {
    SpanId::parse(id).unwrap_or_else(|| SpanId(xxh3_64(cut(id).as_bytes()).max(1).to_be_bytes()))
}

impl Keys {
    /// The keys of a line's ids, and its id as logged where that is no trace id; `None` when it belongs to no trace.
    pub(crate) fn of<'a>(ids: &Ids<'a>) -> Option<(Self, Option<&'a str>)> {
        if ids.trace.is_none() && ids.correlation.is_none() {
            return None;
        }
        let parsed = ids.trace.map(|id| (id, TraceId::parse(id)));
        let odd = parsed.and_then(|(id, parsed)| parsed.is_none().then_some(id));
        let logged = ids.correlation.or(odd).map(cut);
        let trace = parsed.map(|(id, parsed)| parsed.unwrap_or_else(|| hashed(id)));
        Some((Self { trace, correlation: ids.correlation.map(of_correlation) }, logged))
    }

    /// Each key once.
    pub(crate) fn iter(&self) -> impl Iterator<Item = TraceId> {
        let second = self.correlation.filter(|id| self.trace != Some(*id));
        self.trace.into_iter().chain(second)
    }
}

/// Some services log the trace id as a correlation id.
fn of_correlation(id: &str) -> TraceId {
    TraceId::parse(id).filter(|_| id.len() == 32).unwrap_or_else(|| hashed(id))
}

fn cut(id: &str) -> &str {
    id.get(..crate::text::floor(id, MAX_ID_BYTES)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_never_change() {
        let id = "6c1d8f0e-1111-4222-8333-944455556666";
        assert_eq!(hashed(id).to_string(), "8f04ac5815354eea3c92b6ba77043fac");
        assert_eq!(
            trace_id("4BF92F3577B34DA6A3CE929D0E0E4736").to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert_eq!(trace_id("a3ce929d0e0e4736").to_string(), "0000000000000000a3ce929d0e0e4736");
        assert_eq!(trace_id(id), hashed(id));
        assert_eq!(span_id("00f067aa0ba902b7").to_string(), "00f067aa0ba902b7");
        assert_eq!(span_id("span-7").to_string(), "2deab04d423f990f");
    }
}
