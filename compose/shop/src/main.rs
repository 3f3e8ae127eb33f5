//! The demo shop of the lab: small services that log, fail and recover as real ones do.
//!
//! One binary, one role a process. Every service logs the correlation id and the trace of the request it works
//! on, answers `/health`, `/ready` and `/metrics`, and can be broken on purpose at `/fault`.

mod args;
mod breaker;
mod client;
mod context;
mod dependency;
mod error;
mod faults;
mod frame;
mod load;
mod log;
mod metrics;
mod operator;
mod retry;
mod services;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use args::{Args, Role};
use frame::Frame;
use log::Logger;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("shop: cannot start the runtime: {error}");
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(execute(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shop: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn execute(args: Args) -> anyhow::Result<()> {
    match args.role {
        Role::Check => operator::check(args.listen.port()).await,
        Role::Fault { changes } => operator::fault(args.listen.port(), &changes).await,
        role => run(role, args.listen, args.node).await,
    }
}

/// Runs one service until SIGTERM or SIGINT, then lets the requests it works on end.
async fn run(role: Role, listen: std::net::SocketAddr, node: args::Node) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let name = role.name();
    let logger = Logger::new(name, log::Format::of(name));
    let frame = Arc::new(Frame::new(name, logger, &node, stop.clone(), tasks.clone())?);

    let routes = services::routes(role, &frame)?;
    let app = frame::app(&frame, routes);
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on `{listen}`"))?;
    let mut signals = Signals::install()?;
    frame.logger.plain(log::Level::Info, "service started", &[("listen", listen.to_string().into())]);

    let signalled = stop.clone();
    let waiting = Arc::clone(&frame);
    tasks.spawn(async move {
        let signal = signals.next().await;
        waiting.logger.plain(log::Level::Info, "stopping", &[("signal", signal.into())]);
        signalled.cancel();
    });
    frame::serve(listener, app, stop.clone()).await?;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    frame.logger.plain(log::Level::Info, "stopped", &[]);
    Ok(())
}

/// The signals that mean "end".
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn install() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
