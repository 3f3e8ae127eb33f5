//! Everything about containers that is not their logs: metrics and lifecycle, over one client of the daemon.
//!
//! Independent of the log collector: neither waits for the other, and either may fail alone.

use std::time::Duration;

use bollard::Docker;
use prometheus::Registry;
use store::Writer;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::CollectConfig;
use crate::docker::{DockerHost, Selection};
use crate::lifecycle::{LifecycleMetrics, Past, Recorder};
use crate::stats::{Containers, Exporter, Sampler, SamplerMetrics, StatsConfig};

/// Waits between attempts to reach a daemon for the first time.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LAST: Duration = Duration::from_secs(5);
/// Longest wait for the head of an answer. A stats request waits for the daemon's next reading.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there can be no observer.
#[derive(Debug, thiserror::Error)]
pub enum ObserverError {
    /// A name pattern.
    #[error("`collect.include_names` or `collect.exclude_names`: {0}")]
    Names(#[from] regex::Error),
    /// A metric is registered twice.
    #[error("cannot register metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The catalog cannot be read.
    #[error(transparent)]
    Store(#[from] store::StoreError),
}

/// Samples containers and records what happens to them.
#[derive(Debug)]
pub struct Observer {
    docker_host: DockerHost,
    config: StatsConfig,
    host: String,
    selection: Selection,
    writer: Writer,
    containers: Containers,
    exporter: Exporter,
    sampler_metrics: SamplerMetrics,
    lifecycle_metrics: LifecycleMetrics,
    past: Past,
}

impl Observer {
    /// Makes an observer of the daemon at `docker_host`, which need not be there yet. Make it before the log
    /// collector starts, since the catalog's rows tell what the last process knew.
    ///
    /// # Errors
    /// When a name pattern cannot be used, a metric is registered already, or the catalog cannot be read.
    pub fn new(
        docker_host: &DockerHost,
        config: &CollectConfig,
        writer: Writer,
        registry: &Registry,
    ) -> Result<Self, ObserverError> {
        let containers = Containers::default();
        let exporter = Exporter::new(containers.clone(), &config.stats.labels)?;
        registry.register(Box::new(exporter.clone()))?;
        Ok(Self {
            docker_host: docker_host.clone(),
            config: config.stats.clone(),
            host: config.host_label(),
            selection: Selection::new(config, crate::docker::own_container())?,
            past: Past::read(&writer)?,
            writer,
            containers,
            exporter,
            sampler_metrics: SamplerMetrics::new(registry)?,
            lifecycle_metrics: LifecycleMetrics::new(registry)?,
        })
    }

    /// Observes until cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        let docker = tokio::select! {
            () = cancel.cancelled() => return,
            docker = connected(&self.docker_host) => docker,
        };
        let mut tasks = JoinSet::new();
        if self.config.enabled {
            let sampler = Sampler::new(
                docker.clone(),
                self.config,
                self.containers.clone(),
                self.exporter,
                self.sampler_metrics,
                self.writer.clone(),
            );
            tasks.spawn(sampler.run(cancel.clone()));
        }
        let recorder = Recorder::new(
            docker,
            self.writer,
            self.containers,
            &self.host,
            self.selection,
            &self.past,
            self.lifecycle_metrics,
        );
        tasks.spawn(recorder.run(cancel));
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "observing containers ended");
            }
        }
    }
}

/// A client with the newest version of the API that both sides speak, once the daemon is there and answers.
async fn connected(docker_host: &DockerHost) -> Docker {
    let mut wait = RETRY_FIRST;
    loop {
        // A client of a socket that does not exist yet cannot be made at all.
        let attempt = match docker_host.client(REQUEST_TIMEOUT) {
            Ok(docker) => docker.negotiate_version().await,
            Err(error) => Err(error),
        };
        match attempt {
            Ok(docker) => return docker,
            Err(error) => tracing::debug!(%error, "the Docker daemon does not answer yet"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_LAST);
    }
}
