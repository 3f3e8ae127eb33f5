//! `binnacle healthcheck`: what an image without a shell or curl asks about itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use query::client::Client;

use super::client::endpoint;
use super::run::ANSWER_PORT;
use crate::Outcome;
use crate::args::HealthcheckArgs;
use crate::config::Config;

/// Docker gives a check thirty seconds by default; one that is late is no health.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks `/ready`, of a socket proxy whether the daemon answers through it.
///
/// # Errors
/// When the answer is not that all is well, or does not come in time.
pub(crate) fn execute(config: &Config, args: &HealthcheckArgs) -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    runtime.block_on(async {
        let asked = async {
            match &args.socket {
                Some(socket) => proxy(socket).await,
                None => server(config, args).await,
            }
        };
        let late = || format!("no answer within {} s", PATIENCE.as_secs());
        tokio::time::timeout(PATIENCE, asked).await.with_context(late)?
    })?;
    Ok(Outcome::Done)
}

async fn proxy(socket: &Path) -> anyhow::Result<()> {
    let answer = collector::socket_proxy::ping(socket).await;
    answer.map_err(|reason| anyhow::anyhow!("the daemon does not answer at `{}`: {reason}", socket.display()))
}

async fn server(config: &Config, args: &HealthcheckArgs) -> anyhow::Result<()> {
    let url = args.url.clone().unwrap_or_else(|| own_url(config));
    let client = Client::new(endpoint(&url, &args.trust)?);
    client.ready().await.with_context(|| format!("`{url}` is not ready"))
}

/// Where a server of these settings answers on this machine.
fn own_url(config: &Config) -> String {
    let scheme = if config.access.is_encrypted() { "https" } else { "http" };
    let mut address = config.listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, ANSWER_PORT)));
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    format!("{scheme}://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_asked_where_it_listens() {
        let url = |listen: &str| {
            let listen = (!listen.is_empty()).then(|| listen.parse().unwrap());
            own_url(&Config { listen, ..Config::default() })
        };
        assert_eq!(url(""), "http://127.0.0.1:3100");
        assert_eq!(url("0.0.0.0:99"), "http://127.0.0.1:99");
        assert_eq!(url("[::]:99"), "http://[::1]:99");
        assert_eq!(url("10.0.0.7:99"), "http://10.0.0.7:99");
    }
}
