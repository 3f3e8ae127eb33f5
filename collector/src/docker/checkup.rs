//! Whether the daemon can be collected from: a look at everything that a start needs, without starting.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::container::Description;
use super::engine::{Engine, EngineError};
use super::host::DockerHost;
use super::metrics::Metrics;
use super::poll::Query;
use super::select::Selection;
use super::transport::LogsError;
use super::{SourceError, own_container, timestamp};
use crate::config::CollectConfig;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Containers looked at at once.
const AT_ONCE: usize = 8;
/// Containers looked at: of more, the number is told.
const MAX_CONTAINERS: usize = 1_000;

/// What a look at a daemon shows.
#[derive(Clone, Debug)]
pub struct Checkup {
    /// Version of the daemon.
    pub version: String,
    /// Version of the API agreed on.
    pub api_version: String,
    /// Its clock minus ours, in ns, right to about a second; `None` when its replies bear no date.
    pub clock_ahead_ns: Option<i64>,
    /// Containers that exist.
    pub containers: usize,
    /// Containers whose lines cannot all be had, by name.
    pub troubles: Vec<Trouble>,
    /// Containers not looked at.
    pub omitted: usize,
}

/// Why lines of a container cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Its name.
    pub container: String,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a container's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its driver keeps nothing that can be read.
    Unreadable {
        /// Name of the driver.
        driver: String,
    },
    /// Docker drops lines when its buffer for them is full.
    NonBlocking,
    /// Reading it failed.
    Failed(String),
}

/// The daemon cannot be collected from.
#[derive(Debug, thiserror::Error)]
pub enum CheckupError {
    /// This user may not speak to it.
    #[error("no permission to use `{0}`")]
    Denied(DockerHost),
    /// Nobody listens there.
    #[error("no daemon at `{host}`: {reason}")]
    Absent {
        /// Where.
        host: DockerHost,
        /// The system's word.
        reason: String,
    },
    /// It listens and does not answer as a daemon does.
    #[error("the daemon at `{host}` does not answer as expected: {reason}")]
    Odd {
        /// Where.
        host: DockerHost,
        /// What came instead.
        reason: String,
    },
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SourceError),
}

/// Looks at the daemon at `host`, and at every container that `config` collects.
///
/// # Errors
/// When it cannot be collected from at all.
pub async fn check(host: &DockerHost, config: &CollectConfig) -> Result<Checkup, CheckupError> {
    connect(host).await?;
    let odd = |error: EngineError| CheckupError::Odd { host: host.clone(), reason: error.to_string() };
    let metrics = Metrics::new(&prometheus::Registry::new()).map_err(SourceError::from)?;
    let selection = Selection::new(config, own_container()).map_err(SourceError::from)?;
    let engine = Engine::connect(host, &metrics).await.map_err(odd)?;
    let clock_ahead_ns = engine.logs.date_ns().await.ok().flatten().map(|date_ns| {
        // Dates are cut to whole seconds: half of one is the best guess of the rest.
        date_ns.saturating_add(500_000_000).saturating_sub(timestamp::now_ns())
    });
    let listed = engine.list().await.map_err(odd)?;
    let containers = listed.len();
    let ids: Vec<String> = listed.into_iter().filter_map(|listed| listed.id).take(MAX_CONTAINERS).collect();
    let omitted = containers - ids.len();
    let looks: Vec<_> = ids.iter().map(|id| look(&engine, &selection, id)).collect();
    let mut troubles: Vec<Trouble> =
        stream::iter(looks).buffer_unordered(AT_ONCE).filter_map(async |trouble| trouble).collect().await;
    troubles.sort_by(|a, b| a.container.cmp(&b.container));
    let Engine { version, api_version, .. } = engine;
    Ok(Checkup { version, api_version, clock_ahead_ns, containers, troubles, omitted })
}

/// Connects and hangs up, for the reason why that fails.
async fn connect(host: &DockerHost) -> Result<(), CheckupError> {
    let connecting = async {
        match host {
            DockerHost::Unix(path) => UnixStream::connect(path).await.map(drop),
            DockerHost::Tcp(address) => TcpStream::connect(address).await.map(drop),
        }
    };
    let absent = |reason: String| CheckupError::Absent { host: host.clone(), reason };
    match timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(CheckupError::Denied(host.clone()))
        }
        Ok(Err(error)) => Err(absent(error.to_string())),
        Err(_) => Err(absent(format!("no connection within {}s", CONNECT_TIMEOUT.as_secs()))),
    }
}

async fn look(engine: &Engine, selection: &Selection, id: &str) -> Option<Trouble> {
    let description = match engine.inspect(id).await {
        Ok(answer) => Description::new(id, answer),
        // It went away meanwhile.
        Err(EngineError::NoSuchContainer) => return None,
        Err(error) => {
            return Some(Trouble { container: id.to_owned(), reason: Reason::Failed(error.to_string()) });
        }
    };
    if selection.refuses(&description).is_some() {
        return None;
    }
    // The daemon alone knows what it can read: drivers come as plugins, and some have a cache beside them.
    let read = engine.logs.read(id, Query { since_ns: None, tail: Some(1) }).await;
    let reason = match read {
        Ok(_) if description.nonblocking => Reason::NonBlocking,
        Ok(_) | Err(LogsError::Gone) => return None,
        Err(LogsError::Unreadable) => Reason::Unreadable { driver: description.driver },
        Err(error) => Reason::Failed(error.to_string()),
    };
    Some(Trouble { container: description.name, reason })
}
