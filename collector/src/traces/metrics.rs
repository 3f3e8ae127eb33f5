//! Metrics of the making of traces.

use correlation::Counters;
use prometheus::{Counter, IntCounter, IntGauge, Registry};
use rustix::time::{ClockId, clock_gettime};
use store::shown;
use store::spans::StoredTraces;

/// See the module; each field's help text says what it counts.
#[derive(Clone, Debug)]
pub struct TraceMetrics {
    open: IntGauge,
    remembered: IntGauge,
    bytes: IntGauge,
    spans: IntCounter,
    unchanged: IntCounter,
    removed: IntCounter,
    let_go: IntGauge,
    reopened: IntGauge,
    fell_behind: IntCounter,
    assembly: Counter,
}

impl TraceMetrics {
    /// Makes the metrics and puts them into `registry`.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str| shown(registry, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| shown(registry, IntGauge::new(name, help));
        Self {
            open: gauge("binnacle_traces_open", "Traces that may get further lines."),
            remembered: gauge("binnacle_traces_remembered", "Complete traces remembered for late lines."),
            bytes: gauge("binnacle_traces_bytes", "Memory of the traces that are open or remembered."),
            spans: counter("binnacle_traces_spans_total", "Spans stored that were new or changed."),
            unchanged: counter(
                "binnacle_traces_unchanged_spans_total",
                "Spans made that were stored already.",
            ),
            removed: counter(
                "binnacle_traces_removed_spans_total",
                "Spans removed because late lines showed another picture.",
            ),
            let_go: gauge(
                "binnacle_traces_let_go",
                "Traces let go early for want of room since traces were last begun.",
            ),
            reopened: gauge(
                "binnacle_traces_reopened",
                "Traces opened again by a late line since traces were last begun.",
            ),
            assembly: shown(
                registry,
                Counter::new(
                    "binnacle_traces_assembly_cpu_seconds_total",
                    "CPU time of assembling the traces of new lines; storing their spans is not part of it.",
                ),
            ),
            fell_behind: counter(
                "binnacle_traces_fell_behind_total",
                "Times records left memory before they were read and were read from the disk.",
            ),
        }
    }

    pub(super) fn observe(&self, counters: &Counters) {
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.open.set(count(counters.open as u64));
        self.remembered.set(count(counters.remembered as u64));
        self.bytes.set(count(counters.bytes as u64));
        self.let_go.set(count(counters.let_go));
        self.reopened.set(count(counters.reopened));
    }

    pub(super) fn stored(&self, stored: &StoredTraces) {
        self.spans.inc_by(stored.written);
        self.unchanged.inc_by(stored.unchanged);
        self.removed.inc_by(stored.removed);
    }

    /// Does a piece of the work of assembling and counts the CPU time of it, which must be that of this thread.
    pub(super) fn assembling<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = thread_seconds();
        let done = work();
        self.assembly.inc_by((thread_seconds() - before).max(0.0));
        done
    }

    pub(super) fn fell_behind(&self) {
        self.fell_behind.inc();
    }
}

/// CPU time that this thread has had.
fn thread_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
