//! Writes gathered families as text 0.0.4 or OpenMetrics 1.0.
//!
//! The two differ in little: OpenMetrics names a counter's family without `_total`, writes floats with a
//! point, allows an exemplar behind a sample and ends in `# EOF`. A counter whose name lacks `_total`
//! cannot be one in OpenMetrics and is written as `unknown`, so that its name stays the same in both.

use std::fmt::Write as _;

use prometheus::proto::{LabelPair, MetricFamily, MetricType};

use super::{Exemplar, Exemplars, Format};

/// A series as it is written: `name{a="1",b="2"}`, `le` last. The key of [`Exemplars`].
#[must_use]
pub fn series_key(name: &str, labels: &[LabelPair], le: Option<f64>) -> String {
    let mut key = String::with_capacity(name.len() + 32 * labels.len());
    let le = le.map(|le| ("le", number(le, Format::OpenMetrics)));
    write_series(&mut key, name, labels, le.as_ref());
    key
}

/// The whole body.
pub(super) fn encode(families: &[MetricFamily], format: Format, exemplars: &Exemplars) -> String {
    let mut encoder = Encoder { out: String::with_capacity(64 * 1024), format, exemplars };
    for family in families {
        encoder.family(family);
    }
    if format == Format::OpenMetrics {
        encoder.out.push_str("# EOF\n");
    }
    encoder.out
}

struct Encoder<'a> {
    out: String,
    format: Format,
    exemplars: &'a Exemplars,
}

impl Encoder<'_> {
    fn family(&mut self, family: &MetricFamily) {
        let name = family.name();
        let mut kind = family.get_field_type();
        let mut family_name = name;
        if self.format == Format::OpenMetrics && kind == MetricType::COUNTER {
            match name.strip_suffix("_total") {
                Some(stem) => family_name = stem,
                None => kind = MetricType::UNTYPED,
            }
        }
        self.header(family_name, family.help(), kind);
        for metric in family.get_metric() {
            let labels = metric.get_label();
            match family.get_field_type() {
                MetricType::COUNTER => {
                    self.sample(name, labels, None, metric.get_counter().get_value(), true);
                }
                MetricType::GAUGE => self.sample(name, labels, None, metric.get_gauge().get_value(), false),
                MetricType::HISTOGRAM => self.histogram(name, labels, metric.get_histogram()),
                MetricType::SUMMARY => self.summary(name, labels, metric.get_summary()),
                MetricType::UNTYPED => {}
            }
        }
    }

    fn header(&mut self, name: &str, help: &str, kind: MetricType) {
        let kind = match (kind, self.format) {
            (MetricType::COUNTER, _) => "counter",
            (MetricType::GAUGE, _) => "gauge",
            (MetricType::HISTOGRAM, _) => "histogram",
            (MetricType::SUMMARY, _) => "summary",
            (MetricType::UNTYPED, Format::Text) => "untyped",
            (MetricType::UNTYPED, Format::OpenMetrics) => "unknown",
        };
        self.out.push_str("# HELP ");
        self.out.push_str(name);
        self.out.push(' ');
        escape(&mut self.out, help, self.format == Format::OpenMetrics);
        self.out.push_str("\n# TYPE ");
        self.out.push_str(name);
        self.out.push(' ');
        self.out.push_str(kind);
        self.out.push('\n');
    }

    fn histogram(&mut self, name: &str, labels: &[LabelPair], histogram: &prometheus::proto::Histogram) {
        let bucket_name = format!("{name}_bucket");
        let mut has_infinite = false;
        for bucket in histogram.get_bucket() {
            has_infinite |= bucket.upper_bound().is_infinite();
            let le = ("le", number(bucket.upper_bound(), self.format));
            #[expect(clippy::cast_precision_loss, reason = "the formats hold 64-bit floats")]
            let count = bucket.cumulative_count() as f64;
            self.sample(&bucket_name, labels, Some(&le), count, true);
        }
        #[expect(clippy::cast_precision_loss, reason = "the formats hold 64-bit floats")]
        let count = histogram.get_sample_count() as f64;
        if !has_infinite {
            self.sample(&bucket_name, labels, Some(&("le", "+Inf".to_owned())), count, true);
        }
        self.sample(&format!("{name}_sum"), labels, None, histogram.get_sample_sum(), false);
        self.sample(&format!("{name}_count"), labels, None, count, false);
    }

    fn summary(&mut self, name: &str, labels: &[LabelPair], summary: &prometheus::proto::Summary) {
        for quantile in summary.get_quantile() {
            let label = ("quantile", number(quantile.quantile(), self.format));
            self.sample(name, labels, Some(&label), quantile.value(), false);
        }
        #[expect(clippy::cast_precision_loss, reason = "the formats hold 64-bit floats")]
        let count = summary.sample_count() as f64;
        self.sample(&format!("{name}_sum"), labels, None, summary.sample_sum(), false);
        self.sample(&format!("{name}_count"), labels, None, count, false);
    }

    fn sample(
        &mut self,
        name: &str,
        labels: &[LabelPair],
        last: Option<&(&'static str, String)>,
        value: f64,
        may_have_exemplar: bool,
    ) {
        let start = self.out.len();
        write_series(&mut self.out, name, labels, last);
        let series = start..self.out.len();
        self.out.push(' ');
        self.out.push_str(&number(value, self.format));
        if may_have_exemplar && self.format == Format::OpenMetrics && !self.exemplars.is_empty() {
            let exemplar = self.out.get(series).and_then(|series| self.exemplars.get(series));
            if let Some(exemplar) = exemplar {
                write_exemplar(&mut self.out, exemplar);
            }
        }
        self.out.push('\n');
    }
}

fn write_series(out: &mut String, name: &str, labels: &[LabelPair], last: Option<&(&'static str, String)>) {
    out.push_str(name);
    let pairs = labels.iter().map(|l| (l.name(), l.value()));
    let pairs = pairs.chain(last.map(|(name, value)| (*name, value.as_str())));
    let mut separator = '{';
    for (name, value) in pairs {
        out.push(separator);
        out.push_str(name);
        out.push_str("=\"");
        escape(out, value, true);
        out.push('"');
        separator = ',';
    }
    if separator == ',' {
        out.push('}');
    }
}

/// OpenMetrics limits the names and values of an exemplar's labels to 128 characters; a longer id is left out.
fn write_exemplar(out: &mut String, exemplar: &Exemplar) {
    if exemplar.trace_id.chars().count() + "trace_id".len() > 128 {
        return;
    }
    out.push_str(" # {trace_id=\"");
    escape(out, &exemplar.trace_id, true);
    out.push_str("\"} ");
    out.push_str(&number(exemplar.value, Format::OpenMetrics));
    // Writing to a String cannot fail.
    let _ok = write!(out, " {:.3}", exemplar.timestamp_s);
}

fn escape(out: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

fn number(value: f64, format: Format) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    match format {
        Format::Text => value.to_string(),
        Format::OpenMetrics => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{Counter, Gauge, Histogram, HistogramOpts, Opts, Registry};

    use super::*;

    fn registry() -> Registry {
        let registry = Registry::new();
        let counter = Counter::with_opts(Opts::new("a_total", "Help with \"quotes\" and \\.")).unwrap();
        counter.inc_by(3.0);
        let named = Gauge::with_opts(Opts::new("b", "B.").const_label("path", "C:\\x\n\"y\"")).unwrap();
        named.set(0.5);
        let histogram =
            Histogram::with_opts(HistogramOpts::new("c_seconds", "C.").buckets(vec![0.5, 1.0])).unwrap();
        histogram.observe(0.2);
        histogram.observe(7.0);
        let wrong = Counter::with_opts(Opts::new("d", "A counter without its ending.")).unwrap();
        registry.register(Box::new(counter)).unwrap();
        registry.register(Box::new(named)).unwrap();
        registry.register(Box::new(histogram)).unwrap();
        registry.register(Box::new(wrong)).unwrap();
        registry
    }

    #[test]
    fn text_is_what_the_prometheus_crate_writes() {
        let families = registry().gather();
        let expected = prometheus::TextEncoder::new().encode_to_string(&families).unwrap();
        assert_eq!(encode(&families, Format::Text, &Exemplars::new()), expected);
    }

    #[test]
    fn open_metrics_has_exemplars_units_of_its_own_and_an_end() {
        let families = registry().gather();
        let key = series_key("c_seconds_bucket", &[], Some(0.5));
        assert_eq!(key, "c_seconds_bucket{le=\"0.5\"}");
        let exemplar = Exemplar { trace_id: "4bf9".into(), value: 0.2, timestamp_s: 1_700_000_000.25 };
        let body = encode(&families, Format::OpenMetrics, &Exemplars::from([(key, exemplar)]));
        assert_eq!(
            body,
            "# HELP a Help with \\\"quotes\\\" and \\\\.\n# TYPE a counter\na_total 3.0\n\
             # HELP b B.\n# TYPE b gauge\nb{path=\"C:\\\\x\\n\\\"y\\\"\"} 0.5\n\
             # HELP c_seconds C.\n# TYPE c_seconds histogram\n\
             c_seconds_bucket{le=\"0.5\"} 1.0 # {trace_id=\"4bf9\"} 0.2 1700000000.250\n\
             c_seconds_bucket{le=\"1.0\"} 1.0\nc_seconds_bucket{le=\"+Inf\"} 2.0\n\
             c_seconds_sum 7.2\nc_seconds_count 2.0\n\
             # HELP d A counter without its ending.\n# TYPE d unknown\nd 0.0\n# EOF\n"
        );
    }

    #[test]
    fn numbers_that_are_none_have_their_names() {
        for (value, text) in [(f64::NAN, "NaN"), (f64::INFINITY, "+Inf"), (f64::NEG_INFINITY, "-Inf")] {
            assert_eq!(number(value, Format::OpenMetrics), text);
        }
    }
}
