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
use crate::docker::DockerHost;
use crate::lifecycle::{LifecycleMetrics, Recorder};
use crate::stats::{Containers, Exporter, Sampler, SamplerMetrics, StatsConfig};

/// Waits between attempts to reach a daemon for the first time.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LAST: Duration = Duration::from_secs(5);
/// Longest wait for the head of an answer. A stats request waits for the daemon's next reading.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there can be no observer.
#[derive(Debug, thiserror::Error)]
pub enum ObserverError {
    /// The address cannot be used.
    #[error("cannot use the Docker host: {0}")]
    Docker(#[from] bollard::errors::Error),
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
    docker: Docker,
    config: StatsConfig,
    containers: Containers,
    exporter: Exporter,
    sampler_metrics: SamplerMetrics,
    recorder: Recorder,
}

impl Observer {
    /// Makes an observer of the daemon at `docker_host`, which need not answer yet. Make it before the log
    /// collector starts, since the catalog's rows tell what the last process knew.
    ///
    /// # Errors
    /// When the address cannot be used, a metric is registered already, or the catalog cannot be read.
    pub fn new(
        docker_host: &DockerHost,
        config: &CollectConfig,
        writer: Writer,
        registry: &Registry,
    ) -> Result<Self, ObserverError> {
        let docker = docker_host.client(REQUEST_TIMEOUT)?;
        let (host, config) = (config.host_label(), config.stats.clone());
        let containers = Containers::default();
        let exporter = Exporter::new(containers.clone(), &config.labels)?;
        registry.register(Box::new(exporter.clone()))?;
        let metrics = LifecycleMetrics::new(registry)?;
        Ok(Self {
            recorder: Recorder::new(docker.clone(), writer, containers.clone(), host, metrics)?,
            sampler_metrics: SamplerMetrics::new(registry)?,
            docker,
            config,
            containers,
            exporter,
        })
    }

    /// Observes until cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        let docker = tokio::select! {
            () = cancel.cancelled() => return,
            docker = negotiated(self.docker) => docker,
        };
        let mut tasks = JoinSet::new();
        if self.config.enabled {
            let sampler = Sampler::new(
                docker.clone(),
                self.config,
                self.containers,
                self.exporter,
                self.sampler_metrics,
            );
            tasks.spawn(sampler.run(cancel.clone()));
        }
        tasks.spawn(self.recorder.with_docker(docker).run(cancel));
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "observing containers ended");
            }
        }
    }
}

/// The client with the newest version of the API that both sides speak, once the daemon answers.
async fn negotiated(docker: Docker) -> Docker {
    let mut wait = RETRY_FIRST;
    loop {
        match docker.clone().negotiate_version().await {
            Ok(docker) => return docker,
            Err(error) => tracing::debug!(%error, "the Docker daemon does not answer yet"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_LAST);
    }
}
