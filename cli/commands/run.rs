//! `binnacle run`, `collect` and `serve`: the parts that live until a signal.
//!
//! Started back to front (store, server, sources), stopped front to back: sources end first, so that nothing
//! new arrives; then the server finishes its requests; last the writer stores what is queued.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use collector::docker::{self, DockerHost};
use collector::export::{ExportMetrics, Exporter, OwnSpans};
use collector::exposition::Exposition;
use collector::log_metrics::LogMetrics;
use collector::observer::Observer;
use collector::traces::TraceMetrics;
use collector::{Enricher, Redactor};
use prometheus::Registry;
use query::http::{AppState, MetricsBody};
use store::{Reader, Writer};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::access::{self, Gate, Listening, Scope};
use crate::args::RunArgs;
use crate::config::Config;
use crate::{Outcome, signals, telemetry};

/// Ports that documents and clients rely on.
pub(super) const ANSWER_PORT: u16 = 3100;
const COLLECT_PORT: u16 = 9380;

/// How long the parts may take to end before the process ends without them: dockerd and most supervisors
/// send SIGKILL ten seconds after SIGTERM.
const STOP_DEADLINE: Duration = Duration::from_secs(8);

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Roles {
    collect: bool,
    answer: bool,
    demo: bool,
}

/// `binnacle run`
///
/// # Errors
/// When a part cannot start or fails.
pub(crate) fn run(config: Config, args: &RunArgs) -> anyhow::Result<Outcome> {
    start(config, Roles { collect: true, answer: true, demo: args.demo })
}

/// `binnacle collect`
///
/// # Errors
/// When a part cannot start or fails.
pub(crate) fn collect(config: Config) -> anyhow::Result<Outcome> {
    start(config, Roles { collect: true, answer: false, demo: false })
}

/// `binnacle serve`
///
/// # Errors
/// When a part cannot start or fails.
pub(crate) fn serve(config: Config) -> anyhow::Result<Outcome> {
    start(config, Roles { collect: false, answer: true, demo: false })
}

fn start(config: Config, roles: Roles) -> anyhow::Result<Outcome> {
    let is_watched = config.export.own_spans && config.export.is_on();
    let (recorder, own) = is_watched.then(collector::export::own_spans).unzip();
    telemetry::init(config.log_format, recorder);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let answering =
        roles.answer.then(query::http::runtime).transpose().context("cannot start the runtime of answers")?;
    let handle = answering.as_ref().map(|runtime| runtime.handle().clone());
    let outcome = runtime.block_on(async move {
        let stop = CancellationToken::new();
        tokio::select! {
            result = live(config, roles, own, handle, stop.clone()) => result.map(|()| Outcome::Done),
            result = signals::watch(stop) => {
                result.context("cannot install the signal handlers")?;
                anyhow::bail!("ended by a second signal before every part had finished")
            }
        }
    });
    if let Some(answering) = answering {
        answering.shutdown_background();
    }
    outcome
}

/// Where `run` and `serve` answer.
pub(super) fn answer_address(config: &Config) -> SocketAddr {
    address(config, ANSWER_PORT)
}

fn address(config: &Config, default_port: u16) -> SocketAddr {
    config.listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, default_port)))
}

/// The life of the process, from opening the store to its last commit. `answering` is the runtime of answers, where there
/// are any.
async fn live(
    config: Config,
    roles: Roles,
    own: Option<OwnSpans>,
    answering: Option<Handle>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let address = address(&config, if roles.answer { ANSWER_PORT } else { COLLECT_PORT });
    let registry = Registry::new();
    let gate = access::open(&config.access, address, &registry)?;
    let listening = Listening::bind(address, &config.access).await?;
    let redactor = Redactor::new(&config.ingest.redact, &registry)?;
    let enricher = Arc::new(Enricher::new(&config.ingest, redactor));
    let store = Store::open(&config, roles, &registry).await?;
    let (ready_sender, ready) = watch::channel(false);
    let log_metrics = LogMetrics::new(&config.collect.log_metrics).context("`collect.log_metrics`")?;
    registry.register(Box::new(log_metrics.clone())).context("cannot register the metrics of log lines")?;
    let (mut server, answers) = routes(&config, answering, &gate, &registry, &store, &log_metrics, ready)?;
    if let Some(writer) = &store.writer {
        let push = collector::push::router(writer.clone(), Arc::clone(&enricher), &config.ingest, &registry)
            .context("cannot register the metrics of pushes")?;
        server = server.merge(gate.guard(push, Scope::Admin));
    }
    tracing::info!(data = %config.data.display(), "answering on {}", listening.url());

    let mut sources = Sources::start(&config, roles, &enricher, &store, &registry, ready_sender)?;
    if store.writer.is_some() {
        sources.count_lines(log_metrics, store.reader.clone());
    }
    if let Some(writer) = store.writer.clone().filter(|_| config.traces.enabled) {
        sources.make_traces(&config, &registry, writer);
    }
    if config.export.is_on() && (store.writer.is_some() || own.is_some()) {
        sources.send_traces(&config, &registry, store.writer.clone(), own)?;
    }
    let requests_end = CancellationToken::new();
    let mut serving = JoinSet::new();
    let until = requests_end.clone();
    serving.spawn(listening.serve(server, until.cancelled_owned()));

    let early = tokio::select! {
        () = stop.cancelled() => None,
        failure = sources.first_failure() => Some(failure),
        ended = serving.join_next() => Some(anyhow::anyhow!("the HTTP server ended: {ended:?}")),
    };
    let mut late = "the sources";
    let ending = async {
        sources.end().await;
        late = "requests in flight";
        requests_end.cancel();
        if let Some(state) = answers {
            state.shutdown().cancel();
            state.drained().await;
        }
        while serving.join_next().await.is_some() {}
        late = "the last commit";
        store.close().await
    };
    match tokio::time::timeout(STOP_DEADLINE, ending).await {
        Ok(result) => result?,
        Err(_) => {
            anyhow::bail!("ended without waiting for {late}, after {} seconds", STOP_DEADLINE.as_secs())
        }
    }
    tracing::info!("ended");
    early.map_or(Ok(()), Err)
}

/// The data folder, as writer or reader.
struct Store {
    writer: Option<Writer>,
    reader: Reader,
}

impl Store {
    async fn open(config: &Config, roles: Roles, registry: &Registry) -> anyhow::Result<Self> {
        let (config, registry) = (config.clone(), registry.clone());
        let opening = tokio::task::spawn_blocking(move || -> anyhow::Result<Self> {
            if !roles.collect {
                return Ok(Self { writer: None, reader: Reader::open(&config.data)? });
            }
            let writer = Writer::open(&config.data, &config.store, &registry)?;
            writer.set_retention(config.retention);
            Ok(Self { reader: writer.reader(), writer: Some(writer) })
        });
        opening.await.context("opening the store panicked")?
    }

    async fn close(self) -> anyhow::Result<()> {
        match self.writer {
            Some(writer) => writer.close().await.context("cannot store the last records"),
            None => Ok(()),
        }
    }
}

/// The routes of the process, and the state of those that answer queries.
fn routes(
    config: &Config,
    answering: Option<Handle>,
    gate: &Gate,
    registry: &Registry,
    store: &Store,
    log_metrics: &LogMetrics,
    ready: watch::Receiver<bool>,
) -> anyhow::Result<(Router, Option<AppState>)> {
    let exemplars = log_metrics.clone();
    let exposition = Exposition::new(registry.clone(), Some(Arc::new(move || exemplars.exemplars())));
    let (mut router, mut answers) = (Router::new(), None);
    if let Some(runtime) = answering {
        let state = AppState::new(
            store.reader.clone(),
            config.query.clone(),
            registry.clone(),
            ready,
            CancellationToken::new(),
        )
        .context("cannot register the metrics of queries")?;
        state.write_metrics_with(MetricsBody::new(move |accept| exposition.render(accept)));
        let routes = query::http::answer_on(runtime, query::http::router(state.clone()));
        router = router.merge(gate.guard(routes, Scope::Read));
        answers = Some(state);
    } else {
        router = router.merge(gate.guard(collector::admin::router(exposition, ready), Scope::Read));
    }
    Ok((router, answers))
}

/// The daemon to collect from, `None` when the settings say `none`.
pub(super) fn docker_host(config: &Config) -> anyhow::Result<Option<DockerHost>> {
    let named = config
        .docker_host
        .clone()
        .or_else(|| std::env::var("DOCKER_HOST").ok().filter(|url| !url.is_empty()));
    match named.as_deref() {
        Some("none") => Ok(None),
        Some(url) => Ok(Some(url.parse().context("the Docker daemon to collect from")?)),
        None => Ok(Some(DockerHost::default())),
    }
}

/// Tells once, when the daemon cannot be reached, what else can be done.
async fn hint_at_demo(mut status: watch::Receiver<docker::Status>, docker_host: &DockerHost) {
    let unreachable = status.wait_for(|status| matches!(status, docker::Status::Unreachable { .. })).await;
    if unreachable.is_ok() {
        tracing::warn!(
            "no Docker daemon at {docker_host}: trying on; name another with --docker-host, \
             or see Binnacle at work without Docker with `binnacle run --demo`"
        );
    }
}

/// What brings records in.
struct Sources {
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Sources {
    /// Starts everything that brings records in. `ready` turns true when the first listing of containers is
    /// done, at once where there is nothing to list.
    fn start(
        config: &Config,
        roles: Roles,
        enricher: &Arc<Enricher>,
        store: &Store,
        registry: &Registry,
        ready: watch::Sender<bool>,
    ) -> anyhow::Result<Self> {
        let mut sources = Self { stop: CancellationToken::new(), tasks: JoinSet::new() };
        let docker_host = docker_host(config)?;
        match (&store.writer, docker_host) {
            (Some(writer), Some(docker_host)) => {
                sources.docker(config, enricher, writer, docker_host, registry, ready)?
            }
            _ => {
                ready.send_replace(true);
            }
        }
        if let (Some(writer), true) = (&store.writer, roles.demo) {
            tracing::info!("playing the demo shop: try `binnacle search 'level:error'`");
            let (ingest, writer, stop) = (config.ingest.clone(), writer.clone(), sources.stop.clone());
            let enricher = Arc::clone(enricher);
            sources.tasks.spawn(async move {
                collector::demo::run(ingest, writer, enricher, stop).await.context("the demo shop")
            });
        }
        Ok(sources)
    }

    /// Counts what is stored, whichever source it comes from.
    fn count_lines(&mut self, metrics: LogMetrics, reader: Reader) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            collector::log_metrics::follow(metrics, reader, stop).await;
            Ok(())
        });
    }

    /// Makes traces of what is stored, whichever source it comes from.
    fn make_traces(&mut self, config: &Config, registry: &Registry, writer: Writer) {
        let (config, metrics) = (config.traces.clone(), TraceMetrics::new(registry));
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            collector::traces::follow(config, writer, metrics, stop).await;
            Ok(())
        });
    }

    /// Sends traces as they are made.
    fn send_traces(
        &mut self,
        config: &Config,
        registry: &Registry,
        writer: Option<Writer>,
        own: Option<OwnSpans>,
    ) -> anyhow::Result<()> {
        let metrics = ExportMetrics::new(registry).context("cannot register the metrics of the export")?;
        let exporter = Exporter::new(&config.export, metrics)?;
        tracing::info!("sending traces to {}", exporter.url());
        if !config.traces.enabled && writer.is_some() {
            tracing::warn!("no new traces are made, so none are sent: `traces.enabled` is false");
        }
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            match (writer, own) {
                (Some(writer), own) => collector::export::follow(exporter, writer, own, stop).await,
                (None, Some(own)) => collector::export::follow_own(exporter, own, stop).await,
                (None, None) => {}
            }
            Ok(())
        });
        Ok(())
    }

    fn docker(
        &mut self,
        config: &Config,
        enricher: &Arc<Enricher>,
        writer: &Writer,
        docker_host: DockerHost,
        registry: &Registry,
        ready: watch::Sender<bool>,
    ) -> anyhow::Result<()> {
        tracing::info!("collecting from the Docker daemon at {docker_host}");
        // Before the log source: it reads from the catalog what the last process knew of the containers.
        let observer = Observer::new(&docker_host, &config.collect, writer.clone(), registry)?;
        let source = docker::Source::new(
            &config.collect,
            &config.ingest,
            Arc::clone(enricher),
            writer.clone(),
            docker_host.clone(),
            registry,
        )?;
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            observer.run(stop).await;
            Ok(())
        });
        let mut listed = source.ready();
        let status = source.status();
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            source.run(stop).await;
            Ok(())
        });
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                result = listed.wait_for(|listed| *listed) => {
                    if result.is_ok() {
                        ready.send_replace(true);
                    }
                }
            }
            Ok(())
        });
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = hint_at_demo(status, &docker_host) => {}
            }
            Ok(())
        });
        Ok(())
    }

    /// Waits until a source fails; for ever when none does.
    async fn first_failure(&mut self) -> anyhow::Error {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => return error,
                Some(Err(panic)) => return anyhow::anyhow!("a source panicked: {panic}"),
                None => std::future::pending().await,
            }
        }
    }

    /// Asks every source to end and waits for it.
    async fn end(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended.map_err(anyhow::Error::from).and_then(|result| result) {
                tracing::warn!(error = format!("{error:#}"), "a source did not end well");
            }
        }
    }
}
