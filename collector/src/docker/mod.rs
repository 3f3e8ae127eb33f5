//! Exact collection of container logs over the Docker Engine API.
//!
//! Every line that the daemon still holds is stored once; where lines may be missing, a gap is recorded.
//! That survives kills of this process and of the daemon, restarts of containers and rotation of logs,
//! because of three things:
//!
//! - logs are read by plain requests whose replies overlap, never by following (`poll`);
//! - the position behind the overlap is exact (`cursor`) and stored with the lines it covers (`sink`);
//! - events only hurry, what exists is decided by listing (`watch`).
//!
//! ```text
//! watch ──one task per container──> tail ──when?──> doorbell, events, timers
//!                                    │
//!                                    └──what?──> pass ─> transport ─> frames | tty ─> poll ─> lane ─> sink
//!                                                        (request)     (messages)    (new?)  (records) (store)
//! ```
//! Memory: per container that is being read at most one batch (1 MiB of lines), two unfinished lines
//! (`collect.max_line_bytes` each) and two stack traces; 20 containers are read at once. A quiet container
//! takes about 6 KB, and 20 KB more while its doorbell is open (256 of them).

pub mod checkup;
mod clock;
mod container;
mod coverage;
mod cursor;
mod damage;
mod departed;
mod doorbell;
mod engine;
mod files;
mod frames;
mod host;
mod lane;
mod metrics;
mod opening;
mod pace;
mod partial;
mod pass;
mod poll;
mod regain;
mod select;
mod shared;
mod sink;
mod tail;
#[cfg(test)]
mod tests;
mod timestamp;
mod transport;
mod tty;
mod watch;

use std::sync::Arc;

use store::Writer;
use tokio::sync::watch as value;
use tokio_util::sync::CancellationToken;

use crate::config::{CollectConfig, IngestConfig};
use crate::parse::Enricher;
pub use frames::{DecodeError, Decoder, Frame, Stream};
pub use host::{DockerHost, DockerHostError};
use metrics::Metrics;
pub(crate) use select::Selection;
use shared::{Parts, Shared};
use watch::Watcher;

/// How the contact with the daemon stands, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not tried yet.
    Starting,
    /// It answers.
    Connected {
        /// Version of the daemon.
        version: String,
        /// Number of containers known, running or not.
        containers: usize,
    },
    /// It does not answer; another attempt follows.
    Unreachable {
        /// Why.
        reason: String,
    },
}

/// The collector cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A name pattern.
    #[error("`collect.include_names` or `collect.exclude_names`: {0}")]
    Names(#[from] regex::Error),
    /// A metric exists already: two collectors on one registry.
    #[error("the metrics of the Docker collector: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Collects the logs of all containers of one daemon.
#[derive(Debug)]
pub struct Source {
    parts: Parts,
    docker_host: DockerHost,
    status: value::Sender<Status>,
    ready: value::Sender<bool>,
}

impl Source {
    /// A collector of the containers at `docker_host`, which stores into `writer` and counts in `registry`.
    /// Nothing is contacted before [`Source::run`].
    ///
    /// # Errors
    /// When a name pattern cannot be used, or the registry holds a collector already.
    pub fn new(
        config: &CollectConfig,
        ingest: &IngestConfig,
        enricher: Arc<Enricher>,
        writer: Writer,
        docker_host: DockerHost,
        registry: &prometheus::Registry,
    ) -> Result<Self, SourceError> {
        let parts = Parts {
            selection: Selection::new(config, own_container())?,
            host: config.host_label(),
            enricher,
            metrics: Metrics::new(registry)?,
            started_ns: timestamp::now_ns(),
            config: config.clone(),
            ingest: ingest.clone(),
            writer,
        };
        Ok(Self {
            parts,
            docker_host,
            status: value::Sender::new(Status::Starting),
            ready: value::Sender::new(false),
        })
    }

    /// Turns `true` when the containers were listed for the first time.
    #[must_use]
    pub fn ready(&self) -> value::Receiver<bool> {
        self.ready.subscribe()
    }

    /// How the contact with the daemon stands.
    #[must_use]
    pub fn status(&self) -> value::Receiver<Status> {
        self.status.subscribe()
    }

    /// Collects until `token` is cancelled, through all absences of the daemon. When this returns, every
    /// complete line that was read is stored; end the writer after it, not before.
    pub async fn run(self, token: CancellationToken) {
        let (engine, engines) = value::channel(None);
        let shared = Arc::new(Shared::new(self.parts, engines, token));
        let watcher = Watcher::new(Arc::clone(&shared), self.docker_host, engine, self.status, self.ready);
        let writer = &shared.outlet.writer;
        tokio::select! {
            () = watcher.run() => {}
            () = shared.coverage.keep(writer) => {}
        }
        if let Err(error) = shared.coverage.write(writer).await {
            tracing::debug!(%error, "cannot store up to when quiet containers were read");
        }
    }
}

/// The container this process runs in, as far as it can be found out.
pub(crate) fn own_container() -> Option<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let in_container =
        ["/.dockerenv", "/run/.containerenv"].iter().any(|path| std::path::Path::new(path).exists());
    let name = in_container.then(host_name);
    select::own_container(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"), name.as_deref())
}

/// This machine's name.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}
