//! `binnacle ingest`: the lines of a file or pipe, into a store or to a running server.
//!
//! Each input line is one record: its bytes are kept, its time is the one it states, else now. Batches are stored
//! in the order of the input, large files in bulk; what a summary counts is durable.

mod bulk;
mod lines;
mod options;
mod push;
mod records;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::fields::{self, Shape};
use store::writer::StoreError;
use store::{Batch, Labels, Record, Writer};

use crate::config::IngestConfig;
use crate::multiline::RawLine;
use crate::parse::{Enricher, Format, LineTime, ParseOptions};
use crate::redact::{RedactError, Redactor};
use crate::service;
use crate::traces::ingested::Ingested;
pub use bulk::{MIN_BULK_BYTES, file_into_store};
use lines::{Line, Lines};
pub use options::{LabelField, Options};
pub use push::to_url;
pub use records::{Form, records_into_store};

/// A batch is stored when it has this many lines: enough that a commit costs little per line.
const BATCH_LINES: usize = 8192;
/// A batch is stored when its lines are this long, whatever their number: it bounds the memory in use.
const BATCH_BYTES: usize = 8 << 20;
/// After an input of so many bytes the newest lines are made blocks too; what is less, a few commits hold.
const MIN_SETTLED_BYTES: u64 = 8 << 20;
/// Label sets remembered; beyond it they are made anew.
const KNOWN_LABELS: usize = 10_000;

/// Why an ingest ended early. What `progress` told of is stored.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The input cannot be read.
    #[error("cannot read the input: {0}")]
    Read(#[from] std::io::Error),
    /// The store refuses.
    #[error("cannot store: {0}")]
    Store(#[from] StoreError),
    /// A line of an export is none.
    #[error("line {line} of the input: {reason}")]
    NoRecord {
        /// Its number, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// The rules of redaction cannot be applied.
    #[error(transparent)]
    Redact(#[from] RedactError),
    /// The server says no, or does not answer however often it is asked.
    #[error("`{url}` did not take the lines: {reason}")]
    Refused {
        /// Of the push endpoint.
        url: String,
        /// Its last answer.
        reason: String,
    },
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Lines that are stored.
    pub lines: u64,
    /// Bytes of the input that these lines took, line ends included.
    pub bytes: u64,
}

/// What an ingest did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Lines that are stored.
    pub lines: u64,
    /// Bytes of the input, line ends included.
    pub bytes: u64,
    /// Lines that were longer than `ingest.max_line_bytes`.
    pub cut_lines: u64,
    /// Lines without a time of their own, stored with the time of their reading.
    pub untimed_lines: u64,
    /// Lines that were not UTF-8 and could not be pushed byte for byte; none when stored directly.
    pub altered_lines: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// CPU time of the process over that while.
    pub cpu: Duration,
}

/// Stores the lines of `input` through `writer`; `progress` is called after each batch. Blocks: call it off
/// the async runtime.
///
/// # Errors
/// When the input cannot be read or the store fails; what `progress` reported is stored.
pub fn into_store(
    input: impl Read,
    writer: &Writer,
    config: &IngestConfig,
    options: &Options,
    mut progress: impl FnMut(Progress),
) -> Result<Summary, IngestError> {
    let clock = Clock::start();
    let mut batches = Batches::new(input, config, options)?;
    let mut ingested = Ingested::open(writer)?;
    while let Some(records) = batches.next()? {
        let cursors = ingested.add(&records).into_iter().collect();
        writer.append_blocking(Batch { records, cursors, ..Batch::default() })?;
        progress(batches.progress());
    }
    settle(writer, batches.summary.bytes);
    Ok(clock.end(batches.summary))
}

/// Builds blocks at the end of a load of so many bytes, if it is worth it: nobody else may for a long time, and till
/// then every reader reads the last of it out of the catalog.
fn settle(writer: &Writer, bytes: u64) {
    if bytes < MIN_SETTLED_BYTES {
        return;
    }
    if let Err(error) = writer.flush_blocking() {
        tracing::warn!(%error, "all lines are stored, but the newest are not yet in blocks");
    }
}

/// Wall and CPU time of an ingest.
struct Clock {
    start: Instant,
    cpu: Duration,
}

impl Clock {
    fn start() -> Self {
        Self { start: Instant::now(), cpu: process_cpu() }
    }

    fn end(&self, summary: Summary) -> Summary {
        let cpu = process_cpu().saturating_sub(self.cpu);
        Summary { elapsed: self.start.elapsed(), cpu, ..summary }
    }
}

fn process_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Reads records in batches.
struct Batches<R> {
    lines: Lines<R>,
    enricher: Enricher,
    config: IngestConfig,
    options: Options,
    labels: HashMap<Vec<Option<String>>, Arc<Labels>>,
    read: Vec<Line>,
    /// Why the input ended, once what was read before is given out.
    failed: Option<std::io::Error>,
    summary: Summary,
}

impl<R: Read> Batches<R> {
    fn new(input: R, config: &IngestConfig, options: &Options) -> Result<Self, RedactError> {
        let redactor = Redactor::new(&config.redact, &prometheus::Registry::new())?;
        let most = usize::try_from(config.max_line_bytes.0).unwrap_or(usize::MAX);
        Ok(Self {
            lines: Lines::new(input, most),
            enricher: Enricher::new(config, redactor),
            config: config.clone(),
            options: options.clone(),
            labels: HashMap::new(),
            read: Vec::new(),
            failed: None,
            summary: Summary::default(),
        })
    }

    /// The next batch, `None` at the end of the input.
    fn next(&mut self) -> Result<Option<Vec<Record>>, IngestError> {
        if let Some(error) = self.failed.take() {
            return Err(error.into());
        }
        let mut records = Vec::new();
        let mut bytes = 0;
        while records.len() < BATCH_LINES && bytes < BATCH_BYTES {
            let read = match self.lines.read(&mut self.read) {
                Ok(Some(read)) => read,
                Ok(None) => break,
                Err(error) if records.is_empty() => return Err(error.into()),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            };
            bytes += read;
            self.summary.bytes += read as u64;
            // A pipe gives little at once and may rest: its lines are stored before it is waited for again.
            let rests = read < SHORT_READ_BYTES;
            let now_ns = now_ns();
            for line in std::mem::take(&mut self.read) {
                records.push(self.record(line, now_ns));
            }
            if rests && !records.is_empty() {
                break;
            }
        }
        self.summary.lines += records.len() as u64;
        Ok((!records.is_empty()).then_some(records))
    }

    fn progress(&self) -> Progress {
        Progress { lines: self.summary.lines, bytes: self.summary.bytes }
    }

    fn record(&mut self, mut line: Line, now_ns: i64) -> Record {
        if !self.options.label_fields.is_empty() {
            // A label is made of the line that may be stored.
            line.bytes = self.enricher.redacted(line.bytes, Format::Auto);
        }
        let labels = self.labels_of(&line.bytes);
        self.summary.cut_lines += u64::from(line.truncated_from.is_some());
        let raw = RawLine { timestamp_ns: UNTIMED, line: line.bytes, truncated_from: line.truncated_from };
        let options = ParseOptions { line_time: LineTime::Use, ..ParseOptions::default() };
        let mut record = self.enricher.record(raw, &labels, &[], options);
        if record.timestamp_ns == UNTIMED {
            record.timestamp_ns = now_ns;
            self.summary.untimed_lines += 1;
        }
        record
    }

    fn labels_of(&mut self, line: &[u8]) -> Arc<Labels> {
        let fields = &self.options.label_fields;
        let mut values = vec![None; fields.len()];
        if !fields.is_empty() {
            let longest = self.config.push.max_label_value_bytes;
            fields::for_each(line, Shape::detect(line), |path, value| {
                for (field, found) in fields.iter().zip(&mut values) {
                    if found.is_none() && field.field == path {
                        *found = Some(value.text().into_owned()).filter(|text| text.len() <= longest);
                    }
                }
                if values.iter().all(Option::is_some) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
        }
        if let Some(labels) = self.labels.get(&values) {
            return Arc::clone(labels);
        }
        let named = fields
            .iter()
            .zip(&values)
            .filter_map(|(field, value)| Some((field.label.clone(), value.clone()?)));
        let mut labels: Vec<(String, String)> = self.options.labels.iter().cloned().chain(named).collect();
        service::discover(&self.config, &mut labels);
        let labels = Arc::new(Labels::new(labels));
        if self.labels.len() >= KNOWN_LABELS {
            self.labels.clear();
        }
        self.labels.insert(values, Arc::clone(&labels));
        labels
    }
}

/// A read that brings less comes from a pipe or a terminal.
const SHORT_READ_BYTES: usize = 64 << 10;
/// Stands for "no time" until the line's own is known; no line of ours is from 1677.
const UNTIMED: i64 = i64::MIN;

fn now_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
