//! One question to the daemon on a connection of its own, and its answer as it comes.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderName, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_util::either::Either;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::docker::DockerHost;

const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// Until the head of an answer: a list of thousands of containers takes the daemon seconds.
const HEAD_WAIT: Duration = Duration::from_secs(60);
/// What concerns one connection only and is not passed on.
const HOP_BY_HOP: [HeaderName; 5] =
    [CONNECTION, TRAILER, TRANSFER_ENCODING, UPGRADE, HeaderName::from_static("keep-alive")];

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForwardError {
    #[error("cannot connect to the Docker daemon at {daemon}: {source}")]
    Connect { daemon: DockerHost, source: io::Error },
    #[error("the Docker daemon did not answer in time")]
    Late,
    #[error("the answer of the Docker daemon broke off: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the Docker daemon changed the protocol")]
    Protocol,
}

/// An answer's body, and the connection it comes over: both end together.
#[derive(Debug)]
pub(super) struct Answer {
    body: Incoming,
    _connection: AbortOnDropHandle<()>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Asks the daemon for `target`. Only its own headers go with the request.
pub(super) async fn ask(daemon: &DockerHost, target: &str) -> Result<Response<Answer>, ForwardError> {
    let unreachable = |source| ForwardError::Connect { daemon: daemon.clone(), source };
    let stream = timeout(CONNECT_WAIT, connect(daemon)).await.map_err(|_| ForwardError::Late)?;
    let io = TokioIo::new(stream.map_err(unreachable)?);
    let (mut sender, connection) = http1::handshake(io).await?;
    let connection = TaskTracker::new().spawn(async move {
        // How it ends is seen by whoever reads the body.
        connection.await.unwrap_or_default();
    });
    let connection = AbortOnDropHandle::new(connection);
    let request = Request::get(target)
        .header(HOST, "docker")
        .header(USER_AGENT, concat!("binnacle/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .expect("BUG: a target of checked characters is a URI");
    let answer = timeout(HEAD_WAIT, sender.send_request(request)).await.map_err(|_| ForwardError::Late)??;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(ForwardError::Protocol);
    }
    let mut answer = answer.map(|body| Answer { body, _connection: connection });
    for name in HOP_BY_HOP {
        answer.headers_mut().remove(name);
    }
    Ok(answer)
}

async fn connect(daemon: &DockerHost) -> io::Result<Either<UnixStream, TcpStream>> {
    match daemon {
        DockerHost::Unix(path) => UnixStream::connect(path).await.map(Either::Left),
        DockerHost::Tcp(address) => TcpStream::connect(address.as_str()).await.map(Either::Right),
    }
}

/// Whether a daemon, or a proxy before one, answers at a socket.
///
/// # Errors
/// With what it answered, or why it did not.
pub async fn ping(socket: &Path) -> Result<(), String> {
    let answer =
        ask(&DockerHost::Unix(socket.to_owned()), "/_ping").await.map_err(|error| error.to_string())?;
    if answer.status().is_success() { Ok(()) } else { Err(format!("status {}", answer.status())) }
}
