//! What making traces costs beside taking lines in: a steady 5,000 lines a second with 1,000 ids open at once.
//!
//! The same lines go the way of a collector's (parse, store, flush) in processes of their own: without traces,
//! with traces assembled and thrown away, and with traces made and kept as `run` does.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use collector::traces::{TraceMetrics, follow};
use collector::{Enricher, IngestConfig, ParseOptions, RawLine, Redactor};
use correlation::{Config, OpenTraces};
use prometheus::Registry;
use store::{Batch, Labels, Record, Writer};
use tokio_util::sync::CancellationToken;

use crate::requests::{LINES_PER_SECOND, Requests, SERVICES};
use crate::{MB, process};

/// Ten batches a second, as sources hand lines over.
const BATCH_LINES: u64 = LINES_PER_SECOND / 10;

/// What becomes of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traces {
    /// Nobody makes them.
    Off,
    /// They are assembled, and no more.
    Assembled,
    /// They are assembled and kept in the span index.
    Kept,
}

impl Traces {
    pub(crate) const ALL: [(&'static str, Self); 3] =
        [("off", Self::Off), ("assembled", Self::Assembled), ("kept", Self::Kept)];
}

/// What one run used.
#[derive(Debug)]
pub(crate) struct Used {
    pub(crate) lines: u64,
    /// All of the process, but for making up the lines.
    pub(crate) cpu_seconds: f64,
    /// Memory of the process at its highest, and of open traces.
    pub(crate) peak_memory: u64,
    pub(crate) peak_traces: u64,
    pub(crate) spans: u64,
}

/// Lines at a steady rate without and with traces, each in a process of its own.
pub(crate) fn measure(seconds: u64) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    for (way, _) in Traces::ALL {
        let dir = scratch.path().join(way);
        let status = Command::new(std::env::current_exe()?)
            .args(["traces-child", way, &seconds.to_string()])
            .arg(&dir)
            .status()?;
        ensure!(status.success(), "traces {way} failed");
    }
    Ok(())
}

pub(crate) fn child(way: &str, seconds: u64, dir: &Path) -> Result<()> {
    let (_, traces) = Traces::ALL.into_iter().find(|(name, _)| *name == way).context("no such way")?;
    let used = run(dir, traces, seconds)?;
    println!(
        "traces {way:<10} cpu {:6.2} s, {:5.1} us a line; {} spans; memory {:.0} MB, of open traces {:.1} MB",
        used.cpu_seconds,
        used.cpu_seconds * 1e6 / used.lines as f64,
        used.spans,
        used.peak_memory as f64 / MB,
        used.peak_traces as f64 / MB,
    );
    Ok(())
}

/// Stores lines at a steady rate for so long.
fn run(dir: &Path, traces: Traces, seconds: u64) -> Result<Used> {
    let batches = seconds * LINES_PER_SECOND / BATCH_LINES;
    let made_up = making_up(batches)?;
    let (before, _) = process::cpu_seconds()?;
    let registry = Registry::new();
    let writer = Writer::open(dir, &store::Config::default(), &registry)?;
    let config = IngestConfig::default();
    let enricher = Enricher::new(&config, Redactor::new(&config.redact, &registry)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let stop = CancellationToken::new();
    let following = (traces == Traces::Kept).then(|| {
        let metrics = TraceMetrics::new(&registry);
        runtime.spawn(follow(Config::default(), writer.clone(), metrics, stop.clone()))
    });
    let mut open = (traces == Traces::Assembled).then(|| OpenTraces::new(Config::default()));
    let (mut lines_of, begin) = (Lines::new(), Instant::now());
    let (mut spans, mut peak_traces) = (0, 0);
    for batch in 0..batches {
        let due = Duration::from_millis(batch * BATCH_LINES * 1000 / LINES_PER_SECOND);
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
        let records: Vec<Record> = (0..BATCH_LINES).map(|_| lines_of.next(&enricher)).collect();
        if let Some(open) = &mut open {
            let now_ns = now_ns();
            let told = records.iter().map(|record| open.observe(record, now_ns));
            spans += told.flat_map(|closed| closed.traces).map(|trace| trace.spans.len() as u64).sum::<u64>();
            if batch % 10 == 0 {
                spans += open.close_idle(now_ns).traces.iter().map(|t| t.spans.len() as u64).sum::<u64>();
                peak_traces = peak_traces.max(open.counters().bytes as u64);
            }
        }
        writer.append_blocking(Batch { records, ..Batch::default() })?;
        if batch % 10 == 0 && following.is_some() {
            peak_traces = peak_traces.max(metric(&registry, "binnacle_traces_bytes"));
        }
    }
    stop.cancel();
    if let Some(following) = following {
        runtime.block_on(following)?;
        spans = metric(&registry, "binnacle_traces_spans_total");
    }
    writer.flush_blocking()?;
    let (after, _) = process::cpu_seconds()?;
    let cpu_seconds = after - before - made_up;
    let lines = batches * BATCH_LINES;
    Ok(Used { lines, cpu_seconds, peak_memory: process::peak_memory()?, peak_traces, spans })
}

/// CPU seconds of making up the lines alone.
fn making_up(batches: u64) -> Result<f64> {
    let mut requests = Requests::new();
    let (before, _) = process::cpu_seconds()?;
    for _ in 0..batches * BATCH_LINES {
        std::hint::black_box(requests.line());
    }
    Ok(process::cpu_seconds()?.0 - before)
}

fn metric(registry: &Registry, name: &str) -> u64 {
    let families = registry.gather();
    let Some(family) = families.iter().find(|family| family.name() == name) else { return 0 };
    let sum: f64 =
        family.get_metric().iter().map(|m| m.get_gauge().get_value() + m.get_counter().get_value()).sum();
    sum as u64
}

/// The lines of requests as records of their services' streams.
struct Lines {
    requests: Requests,
    streams: Vec<(&'static str, Arc<Labels>)>,
}

impl Lines {
    fn new() -> Self {
        let labels = |name| Arc::new(Labels::new([("host", "bench"), ("service_name", name)]));
        Self { requests: Requests::new(), streams: SERVICES.map(|name| (name, labels(name))).into() }
    }

    fn next(&mut self, enricher: &Enricher) -> Record {
        let (service, line) = self.requests.line();
        let (_, labels) =
            self.streams.iter().find(|(name, _)| *name == service).expect("BUG: an unknown service");
        let raw = RawLine { timestamp_ns: now_ns(), line: line.into(), truncated_from: None };
        enricher.record(raw, labels, &[], ParseOptions::default())
    }
}

fn now_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
