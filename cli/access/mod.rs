//! Who may ask, and over what: tokens, the gate before the routes, and TLS.
//!
//! The invariant: beyond loopback nobody reads or writes without a token, unless the user said `insecure`. What is
//! refused tells nothing but that it is refused.

mod config;
mod gate;
mod listener;
mod tls;
mod tokens;

use std::net::SocketAddr;

use anyhow::Context;

pub(crate) use config::Config;
pub(crate) use gate::{Gate, Scope};
pub(crate) use listener::Listening;
use tokens::Tokens;

/// Reads the tokens, and makes sure that there are some where others can reach `address`.
///
/// # Errors
/// When a token file cannot be used, or an address beyond loopback would be left without a guard.
pub(crate) fn open(
    config: &Config,
    address: SocketAddr,
    registry: &prometheus::Registry,
) -> anyhow::Result<Gate> {
    let tokens = Tokens::read(config)?;
    if !address.ip().to_canonical().is_loopback() {
        match (tokens.is_empty(), config.insecure, config.is_encrypted()) {
            (true, false, _) => anyhow::bail!(
                "other machines can reach `{address}`, and no token guards it: name a file with one in \
                 `access.token_file` (BINNACLE_ACCESS_TOKEN_FILE), or listen on 127.0.0.1, or say --insecure \
                 when the network itself is guarded"
            ),
            (true, true, _) => {
                tracing::warn!("everyone who reaches {address} can read and write: no token is set");
            }
            (false, _, false) => tracing::warn!(
                "tokens and log lines travel unencrypted to {address}: set `access.tls_certificate_file`, or keep \
                 the network between private"
            ),
            (false, _, true) => {}
        }
    }
    Gate::new(tokens, registry).context("cannot register the metrics of access")
}
