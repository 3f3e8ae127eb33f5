//! A record of any bytes keeps them and names no pair twice.
#![no_main]

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use collector::{Enricher, IngestConfig, ParseOptions, RawLine};
use libfuzzer_sys::fuzz_target;
use store::Labels;

fuzz_target!(|line: &[u8]| {
    let enricher = Enricher::new(&IngestConfig::default(), collector::Redactor::off());
    let raw = RawLine { timestamp_ns: 0, line: Bytes::copy_from_slice(line), truncated_from: None };
    let record = enricher.record(raw, &Arc::new(Labels::default()), &[], ParseOptions::default());
    assert_eq!(&record.line[..], line);
    let mut names = HashSet::new();
    assert!(record.pairs.iter().all(|pair| names.insert(&pair.name)));
});
