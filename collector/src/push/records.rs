//! What a request brings, checked against the limits line by line as it is decoded, and made into records.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use store::{Labels, Level, Origin, Pair, Record};
use xxhash_rust::xxh3::Xxh3;

use super::error::PushError;
use super::refused::Refused;
use crate::config::IngestConfig;
use crate::multiline::RawLine;
use crate::parse::{Enricher, ParseOptions};
use crate::service;

/// The level as senders state it after detecting it themselves.
const DETECTED_LEVEL: &str = "detected_level";
const HOUR_NS: i64 = 3_600_000_000_000;

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
    /// What else the request brought.
    pub(super) refused: Option<Refused>,
    /// Whether the same bytes mean the same lines when they come again: not where lines bring no time.
    pub(super) can_repeat: bool,
}

/// The request being decoded.
pub(super) struct Request<'a> {
    builder: &'a Builder,
    /// `None` at the start, and where the stream is refused.
    stream: Option<Stream>,
    streams: usize,
    entries: usize,
    /// Hours since the epoch in which lines lie.
    hours: HashSet<i64>,
    records: Vec<Record>,
    refused: Refused,
    now_ns: i64,
    /// Whether a line brought no time and got [`Request::now_ns`].
    used_now: bool,
    /// [`Entry::identity`] of the lines so far, where a line that a stream repeats at the same time is kept once.
    /// As many as [`PushConfig::max_entries`](crate::config::PushConfig) at most.
    seen: Option<HashSet<u128>>,
}

struct Stream {
    labels: Arc<Labels>,
    level: Option<Level>,
    /// The labels as clients know them, for messages and to tell streams apart.
    name: String,
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
            hours: HashSet::new(),
            records: Vec::new(),
            refused: Refused::default(),
            now_ns,
            used_now: false,
            seen: keep_once.then(HashSet::new),
        }
    }
}

// === impl Entry ===

impl Entry {
    /// What of a line of `stream` makes it the same line when it comes again, as 128 bits that nothing else has.
    fn identity(&self, stream: &str) -> u128 {
        let mut hasher = Xxh3::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&bytes.len().to_le_bytes());
            hasher.update(bytes);
        };
        part(stream.as_bytes());
        part(&self.timestamp_ns.to_le_bytes());
        part(&self.line);
        for (name, value) in &self.metadata {
            part(name.as_bytes());
            part(value.as_bytes());
        }
        hasher.digest128()
    }
}

// === impl Request ===

impl Request<'_> {
    /// The lines that follow belong to the stream with these labels. Where those are wrong, its lines are refused.
    pub(super) fn start_stream(&mut self, labels: Vec<(String, String)>) {
        match self.stream_of(labels) {
            Ok(stream) => {
                self.streams += 1;
                self.stream = Some(stream);
            }
            Err(Wrong(reason)) => self.refuse_stream(reason),
        }
    }

    /// The lines that follow are refused.
    pub(super) fn refuse_stream(&mut self, reason: String) {
        self.streams += 1;
        self.stream = None;
        self.refused.stream(reason);
    }

    /// Takes a line of the stream, or refuses it alone.
    ///
    /// # Errors
    /// When the request has more than one may have: it is refused whole.
    pub(super) fn entry(&mut self, entry: Entry) -> Result<(), PushError> {
        self.count_line()?;
        let Some(stream) = &self.stream else {
            self.refused.line(None);
            return Ok(());
        };
        let checked = self
            .check_time(stream, entry.timestamp_ns)
            .and_then(|()| self.check_metadata(stream, &entry.metadata));
        if let Err(Wrong(reason)) = checked {
            self.refused.line(Some(reason));
            return Ok(());
        }
        let max_hours = self.builder.config.push.max_hours;
        self.hours.insert(entry.timestamp_ns.div_euclid(HOUR_NS));
        if self.hours.len() > max_hours {
            return Err(PushError::TooManyHours(max_hours));
        }
        // A sender that repeats a line at the same time means the same line: Loki, too, keeps it once.
        let identity = entry.identity(&stream.name);
        if self.seen.as_mut().is_some_and(|seen| !seen.insert(identity)) {
            return Ok(());
        }
        self.records.push(self.record(stream, entry));
        Ok(())
    }

    /// Refuses a line that cannot be read as one.
    ///
    /// # Errors
    /// As [`Request::entry`].
    pub(super) fn refuse_entry(&mut self, reason: String) -> Result<(), PushError> {
        self.count_line()?;
        self.refused.line(Some(reason));
        Ok(())
    }

    fn count_line(&mut self) -> Result<(), PushError> {
        self.entries += 1;
        let most = self.builder.config.push.max_entries;
        if self.entries > most { Err(PushError::TooManyEntries(most)) } else { Ok(()) }
    }

    fn stream_of(&self, mut labels: Vec<(String, String)>) -> Result<Stream, Wrong> {
        let limits = &self.builder.config.push;
        labels.retain(|(_, value)| !value.is_empty());
        if labels.is_empty() {
            return Err(wrong("error at least one label pair is required per stream"));
        }
        if labels.len() > limits.max_labels {
            return Err(wrong(format!(
                "entry for stream '{}' has {} label names; limit {} (setting ingest.push.max_labels)",
                written(&labels),
                labels.len(),
                limits.max_labels
            )));
        }
        for (i, (name, value)) in labels.iter().enumerate() {
            self.check_label(&labels, name, value)?;
            if labels[..i].iter().any(|(earlier, _)| earlier == name) {
                return Err(wrong(format!(
                    "stream '{}' has duplicate label name: '{name}'",
                    written(&labels)
                )));
            }
        }
        service::discover(&self.builder.config, &mut labels);
        let level = labels.iter().find_map(|(name, value)| self.builder.enricher.level_of(name, value));
        let labels = Arc::new(Labels::new(labels));
        Ok(Stream { name: labels.to_string(), labels, level })
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

    /// The request's lines, and what is refused of it.
    pub(super) fn finish(self) -> Result<Decoded, PushError> {
        if self.streams == 0 {
            return Err(PushError::Empty);
        }
        Ok(Decoded {
            records: self.records,
            refused: self.refused.of(self.entries),
            can_repeat: !self.used_now,
        })
    }

    /// Time of this request, for a line that brings none.
    pub(super) const fn now_ns(&mut self) -> i64 {
        self.used_now = true;
        self.now_ns
    }

    fn record(&self, stream: &Stream, entry: Entry) -> Record {
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
            let value = enricher.redacted_value(&name, value);
            pairs.push(Pair { origin: Origin::Given, name: name.into(), value: value.into() });
        }
        let options =
            ParseOptions { level: stated.or(stream.level).or(entry.level), ..ParseOptions::default() };
        let line = self.cut(entry.timestamp_ns, entry.line);
        enricher.record(line, &stream.labels, &pairs, options)
    }

    fn cut(&self, timestamp_ns: i64, line: Bytes) -> RawLine {
        let most = usize::try_from(self.builder.config.max_line_bytes.0).unwrap_or(usize::MAX);
        if line.len() <= most {
            return RawLine { timestamp_ns, line, truncated_from: None };
        }
        RawLine { timestamp_ns, truncated_from: Some(line.len() as u64), line: line.slice(..most) }
    }

    fn check_label(&self, labels: &[(String, String)], name: &str, value: &str) -> Result<(), Wrong> {
        let limits = &self.builder.config.push;
        let first = name.bytes().next().unwrap_or(b'0');
        if first.is_ascii_digit()
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'))
        {
            return Err(wrong(format!(
                "error parsing labels '{}' with error: `{}` is no name of a label",
                written(labels),
                shortened(name)
            )));
        }
        if name.len() > limits.max_label_name_bytes {
            return Err(wrong(format!(
                "stream '{}' has label name too long: '{}' (setting ingest.push.max_label_name_bytes)",
                written(labels),
                shortened(name)
            )));
        }
        if value.len() > limits.max_label_value_bytes {
            return Err(wrong(format!(
                "stream '{}' has label value too long: '{}' (setting ingest.push.max_label_value_bytes)",
                written(labels),
                shortened(value)
            )));
        }
        Ok(())
    }

    fn check_metadata(&self, stream: &Stream, metadata: &[(String, String)]) -> Result<(), Wrong> {
        let limits = &self.builder.config.push;
        let stream = shortened(&stream.name);
        if metadata.len() > limits.max_metadata_pairs {
            return Err(wrong(format!(
                "stream '{stream}' has too many structured metadata labels: '{}', limit: '{}' \
                 (setting ingest.push.max_metadata_pairs)",
                metadata.len(),
                limits.max_metadata_pairs
            )));
        }
        let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes as u64 > limits.max_metadata_bytes.0 {
            return Err(wrong(format!(
                "stream '{stream}' has structured metadata too large: '{bytes}' bytes, limit: '{}' bytes \
                 (setting ingest.push.max_metadata_bytes)",
                limits.max_metadata_bytes.0
            )));
        }
        let twice = metadata.iter().enumerate().find(|(i, (name, _))| {
            name.is_empty() || metadata[..*i].iter().any(|(earlier, _)| earlier == name)
        });
        match twice {
            Some((_, (name, _))) => Err(wrong(format!(
                "stream '{stream}': the name `{}` of structured metadata is empty or stands twice",
                shortened(name)
            ))),
            None => Ok(()),
        }
    }

    fn check_time(&self, stream: &Stream, timestamp_ns: i64) -> Result<(), Wrong> {
        let limits = &self.builder.config.push;
        let ns = |period: store::config::Period| i64::try_from(period.0.as_nanos()).unwrap_or(i64::MAX);
        let oldest = limits.max_age.map(|most| self.now_ns.saturating_sub(ns(most)));
        if let Some(oldest) = oldest
            && timestamp_ns < oldest
        {
            return Err(wrong(format!(
                "entry for stream '{}' has timestamp too old: {}, oldest acceptable timestamp is: {} \
                 (setting ingest.push.max_age)",
                shortened(&stream.name),
                moment(timestamp_ns),
                moment(oldest)
            )));
        }
        let newest = limits.max_future.map(|most| self.now_ns.saturating_add(ns(most)));
        if newest.is_some_and(|newest| timestamp_ns > newest) {
            return Err(wrong(format!(
                "entry for stream '{}' has timestamp too new: {} (setting ingest.push.max_future)",
                shortened(&stream.name),
                moment(timestamp_ns)
            )));
        }
        Ok(())
    }
}

/// Why one line or stream is refused.
struct Wrong(String);

fn wrong(reason: impl Into<String>) -> Wrong {
    Wrong(reason.into())
}

pub(super) fn bad(message: impl Into<String>) -> PushError {
    PushError::Bad(message.into())
}

/// At most 256 characters of what a client sent, for a message.
fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(256).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default()
}

/// Labels as Loki writes them, for a message.
fn written(labels: &[(String, String)]) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    shortened(&format!("{{{}}}", pairs.join(", "))).to_owned()
}

/// A time for a message. Every 64-bit time in nanoseconds has a date.
fn moment(ns: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_nanosecond(ns.into()).unwrap_or_default()
}
