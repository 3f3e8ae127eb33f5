//! Settings of what happens to every line, from whatever source: the config section `ingest`.
//!
//! `validate` refuses and names the key; nothing is clamped silently.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::config::{ByteSize, Period};

use super::push::PushConfig;
use super::redact::RedactConfig;

/// How lines are read, whichever source they come from: the config section `ingest`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IngestConfig {
    /// Whether the severity of each line is found out and kept as its level (`detected_level` in LogQL).
    pub detect_level: bool,
    /// Whether pushed streams without the label `service_name` get one: the value of the first of
    /// `service_name_labels` that they have, else `unknown_service`.
    pub discover_service_name: bool,
    /// Labels of pushed streams that name the service, the best first.
    pub service_name_labels: Vec<String>,
    /// Whether the lines of a stack trace (Java, Python, Go, Node.js, Rust, .NET) become one record: `auto` or `off`.
    pub multiline: Multiline,
    /// Most lines of one joined record; the rest of a longer trace becomes the next record.
    pub multiline_max_lines: usize,
    /// Largest joined record.
    pub multiline_max_bytes: ByteSize,
    /// How long the next line of a stack trace is waited for. The first line of a trace is held back a fifth of it.
    pub multiline_wait: Period,
    /// Fields that hold the severity, the best first. Names of fields are compared without regard to case; of
    /// nested JSON write the whole path, `log.level`.
    pub level_fields: Vec<String>,
    /// Fields that hold the line's own time, the best first.
    pub timestamp_fields: Vec<String>,
    /// Fields that hold a trace id, the best first; in JSON at any depth up to 4. `traceparent` headers are
    /// taken apart whether they are listed or not.
    pub trace_id_fields: Vec<String>,
    /// Fields that hold a span id, the best first.
    pub span_id_fields: Vec<String>,
    /// Fields that hold the span id of the caller, the best first.
    pub parent_span_id_fields: Vec<String>,
    /// Fields that hold a correlation or request id, the best first.
    pub correlation_id_fields: Vec<String>,
    /// Longest line kept whole when it is pushed or read from a file. Of a longer one this much is kept, and
    /// its length goes into the attribute `truncated`. Docker's lines: `collect.max_line_bytes`.
    pub max_line_bytes: ByteSize,
    /// What is taken out of every line before it is stored. Each rule is `off`, `mask` or `hash`.
    pub redact: RedactConfig,
    /// What a push may bring.
    pub push: PushConfig,
}

/// Whether stack traces are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Multiline {
    /// The usual stack traces are recognised and joined.
    #[default]
    Auto,
    /// Each line is a record, unless a container's label says otherwise.
    Off,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            detect_level: true,
            discover_service_name: true,
            service_name_labels: names(&[
                "service",
                "app",
                "application",
                "app_name",
                "name",
                "app_kubernetes_io_name",
                "container",
                "container_name",
                "k8s_container_name",
                "component",
                "workload",
                "job",
                "k8s_job_name",
            ]),
            multiline: Multiline::Auto,
            multiline_max_lines: 500,
            multiline_max_bytes: ByteSize(1 << 20),
            multiline_wait: Period(Duration::from_millis(500)),
            level_fields: names(&[
                "level",
                "log.level",
                "severity",
                "lvl",
                "levelname",
                "loglevel",
                "log_level",
                "severity_text",
                "severityText",
                "severity_number",
                "severityNumber",
                "@l",
                "record.level.name",
                "s",
                "PRIORITY",
            ]),
            timestamp_fields: names(&[
                "timestamp",
                "time",
                "ts",
                "@timestamp",
                "@t",
                "datetime",
                "asctime",
                "t.$date",
                "t",
            ]),
            trace_id_fields: names(&[
                "trace_id",
                "traceId",
                "trace.id",
                "otelTraceID",
                "dd.trace_id",
                "x-b3-traceid",
                "trace-id",
                "@tr",
            ]),
            span_id_fields: names(&[
                "span_id",
                "spanId",
                "span.id",
                "otelSpanID",
                "dd.span_id",
                "x-b3-spanid",
                "span-id",
                "@sp",
            ]),
            parent_span_id_fields: names(&[
                "parent_span_id",
                "parentSpanId",
                "parent_id",
                "parentId",
                "parent.id",
                "x-b3-parentspanid",
            ]),
            correlation_id_fields: names(&[
                "correlation_id",
                "correlationId",
                "x-correlation-id",
                "correlation-id",
                "request_id",
                "requestId",
                "x-request-id",
                "request-id",
                "req_id",
                "reqId",
                "req.id",
                "request.id",
            ]),
            max_line_bytes: ByteSize(1 << 20),
            redact: RedactConfig::default(),
            push: PushConfig::default(),
        }
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A first line that would be held longer than a person waits for it.
const MULTILINE_WAIT: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(30);
/// Below two nothing is joined; above, one record is no longer read by people.
const MULTILINE_LINES: std::ops::RangeInclusive<usize> = 2..=100_000;
/// What one stream may hold in memory.
const MULTILINE_BYTES: std::ops::RangeInclusive<u64> = 1024..=(64 << 20);
/// As `collect.max_line_bytes` at the top; a shorter cut is the sender's own wish.
const LINE_BYTES: std::ops::RangeInclusive<u64> = 256..=(64 << 20);

impl IngestConfig {
    /// What is wrong with the section: (path within the section, message) for each mistake.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        for (key, names) in [
            ("service_name_labels", &self.service_name_labels),
            ("level_fields", &self.level_fields),
            ("timestamp_fields", &self.timestamp_fields),
            ("trace_id_fields", &self.trace_id_fields),
            ("span_id_fields", &self.span_id_fields),
            ("parent_span_id_fields", &self.parent_span_id_fields),
            ("correlation_id_fields", &self.correlation_id_fields),
        ] {
            for (i, name) in names.iter().enumerate() {
                if name.is_empty() || name.len() > crate::parse::MAX_FIELD_NAME_BYTES {
                    let most = crate::parse::MAX_FIELD_NAME_BYTES;
                    wrong.push((format!("{key}.{i}"), format!("`{name}` is not 1 to {most} bytes long")));
                }
            }
        }
        if !MULTILINE_LINES.contains(&self.multiline_max_lines) {
            let (low, high) = (MULTILINE_LINES.start(), MULTILINE_LINES.end());
            let message = format!("`{}` is not between {low} and {high}", self.multiline_max_lines);
            wrong.push(("multiline_max_lines".to_owned(), message));
        }
        if !MULTILINE_WAIT.contains(&self.multiline_wait.0) {
            let (low, high) = (Period(*MULTILINE_WAIT.start()), Period(*MULTILINE_WAIT.end()));
            let message = format!("`{}` is not between {low} and {high}", self.multiline_wait);
            wrong.push(("multiline_wait".to_owned(), message));
        }
        for (key, size, range) in [
            ("multiline_max_bytes", self.multiline_max_bytes, MULTILINE_BYTES),
            ("max_line_bytes", self.max_line_bytes, LINE_BYTES),
        ] {
            if !range.contains(&size.0) {
                let (low, high) = (ByteSize(*range.start()), ByteSize(*range.end()));
                wrong.push((key.to_owned(), format!("`{size}` is not between {low} and {high}")));
            }
        }
        let redact = self.redact.validate();
        wrong.extend(redact.into_iter().map(|(key, message)| (format!("redact.{key}"), message)));
        wrong.extend(self.push.validate().into_iter().map(|(key, message)| (format!("push.{key}"), message)));
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid() {
        assert_eq!(IngestConfig::default().validate(), []);
    }

    #[test]
    fn all_mistakes_are_named_at_once() {
        let config = IngestConfig {
            trace_id_fields: vec!["trace_id".into(), String::new()],
            multiline_max_lines: 1,
            multiline_wait: Period(Duration::ZERO),
            multiline_max_bytes: ByteSize(1),
            max_line_bytes: ByteSize(1 << 40),
            push: PushConfig { max_entries: 0, ..PushConfig::default() },
            ..IngestConfig::default()
        };
        let keys: Vec<String> = config.validate().into_iter().map(|(key, _)| key).collect();
        let expected = [
            "trace_id_fields.1",
            "multiline_max_lines",
            "multiline_wait",
            "multiline_max_bytes",
            "max_line_bytes",
            "push.max_entries",
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn names_of_settings_read_as_in_the_contract() {
        let config: IngestConfig = serde_json::from_str(
            r#"{"detect_level":false,"discover_service_name":false,"multiline":"off","push":{"max_entries":7}}"#,
        )
        .unwrap();
        assert!(!config.detect_level && !config.discover_service_name);
        assert_eq!((config.multiline, config.push.max_entries), (Multiline::Off, 7));
    }
}
