//! Lifecycle events stand apart: a search shows the lines that were logged, unless it asks for events.
//!
//! Docker's events are stored as records too (see `store::lifecycle`); nobody who looks for a container's
//! lines, or counts them, expects lines that it never wrote.

use std::sync::atomic::Ordering;

use store::lifecycle;

use crate::filter::field::ValueTest;
use crate::filter::{FieldTest, Filter};

/// The filter without lifecycle events, unless it tests `stream`, or names their service.
#[must_use]
pub fn without_events(filter: Filter) -> Filter {
    if filter.fields().into_iter().any(asks_for_events) {
        return filter;
    }
    let is_event = FieldTest::new("stream", 0, ValueTest::equals(lifecycle::STREAM));
    // Nobody typed it, so nobody wants to hear that no record has it.
    is_event.seen.store(true, Ordering::Relaxed);
    let no_event = Filter::Not(Box::new(Filter::Field(is_event)));
    match filter {
        Filter::All => no_event,
        other => Filter::And(vec![other, no_event]),
    }
}

fn asks_for_events(test: &FieldTest) -> bool {
    match test.name.as_str() {
        "stream" => true,
        "service" | "service_name" => test.test.is_match_whole(lifecycle::SERVICE),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use store::{Labels, Level, Record};

    use super::*;
    use crate::filter::Row;

    fn finds(query: &str, service: &str, stream: &str) -> bool {
        let record = Record {
            timestamp_ns: 1,
            labels: Arc::new(Labels::new([("service_name", service), ("stream", stream)])),
            line: bytes::Bytes::from_static(br#"{"msg":"web ended","container":"web"}"#),
            level: Level::Error,
            pairs: Vec::new(),
        };
        without_events(crate::search::parse(query).unwrap()).is_match(&Row::of_record(&record))
    }

    #[test]
    fn events_are_found_when_asked_for_and_only_then() {
        for (query, found) in [
            ("*", false),
            ("ended", false),
            ("container:web", false),
            ("service:web OR ended", false),
            ("stream:events", true),
            ("stream:events container:web", true),
            ("service:docker-events", true),
            ("stream:stdout", false),
        ] {
            assert_eq!(finds(query, "docker-events", "events"), found, "{query}");
        }
        for query in ["*", "ended", "container:web", "stream:stdout", "service:web"] {
            assert!(finds(query, "web", "stdout"), "{query}");
        }
    }
}
