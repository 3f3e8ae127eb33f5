//! What the push endpoints count.

use axum::http::StatusCode;
use prometheus::{IntCounterVec, Opts, Registry};

use super::Format;

pub(super) struct Metrics {
    requests: IntCounterVec,
    lines: IntCounterVec,
    cut_lines: IntCounterVec,
    refused_lines: IntCounterVec,
    bytes: IntCounterVec,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        Ok(Self {
            requests: counter(
                "binnacle_push_requests_total",
                "Push requests answered, by format and HTTP status.",
                &["format", "status"],
            )?,
            lines: counter("binnacle_push_lines_total", "Lines stored from pushes.", &["format"])?,
            cut_lines: counter(
                "binnacle_push_cut_lines_total",
                "Pushed lines longer than ingest.max_line_bytes, of which only that much was stored.",
                &["format"],
            )?,
            refused_lines: counter(
                "binnacle_push_refused_lines_total",
                "Lines refused of pushes that were taken otherwise, or of which every line was wrong.",
                &["format"],
            )?,
            bytes: counter(
                "binnacle_push_received_bytes_total",
                "Bytes of push bodies received, as sent.",
                &["format"],
            )?,
        })
    }

    pub(super) fn read(&self, format: Format, bytes: usize) {
        self.bytes.with_label_values(&[format.name()]).inc_by(bytes as u64);
    }

    pub(super) fn answered(&self, format: Format, status: StatusCode) {
        self.requests.with_label_values(&[format.name(), status.as_str()]).inc();
    }

    pub(super) fn refused(&self, format: Format, lines: usize) {
        self.refused_lines.with_label_values(&[format.name()]).inc_by(lines as u64);
    }

    pub(super) fn stored(&self, format: Format, lines: usize, cut: usize) {
        self.lines.with_label_values(&[format.name()]).inc_by(lines as u64);
        self.cut_lines.with_label_values(&[format.name()]).inc_by(cut as u64);
    }
}
