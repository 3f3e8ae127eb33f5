//! What making traces costs beside taking lines in: a steady 5,000 lines a second with 1,000 ids open at once.
//!
//! The same lines go the way of a collector's (parse, store, flush) in processes of their own: without traces,
//! with traces assembled and thrown away, and with traces made and kept as `run` does.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use collector::traces::{TraceMetrics, follow};
use collector::{Enricher, IngestConfig, ParseOptions, RawLine, Redactor};
use correlation::{Config, OpenTraces};
use prometheus::Registry;
use store::{Batch, Labels, Record, Writer};
use tokio_util::sync::CancellationToken;

use crate::process;

const LINES_PER_SECOND: u64 = 5_000;
const OPEN_IDS: usize = 1_000;
/// Lines of a request: who logs what. Services call each other; each logs its beginning and its answer.
const REQUEST: [(&str, Step); 10] = [
    ("gateway", Step::Begins),
    ("cart", Step::Begins),
    ("cart", Step::Works),
    ("orders", Step::Begins),
    ("payment", Step::Begins),
    ("payment", Step::Works),
    ("payment", Step::Answers(399)),
    ("orders", Step::Answers(799)),
    ("cart", Step::Answers(1399)),
    ("gateway", Step::Answers(1799)),
];

/// What a line says.
#[derive(Clone, Copy, Debug, Default)]
enum Step {
    #[default]
    Works,
    Begins,
    /// After so many milliseconds: the lines of a request are 200 ms apart.
    Answers(u32),
}
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

/// Stores lines at a steady rate for so long.
pub(crate) fn run(dir: &Path, traces: Traces, seconds: u64) -> Result<Used> {
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
    let (mut requests, begin) = (Requests::new(), Instant::now());
    let (mut spans, mut peak_traces) = (0, 0);
    for batch in 0..batches {
        let due = Duration::from_millis(batch * BATCH_LINES * 1000 / LINES_PER_SECOND);
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
        let records: Vec<Record> = (0..BATCH_LINES).map(|_| requests.next(&enricher)).collect();
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

/// Requests that are under way, each at its next line, in turn.
struct Requests {
    open: VecDeque<(u64, usize)>,
    next: u64,
    streams: Vec<(&'static str, Arc<Labels>)>,
}

impl Requests {
    fn new() -> Self {
        let streams = ["gateway", "cart", "orders", "payment"]
            .map(|name| (name, Arc::new(Labels::new([("host", "bench"), ("service_name", name)]))));
        // Begun one after the other, so that they do not end all at once.
        let open = (0..OPEN_IDS as u64).map(|id| (id, id as usize % REQUEST.len())).collect();
        Self { open, next: OPEN_IDS as u64, streams: streams.into() }
    }

    fn line(&mut self) -> (&'static str, String) {
        let (id, step) = self.open.pop_front().unwrap_or_default();
        let (service, says) = REQUEST.get(step).copied().unwrap_or_default();
        if step + 1 < REQUEST.len() {
            self.open.push_back((id, step + 1));
        } else {
            self.open.push_back((self.next, 0));
            self.next += 1;
        }
        let correlation = u128::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let told = match says {
            Step::Begins => format!(r#""msg":"request received","method":"GET","path":"/orders/{id}""#),
            Step::Works => format!(r#""msg":"step {step} of order {id} in {service} is done""#),
            Step::Answers(ms) => format!(
                r#""msg":"request completed","method":"GET","path":"/orders/{id}","status":200,"duration_ms":{ms}.25"#
            ),
        };
        let line = format!(
            r#"{{"level":"info",{told},"correlation_id":"{correlation:032x}","logger":"shop.{service}"}}"#
        );
        (service, line)
    }

    fn next(&mut self, enricher: &Enricher) -> Record {
        let (service, line) = self.line();
        let (_, labels) =
            self.streams.iter().find(|(name, _)| *name == service).expect("BUG: an unknown service");
        let raw = RawLine { timestamp_ns: now_ns(), line: line.into(), truncated_from: None };
        enricher.record(raw, labels, &[], ParseOptions::default())
    }
}

fn now_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
