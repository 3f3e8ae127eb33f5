//! The parts of all joined records put after one another are the lines.
#![no_main]

use std::time::Instant;

use bytes::Bytes;
use collector::{IngestConfig, Joiner, RawLine};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let config = IngestConfig { multiline_max_lines: 5, ..IngestConfig::default() };
    let (mut joiner, now, mut out) = (Joiner::new(&config, None), Instant::now(), Vec::new());
    for line in text.split(|byte| *byte == b'\n') {
        let line = Bytes::copy_from_slice(line);
        joiner.push(RawLine { timestamp_ns: 0, line, truncated_from: None }, now, &mut out);
    }
    joiner.flush(&mut out);
    let records: Vec<&[u8]> = out.iter().map(|joined| &joined.line.line[..]).collect();
    assert_eq!(records.join(&b'\n'), text);
    assert!(out.iter().all(|joined| joined.parts <= 5));
});
