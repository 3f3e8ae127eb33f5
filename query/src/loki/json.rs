//! Results as JSON, keys in the order that Grafana's streaming reader needs: `resultType` and
//! `encodingFlags` before `result`.

use std::collections::BTreeMap;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::exec::Stats;
use crate::logql::eval::{Matrix, Steps};
use crate::logql::label_set::LabelSet;
use crate::logql::logs::{Category, Entry};
use crate::logql::units::format_float;

/// A body under construction.
#[derive(Debug, Default)]
pub(super) struct Body(Vec<u8>);

impl Body {
    pub(super) fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Anything serde knows; writing into memory cannot fail.
    pub(super) fn value(&mut self, value: &(impl Serialize + ?Sized)) {
        if serde_json::to_writer(&mut self.0, value).is_err() {
            self.raw("null");
        }
    }

    /// Items separated by commas.
    pub(super) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        for (i, item) in items.into_iter().enumerate() {
            if i > 0 {
                self.raw(",");
            }
            write(self, item);
        }
    }

    fn object<'a>(&mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) {
        self.raw("{");
        self.list(pairs, |body, (name, value)| {
            body.value(name);
            body.raw(":");
            body.value(value);
        });
        self.raw("}");
    }

    pub(super) fn labels(&mut self, labels: &LabelSet) {
        self.object(labels.iter());
    }

    pub(super) fn into_text(mut self) -> String {
        self.raw("\n");
        String::from_utf8_lossy(&self.0).into_owned()
    }

    pub(super) fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json; charset=UTF-8")], self.into_text()).into_response()
    }
}

/// Any serialisable value as an answer.
pub(super) fn answer(value: &(impl Serialize + ?Sized)) -> Response {
    let mut body = Body::default();
    body.value(value);
    body.into_response()
}

/// What every query result has around its `result`.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    pub(super) categorize: bool,
    pub(super) warnings: &'a [String],
    pub(super) stats: &'a Stats,
    /// Lines or series in the answer.
    pub(super) returned: usize,
}

impl Envelope<'_> {
    pub(super) fn write(&self, result_type: &str, result: impl FnOnce(&mut Body)) -> Body {
        let mut body = Body::default();
        body.raw("{\"status\":\"success\",");
        if !self.warnings.is_empty() {
            body.raw("\"warnings\":");
            body.value(self.warnings);
            body.raw(",");
        }
        body.raw("\"data\":{\"resultType\":");
        body.value(result_type);
        if self.categorize {
            body.raw(",\"encodingFlags\":[\"categorize-labels\"]");
        }
        body.raw(",\"result\":");
        result(&mut body);
        body.raw(",\"stats\":");
        self.write_stats(&mut body);
        body.raw("}}");
        body
    }

    /// Whole numbers must be written as such: logcli decodes into typed fields.
    fn write_stats(&self, body: &mut Body) {
        let stats = self.stats;
        let seconds = if stats.seconds.is_finite() { stats.seconds.max(1e-6) } else { 1e-6 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rate for people"
        )]
        let rate = |total: u64| (total as f64 / seconds) as u64;
        body.raw(&format!(
            "{{\"summary\":{{\"bytesProcessedPerSecond\":{},\"linesProcessedPerSecond\":{},\
             \"totalBytesProcessed\":{},\"totalLinesProcessed\":{},\"execTime\":{seconds:.6},\"queueTime\":0,\
             \"subqueries\":0,\"totalEntriesReturned\":{},\"splits\":0,\"shards\":0,\"totalPostFilterLines\":0,\
             \"totalStructuredMetadataBytesProcessed\":0}},\"querier\":{{}},\"ingester\":{{}},\"cache\":{{}},\
             \"index\":{{}}}}",
            rate(stats.bytes_decoded),
            rate(stats.lines_decoded),
            stats.bytes_decoded,
            stats.lines_decoded,
            self.returned
        ));
    }
}

/// Seconds, with milliseconds where there are any.
pub(super) fn seconds(ns: i64) -> String {
    let millis = ns.div_euclid(1_000_000);
    match millis.rem_euclid(1000) {
        0 => (millis / 1000).to_string(),
        rest if millis < 0 => format!("{}", millis as f64 / 1e3 + 0.0 * rest as f64),
        rest => format!("{}.{rest:03}", millis / 1000),
    }
}

fn point(body: &mut Body, ns: i64, value: f64) {
    body.raw(&format!("[{},\"{}\"]", seconds(ns), format_float(value)));
}

pub(super) fn scalar(body: &mut Body, ns: i64, value: f64) {
    point(body, ns, value);
}

pub(super) fn matrix(body: &mut Body, matrix: &Matrix, steps: Steps) {
    body.raw("[");
    body.list(matrix, |body, series| {
        body.raw("{\"metric\":");
        body.labels(&series.labels);
        body.raw(",\"values\":[");
        body.list(&series.points, |body, (k, value)| point(body, steps.time_ns(*k), *value));
        body.raw("]}");
    });
    body.raw("]");
}

pub(super) fn vector<'a>(body: &mut Body, series: impl IntoIterator<Item = (&'a LabelSet, f64)>, ns: i64) {
    body.raw("[");
    body.list(series, |body, (labels, value)| {
        body.raw("{\"metric\":");
        body.labels(labels);
        body.raw(",\"value\":");
        point(body, ns, value);
        body.raw("}");
    });
    body.raw("]");
}

/// Lines by stream. With `categorize` a stream is its own labels only, and each line has a third element
/// with the rest; without, all labels make the stream.
pub(super) fn streams(body: &mut Body, entries: &[Entry], categorize: bool) {
    let mut streams: BTreeMap<Vec<(&str, &str)>, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        let labels =
            entry.labels.iter().filter(|(category, ..)| !categorize || *category == Category::Stream);
        let key = labels.map(|(_, name, value)| (name.as_ref(), value.as_ref())).collect();
        streams.entry(key).or_default().push(entry);
    }
    // As Loki orders them: by their labels as text, in which `a1` comes before `a`.
    let mut streams: Vec<_> = streams.into_iter().collect();
    streams.sort_by_cached_key(|(labels, _)| LabelSet::new(labels.iter().copied()).to_string());
    body.raw("[");
    body.list(streams, |body, (labels, entries)| {
        body.raw("{\"stream\":");
        body.object(labels);
        body.raw(",\"values\":[");
        body.list(entries, |body, entry| line(body, entry, categorize));
        body.raw("]}");
    });
    body.raw("]");
}

fn line(body: &mut Body, entry: &Entry, categorize: bool) {
    body.raw(&format!("[\"{}\",", entry.timestamp_ns));
    body.value(&String::from_utf8_lossy(&entry.line));
    if categorize {
        let of = |wanted: &'static [Category]| {
            let pairs = entry.labels.iter().filter(|(category, ..)| wanted.contains(category));
            pairs.map(|(_, name, value)| (name.as_ref(), value.as_ref())).collect::<Vec<(&str, &str)>>()
        };
        let metadata = of(&[Category::Metadata, Category::Derived]);
        let parsed = of(&[Category::Parsed]);
        body.raw(",{");
        if !metadata.is_empty() {
            body.raw("\"structuredMetadata\":");
            body.object(metadata.iter().copied());
        }
        if !parsed.is_empty() {
            body.raw(if metadata.is_empty() { "\"parsed\":" } else { ",\"parsed\":" });
            body.object(parsed.iter().copied());
        }
        body.raw("}");
    }
    body.raw("]");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_milliseconds_only_where_needed() {
        for (ns, text) in [
            (1_588_889_221_000_000_000, "1588889221"),
            (1_588_889_221_123_999_999, "1588889221.123"),
            (500_000_000, "0.500"),
            (-1_500_000_000, "-1.5"),
            (0, "0"),
        ] {
            assert_eq!(seconds(ns), text);
        }
    }
}
