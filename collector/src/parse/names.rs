//! Which field means what: the configured names, looked up without allocating.

use crate::config::IngestConfig;

/// Longest name of a field that can be configured.
pub(crate) const MAX_FIELD_NAME_BYTES: usize = 128;

/// What a field says about its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Level,
    Time,
    TraceId,
    SpanId,
    ParentSpanId,
    CorrelationId,
    Traceparent,
}

impl Role {
    /// Ids count wherever they stand; a `level` or `time` inside an object tells about that object.
    pub(super) const fn is_id(self) -> bool {
        !matches!(self, Self::Level | Self::Time)
    }
}

/// A configured name: what it means, and its place in its list (0 is the best).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) role: Role,
    pub(super) rank: u16,
}

/// The configured names by length, in lower case.
#[derive(Debug)]
pub(super) struct Names {
    by_length: Vec<Bucket>,
}

#[derive(Clone, Debug, Default)]
struct Bucket {
    /// Bit `b & 31` for each first byte `b` that occurs: most fields of most lines end here.
    first_bytes: u32,
    names: Vec<(Box<[u8]>, Meaning)>,
}

// === impl Names ===

impl Names {
    pub(super) fn new(config: &IngestConfig) -> Self {
        let mut names = Self { by_length: vec![Bucket::default(); MAX_FIELD_NAME_BYTES + 1] };
        for (role, list) in [
            (Role::Level, &config.level_fields),
            (Role::Time, &config.timestamp_fields),
            (Role::TraceId, &config.trace_id_fields),
            (Role::SpanId, &config.span_id_fields),
            (Role::ParentSpanId, &config.parent_span_id_fields),
            (Role::CorrelationId, &config.correlation_id_fields),
            (Role::Traceparent, &vec!["traceparent".to_owned()]),
        ] {
            for (rank, name) in list.iter().enumerate() {
                names.add(name, Meaning { role, rank: u16::try_from(rank).unwrap_or(u16::MAX) });
            }
        }
        names
    }

    fn add(&mut self, name: &str, meaning: Meaning) {
        let name = name.to_ascii_lowercase().into_bytes();
        // Names of a wrong length are refused by `IngestConfig::validate`.
        let Some(bucket) = self.by_length.get_mut(name.len()) else { return };
        let Some(first) = name.first() else { return };
        bucket.first_bytes |= 1 << (first & 31);
        if !bucket.names.iter().any(|(known, _)| **known == *name) {
            bucket.names.push((name.into(), meaning));
        }
    }

    /// The meaning of a field at `path`: of the whole path, else of its end (`ctx.trace_id`) where that counts.
    pub(super) fn meaning(&self, path: &str) -> Option<Meaning> {
        if let Some(meaning) = self.exact(path.as_bytes()) {
            return Some(meaning);
        }
        // A longer end is longer than any name.
        let mut end = &path.as_bytes()[path.len().saturating_sub(MAX_FIELD_NAME_BYTES + 1)..];
        while let Some(dot) = memchr::memchr(b'.', end) {
            end = &end[dot + 1..];
            if let Some(meaning) = self.exact(end).filter(|meaning| meaning.role.is_id()) {
                return Some(meaning);
            }
        }
        None
    }

    #[inline]
    fn exact(&self, name: &[u8]) -> Option<Meaning> {
        let bucket = self.by_length.get(name.len())?;
        if bucket.first_bytes & (1 << (name.first()? & 31)) == 0 {
            return None;
        }
        bucket.names.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, meaning)| *meaning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_whole_or_at_the_end_of_a_path() {
        let names = Names::new(&IngestConfig::default());
        for (path, role) in [
            ("level", Some(Role::Level)),
            ("LEVEL", Some(Role::Level)),
            ("log.level", Some(Role::Level)),
            ("ctx.level", None),
            ("ctx.time", None),
            ("traceId", Some(Role::TraceId)),
            ("trace.id", Some(Role::TraceId)),
            ("otelTraceID", Some(Role::TraceId)),
            ("dd.trace_id", Some(Role::TraceId)),
            ("X-B3-TraceId", Some(Role::TraceId)),
            ("a.b.trace.id", Some(Role::TraceId)),
            ("headers.traceparent", Some(Role::Traceparent)),
            ("req.id", Some(Role::CorrelationId)),
            ("http.request.headers.x-request-id", Some(Role::CorrelationId)),
            ("spanId", Some(Role::SpanId)),
            ("parentSpanId", Some(Role::ParentSpanId)),
            ("id", None),
            ("my_trace_id", None),
            ("", None),
        ] {
            assert_eq!(names.meaning(path).map(|meaning| meaning.role), role, "{path}");
        }
    }

    #[test]
    fn names_earlier_in_their_list_rank_before_later_ones() {
        let names = Names::new(&IngestConfig::default());
        let rank = |path| names.meaning(path).map(|meaning| meaning.rank);
        assert!(rank("correlation_id") < rank("request_id"));
        assert_eq!(rank("ctx.trace_id"), Some(0));
    }
}
