//! Knows which containers there are: listens to events, lists everything from time to time, and keeps one
//! reader per container.
//!
//! The invariant: events only hurry, the list decides. The daemon drops events for slow readers and forgets
//! them when it restarts, so whatever an event would have told is found by the next list too. For the same
//! reason nothing in this task waits on a container: it reads the stream and sets flags.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::ContainerSummary;
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use super::Status;
use super::container::Description;
use super::departed;
use super::engine::{Engine, EngineError, Event};
use super::host::DockerHost;
use super::shared::Shared;
use super::tail::{Signal, Tail};

/// Waits between attempts to reach the daemon.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(10);
/// How long readers may take to hand over what they hold when the process ends. The store takes a batch in
/// milliseconds; whatever is left is read again after the next start.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What a reader gives when it ends: see [`Tail::run`].
type Ended = (String, Option<Description>);

/// One container's reader, as seen from here.
struct Reader {
    signal: watch::Sender<Signal>,
    /// Docker's word at the last list, or what an event since then implies.
    running: bool,
}

/// Keeps one reader per container.
pub(super) struct Watcher {
    shared: Arc<Shared>,
    host: DockerHost,
    engine: watch::Sender<Option<Engine>>,
    status: watch::Sender<Status>,
    ready: watch::Sender<bool>,
    readers: HashMap<String, Reader>,
    tasks: JoinSet<Ended>,
}

type Listing<'a> = Pin<Box<dyn Future<Output = Result<Vec<ContainerSummary>, EngineError>> + Send + 'a>>;

impl Watcher {
    pub(super) fn new(
        shared: Arc<Shared>,
        host: DockerHost,
        engine: watch::Sender<Option<Engine>>,
        status: watch::Sender<Status>,
        ready: watch::Sender<bool>,
    ) -> Self {
        Self { shared, host, engine, status, ready, readers: HashMap::new(), tasks: JoinSet::new() }
    }

    /// Watches until the process ends, through all absences of the daemon.
    pub(super) async fn run(mut self) {
        let token = self.shared.token.clone();
        let mut retry = FIRST_RETRY;
        while !token.is_cancelled() {
            let connected = tokio::select! {
                () = token.cancelled() => break,
                connected = Engine::connect(&self.host, &self.shared.metrics) => connected,
            };
            let error = match connected {
                Ok(engine) => {
                    retry = FIRST_RETRY;
                    self.shared.metrics.daemon(Some((&engine.version, &engine.api_version)));
                    self.watch(&engine).await
                }
                Err(error) => error,
            };
            if token.is_cancelled() {
                break;
            }
            self.lost(&error);
            tokio::select! {
                () = token.cancelled() => break,
                () = sleep(retry) => {}
            }
            retry = (retry * 2).min(LAST_RETRY);
        }
        self.stop().await;
    }

    /// Works with one daemon until it stops to answer; returns why.
    async fn watch(&mut self, engine: &Engine) -> EngineError {
        let token = self.shared.token.clone();
        // The stream first, the list second: what happens in between is in one of them at least.
        let mut events = Box::pin(engine.events());
        let mut listing: Option<Listing<'_>> = Some(Box::pin(engine.list()));
        let mut first = true;
        let period = self.shared.config.list_interval.0;
        let mut list_due = interval_at(Instant::now() + period, period);
        list_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = token.cancelled() => return EngineError::Stopped,
                event = events.next() => match event {
                    Some(Ok(event)) => self.heard(&event),
                    Some(Err(error)) => return self.events_ended(error),
                    None => return self.events_ended(EngineError::EventsEnded),
                },
                listed = listed(&mut listing) => {
                    listing = None;
                    match listed {
                        Ok(containers) => {
                            if first {
                                self.record_departed(&containers).await;
                                self.found(engine);
                            }
                            self.reconcile(&containers, first);
                            first = false;
                            self.tell(engine);
                        }
                        Err(error) => return error,
                    }
                }
                _ = list_due.tick(), if listing.is_none() => listing = Some(Box::pin(engine.list())),
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => self.ended(ended),
            }
        }
    }

    /// Before the first list of this process counts: what was removed before it.
    async fn record_departed(&self, containers: &[ContainerSummary]) {
        if *self.ready.borrow() {
            return;
        }
        let listed = containers.iter().filter_map(|container| container.id.clone()).collect();
        let Shared { outlet, metrics, .. } = self.shared.as_ref();
        if let Err(error) = departed::record(&outlet.writer, metrics, listed).await {
            tracing::error!(%error, "cannot record which containers are gone");
        }
    }

    /// Something happened to a container.
    fn heard(&mut self, event: &Event) {
        self.shared.metrics.event(&event.action);
        let alive = match event.action.as_str() {
            "start" | "restart" | "unpause" => Some(true),
            "die" => Some(false),
            _ => None,
        };
        let destroyed = matches!(event.action.as_str(), "destroy" | "remove");
        if destroyed && !self.readers.contains_key(&event.id) {
            return;
        }
        let reader = self.reader(&event.id, false, || Description::told(event));
        if let Some(alive) = alive {
            reader.running = alive;
        }
        reader.signal.send_modify(|signal| {
            signal.changes += 1;
            signal.alive = alive.or(signal.alive);
            if let Some(alive) = alive {
                signal.starts += u64::from(alive);
                signal.died = !alive;
            }
            signal.destroyed |= destroyed;
        });
    }

    /// Compares what is known with the list. `first` is the first list of this contact: anything may have
    /// happened before it.
    fn reconcile(&mut self, containers: &[ContainerSummary], first: bool) {
        let history = !*self.ready.borrow();
        let mut listed = HashMap::with_capacity(containers.len());
        for container in containers {
            let Some(id) = container.id.as_deref().filter(|id| !id.is_empty()) else { continue };
            let running = container.state.as_ref().is_some_and(|state| state.to_string() == "running");
            listed.insert(id, running);
            let known = self.readers.contains_key(id);
            let reader = self.reader(id, history, || Description::of(id));
            if known && (first || reader.running != running) {
                reader.signal.send_modify(|signal| {
                    signal.changes += 1;
                    signal.alive = Some(running);
                });
            }
            reader.running = running;
        }
        for (id, reader) in &self.readers {
            if !listed.contains_key(id.as_str()) {
                // The reader asks the daemon: the list may be older than the container.
                reader.signal.send_modify(|signal| signal.changes += 1);
            }
        }
    }

    fn reader(&mut self, id: &str, history: bool, told: impl FnOnce() -> Description) -> &mut Reader {
        let Self { readers, tasks, shared, .. } = self;
        readers.entry(id.to_owned()).or_insert_with(|| {
            let (signal, signals) = watch::channel(Signal::default());
            read(tasks, Tail::new(Arc::clone(shared), told(), signals, history));
            Reader { signal, running: false }
        })
    }

    /// A reader has ended: its container is gone.
    fn ended(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        match ended {
            Ok((id, unstarted)) => {
                let Some(reader) = self.readers.remove(&id) else { return };
                let starts = reader.signal.borrow().starts;
                if let Some(told) = unstarted.filter(|_| starts > 0) {
                    // The start was heard when the reader had found the container gone: another one judges that.
                    let signals = reader.signal.subscribe();
                    read(&mut self.tasks, Tail::new(Arc::clone(&self.shared), told, signals, false));
                    self.readers.insert(id, reader);
                }
            }
            Err(error) => {
                // The next list starts another one in its place, which goes on at the stored cursor.
                tracing::error!(%error, "a log reader failed");
                self.readers.retain(|_, reader| !reader.signal.is_closed());
            }
        }
        self.shared.metrics.containers(self.readers.len());
    }

    /// The daemon answers.
    fn found(&self, engine: &Engine) {
        if !matches!(*self.status.borrow(), Status::Connected { .. }) {
            let (version, api_version) = (&engine.version, &engine.api_version);
            tracing::info!(host = %self.host, version, api_version, "connected to Docker");
        }
        self.engine.send_replace(Some(engine.clone()));
    }

    /// A list is done.
    fn tell(&self, engine: &Engine) {
        self.shared.metrics.containers(self.readers.len());
        let containers = self.readers.len();
        self.status.send_replace(Status::Connected { version: engine.version.clone(), containers });
        self.ready.send_replace(true);
    }

    /// The daemon does not answer: said once per reason.
    fn lost(&self, error: &EngineError) {
        self.shared.metrics.daemon(None);
        self.engine.send_replace(None);
        let reason = error.to_string();
        self.status.send_if_modified(|status| {
            if matches!(status, Status::Unreachable { reason: known } if *known == reason) {
                return false;
            }
            tracing::warn!(host = %self.host, reason, "cannot reach Docker, trying again");
            *status = Status::Unreachable { reason };
            true
        });
    }

    fn events_ended(&self, error: EngineError) -> EngineError {
        self.shared.metrics.events_broke_off();
        error
    }

    /// Waits until all readers have handed over what they hold.
    async fn stop(mut self) {
        let appends = self.shared.outlet.appends.clone();
        appends.close();
        let all = async {
            while self.tasks.join_next().await.is_some() {}
            appends.wait().await;
        };
        if timeout(STOP_TIMEOUT, all).await.is_err() {
            tracing::warn!(
                readers = self.tasks.len(),
                "log readers did not end in time; their last lines will be read again"
            );
        }
    }
}

fn read(tasks: &mut JoinSet<Ended>, tail: Tail) {
    tasks.spawn(tail.run());
}

async fn listed(listing: &mut Option<Listing<'_>>) -> Result<Vec<ContainerSummary>, EngineError> {
    match listing {
        Some(listing) => listing.await,
        None => std::future::pending().await,
    }
}
