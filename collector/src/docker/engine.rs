//! The Docker daemon: version, containers and events through bollard, logs through our own client.
//!
//! An `Engine` is one successful contact. After the daemon went away a new one is made: it may have been
//! upgraded meanwhile.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::models::{ContainerInspectResponse, ContainerSummary, EventMessage};
use bollard::query_parameters::{EventsOptions, ListContainersOptions};
use futures_util::{Stream, StreamExt};
use tokio::time::timeout;

use super::host::DockerHost;
use super::metrics::Metrics;
use super::transport::LogsClient;

/// Until the head of a reply of the daemon; a list of thousands of containers takes it seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Docker cuts lines at 16 KiB, Podman's monitor at 8 KiB.
const DOCKER_CHUNK: usize = 16_384;
const PODMAN_CHUNK: usize = 8_192;
/// What is asked for, so that health checks (three exec events each) do not flood the stream. `remove` is
/// Podman's `destroy`.
const ACTIONS: [&str; 13] = [
    "create", "start", "die", "destroy", "remove", "oom", "kill", "stop", "restart", "pause", "unpause",
    "rename", "update",
];

/// Why the daemon did not answer a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    /// The daemon has no such container.
    #[error("no such container")]
    NoSuchContainer,
    /// No answer in time.
    #[error("no answer to `{0}` within {t}s", t = .1.as_secs())]
    Timeout(&'static str, Duration),
    /// The process ends.
    #[error("stopped")]
    Stopped,
    /// The event stream came to an end.
    #[error("the event stream has ended")]
    EventsEnded,
    /// Anything else.
    #[error("{}", plain_words(.0))]
    Api(#[from] bollard::errors::Error),
}

/// One contact with a daemon.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    docker: Docker,
    /// Asks for logs.
    pub(super) logs: LogsClient,
    /// Version of the daemon, for people.
    pub(super) version: String,
    /// Version of the API spoken, for example `1.41`.
    pub(super) api_version: String,
    /// A follow ends after the last line of the container's run. Before 23 it may end some lines earlier.
    pub(super) follows_to_the_end: bool,
    /// Podman's imitation: counts `tail` wrongly and cuts lines shorter.
    pub(super) podman: bool,
    metrics: Metrics,
}

/// Something happened to a container.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// Full id.
    pub(super) id: String,
    /// `start`, `die`, ... without what follows a colon.
    pub(super) action: String,
    /// When, in ns.
    pub(super) time_ns: i64,
    /// What the daemon says of the container: `name`, `image`, and all its labels between them.
    pub(super) attributes: HashMap<String, String>,
}

impl Engine {
    /// Asks the daemon who it is and agrees on a version of the API.
    pub(super) async fn connect(host: &DockerHost, metrics: &Metrics) -> Result<Self, EngineError> {
        let docker = host.client(REQUEST_TIMEOUT)?;
        let limit = PING_TIMEOUT;
        let docker = timeout(limit, docker.negotiate_version())
            .await
            .map_err(|_| EngineError::Timeout("version", limit))??;
        let version =
            timeout(limit, docker.version()).await.map_err(|_| EngineError::Timeout("version", limit))??;
        let spoken = docker.client_version();
        let api_version = format!("{}.{}", spoken.major_version, spoken.minor_version);
        let podman = version.components.iter().flatten().any(|part| part.name.contains("Podman"));
        let api_of_23 = (spoken.major_version, spoken.minor_version) >= (1, 42);
        Ok(Self {
            follows_to_the_end: api_of_23 && !podman,
            logs: LogsClient::new(host.clone(), api_version.clone()),
            docker,
            version: version.version.unwrap_or_default(),
            api_version,
            podman,
            metrics: metrics.clone(),
        })
    }

    /// Bytes at which the engine cuts long lines.
    pub(super) const fn chunk_size(&self) -> usize {
        if self.podman { PODMAN_CHUNK } else { DOCKER_CHUNK }
    }

    /// Every container, running or not.
    pub(super) async fn list(&self) -> Result<Vec<ContainerSummary>, EngineError> {
        let options = ListContainersOptions { all: true, ..ListContainersOptions::default() };
        self.timed("list", self.docker.list_containers(Some(options))).await
    }

    /// Everything about one container.
    pub(super) async fn inspect(&self, id: &str) -> Result<ContainerInspectResponse, EngineError> {
        self.timed("inspect", self.docker.inspect_container(id, None)).await
    }

    /// What happens to containers from now on. A hint, never the truth: the daemon drops events for slow
    /// readers and forgets them when it restarts.
    pub(super) fn events(&self) -> impl Stream<Item = Result<Event, EngineError>> + Send + use<> {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        // Podman's closed list of event types differs, so the type is filtered by the server.
        let filters = HashMap::from([
            ("type".to_owned(), words(&["container"])),
            ("event".to_owned(), words(&ACTIONS)),
        ]);
        let options = EventsOptions { filters: Some(filters), ..EventsOptions::default() };
        self.docker.events(Some(options)).filter_map(|event| async move {
            match event {
                Ok(message) => container_event(message).map(Ok),
                Err(error) => Some(Err(error.into())),
            }
        })
    }

    async fn timed<T>(
        &self,
        endpoint: &'static str,
        request: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, EngineError> {
        let started = Instant::now();
        let answer = match timeout(REQUEST_TIMEOUT, request).await {
            Err(_) => Err(EngineError::Timeout(endpoint, REQUEST_TIMEOUT)),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. })) => {
                Err(EngineError::NoSuchContainer)
            }
            Ok(Err(error)) => Err(error.into()),
        };
        self.metrics.request(endpoint, started.elapsed());
        if let Err(error) = &answer {
            self.metrics.request_failed(endpoint, &error.code());
        }
        answer
    }
}

impl EngineError {
    /// For the metric: the HTTP status, or a word.
    fn code(&self) -> String {
        match self {
            Self::NoSuchContainer => "404".to_owned(),
            Self::Timeout(..) => "timeout".to_owned(),
            Self::Api(bollard::errors::Error::DockerResponseServerError { status_code, .. }) => {
                status_code.to_string()
            }
            Self::EventsEnded | Self::Stopped | Self::Api(_) => "transport".to_owned(),
        }
    }
}

fn container_event(message: EventMessage) -> Option<Event> {
    let actor = message.actor?;
    let id = actor.id.filter(|id| !id.is_empty())?;
    let action = message.action?;
    // `health_status: healthy`, `exec_create: /bin/sh`: only the word is an action.
    let action = action.split(':').next().unwrap_or_default().to_owned();
    let time_ns = message.time_nano.unwrap_or(0);
    Some(Event { id, action, time_ns, attributes: actor.attributes.unwrap_or_default() })
}

/// The reason at the bottom of bollard's and hyper's errors, which is the one that helps.
fn plain_words(error: &bollard::errors::Error) -> String {
    if let bollard::errors::Error::SocketNotFoundError(path) = error {
        return format!("there is no socket at `{path}`");
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
