//! Connections come in here, plain or over TLS, and are served until the process ends.
//!
//! Handshakes run beside each other, bounded in number and time: a client that stalls holds up nobody else.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::config::Config;
use super::tls;

/// Handshakes at once; further connections wait in the system's queue. A thousand take some 30 MB.
const MAX_HANDSHAKES: usize = 1024;
/// A handshake that takes longer is given up: it takes three exchanges of packets.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);

/// A bound address, not yet served.
pub(crate) struct Listening {
    listener: TcpListener,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
}

impl Listening {
    /// Reads certificate and key when there are some, and binds `address`.
    ///
    /// # Errors
    /// When the files cannot be used or the address is taken.
    pub(crate) async fn bind(address: SocketAddr, config: &Config) -> anyhow::Result<Self> {
        let acceptor = match (&config.tls_certificate_file, &config.tls_key_file) {
            (Some(certificate), Some(key)) => Some(TlsAcceptor::from(tls::server_config(certificate, key)?)),
            _ => None,
        };
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on `{address}`; choose another address with --listen"))?;
        let address = listener.local_addr().context("cannot read the address listened on")?;
        Ok(Self { listener, address, acceptor })
    }

    /// The server's URL by the address that was bound.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.acceptor.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Serves `router` until `end`, then finishes the requests in flight.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) async fn serve(
        self,
        router: Router,
        end: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let router = router.into_make_service(); // else every connection would make its own copy of each route
        let Some(acceptor) = self.acceptor else {
            return axum::serve(self.listener, router).with_graceful_shutdown(end).await;
        };
        let listener = TlsListener { listener: self.listener, acceptor, handshakes: JoinSet::new() };
        axum::serve(listener, router).with_graceful_shutdown(end).await
    }
}

type Handshaken = Option<(TlsStream<TcpStream>, SocketAddr)>;

/// Accepts connections and gives them out once their handshake is done.
struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    /// Ended with the listener.
    handshakes: JoinSet<Handshaken>,
}

impl TlsListener {
    fn begin(&mut self, stream: TcpStream, peer: SocketAddr) {
        let acceptor = self.acceptor.clone();
        self.handshakes.spawn(async move {
            match tokio::time::timeout(HANDSHAKE_WAIT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => Some((stream, peer)),
                Ok(Err(error)) => {
                    tracing::debug!(%peer, %error, "TLS handshake failed");
                    None
                }
                Err(_) => {
                    tracing::debug!(%peer, "TLS handshake took too long");
                    None
                }
            }
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                // axum's own way: it waits and tries again when the system is short of files.
                (stream, peer) = Listener::accept(&mut self.listener), if self.handshakes.len() < MAX_HANDSHAKES => {
                    self.begin(stream, peer);
                }
                Some(ended) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = ended {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
