//! W1: the lines of a set go the way of a collector's, parsed and appended batch by batch, each durable when its append
//! returns; then every line is read back.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use bytes::Bytes;
use collector::{Enricher, IngestConfig, ParseOptions, RawLine, Redactor};
use prometheus::Registry;
use serde::{Deserialize, Serialize};
use store::{Batch, BlockQuery, Labels, Prune, Reader, Record, TimeRange, Writer};
use xxhash_rust::xxh3::xxh3_128;

use crate::ingest::BATCH_LINES;
use crate::process;
use crate::sets::{Lines, Origin, Set};

/// What it took. The child tells it its parent as JSON.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) wall_ms: f64,
    /// CPU seconds of the process, but for making the lines up.
    pub(crate) cpu: f64,
    /// Bytes at most, made-up lines of one batch included.
    pub(crate) peak_memory: Option<u64>,
    pub(crate) disk_bytes: u64,
}

/// Stores the first lines of a set in `dir`, until all of them are in blocks. Fails when one is not given back.
pub(crate) fn store(set: Set, lines: usize, dir: &Path) -> Result<Stored> {
    let made_up = making_up(set, lines)?;
    let before = process::cpu_seconds()?.0;
    let start = Instant::now();
    let registry = Registry::new();
    let writer = Writer::open(dir, &store::Config::default(), &registry)?;
    let config = IngestConfig::default();
    let enricher = Enricher::new(&config, Redactor::new(&config.redact, &registry)?);
    let mut streams = Streams::default();
    let mut made = Lines::new(set);
    let mut left = lines;
    while left > 0 {
        let batch = left.min(BATCH_LINES);
        let records = made_batch(&mut made, batch).map(|line| streams.record(line, &enricher)).collect();
        writer.append_blocking(Batch { records, ..Batch::default() })?;
        left -= batch;
    }
    writer.flush_blocking()?;
    let wall_ms = start.elapsed().as_secs_f64() * 1e3;
    // With the writer end the merges that it has begun.
    drop(writer);
    let cpu = process::cpu_seconds()?.0 - before - made_up;
    // Parts that a merge has replaced stay a while, for readers of other processes; the next start deletes them.
    drop(Writer::open(dir, &store::Config::default(), &Registry::new())?);
    let stored = Stored {
        wall_ms,
        cpu,
        peak_memory: Some(process::peak_memory()?),
        disk_bytes: process::disk_bytes(dir)?,
    };
    verify(set, lines, dir)?;
    Ok(stored)
}

/// CPU seconds of making up the lines alone.
fn making_up(set: Set, lines: usize) -> Result<f64> {
    let mut made = Lines::new(set);
    let before = process::cpu_seconds()?.0;
    let mut left = lines;
    while left > 0 {
        let batch = left.min(BATCH_LINES);
        made_batch(&mut made, batch).for_each(|line| drop(std::hint::black_box(line)));
        left -= batch;
    }
    Ok(process::cpu_seconds()?.0 - before)
}

/// The next lines, which share the buffer they stand in, as those do that a collector has read.
fn made_batch(made: &mut Lines, lines: usize) -> impl Iterator<Item = (Origin, Bytes)> {
    let (mut buffer, mut places) = (Vec::new(), Vec::with_capacity(lines));
    for _ in 0..lines {
        let (origin, line) = made.next();
        let start = buffer.len();
        buffer.extend_from_slice(&line);
        places.push((origin, start..buffer.len()));
    }
    let buffer = Bytes::from(buffer);
    places.into_iter().map(move |(origin, place)| (origin, buffer.slice(place)))
}

/// Labels of the containers seen so far.
#[derive(Debug, Default)]
struct Streams(HashMap<(&'static str, Option<u32>), Arc<Labels>>);

impl Streams {
    fn labels(&mut self, origin: &Origin) -> &Arc<Labels> {
        let (service, container) = (origin.service, origin.container);
        self.0.entry((service, container)).or_insert_with(|| {
            let name = container.map(|number| format!("{service}-{number}"));
            let names = [("host", "bench"), ("service_name", service)];
            let name = name.as_deref().map(|name| ("container", name));
            Arc::new(Labels::new(names.into_iter().chain(name)))
        })
    }

    fn record(&mut self, (origin, line): (Origin, Bytes), enricher: &Enricher) -> Record {
        let raw = RawLine { timestamp_ns: origin.time_us * 1000, line, truncated_from: None };
        enricher.record(raw, self.labels(&origin), &[], ParseOptions::default())
    }
}

/// Number of lines of each stream, and the sum of their digests, whatever their order.
type Digests = BTreeMap<String, (usize, u128)>;

/// Every line is given back byte for byte, in its stream, once.
fn verify(set: Set, lines: usize, dir: &Path) -> Result<()> {
    let add = |digests: &mut Digests, stream: String, line: &[u8]| {
        let (lines, sum) = digests.entry(stream).or_default();
        *lines += 1;
        *sum = sum.wrapping_add(xxh3_128(line));
    };
    let (mut made, mut streams) = (Lines::new(set), Streams::default());
    let mut expected = Digests::new();
    for _ in 0..lines {
        let (origin, line) = made.next();
        add(&mut expected, streams.labels(&origin).to_string(), &line);
    }
    let mut found = Digests::new();
    let reader = Reader::open(dir)?;
    let all = BlockQuery { range: TimeRange::ALL, streams: None, levels: None, prune: &Prune::Any };
    for candidate in reader.snapshot()?.candidates(&all)?.blocks {
        let block = candidate.open()?;
        for row in 0..block.len() {
            add(&mut found, candidate.labels().to_string(), &block.line(row)?);
        }
    }
    ensure!(expected == found, "the store does not give back the lines of {}", set.name());
    Ok(())
}
