//! The store's own metrics.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::state::State;

/// Upper bounds of the commit histogram, in seconds: a sync takes 0.2 to 10 ms, a slow disk a second.
const COMMIT_BUCKETS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Upper bounds of the histograms of background work, in seconds.
const WORK_BUCKETS: [f64; 8] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0];

/// See the module; each field's help text says what it counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) commits: IntCounter,
    pub(crate) commit_failures: IntCounter,
    pub(crate) commit_seconds: Histogram,
    pub(crate) payload_bytes: IntCounter,
    pub(crate) append_waits: IntCounter,
    pub(crate) head_bytes: IntGauge,
    pub(crate) head_records: IntGauge,
    pub(crate) flush_seconds: Histogram,
    pub(crate) flush_failures: IntCounter,
    pub(crate) merge_seconds: Histogram,
    pub(crate) merge_failures: IntCounter,
    pub(crate) parts: IntGauge,
    pub(crate) windows: IntGauge,
    pub(crate) part_bytes: IntGauge,
    pub(crate) unindexed_parts: IntGauge,
    pub(crate) dropped_windows: IntCounterVec,
    pub(crate) spans: IntGauge,
    pub(crate) span_bytes: IntGauge,
    pub(crate) expired_spans: IntCounterVec,
    pub(crate) free_bytes: IntGauge,
    pub(crate) damaged: IntCounter,
}

impl Metrics {
    /// Makes the metrics and puts them into `registry`. In a registry that has them already (a second store
    /// in one process, as tests have it) they count without being shown.
    pub(crate) fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| shown(registry, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| shown(registry, IntGauge::new(name, help));
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            shown(registry, Histogram::with_opts(opts))
        };
        Self {
            commits: counter("binnacle_store_commits_total", "Transactions that stored records or cursors."),
            commit_failures: counter(
                "binnacle_store_commit_failures_total",
                "Transactions that failed; their sources try again.",
            ),
            commit_seconds: histogram(
                "binnacle_store_commit_seconds",
                "Time to encode, store and publish one transaction.",
                &COMMIT_BUCKETS,
            ),
            payload_bytes: counter(
                "binnacle_store_batch_bytes_total",
                "Compressed bytes of records written to the catalog.",
            ),
            append_waits: counter(
                "binnacle_store_append_waits_total",
                "Appends that had to wait because store.head_bytes was used up.",
            ),
            head_bytes: gauge("binnacle_store_head_bytes", "Memory of records that are not yet in blocks."),
            head_records: gauge("binnacle_store_head_records", "Records that are not yet in blocks."),
            flush_seconds: histogram(
                "binnacle_store_flush_seconds",
                "Time to build and store the blocks of one flush.",
                &WORK_BUCKETS,
            ),
            flush_failures: counter(
                "binnacle_store_flush_failures_total",
                "Flushes that failed and are tried again.",
            ),
            merge_seconds: histogram(
                "binnacle_store_merge_seconds",
                "Time to merge some parts into one.",
                &WORK_BUCKETS,
            ),
            merge_failures: counter("binnacle_store_merge_failures_total", "Merges that failed."),
            parts: gauge("binnacle_store_parts", "Part files."),
            windows: gauge("binnacle_store_windows", "Windows with data."),
            part_bytes: gauge("binnacle_store_part_bytes", "Bytes of the part files."),
            unindexed_parts: gauge(
                "binnacle_store_unindexed_parts",
                "Parts whose words are not yet in the index; queries read their blocks.",
            ),
            dropped_windows: shown(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "binnacle_store_dropped_windows_total",
                        "Windows deleted by retention, by reason.",
                    ),
                    &["reason"],
                ),
            ),
            spans: gauge("binnacle_store_spans", "Spans in the span index."),
            span_bytes: gauge("binnacle_store_span_bytes", "Bytes that the span index takes, about."),
            expired_spans: shown(
                registry,
                IntCounterVec::new(
                    Opts::new("binnacle_store_expired_spans_total", "Spans deleted by retention, by reason."),
                    &["reason"],
                ),
            ),
            free_bytes: gauge("binnacle_store_free_bytes", "Free space of the disk that holds the data."),
            damaged: counter("binnacle_store_damaged_total", "Stored pieces found damaged and left out."),
        }
    }
}

impl Metrics {
    /// Sets the gauges that tell what is stored.
    pub(crate) fn observe_state(&self, state: &State) {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let parts = || state.windows.values().flat_map(|window| &window.parts);
        self.head_bytes.set(count(state.head_memory()));
        self.head_records.set(count(state.head.iter().map(|commit| commit.records.len()).sum()));
        self.windows.set(count(state.windows.len()));
        self.parts.set(count(parts().count()));
        self.part_bytes
            .set(i64::try_from(parts().map(|part| part.row.bytes).sum::<u64>()).unwrap_or(i64::MAX));
    }
}

/// Puts a metric into `registry`. One whose name is there already counts without being shown.
///
/// # Panics
/// When the metric could not be made, its name or its labels being bad.
pub fn shown<M: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<M>,
) -> M {
    let metric = metric.expect("BUG: a metric with a bad name");
    if let Err(error) = registry.register(Box::new(metric.clone())) {
        tracing::debug!(%error, "a metric is there already");
    }
    metric
}
