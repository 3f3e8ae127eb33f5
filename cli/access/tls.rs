//! The server's side of TLS: its certificate and key, and which versions are spoken (1.2 and 1.3).

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Reads the certificate chain and the key.
///
/// # Errors
/// When a file cannot be read or holds no PEM of its kind, or the key is not the certificate's.
pub(super) fn server_config(certificate: &Path, key: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let unread = |what: &str, file: &Path| format!("cannot read the {what} of `{}`", file.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| unread("certificates", certificate))?;
    let private = PrivateKeyDer::from_pem_file(key).with_context(|| unread("private key", key))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("cannot use `{}` with `{}`", certificate.display(), key.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
