//! What the Docker collector counts.
//!
//! Series of a container carry its name. They are shared by containers of one name (a recreated one takes
//! over while the old one is still being removed) and vanish with the last of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use store::GapReason;

use super::frames::Stream;

/// How lines are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// By asking Docker's API.
    Api,
    /// From the driver's files.
    Files,
}

impl Mode {
    const ALL: [Self; 2] = [Self::Api, Self::Files];

    /// Value of the label `mode`.
    const fn name(self) -> &'static str {
        match self {
            Self::Api => store::Container::FROM_API,
            Self::Files => store::Container::FROM_FILES,
        }
    }
}

/// Seconds; requests take 0.3 ms to seconds.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0];

/// All of the collector's metrics. Cloning shares them.
#[derive(Clone, Debug)]
pub(super) struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    daemon_up: IntGauge,
    daemon_info: IntGaugeVec,
    events: IntCounterVec,
    events_reconnects: IntCounter,
    request_seconds: HistogramVec,
    request_errors: IntCounterVec,
    lines: IntCounterVec,
    bytes: IntCounterVec,
    overlap: IntCounter,
    gaps: IntCounterVec,
    partials_joined: IntCounter,
    truncated: IntCounter,
    decode_errors: IntCounter,
    clock_steps: IntCounter,
    failures: IntCounterVec,
    unreadable: IntGaugeVec,
    nonblocking: IntGaugeVec,
    lag_seconds: GaugeVec,
    commit_seconds: HistogramVec,
    append_errors: IntCounter,
    doorbells: IntGauge,
    containers: IntGauge,
    by_name: Mutex<HashMap<String, Weak<Series>>>,
}

/// The series of one container name.
#[derive(Debug)]
pub(super) struct Series {
    name: String,
    /// By stream and mode; of files there are some only for containers whose files are read.
    lines: [[OnceLock<IntCounter>; 2]; 2],
    bytes: [IntCounter; 2],
    lag_seconds: Gauge,
    metrics: Metrics,
}

fn made<T: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<T>,
) -> prometheus::Result<T> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    made(registry, IntCounter::new(name, help))
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    made(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    made(registry, IntGauge::new(name, help))
}

fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<HistogramVec> {
    made(registry, HistogramVec::new(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()), labels))
}

impl Metrics {
    /// Registers everything; fails when a name is taken.
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let r = registry;
        Ok(Self(Arc::new(Inner {
            daemon_up: gauge(r, "docker_daemon_up", "Whether the Docker daemon answers.")?,
            daemon_info: made(
                r,
                IntGaugeVec::new(
                    Opts::new(
                        "docker_daemon_info",
                        "Version of the Docker daemon and of the API spoken; always 1.",
                    ),
                    &["version", "api_version"],
                ),
            )?,
            events: counters(r, "docker_events_total", "Container events received.", &["action"])?,
            events_reconnects: counter(
                r,
                "docker_events_reconnects_total",
                "Times the event stream broke off.",
            )?,
            request_seconds: histogram(
                r,
                "docker_api_request_seconds",
                "Time of a request to the daemon, to the end of its reply.",
                &["endpoint"],
            )?,
            request_errors: counters(
                r,
                "docker_api_errors_total",
                "Failed requests.",
                &["endpoint", "code"],
            )?,
            lines: counters(
                r,
                "docker_logs_lines_total",
                "Lines collected, before stack traces are joined.",
                &["name", "stream", "mode"],
            )?,
            bytes: counters(r, "docker_logs_bytes_total", "Bytes of lines collected.", &["name", "stream"])?,
            overlap: counter(
                r,
                "docker_logs_duplicates_dropped_total",
                "Messages received again and dropped: the overlap that proves that no line is missing.",
            )?,
            gaps: counters(r, "docker_logs_gaps_total", "Places where lines may be missing.", &["reason"])?,
            partials_joined: counter(
                r,
                "docker_logs_partials_joined_total",
                "Lines put together from several messages.",
            )?,
            truncated: counter(r, "docker_logs_truncated_total", "Lines cut because they were too long.")?,
            decode_errors: counter(r, "docker_logs_decode_errors_total", "Replies that are no log.")?,
            clock_steps: counter(r, "docker_clock_steps_total", "Times a log's clock was set back.")?,
            failures: counters(
                r,
                "docker_logs_reconnects_total",
                "Reads of a log that broke off and were done again.",
                &["reason"],
            )?,
            unreadable: made(
                r,
                IntGaugeVec::new(
                    Opts::new(
                        "docker_logs_unreadable",
                        "Containers whose log driver keeps nothing readable.",
                    ),
                    &["name", "driver"],
                ),
            )?,
            nonblocking: made(
                r,
                IntGaugeVec::new(
                    Opts::new(
                        "docker_logs_nonblocking",
                        "Containers with the log option mode=non-blocking: Docker drops lines of them unseen.",
                    ),
                    &["name"],
                ),
            )?,
            lag_seconds: made(
                r,
                GaugeVec::new(
                    Opts::new("docker_logs_lag_seconds", "Age of the newest line when it was stored last."),
                    &["name"],
                ),
            )?,
            commit_seconds: histogram(
                r,
                "docker_cursor_commit_seconds",
                "Time until the store has made lines and their cursor durable.",
                &[],
            )?,
            append_errors: counter(
                r,
                "docker_logs_append_errors_total",
                "Times the store refused lines; they are offered again.",
            )?,
            doorbells: gauge(r, "docker_logs_doorbells", "Quiet containers whose log is watched for news.")?,
            containers: gauge(r, "docker_logs_containers", "Containers known to the collector.")?,
            by_name: Mutex::default(),
        })))
    }

    /// The series of the container `name`.
    pub(super) fn series(&self, name: &str) -> Arc<Series> {
        let mut by_name = self.0.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = by_name.get(name).and_then(Weak::upgrade) {
            return series;
        }
        let streams = Stream::ALL.map(Stream::name);
        let series = Arc::new(Series {
            name: name.to_owned(),
            lines: Stream::ALL
                .map(|stream| [OnceLock::from(self.0.lines_of(name, stream, Mode::Api)), OnceLock::new()]),
            bytes: streams.map(|stream| self.0.bytes.with_label_values(&[name, stream])),
            lag_seconds: self.0.lag_seconds.with_label_values(&[name]),
            metrics: self.clone(),
        });
        by_name.insert(name.to_owned(), Arc::downgrade(&series));
        series
    }

    /// The daemon answered, or (`None`) stopped doing so.
    pub(super) fn daemon(&self, versions: Option<(&str, &str)>) {
        self.0.daemon_up.set(i64::from(versions.is_some()));
        if let Some((version, api_version)) = versions {
            self.0.daemon_info.reset();
            self.0.daemon_info.with_label_values(&[version, api_version]).set(1);
        }
    }

    pub(super) fn event(&self, action: &str) {
        self.0.events.with_label_values(&[action]).inc();
    }

    pub(super) fn events_broke_off(&self) {
        self.0.events_reconnects.inc();
    }

    pub(super) fn request(&self, endpoint: &str, time: Duration) {
        self.0.request_seconds.with_label_values(&[endpoint]).observe(time.as_secs_f64());
    }

    pub(super) fn request_failed(&self, endpoint: &str, code: &str) {
        self.0.request_errors.with_label_values(&[endpoint, code]).inc();
    }

    pub(super) fn overlap(&self, messages: u64) {
        self.0.overlap.inc_by(messages);
    }

    pub(super) fn gap(&self, reason: GapReason) {
        self.0.gaps.with_label_values(&[reason.name()]).inc();
    }

    pub(super) fn decode_error(&self) {
        self.0.decode_errors.inc();
    }

    pub(super) fn clock_step(&self) {
        self.0.clock_steps.inc();
    }

    /// A read broke off, `reason` being one of a few words.
    pub(super) fn broke_off(&self, reason: &str) {
        self.0.failures.with_label_values(&[reason]).inc();
    }

    pub(super) fn unreadable(&self, name: &str, driver: &str, yes: bool) {
        if yes {
            self.0.unreadable.with_label_values(&[name, driver]).set(1);
        } else if self.0.unreadable.remove_label_values(&[name, driver]).is_err() {
            // It was not there, which is how it should be.
        }
    }

    pub(super) fn committed(&self, time: Duration) {
        self.0.commit_seconds.with_label_values::<&str>(&[]).observe(time.as_secs_f64());
    }

    pub(super) fn append_failed(&self) {
        self.0.append_errors.inc();
    }

    pub(super) fn doorbells(&self, change: i64) {
        self.0.doorbells.add(change);
    }

    pub(super) fn containers(&self, count: usize) {
        self.0.containers.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

impl Inner {
    fn lines_of(&self, name: &str, stream: Stream, mode: Mode) -> IntCounter {
        self.lines.with_label_values(&[name, stream.name(), mode.name()])
    }
}

impl Series {
    /// A line was collected, from `chunks` messages, and (`cut`) shortened.
    pub(super) fn line(&self, stream: Stream, mode: Mode, bytes: usize, chunks: u32, cut: bool) {
        let lines = &self.lines[stream.index()][mode as usize];
        lines.get_or_init(|| self.metrics.0.lines_of(&self.name, stream, mode)).inc();
        self.bytes[stream.index()].inc_by(bytes as u64);
        if chunks > 1 {
            self.metrics.0.partials_joined.inc();
        }
        if cut {
            self.metrics.0.truncated.inc();
        }
    }

    /// Docker may drop lines of it before anybody can read them.
    pub(super) fn nonblocking(&self) {
        self.metrics.0.nonblocking.with_label_values(&[&self.name]).set(1);
    }

    /// The newest stored line is this old.
    pub(super) fn lag(&self, seconds: f64) {
        self.lag_seconds.set(seconds);
    }
}

impl Drop for Series {
    fn drop(&mut self) {
        let inner = &self.metrics.0;
        let mut by_name = inner.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        // A new container of this name may have made new series between our last user and this lock.
        if by_name.get(&self.name).is_some_and(|series| series.strong_count() > 0) {
            return;
        }
        by_name.remove(&self.name);
        for stream in Stream::ALL.map(Stream::name) {
            for mode in Mode::ALL.map(Mode::name) {
                if inner.lines.remove_label_values(&[&self.name, stream, mode]).is_err() {
                    // No line was read in this way.
                }
            }
            let removed = inner.bytes.remove_label_values(&[&self.name, stream]);
            debug_assert!(removed.is_ok(), "the series was made with these labels");
        }
        let removed = inner.lag_seconds.remove_label_values(&[&self.name]);
        debug_assert!(removed.is_ok(), "the series was made with this label");
        if inner.nonblocking.remove_label_values(&[&self.name]).is_err() {
            // It blocks, as most do.
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series_count(registry: &Registry, family: &str) -> usize {
        registry.gather().iter().filter(|f| f.name() == family).map(|f| f.get_metric().len()).sum()
    }

    #[test]
    fn series_vanish_with_the_last_container_of_a_name() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        let (old, new) = (metrics.series("web"), metrics.series("web"));
        old.line(Stream::Stdout, Mode::Api, 10, 1, false);
        old.nonblocking();
        drop(old);
        new.line(Stream::Stdout, Mode::Files, 10, 3, true);
        let counted = new.lines[0].each_ref().map(|lines| lines.get().map(IntCounter::get));
        assert_eq!(counted, [Some(1), Some(1)]);
        assert_eq!(series_count(&registry, "docker_logs_lines_total"), 3);
        drop(new);
        assert_eq!(series_count(&registry, "docker_logs_lines_total"), 0);
        assert_eq!(series_count(&registry, "docker_logs_lag_seconds"), 0);
        assert_eq!(series_count(&registry, "docker_logs_nonblocking"), 0);
    }

    #[test]
    fn every_metric_has_help() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        metrics.gap(GapReason::Rotated);
        assert!(registry.gather().iter().all(|family| !family.help().is_empty()));
    }
}
