//! A door to the Docker socket that lets the collector's questions through and nothing else.
//!
//! Who may write to Docker's socket is root on the host. With this in between, the process that reads logs cannot: only
//! GET requests to the endpoints of [`ENDPOINTS`] pass, each written anew and on a connection of its own, so that there is
//! nothing to smuggle a second request in. Answers pass as they come, streams for as long as both sides stay.

mod forward;
mod rules;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::docker::DockerHost;
pub use forward::ping;
pub use rules::{ENDPOINTS, Endpoint};

/// Connections at once, a follow of a log or of events being one; more wait in the system's queue. The collector holds
/// some three hundred at most.
const MAX_CONNECTIONS: usize = 1024;
/// A client that has not sent the head of a request by then is no collector.
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// Longest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 32 << 10;
/// Rest after the system could not hand over a connection, mostly for want of open files.
const ACCEPT_REST: Duration = Duration::from_millis(200);
/// The socket's mode: its owner and group.
const SOCKET_MODE: u32 = 0o660;

/// Why the proxy cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken, or not ours.
    #[error("cannot listen on `{address}`: {source}")]
    Address {
        /// As asked for.
        address: SocketAddr,
        /// The system's word.
        source: io::Error,
    },
    /// The socket cannot be made there.
    #[error("cannot make the socket `{}`: {source}", path.display())]
    Socket {
        /// As asked for.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
}

/// A bound address or socket.
#[derive(Debug)]
pub struct SocketProxy {
    listener: Listener,
    daemon: DockerHost,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

type Body = BoxBody<Bytes, hyper::Error>;

/// Bytes from and to a client.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl SocketProxy {
    /// Listens on a TCP address. Contacts nobody.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn on_address(address: SocketAddr, daemon: DockerHost) -> Result<Self, ListenError> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| ListenError::Address { address, source })?;
        Ok(Self { listener: Listener::Tcp(listener), daemon })
    }

    /// Listens on a Unix socket that its owner and group may use. A socket that an earlier process left there is
    /// replaced; one that is answered, and anything else, is not.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn on_socket(path: &Path, daemon: DockerHost) -> Result<Self, ListenError> {
        let listener = bind(path).map_err(|source| ListenError::Socket { path: path.to_owned(), source })?;
        Ok(Self { listener: Listener::Unix(listener), daemon })
    }

    /// Serves until `stop`; streams end with it.
    pub async fn serve(self, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let daemon = Arc::new(self.daemon);
        let mut connections = JoinSet::new();
        loop {
            let place = Arc::clone(&places).acquire_owned();
            tokio::select! {
                () = stop.cancelled() => break,
                Ok(place) = place => {
                    let stream = tokio::select! {
                        () = stop.cancelled() => break,
                        stream = self.listener.accept() => stream,
                    };
                    match stream {
                        Ok(stream) => {
                            let daemon = Arc::clone(&daemon);
                            connections.spawn(async move {
                                connection(stream, daemon).await;
                                drop(place);
                            });
                        }
                        Err(error) => {
                            tracing::warn!(%error, "cannot accept a connection");
                            tokio::time::sleep(ACCEPT_REST).await;
                        }
                    }
                }
            }
            while connections.try_join_next().is_some() {}
        }
        connections.shutdown().await;
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        // Docker's own socket, named by mistake, must not go.
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process answers there"));
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

async fn connection(stream: Box<dyn Stream>, daemon: Arc<DockerHost>) {
    let service = service_fn(move |request| {
        let daemon = Arc::clone(&daemon);
        async move { Ok::<_, Infallible>(answer(&request, &daemon).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn answer(request: &Request<Incoming>, daemon: &DockerHost) -> Response<Body> {
    let target = match rules::target(request) {
        Ok(target) => target,
        Err(refusal) => {
            let path: String = request.uri().path().chars().take(200).collect();
            tracing::warn!(method = %request.method(), ?path, reason = %refusal, "request refused");
            return message(StatusCode::FORBIDDEN, &format!("socket proxy: {refusal}"));
        }
    };
    match forward::ask(daemon, &target).await {
        Ok(response) => response.map(BodyExt::boxed),
        Err(error) => {
            tracing::warn!(%error, target, "no answer from the daemon");
            message(StatusCode::BAD_GATEWAY, &format!("socket proxy: {error}"))
        }
    }
}

/// An answer in the daemon's own form. The connection ends with it: whatever follows is not read.
fn message(status: StatusCode, text: &str) -> Response<Body> {
    let body = serde_json::json!({ "message": text }).to_string();
    let mut response = Response::new(Full::from(body).map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
