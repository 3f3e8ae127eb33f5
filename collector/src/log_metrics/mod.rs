//! Metrics made from log lines: lines by service and level, HTTP requests by route, and the user's own.
//!
//! Runs on every line, so most lines must cost next to nothing: a line without a trace of HTTP in it is
//! never taken apart. The number of series is bounded whatever is logged: routes are templated, label sets
//! are capped, and what does not fit is counted in a series named `overflow`.

mod config;
mod follow;
mod rules;
mod series;

use std::sync::{Arc, Mutex, PoisonError};

use correlation::request::Requests;
use correlation::route::Routes;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use store::record::attribute;
use store::{Level, Record};

pub use config::{LogMetricsConfig, Rule, RuleKind};
pub use follow::follow;

use crate::exposition::Exemplars;
use rules::Rules;
use series::{Family, Observation};

/// Metrics from log lines. Cloning shares them; each batch takes their lock once.
#[derive(Clone, Debug)]
pub struct LogMetrics {
    state: Arc<Mutex<State>>,
    desc: Desc,
}

#[derive(Debug)]
struct State {
    requests: Requests,
    routes: Routes,
    lines: Family,
    request_count: Family,
    request_errors: Family,
    request_duration: Family,
    rules: Rules,
}

/// The families of this module: name and help.
const FAMILIES: [(&str, &str); 5] = [
    ("binnacle_log_lines_total", "Log lines by service and level."),
    ("binnacle_http_requests_total", "HTTP requests seen in log lines."),
    (
        "binnacle_http_request_errors_total",
        "HTTP requests seen in log lines that were answered with a 5xx status.",
    ),
    (
        "binnacle_http_request_duration_seconds",
        "Duration of HTTP requests seen in log lines, where they tell it.",
    ),
    (
        "binnacle_log_metrics_overflow_total",
        "Observations counted in an `overflow` series because a metric has too many label sets.",
    ),
];

impl LogMetrics {
    /// Empty metrics under this configuration, which must be valid.
    ///
    /// # Errors
    /// When a rule's pattern cannot be compiled, which `LogMetricsConfig::validate` finds first.
    pub fn new(config: &LogMetricsConfig) -> prometheus::Result<Self> {
        let counter = |i: usize, labels: &[&str]| {
            let (name, help) = FAMILIES[i];
            Family::counter(name, help, labels, config.max_series)
        };
        let (name, help) = FAMILIES[3];
        let labels = ["service_name", "method", "route", "status_class"];
        let request_duration =
            Family::histogram(name, help, &labels, config.max_series, &config.duration_buckets);
        let state = State {
            requests: Requests::new(&config.duration_units),
            routes: Routes::new(config.max_slugs),
            lines: counter(0, &["service_name", "level"]),
            request_count: counter(1, &labels),
            request_errors: counter(2, &labels[..3]),
            request_duration,
            rules: Rules::new(&config.rules, config.max_series).map_err(prometheus::Error::Msg)?,
        };
        let help = "Metrics made from log lines.".to_owned();
        let desc = Desc::new("log_metrics".to_owned(), help, Vec::new(), Default::default())?;
        Ok(Self { state: Arc::new(Mutex::new(state)), desc })
    }

    /// Counts records. Call it once per record, after the record is stored.
    pub fn observe(&self, records: &[Record]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            state.observe(record);
        }
    }

    /// The latest trace id of each histogram bucket.
    #[must_use]
    pub fn exemplars(&self) -> Exemplars {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut exemplars = Exemplars::new();
        state.request_duration.add_exemplars(&mut exemplars);
        for family in state.rules.families() {
            family.add_exemplars(&mut exemplars);
        }
        exemplars
    }
}

impl State {
    fn observe(&mut self, record: &Record) {
        // Events of containers share the store with their lines, but nobody logged them.
        if record.labels.get("stream") == Some(store::lifecycle::STREAM) {
            return;
        }
        let service = record.labels.get("service_name").unwrap_or_default();
        let level = record.level.name().unwrap_or(Level::Unknown.name().unwrap_or_default());
        self.lines.observe(&[service, level], &Observation::ONE);
        self.rules.observe(service, record);
        let Some(request) = self.requests.read(&record.line) else { return };
        let route = self.routes.template(service, &request.path, request.is_template);
        let class = request.status_class();
        let labels = [service, request.method, &route, class];
        self.request_count.observe(&labels, &Observation::ONE);
        if class == "5xx" {
            self.request_errors.observe(&labels[..3], &Observation::ONE);
        }
        if let Some(value) = request.duration_s {
            let trace_id = record.pair(attribute::TRACE_ID);
            let observation = Observation { value, trace_id, timestamp_ns: record.timestamp_ns };
            self.request_duration.observe(&labels, &observation);
        }
    }

    fn families(&self) -> impl Iterator<Item = &Family> {
        [&self.lines, &self.request_count, &self.request_errors, &self.request_duration]
            .into_iter()
            .chain(self.rules.families())
    }
}

impl Collector for LogMetrics {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (name, help) = FAMILIES[4];
        let mut overflow = Family::counter(name, help, &["metric"], usize::MAX);
        for family in state.families() {
            overflow.add(&[family.name()], family.overflowed());
        }
        state.families().chain([&overflow]).map(Family::gather).collect()
    }
}

#[cfg(test)]
mod tests;
