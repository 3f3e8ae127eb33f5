//! What a request brings, checked against the limits line by line as it is decoded, and made into records.

use std::sync::Arc;

use bytes::Bytes;
use store::{Labels, Level, Origin, Pair, Record};

use super::error::PushError;
use crate::config::IngestConfig;
use crate::multiline::RawLine;
use crate::parse::{Enricher, ParseOptions};
use crate::service;

/// The level as senders state it after detecting it themselves.
const DETECTED_LEVEL: &str = "detected_level";

/// Makes records of requests, as configured.
#[derive(Debug)]
pub(super) struct Builder {
    config: IngestConfig,
    enricher: Arc<Enricher>,
}

/// One pushed line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) timestamp_ns: i64,
    pub(super) line: Bytes,
    pub(super) metadata: Vec<(String, String)>,
    /// The level that the protocol states apart from the line (OTLP's severity).
    pub(super) level: Option<Level>,
}

/// A request decoded.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) records: Vec<Record>,
    /// Whether the same bytes mean the same lines when they come again: not where lines bring no time.
    pub(super) can_repeat: bool,
}

/// The request being decoded.
pub(super) struct Request<'a> {
    builder: &'a Builder,
    stream: Option<Stream>,
    streams: usize,
    entries: usize,
    records: Vec<Record>,
    now_ns: i64,
    /// Whether a line brought no time and got [`Request::now_ns`].
    used_now: bool,
    /// Whether a line that a stream repeats at the same time is kept once.
    keep_once: bool,
}

struct Stream {
    labels: Arc<Labels>,
    level: Option<Level>,
    /// Where the records of this stream at the time of its last one begin.
    same_time_from: usize,
}

// === impl Builder ===

impl Builder {
    pub(super) const fn new(config: IngestConfig, enricher: Arc<Enricher>) -> Self {
        Self { config, enricher }
    }

    pub(super) const fn config(&self) -> &IngestConfig {
        &self.config
    }

    /// An empty request. `keep_once`: a line that a stream repeats at the same time is one line, as in Loki.
    pub(super) fn request(&self, keep_once: bool) -> Request<'_> {
        let now_ns = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
        Request {
            builder: self,
            stream: None,
            streams: 0,
            entries: 0,
            records: Vec::new(),
            now_ns,
            used_now: false,
            keep_once,
        }
    }
}

// === impl Request ===

impl Request<'_> {
    /// The lines that follow belong to the stream with these labels.
    pub(super) fn start_stream(&mut self, mut labels: Vec<(String, String)>) -> Result<(), PushError> {
        let limits = &self.builder.config.push;
        labels.retain(|(_, value)| !value.is_empty());
        if labels.is_empty() {
            return Err(bad("error at least one label pair is required per stream"));
        }
        if labels.len() > limits.max_labels {
            return Err(bad(format!(
                "a stream has {} labels, more than {} (setting ingest.push.max_labels)",
                labels.len(),
                limits.max_labels
            )));
        }
        for (i, (name, value)) in labels.iter().enumerate() {
            self.check_label(name, value)?;
            if labels[..i].iter().any(|(earlier, _)| earlier == name) {
                return Err(bad(format!("the label `{name}` stands twice in a stream")));
            }
        }
        service::discover(&self.builder.config, &mut labels);
        let level = labels.iter().find_map(|(name, value)| self.builder.enricher.level_of(name, value));
        let labels = Arc::new(Labels::new(labels));
        self.stream = Some(Stream { labels, level, same_time_from: self.records.len() });
        self.streams += 1;
        Ok(())
    }

    /// Takes a line of the stream.
    pub(super) fn entry(&mut self, entry: Entry) -> Result<(), PushError> {
        self.entries += 1;
        let limits = &self.builder.config.push;
        if self.entries > limits.max_entries {
            return Err(PushError::TooManyEntries(limits.max_entries));
        }
        self.check_time(entry.timestamp_ns)?;
        self.check_metadata(&entry.metadata)?;
        let record = self.record(entry)?;
        let Some(stream) = &mut self.stream else { return Err(bad("a line without a stream")) };
        // A sender that repeats a line at the same time means the same line: Loki, too, keeps it once.
        let same_time = &self.records[stream.same_time_from..];
        if same_time.first().is_some_and(|first| first.timestamp_ns == record.timestamp_ns) {
            let mut earlier = same_time.iter().rev().take(MAX_COMPARED);
            if self.keep_once && earlier.any(|earlier| *earlier == record) {
                return Ok(());
            }
        } else {
            stream.same_time_from = self.records.len();
        }
        self.records.push(record);
        Ok(())
    }

    /// Refuses the attribute that would come after `count` others, before memory is taken for it.
    pub(super) fn check_attribute(&self, count: usize, name: &str) -> Result<(), PushError> {
        let limits = &self.builder.config.push;
        if count < limits.max_metadata_pairs && (name.len() as u64) <= limits.max_metadata_bytes.0 {
            return Ok(());
        }
        Err(bad(format!(
            "more than {} attributes, or one whose name is longer than {} (settings ingest.push.max_metadata_pairs, \
             ingest.push.max_metadata_bytes)",
            limits.max_metadata_pairs, limits.max_metadata_bytes
        )))
    }

    /// The request's lines, or why there is none.
    pub(super) fn finish(self) -> Result<Decoded, PushError> {
        if self.streams == 0 {
            return Err(PushError::Empty);
        }
        Ok(Decoded { records: self.records, can_repeat: !self.used_now })
    }

    /// Time of this request, for a line that brings none.
    pub(super) const fn now_ns(&mut self) -> i64 {
        self.used_now = true;
        self.now_ns
    }

    fn record(&self, entry: Entry) -> Result<Record, PushError> {
        let Some(stream) = &self.stream else { return Err(bad("a line without a stream")) };
        let enricher = &self.builder.enricher;
        let mut stated = None;
        let mut pairs = Vec::with_capacity(entry.metadata.len());
        for (name, value) in entry.metadata {
            if name == DETECTED_LEVEL
                && enricher.detects_level()
                && let Some(level) = Level::from_name(&value)
            {
                stated = Some(level); // said by the record's level from now on
                continue;
            }
            stated = stated.or_else(|| enricher.level_of(&name, &value));
            pairs.push(Pair { origin: Origin::Given, name: name.into(), value: value.into() });
        }
        let options =
            ParseOptions { level: stated.or(stream.level).or(entry.level), ..ParseOptions::default() };
        let line = self.cut(entry.timestamp_ns, entry.line);
        Ok(enricher.record(line, &stream.labels, &pairs, options))
    }

    fn cut(&self, timestamp_ns: i64, line: Bytes) -> RawLine {
        let most = usize::try_from(self.builder.config.max_line_bytes.0).unwrap_or(usize::MAX);
        if line.len() <= most {
            return RawLine { timestamp_ns, line, truncated_from: None };
        }
        RawLine { timestamp_ns, truncated_from: Some(line.len() as u64), line: line.slice(..most) }
    }

    fn check_label(&self, name: &str, value: &str) -> Result<(), PushError> {
        let limits = &self.builder.config.push;
        let first = name.bytes().next().unwrap_or(b'0');
        if first.is_ascii_digit()
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'))
        {
            return Err(bad(format!("`{}` is no name of a label", shortened(name))));
        }
        if name.len() > limits.max_label_name_bytes {
            return Err(bad(format!(
                "the name of the label `{}` is longer than {} bytes (setting ingest.push.max_label_name_bytes)",
                shortened(name),
                limits.max_label_name_bytes
            )));
        }
        if value.len() > limits.max_label_value_bytes {
            return Err(bad(format!(
                "the value of the label `{name}` is longer than {} bytes (setting ingest.push.max_label_value_bytes)",
                limits.max_label_value_bytes
            )));
        }
        Ok(())
    }

    fn check_metadata(&self, metadata: &[(String, String)]) -> Result<(), PushError> {
        let limits = &self.builder.config.push;
        if metadata.len() > limits.max_metadata_pairs {
            return Err(bad(format!(
                "a line has {} pairs of structured metadata, more than {} (setting ingest.push.max_metadata_pairs)",
                metadata.len(),
                limits.max_metadata_pairs
            )));
        }
        let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes as u64 > limits.max_metadata_bytes.0 {
            return Err(bad(format!(
                "a line has structured metadata of {bytes} bytes, more than {} (setting ingest.push.max_metadata_bytes)",
                limits.max_metadata_bytes
            )));
        }
        let twice = metadata.iter().enumerate().find(|(i, (name, _))| {
            name.is_empty() || metadata[..*i].iter().any(|(earlier, _)| earlier == name)
        });
        match twice {
            Some((_, (name, _))) => Err(bad(format!(
                "the name `{}` of structured metadata is empty or stands twice",
                shortened(name)
            ))),
            None => Ok(()),
        }
    }

    fn check_time(&self, timestamp_ns: i64) -> Result<(), PushError> {
        let limits = &self.builder.config.push;
        let age = i128::from(self.now_ns) - i128::from(timestamp_ns);
        let ns = |period: store::config::Period| i128::try_from(period.0.as_nanos()).unwrap_or(i128::MAX);
        if let Some(most) = limits.max_age
            && age > ns(most)
        {
            return Err(bad(format!(
                "a line of time `{timestamp_ns}` is older than {most} (setting ingest.push.max_age)"
            )));
        }
        if let Some(most) = limits.max_future
            && -age > ns(most)
        {
            return Err(bad(format!(
                "a line of time `{timestamp_ns}` is more than {most} in the future (setting ingest.push.max_future)"
            )));
        }
        Ok(())
    }
}

/// So many lines of one time are compared with the next one: a request of one single time stays linear.
const MAX_COMPARED: usize = 64;

pub(super) fn bad(message: impl Into<String>) -> PushError {
    PushError::Bad(message.into())
}

/// At most 64 characters of what a client sent, for a message.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}
