//! Bodies of pushes in every notation: no panic; the first byte chooses the notation.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use collector::IngestConfig;
use collector::push::{Format, records_of};
use libfuzzer_sys::fuzz_target;

static CONFIG: LazyLock<IngestConfig> = LazyLock::new(IngestConfig::default);

fuzz_target!(|input: &[u8]| {
    let Some((choice, body)) = input.split_first() else { return };
    let format = match choice % 4 {
        0 => Format::LokiJson,
        1 => Format::LokiProtobuf,
        2 => Format::OtlpJson,
        _ => Format::OtlpProtobuf,
    };
    if let Ok(records) = records_of(&CONFIG, format, &Bytes::copy_from_slice(body)) {
        assert!(records.len() <= CONFIG.push.max_entries);
    }
});
