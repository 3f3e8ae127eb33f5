//! Any text as a query, over any line: no panic, mistakes lie inside the query, and what a filter promises the
//! index does not depend on the stream's labels.
#![no_main]

use libfuzzer_sys::fuzz_target;
use query::filter::{Filter, Row};
use store::{Labels, Level, Record};

fuzz_target!(|input: (&str, &[u8])| {
    let (query, line) = input;
    let filter = match query::search::parse(query) {
        Ok(filter) => filter,
        Err(error) => {
            assert!(error.query.is_empty() || error.position <= query.chars().count());
            return;
        }
    };
    let record = Record {
        timestamp_ns: 0,
        labels: std::sync::Arc::new(Labels::new([("service_name", "checkout")])),
        line: line.to_vec().into(),
        level: Level::Error,
        pairs: Vec::new(),
    };
    let row = Row::of_record(&record);
    let whole = filter.is_match(&row);
    let rest = filter.for_stream(&record.labels);
    assert_eq!(whole, rest.as_ref().is_some_and(|rest| rest.is_match(&row)));
    if whole {
        assert!(rest.as_ref().map_or(filter.levels(), Filter::levels).contains(Level::Error));
    }
});
