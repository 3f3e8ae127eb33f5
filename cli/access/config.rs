//! Section `access` of the settings.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may ask and push, and how the connection is protected. Where a token is set, every request but `/health`
/// and `/ready` needs one, as `Authorization: Bearer TOKEN` or as the password of HTTP Basic.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// File of the tokens that may do everything: ask and push. One a line, each of 16 characters or more; lines
    /// that begin with `#` are comments. Read at the start.
    pub(crate) token_file: Option<PathBuf>,
    /// File of the tokens that may only ask.
    pub(crate) read_token_file: Option<PathBuf>,
    /// Listen beyond loopback although no token is set.
    pub(crate) insecure: bool,
    /// Certificate chain (PEM), the server's own first. With it the server speaks TLS only.
    pub(crate) tls_certificate_file: Option<PathBuf>,
    /// Private key (PEM) of the certificate.
    pub(crate) tls_key_file: Option<PathBuf>,
}

impl Config {
    /// What cannot be used, as (path within the section, complaint).
    pub(crate) fn validate(&self) -> Vec<(String, String)> {
        let alone =
            |path: &str, other: &str| vec![(path.to_owned(), format!("needs `access.{other}` as well"))];
        match (&self.tls_certificate_file, &self.tls_key_file) {
            (Some(_), None) => alone("tls_certificate_file", "tls_key_file"),
            (None, Some(_)) => alone("tls_key_file", "tls_certificate_file"),
            _ => Vec::new(),
        }
    }

    /// Whether the server speaks TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls_certificate_file.is_some()
    }
}
