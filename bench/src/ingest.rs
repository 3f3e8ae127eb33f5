//! A file of made-up lines into a store, as a collector would hand them over.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bytes::{Buf, Bytes};
use store::record::attribute;
use store::{Batch, Labels, Level, Origin, Pair, Record, Writer};

use crate::process;

/// Lines handed over at once: what a tailer reads in a fifth of a second at full speed.
pub(crate) const BATCH_LINES: usize = 2000;

/// Bytes read at once.
const READ_BYTES: usize = 1 << 18;

/// Reads the facts that a collector's parser would, at their fixed places.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    streams: HashMap<String, Arc<Labels>>,
    trace_id: Option<Arc<str>>,
}

impl Parser {
    pub(crate) fn record(&mut self, line: Bytes) -> Result<Record> {
        let text = std::str::from_utf8(&line)?;
        let field = |name: &str| {
            let rest = text.split_once(name)?.1;
            rest.split_once('"').map(|(value, _)| value)
        };
        let time: jiff::Timestamp = field(r#""timestamp":""#).context("no timestamp")?.parse()?;
        let service = field(r#""service":""#).context("no service")?;
        let labels = match self.streams.get(service) {
            Some(labels) => Arc::clone(labels),
            None => {
                let labels = Arc::new(Labels::new([("host", "bench"), ("service_name", service)]));
                self.streams.insert(service.to_owned(), Arc::clone(&labels));
                labels
            }
        };
        let level = field(r#""level":""#).and_then(Level::from_name).context("no level")?;
        let name = self.trace_id.get_or_insert_with(|| attribute::TRACE_ID.into());
        let trace_id = field(r#""trace_id":""#).context("no trace id")?;
        let pairs = vec![Pair { origin: Origin::Derived, name: Arc::clone(name), value: trace_id.into() }];
        Ok(Record { timestamp_ns: i64::try_from(time.as_nanosecond())?, labels, line, level, pairs })
    }
}

/// What one run used.
#[derive(Debug)]
pub(crate) struct Ingested {
    pub(crate) seconds: f64,
    /// All of the process, but for `parse_seconds`.
    pub(crate) cpu_seconds: f64,
    /// Of that, reading the file and making records, measured apart.
    pub(crate) parse_seconds: f64,
    pub(crate) peak_memory: u64,
    pub(crate) disk_bytes: u64,
}

/// The way records take into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// In bulk, as `binnacle ingest` does: durable when all is done.
    Load,
    /// Batch by batch, as a collector does: each durable and visible when its call returns.
    Append,
}

/// Stores every line of `file` in `dir`, until all of it is in blocks.
pub(crate) fn ingest(file: &Path, dir: &Path, way: Way) -> Result<Ingested> {
    let parse_seconds = parse_only(file)?;
    let (before, _) = process::cpu_seconds()?;
    let start = Instant::now();
    let writer = Writer::open(dir, &store::Config::default(), &prometheus::Registry::new())?;
    let mut loader = writer.loader();
    for_each_batch(file, |records| {
        match way {
            Way::Load => loader.add(records)?,
            Way::Append => drop(writer.append_blocking(Batch { records, ..Batch::default() })?),
        }
        Ok(())
    })?;
    loader.finish()?;
    writer.flush_blocking()?;
    let seconds = start.elapsed().as_secs_f64();
    let (after, _) = process::cpu_seconds()?;
    drop(writer);
    let cpu_seconds = after - before - parse_seconds;
    let (peak_memory, disk_bytes) = (process::peak_memory()?, process::disk_bytes(dir)?);
    Ok(Ingested { seconds, cpu_seconds, parse_seconds, peak_memory, disk_bytes })
}

fn parse_only(file: &Path) -> Result<f64> {
    let (before, _) = process::cpu_seconds()?;
    for_each_batch(file, |records| {
        drop(records);
        Ok(())
    })?;
    Ok(process::cpu_seconds()?.0 - before)
}

fn for_each_batch(file: &Path, mut take: impl FnMut(Vec<Record>) -> Result<()>) -> Result<()> {
    let mut parser = Parser::default();
    let mut file = File::open(file)?;
    let mut records = Vec::with_capacity(BATCH_LINES);
    let mut rest = Bytes::new();
    loop {
        // Lines share the buffer they were read into, as a collector's do.
        let mut buffer = Vec::with_capacity(rest.len() + READ_BYTES);
        buffer.extend_from_slice(&rest);
        if file.by_ref().take(READ_BYTES as u64).read_to_end(&mut buffer)? == 0 {
            ensure!(rest.is_empty(), "the last line has no end");
            return take(records);
        }
        let mut lines = Bytes::from(buffer);
        while let Some(end) = memchr::memchr(b'\n', &lines) {
            records.push(parser.record(lines.split_to(end))?);
            lines.advance(1);
            if records.len() == BATCH_LINES {
                take(std::mem::replace(&mut records, Vec::with_capacity(BATCH_LINES)))?;
            }
        }
        rest = lines;
    }
}
