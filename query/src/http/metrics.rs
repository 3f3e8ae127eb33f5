//! What the query side tells about itself.

use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::Config;
use crate::exec::ExecError;
use crate::exec::gate::Gate;

const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Counters and gauges of queries, tails and requests.
#[derive(Debug)]
pub struct Metrics {
    queries: IntCounterVec,
    query_seconds: HistogramVec,
    decoded_bytes: IntCounter,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    /// Live tails that are open.
    pub tails: IntGauge,
    /// Records that live tails sent.
    pub tail_records: IntCounter,
    /// Records that live tails skipped because their clients were slow.
    pub tail_skipped: IntCounter,
}

impl Metrics {
    pub(super) fn new(registry: &Registry, gate: &Gate, config: &Config) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            queries: IntCounterVec::new(
                Opts::new(
                    "binnacle_queries_total",
                    "Queries, or pages of streamed answers, by how they ended.",
                ),
                &["outcome"],
            )?,
            query_seconds: HistogramVec::new(
                HistogramOpts::new(
                    "binnacle_query_duration_seconds",
                    "Time queries ran, without waiting for their turn.",
                )
                .buckets(SECONDS.to_vec()),
                &["outcome"],
            )?,
            decoded_bytes: IntCounter::new(
                "binnacle_query_decoded_bytes_total",
                "Bytes of lines that queries decoded.",
            )?,
            requests: IntCounterVec::new(
                Opts::new(
                    "binnacle_api_requests_total",
                    "HTTP requests answered, by route, method and status.",
                ),
                &["route", "method", "status"],
            )?,
            request_seconds: HistogramVec::new(
                HistogramOpts::new(
                    "binnacle_api_request_duration_seconds",
                    "Time to the head of an answer over HTTP.",
                )
                .buckets(SECONDS.to_vec()),
                &["route"],
            )?,
            tails: IntGauge::new("binnacle_tails", "Live tails that are open.")?,
            tail_records: IntCounter::new("binnacle_tail_records_total", "Records sent to live tails.")?,
            tail_skipped: IntCounter::new(
                "binnacle_tail_skipped_records_total",
                "Records that live tails skipped because their clients were slow.",
            )?,
        };
        registry.register(Box::new(metrics.queries.clone()))?;
        registry.register(Box::new(metrics.query_seconds.clone()))?;
        registry.register(Box::new(metrics.decoded_bytes.clone()))?;
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.request_seconds.clone()))?;
        registry.register(Box::new(metrics.tails.clone()))?;
        registry.register(Box::new(metrics.tail_records.clone()))?;
        registry.register(Box::new(metrics.tail_skipped.clone()))?;
        registry.register(Box::new(GateGauges::new(gate.clone(), config.clone())?))?;
        Ok(metrics)
    }

    pub(super) fn query_done<T>(&self, result: &Result<T, ExecError>, seconds: f64, decoded_bytes: u64) {
        let outcome = match result {
            Ok(_) => "ok",
            Err(ExecError::Cancelled) => "cancelled",
            Err(ExecError::Timeout { .. }) => "timeout",
            Err(ExecError::TooManyBytes { .. } | ExecError::TooManyPoints { .. }) => "too_big",
            Err(ExecError::Busy { .. }) => "busy",
            Err(ExecError::Query(_)) => "refused",
            Err(ExecError::Store(_) | ExecError::Panicked(_)) => "failed",
        };
        self.queries.with_label_values(&[outcome]).inc();
        self.query_seconds.with_label_values(&[outcome]).observe(seconds);
        self.decoded_bytes.inc_by(decoded_bytes);
    }

    pub(super) fn request_done(&self, route: &str, method: &str, status: u16, took: Duration) {
        self.requests.with_label_values(&[route, method, &status.to_string()]).inc();
        self.request_seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }
}

/// The gate's gauges, read when asked for.
struct GateGauges {
    gate: Gate,
    config: Config,
    running: IntGauge,
    waiting: IntGauge,
}

impl GateGauges {
    fn new(gate: Gate, config: Config) -> Result<Self, prometheus::Error> {
        Ok(Self {
            gate,
            config,
            running: IntGauge::new("binnacle_queries_running", "Queries that run.")?,
            waiting: IntGauge::new("binnacle_queries_waiting", "Queries that wait for their turn.")?,
        })
    }
}

impl Collector for GateGauges {
    fn desc(&self) -> Vec<&Desc> {
        self.running.desc().into_iter().chain(self.waiting.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.running.set(i64::try_from(self.gate.running(&self.config)).unwrap_or(i64::MAX));
        self.waiting.set(i64::try_from(self.gate.waiting()).unwrap_or(i64::MAX));
        self.running.collect().into_iter().chain(self.waiting.collect()).collect()
    }
}
