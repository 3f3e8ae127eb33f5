//! Our own HTTP/1.1 client for one endpoint, `/containers/{id}/logs`.
//!
//! bollard cannot be used for it: it sends `since` in whole seconds and an `until` with every request, turns
//! the daemon's error frames into output, and does not tell a cut reply from one that ended.
//!
//! The invariant: a wait on the daemon is bounded, except for the next byte of a followed log.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_util::either::Either;

use super::host::DockerHost;
use super::poll::Query;
use super::timestamp;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The daemon takes the container's lock before it answers; 23.0.0 hangs on `tail` of an empty log.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A reply that is no follow and gives nothing for so long hangs.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Most of an error's body that is read, in bytes.
const MAX_ERROR_BODY: usize = 4096;

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogsError {
    /// No connection to the daemon.
    #[error("cannot connect to {host}: {source}")]
    Connect {
        /// Where.
        host: String,
        /// The system's word.
        source: std::io::Error,
    },
    /// The daemon took too long.
    #[error("no answer within {}s: {waiting_for}", limit.as_secs())]
    Timeout {
        /// What did not come.
        waiting_for: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The connection broke, or what came is no HTTP.
    #[error("the reply broke off: {0}")]
    Broken(#[from] hyper::Error),
    /// The container does not exist, or is being removed.
    #[error("the container is gone")]
    Gone,
    /// The log driver keeps nothing that can be read.
    #[error("the log driver does not support reading")]
    Unreadable,
    /// Any other answer than a log.
    #[error("status {status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The daemon's words.
        message: String,
    },
}

/// Asks one daemon for logs.
#[derive(Clone, Debug)]
pub(super) struct LogsClient {
    host: DockerHost,
    /// As in the path, for example `1.41`.
    api_version: String,
}

/// The body of a reply. Dropping it closes the connection.
pub(super) struct Reply {
    connection: Option<Connection>,
    body: Incoming,
    idle: Option<Duration>,
    date_ns: Option<i64>,
}

type Connection = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

// === impl LogsClient ===

impl LogsClient {
    pub(super) const fn new(host: DockerHost, api_version: String) -> Self {
        Self { host, api_version }
    }

    /// The log of a container as it is now.
    pub(super) async fn read(&self, id: &str, query: Query) -> Result<Reply, LogsError> {
        let mut path = self.path(id);
        if let Some(since_ns) = query.since_ns {
            path.push_str("&since=");
            path.push_str(&timestamp::since(since_ns));
        }
        if let Some(tail) = query.tail {
            path.push_str(&format!("&tail={tail}"));
        }
        self.get(&path, Some(IDLE_TIMEOUT)).await
    }

    /// What time it is there, to the second, in ns; `None` when its replies do not say.
    pub(super) async fn date_ns(&self) -> Result<Option<i64>, LogsError> {
        Ok(self.get("/_ping", Some(IDLE_TIMEOUT)).await?.date_ns())
    }

    /// What a container logs from now on.
    pub(super) async fn follow(&self, id: &str) -> Result<Reply, LogsError> {
        self.get(&format!("{}&follow=1&tail=0", self.path(id)), None).await
    }

    fn path(&self, id: &str) -> String {
        format!("/v{}/containers/{id}/logs?stdout=1&stderr=1&timestamps=1", self.api_version)
    }

    async fn get(&self, path: &str, idle: Option<Duration>) -> Result<Reply, LogsError> {
        let io = within(CONNECT_TIMEOUT, "the connection", self.connect()).await??;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await?;
        let mut connection: Connection = Box::pin(connection);
        let request = Request::get(path)
            .header(header::HOST, "docker")
            .header(header::USER_AGENT, concat!("binnacle/", env!("CARGO_PKG_VERSION")))
            .body(Empty::<Bytes>::new())
            .map_err(|error| LogsError::Refused { status: 0, message: format!("`{path}`: {error}") })?;
        let head = async {
            let response = sender.send_request(request);
            tokio::pin!(response);
            let mut open = true;
            loop {
                tokio::select! {
                    biased;
                    response = &mut response => return response.map(|response| (response, open)),
                    ended = &mut connection, if open => { ended?; open = false; }
                }
            }
        };
        let (response, open) = within(HEAD_TIMEOUT, "the head of the reply", head).await??;
        let status = response.status();
        let date_ns =
            response.headers().get(header::DATE).and_then(|date| timestamp::http_date(date.as_bytes()));
        let connection = open.then_some(connection);
        let mut reply = Reply { connection, body: response.into_body(), idle, date_ns };
        match status {
            StatusCode::OK => Ok(reply),
            StatusCode::NOT_FOUND | StatusCode::CONFLICT => Err(LogsError::Gone),
            StatusCode::NOT_IMPLEMENTED => Err(LogsError::Unreadable),
            status => {
                Err(LogsError::Refused { status: status.as_u16(), message: reply.error_message().await })
            }
        }
    }

    async fn connect(&self) -> Result<Either<UnixStream, TcpStream>, LogsError> {
        let connected = match &self.host {
            DockerHost::Unix(path) => UnixStream::connect(path).await.map(Either::Left),
            DockerHost::Tcp(address) => TcpStream::connect(address).await.map(Either::Right),
        };
        connected.map_err(|source| LogsError::Connect { host: self.host.to_string(), source })
    }
}

async fn within<T>(
    limit: Duration,
    waiting_for: &'static str,
    wait: impl Future<Output = T>,
) -> Result<T, LogsError> {
    timeout(limit, wait).await.map_err(|_| LogsError::Timeout { waiting_for, limit })
}

// === impl Reply ===

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("idle", &self.idle).finish_non_exhaustive()
    }
}

impl Reply {
    /// What time it was there when the reply began, to the second, in ns; `None` when it does not say.
    pub(super) const fn date_ns(&self) -> Option<i64> {
        self.date_ns
    }

    /// The next bytes, `None` after the whole reply. Can be dropped and called again.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, LogsError> {
        match self.idle {
            Some(limit) => within(limit, "the next part of the reply", self.next_chunk()).await?,
            None => self.next_chunk().await,
        }
    }

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, LogsError> {
        loop {
            let frame = match &mut self.connection {
                None => self.body.frame().await,
                Some(connection) => tokio::select! {
                    biased;
                    frame = self.body.frame() => frame,
                    ended = connection => {
                        self.connection = None;
                        ended?;
                        continue;
                    }
                },
            };
            match frame {
                None => return Ok(None),
                // Trailers carry nothing for us.
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// What an error's body says: `{"message": "..."}`.
    async fn error_message(&mut self) -> String {
        let mut body = Vec::new();
        while body.len() < MAX_ERROR_BODY {
            match self.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) | Err(_) => break,
            }
        }
        body.truncate(MAX_ERROR_BODY);
        #[derive(serde::Deserialize)]
        struct Message {
            message: String,
        }
        match serde_json::from_slice::<Message>(&body) {
            Ok(message) => message.message,
            Err(_) => String::from_utf8_lossy(&body).trim().to_owned(),
        }
    }
}
