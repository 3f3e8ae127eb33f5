//! The loop that reads every running container's counters once per period.
//!
//! A round: list, inspect what changed, read the counters. A container that cannot be read costs the others
//! nothing but its own time limit; a daemon that does not answer costs one round. Rounds never overlap.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder, StatsOptionsBuilder};
use futures_util::StreamExt;
use futures_util::stream;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry};
use store::Writer;
use store::config::Limit;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::config::StatsConfig;
use super::containers::Containers;
use super::exporter::{Exporter, now_ns};
use super::host::{self, Machine};
use super::{Facts, Sample, api};
use crate::cgroup::{Cgroup, Mounts};

/// Stats requests at once. Each costs the daemon a goroutine and 2-3 ms of CPU; engines before 25 hold each
/// for up to a second, so that fewer would not get round.
const CONCURRENT_STATS: usize = 16;
/// Inspect requests at once.
const CONCURRENT_INSPECTS: usize = 8;
/// Longest wait for one answer; an engine before 25 takes one or two seconds when it is well.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);
/// Readings are stored no more often than this, however short the period is.
const STORE_INTERVAL: Duration = Duration::from_secs(10);
/// Longest wait for the sizes of all writable layers.
const DISK_TIMEOUT: Duration = Duration::from_secs(120);

/// The sampler's own metrics.
#[derive(Clone, Debug)]
pub struct SamplerMetrics {
    rounds: Histogram,
    samples: IntCounterVec,
    errors: IntCounterVec,
}

impl SamplerMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When a name is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            rounds: Histogram::with_opts(
                HistogramOpts::new(
                    "binnacle_stats_round_seconds",
                    "Time to read the counters of all containers once.",
                )
                .buckets(vec![0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]),
            )?,
            samples: IntCounterVec::new(
                Opts::new("binnacle_stats_samples_total", "Readings of a container's counters, by source."),
                &["source"],
            )?,
            errors: IntCounterVec::new(
                Opts::new(
                    "binnacle_stats_errors_total",
                    "Docker requests for container metrics that failed.",
                ),
                &["operation"],
            )?,
        };
        registry.register(Box::new(metrics.rounds.clone()))?;
        registry.register(Box::new(metrics.samples.clone()))?;
        registry.register(Box::new(metrics.errors.clone()))?;
        for source in ["api", "cgroup"] {
            metrics.samples.with_label_values(&[source]).inc_by(0);
        }
        for operation in ["list", "inspect", "stats", "info", "disk"] {
            metrics.errors.with_label_values(&[operation]).inc_by(0);
        }
        Ok(metrics)
    }

    fn failed(&self, operation: &str, error: &dyn std::fmt::Display) {
        self.errors.with_label_values(&[operation]).inc();
        tracing::debug!(operation, %error, "docker request for container metrics failed");
    }
}

/// Reads the counters of all running containers, period after period.
#[derive(Debug)]
pub struct Sampler {
    docker: Docker,
    config: StatsConfig,
    containers: Containers,
    exporter: Exporter,
    metrics: SamplerMetrics,
    mounts: Mounts,
    proc: PathBuf,
    disk_read: Option<Instant>,
    writer: Writer,
    stored: Option<Instant>,
}

impl Sampler {
    /// Fills `containers` and what else `exporter` shows, and stores readings through `writer`. `docker` must have negotiated its API version.
    #[must_use]
    pub fn new(
        docker: Docker,
        config: StatsConfig,
        containers: Containers,
        exporter: Exporter,
        metrics: SamplerMetrics,
        writer: Writer,
    ) -> Self {
        let proc = PathBuf::from("/proc");
        let mounts = Mounts::read(&proc);
        Self {
            docker,
            config,
            containers,
            exporter,
            metrics,
            mounts,
            proc,
            disk_read: None,
            writer,
            stored: None,
        }
    }

    /// Samples until cancelled.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut ticks = tokio::time::interval(self.config.period.0);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = ticks.tick() => {}
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.round() => {}
            }
        }
    }

    /// Reads everything once.
    #[tracing::instrument(target = "binnacle::work", name = "collection round", skip_all)]
    pub async fn round(&mut self) {
        let started = Instant::now();
        self.read_machine().await;
        match self.list().await {
            Ok(listed) => self.inspect_changed(&listed).await,
            // The cgroups of known containers can still be read while the daemon is away.
            Err(error) => self.metrics.failed("list", &error),
        }
        self.read_counters().await;
        self.store_readings().await;
        self.read_disk_usage().await;
        self.metrics.rounds.observe(started.elapsed().as_secs_f64());
    }

    async fn list(&self) -> Result<Vec<ContainerSummary>, String> {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        within(REQUEST_TIMEOUT, self.docker.list_containers(Some(options))).await
    }

    /// Inspects containers that are new or whose listing reads differently, and forgets those that are gone.
    async fn inspect_changed(&self, listed: &[ContainerSummary]) {
        let ids: HashSet<&str> = listed.iter().filter_map(|c| c.id.as_deref()).collect();
        self.containers.retain(&ids);
        let changed: Vec<(String, String)> = {
            let entries = self.containers.lock();
            listed
                .iter()
                .filter_map(|summary| Some((summary.id.as_deref()?, listed_as(summary))))
                .filter(|(id, now)| entries.get(*id).is_none_or(|entry| entry.listed_as != *now))
                .map(|(id, now)| (id.to_owned(), now))
                .collect()
        };
        let requests: Vec<_> =
            changed.into_iter().map(|(id, listed_as)| self.inspect(id, listed_as)).collect();
        let mut answers = stream::iter(requests).buffer_unordered(CONCURRENT_INSPECTS);
        while let Some((id, listed_as, answer)) = answers.next().await {
            match answer {
                Ok(Some(facts)) => {
                    self.containers.update(facts);
                    if let Some(entry) = self.containers.lock().get_mut(&id) {
                        entry.listed_as = listed_as;
                    }
                }
                Ok(None) => self.containers.remove(&id),
                Err(error) => self.metrics.failed("inspect", &error),
            }
        }
    }

    /// The container's id, how it was listed, and its facts: `None` when it is gone.
    async fn inspect(
        &self,
        id: String,
        listed_as: String,
    ) -> (String, String, Result<Option<Facts>, String>) {
        let request = self.docker.inspect_container(&id, None::<InspectContainerOptions>);
        let facts = match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
            Ok(Ok(answer)) => Ok(Facts::of_inspect(&answer)),
            Ok(Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. })) => Ok(None),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {REQUEST_TIMEOUT:?}")),
        };
        (id, listed_as, facts)
    }

    async fn read_counters(&self) {
        let running: Vec<Arc<Facts>> = {
            let entries = self.containers.lock();
            entries.values().filter(|e| e.facts.running).map(|e| Arc::clone(&e.facts)).collect()
        };
        let left = if self.config.cgroup_files { self.read_cgroups(running).await } else { running };
        let requests: Vec<_> = left.into_iter().map(|facts| self.read_api(facts)).collect();
        let mut answers = stream::iter(requests).buffer_unordered(CONCURRENT_STATS);
        while let Some((facts, sample)) = answers.next().await {
            let sample = sample.unwrap_or_else(|error| {
                self.metrics.failed("stats", &error);
                None
            });
            if sample.is_some() {
                self.metrics.samples.with_label_values(&["api"]).inc();
            }
            self.containers.put_sample(&facts.id, facts.started_ns, now_ns(), sample);
        }
    }

    /// Reads what can be read from files; returns the others.
    async fn read_cgroups(&self, running: Vec<Arc<Facts>>) -> Vec<Arc<Facts>> {
        let (containers, mounts, proc) = (self.containers.clone(), self.mounts.clone(), self.proc.clone());
        let fallback = running.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut left = Vec::new();
            let mut num_read = 0;
            for facts in running {
                let cgroup = cgroup_of(&containers, &facts, &mounts, &proc);
                let sample = cgroup.and_then(|cgroup| cgroup.read(now_ns()));
                if sample.is_none() {
                    left.push(facts);
                    continue;
                }
                num_read += 1;
                containers.put_sample(&facts.id, facts.started_ns, now_ns(), sample);
            }
            (left, num_read)
        })
        .await;
        match read {
            Ok((left, num_read)) => {
                self.metrics.samples.with_label_values(&["cgroup"]).inc_by(num_read);
                left
            }
            Err(error) => {
                tracing::error!(%error, "reading cgroup files failed");
                fallback
            }
        }
    }

    async fn read_api(&self, facts: Arc<Facts>) -> (Arc<Facts>, Result<Option<Sample>, String>) {
        let sample = self.request_sample(&facts).await;
        (facts, sample)
    }

    async fn request_sample(&self, facts: &Facts) -> Result<Option<Sample>, String> {
        let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let mut answers = std::pin::pin!(self.docker.stats(&facts.id, Some(options)));
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, answers.next()).await;
        let answer = answer.map_err(|_| format!("no answer within {REQUEST_TIMEOUT:?}"))?;
        let Some(answer) = answer else { return Ok(None) };
        let answer = answer.map_err(|error| error.to_string())?;
        let read_ns = answer.read.as_ref().and_then(|time| super::time_ns(&time.to_string()));
        Ok(api::sample_of(&answer, read_ns.unwrap_or_else(now_ns), facts.shares_network()))
    }

    async fn read_machine(&self) {
        let known = {
            let surroundings = self.exporter.surroundings.lock().unwrap_or_else(PoisonError::into_inner);
            surroundings.machine.clone()
        };
        let machine = match known {
            Some(machine) => machine,
            None => match within(REQUEST_TIMEOUT, self.docker.info()).await {
                Ok(info) => Machine {
                    cpus: info.ncpu.and_then(|n| n.try_into().ok()).unwrap_or(0),
                    memory_bytes: info.mem_total.and_then(|n| n.try_into().ok()).unwrap_or(0),
                    kernel_version: info.kernel_version.unwrap_or_default(),
                    os_version: info.operating_system.unwrap_or_default(),
                    docker_version: info.server_version.unwrap_or_default(),
                    systemd_cgroups: info.cgroup_driver.is_some_and(|d| d.to_string() == "systemd"),
                    docker_root: info.docker_root_dir.unwrap_or_default().into(),
                },
                Err(error) => return self.metrics.failed("info", &error),
            },
        };
        let proc = self.proc.clone();
        let read = tokio::task::spawn_blocking(move || {
            let host = machine.is_here(&proc).then(|| host::read_host(&proc, now_ns())).flatten();
            let disk = host.as_ref().and_then(|_| host::read_disk(&machine.docker_root, &proc));
            (machine, host, disk, host::device_names(&proc))
        });
        let Ok((machine, host, disk, devices)) = read.await else { return };
        let mut surroundings = self.exporter.surroundings.lock().unwrap_or_else(PoisonError::into_inner);
        surroundings.machine = Some(machine);
        surroundings.devices =
            if host.is_some() { devices.into_iter().collect() } else { Default::default() };
        (surroundings.host, surroundings.disk) = (host, disk);
    }

    /// Keeps what was read for those who look back at a trace.
    async fn store_readings(&mut self) {
        // A little early counts: ticks are not exact.
        let soon = STORE_INTERVAL - STORE_INTERVAL / 20;
        if self.stored.is_some_and(|stored| stored.elapsed() < soon) {
            return;
        }
        let round = self.containers.round(now_ns());
        if round.readings.is_empty() {
            return;
        }
        self.stored = Some(Instant::now());
        let writer = self.writer.clone();
        let stored = tokio::task::spawn_blocking(move || writer.store_readings_blocking(&round)).await;
        match stored {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "traces lack readings of containers"),
            Err(error) => tracing::error!(%error, "storing readings of containers failed"),
        }
    }

    async fn read_disk_usage(&mut self) {
        let Limit(Some(period)) = self.config.disk_period else { return };
        if self.disk_read.is_some_and(|read| read.elapsed() < period.0) {
            return;
        }
        self.disk_read = Some(Instant::now());
        let options = ListContainersOptionsBuilder::new().size(true).build();
        match within(DISK_TIMEOUT, self.docker.list_containers(Some(options))).await {
            Ok(listed) => {
                let mut entries = self.containers.lock();
                for summary in listed {
                    let Some(entry) = summary.id.as_deref().and_then(|id| entries.get_mut(id)) else {
                        continue;
                    };
                    entry.writable_bytes = Some(summary.size_rw.and_then(|n| n.try_into().ok()).unwrap_or(0));
                }
            }
            Err(error) => self.metrics.failed("disk", &error),
        }
    }
}

/// The cgroup files of the container's present run, looked for once per run.
fn cgroup_of(containers: &Containers, facts: &Facts, mounts: &Mounts, proc: &Path) -> Option<Arc<Cgroup>> {
    if let Some((started_ns, known)) = containers.lock().get(&facts.id).and_then(|e| e.cgroup.clone())
        && started_ns == facts.started_ns
    {
        return known;
    }
    let found = Cgroup::locate(facts, mounts, proc).map(Arc::new);
    if let Some(entry) = containers.lock().get_mut(&facts.id) {
        entry.cgroup = Some((facts.started_ns, found.clone()));
    }
    found
}

/// What the listing says of a container, without the clock in it: name, state, health or exit code.
///
/// In the first minute the clock stays, so that a container that was restarted between two rounds is noticed.
fn listed_as(summary: &ContainerSummary) -> String {
    let state = summary.state.as_ref().map(ToString::to_string).unwrap_or_default();
    let status = summary.status.as_deref().unwrap_or_default();
    let young = status.contains("second");
    let bracket =
        status.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(inside, _)| inside);
    let names = summary.names.as_ref().map(|names| names.join(",")).unwrap_or_default();
    let clock = if young { status } else { "" };
    format!("{names} {state} {bracket} {clock}")
}

async fn within<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, String> {
    match tokio::time::timeout(limit, request).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {limit:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(state: &str, status: &str) -> String {
        let json = format!(r#"{{"Id":"ab","Names":["/web"],"State":"{state}","Status":"{status}"}}"#);
        listed_as(&serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn the_clock_alone_is_no_change() {
        assert_eq!(listed("running", "Up 5 minutes"), listed("running", "Up 2 hours"));
        assert_eq!(listed("exited", "Exited (1) 5 minutes ago"), listed("exited", "Exited (1) 2 days ago"));
    }

    #[test]
    fn state_health_exit_code_and_a_young_clock_are_changes() {
        let old = listed("running", "Up 5 minutes (healthy)");
        assert_ne!(old, listed("running", "Up 5 minutes (unhealthy)"));
        assert_ne!(old, listed("running", "Up 5 seconds (healthy)"), "restarted since");
        assert_ne!(old, listed("exited", "Exited (1) 5 minutes ago"));
        assert_ne!(listed("exited", "Exited (1) 1 hour ago"), listed("exited", "Exited (2) 1 hour ago"));
    }
}
