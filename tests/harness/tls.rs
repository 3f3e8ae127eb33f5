//! TLS in front of a server that speaks plain TCP, under a certificate made on the spot.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// See the module. Its certificate is its own authority. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct TlsDoor {
    address: SocketAddr,
    certificate: String,
    _runtime: Runtime,
}

impl TlsDoor {
    /// Passes on to `behind` what it takes.
    pub(crate) fn before(behind: SocketAddr) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        // What is spoken behind the door is the server's business; gRPC insists on being told.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        drop(runtime.handle().spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(pass_on(acceptor.clone(), stream, behind));
            }
        }));
        Self { address, certificate: made.cert.pem(), _runtime: runtime }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// What clients must trust (PEM).
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }
}

/// Ends with the connection; clients that do not trust the certificate end it at once.
async fn pass_on(acceptor: TlsAcceptor, stream: TcpStream, behind: SocketAddr) {
    let Ok(mut client) = acceptor.accept(stream).await else { return };
    let Ok(mut server) = TcpStream::connect(behind).await else { return };
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut server).await {
        eprintln!("a connection behind TLS ended: {error}");
    }
}
