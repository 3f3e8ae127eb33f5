//! `binnacle socket-proxy`: the part that may touch Docker's socket, apart from the part that reads logs.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use collector::socket_proxy::{ENDPOINTS, SocketProxy};
use tokio_util::sync::CancellationToken;

use super::run::docker_host;
use crate::args::SocketProxyArgs;
use crate::config::Config;
use crate::{Outcome, signals, telemetry};

/// Docker's own port for connections without TLS.
const PORT: u16 = 2375;

/// Serves until a signal.
///
/// # Errors
/// When it cannot listen, or would be reachable for other machines without their users' word for it.
pub(crate) fn execute(config: &Config, args: &SocketProxyArgs) -> anyhow::Result<Outcome> {
    telemetry::init(config.log_format, None);
    let daemon = docker_host(config)?.context("there is nothing to pass on to with --docker-host none")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    runtime.block_on(async {
        let (proxy, place) = match &args.socket {
            Some(path) => {
                (SocketProxy::on_socket(path, daemon.clone())?, format!("unix://{}", path.display()))
            }
            None => {
                let address = config.listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
                check_reach(address, config.access.insecure)?;
                (SocketProxy::on_address(address, daemon.clone()).await?, format!("tcp://{address}"))
            }
        };
        tracing::info!("passing {} questions on from {place} to {daemon}, and nothing else", ENDPOINTS.len());
        let stop = CancellationToken::new();
        tokio::select! {
            () = proxy.serve(stop.clone()) => Ok(Outcome::Done),
            result = signals::watch(stop) => {
                result.context("cannot install the signal handlers")?;
                anyhow::bail!("ended by a second signal")
            }
        }
    })
}

/// Docker's clients know no tokens, so the network must be guarded.
fn check_reach(address: SocketAddr, insecure: bool) -> anyhow::Result<()> {
    if address.ip().to_canonical().is_loopback() || insecure {
        return Ok(());
    }
    anyhow::bail!(
        "other machines could read every log and every container's environment at `{address}`: share a socket with \
         --socket instead, or say --insecure when the network itself is guarded"
    )
}
