//! Connections to a Binnacle server: where it is, whom to trust, and what to show it.
//!
//! The invariant: a token is never printed and never leaves over a connection whose certificate was not checked,
//! unless the URL says `http`.

mod token;

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use hyper::Uri;
use hyper::header::HeaderValue;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub use token::{Token, TokenError};

/// What a client shows and trusts.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// Shown with every request.
    pub token: Option<Token>,
    /// Certificates (PEM) that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// Why a server cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The URL cannot be used.
    #[error("`{url}` is not a URL of a binnacle server; write for example `http://127.0.0.1:3100`")]
    BadUrl {
        /// What was given.
        url: String,
    },
    /// The certificates to trust cannot be read.
    #[error("cannot read the certificates of `{file}`: {reason}")]
    Certificates {
        /// Named by the user, or the system's.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// A server, known by its URL. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Endpoint {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    host: String,
    port: u16,
    prefix: String,
    authorization: Option<HeaderValue>,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// Bytes to and from a server.
pub trait Connection: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Connection for T {}

impl Endpoint {
    /// The server at `url`, `http` or `https`. Reads certificates, connects to nobody.
    ///
    /// # Errors
    /// When the URL cannot be used or the certificates to trust cannot be read.
    pub fn new(url: &str, credentials: &Credentials) -> Result<Self, DialError> {
        let bad = || DialError::BadUrl { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let encrypted = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(bad()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(bad)?;
        let carries_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        if uri.query().is_some() || carries_user {
            return Err(bad());
        }
        let tls = if encrypted {
            let name = ServerName::try_from(bare(host).to_owned()).map_err(|_| bad())?;
            Some((Arc::new(client_config(credentials)?), name))
        } else {
            None
        };
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let inner = Inner {
            host: host.to_owned(),
            port,
            prefix: uri.path().trim_end_matches('/').to_owned(),
            authorization: credentials.token.as_ref().map(Token::authorization),
            tls,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Connects, and with `https` checks the server's certificate.
    ///
    /// # Errors
    /// When nobody answers there, or not with a certificate that is trusted.
    pub async fn connect(&self) -> io::Result<Pin<Box<dyn Connection>>> {
        let stream = TcpStream::connect((bare(&self.inner.host), self.inner.port)).await?;
        stream.set_nodelay(true)?;
        match &self.inner.tls {
            None => Ok(Box::pin(stream)),
            Some((config, name)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                Ok(Box::pin(connector.connect(name.clone(), stream).await?))
            }
        }
    }

    /// Host and port, as the `Host` header wants them.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.inner.host, self.inner.port)
    }

    /// Scheme, host and port, for messages.
    #[must_use]
    pub fn origin(&self) -> String {
        let scheme = if self.inner.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    /// Path before every path of the API, without a slash at its end; mostly empty.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.inner.prefix
    }

    /// Value of the `Authorization` header, when there is a token.
    #[must_use]
    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.inner.authorization.as_ref()
    }
}

/// A host without the brackets around an IPv6 address.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn client_config(credentials: &Credentials) -> Result<ClientConfig, DialError> {
    let roots = match &credentials.ca_file {
        Some(file) => roots_of(file)?,
        None => system_roots()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// The certificates of a PEM file, as those to trust.
///
/// # Errors
/// When the file cannot be read, or holds none, or one that cannot be used.
pub fn roots_of(file: &std::path::Path) -> Result<RootCertStore, DialError> {
    let unread = |reason: String| DialError::Certificates { file: file.display().to_string(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|e| unread(e.to_string()))? {
        roots.add(certificate.map_err(|e| unread(e.to_string()))?).map_err(|e| unread(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unread("it holds no certificate in PEM".to_owned()));
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, DialError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems carry certificates that rustls does not take; the others are enough.
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let reason = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        let file = "the system; name those to trust with --ca-file".to_owned();
        return Err(DialError::Certificates { file, reason });
    }
    Ok(roots)
}

#[cfg(test)]
mod tests;
