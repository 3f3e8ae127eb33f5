//! The connection: replay, listing, live events, and what to do when it breaks.
//!
//! Reading events does nothing but read: a daemon with a slow listener is slowed itself and loses events.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::Docker;
use bollard::models::EventMessage;
use bollard::query_parameters::ListContainersOptionsBuilder;
use futures_util::{Stream, StreamExt};
use prometheus::IntCounter;
use store::lifecycle::Action;
use store::{Container, Position, Record, Writer};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::ledger::{Ledger, SOURCE};
use super::metrics::LifecycleMetrics;
use crate::docker::Selection;
use crate::stats::Containers;

mod requests;

/// Events read and not yet recorded: some megabytes at most. When it is full, events are dropped, counted, and
/// made up for by a listing: waiting here would slow the daemon.
const QUEUE_EVENTS: usize = 4096;
/// Events recorded at once.
const BATCH_EVENTS: usize = 256;
/// Longest wait for an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How often all containers are compared with what was recorded.
const RECONCILE_PERIOD: Duration = Duration::from_secs(300);
/// Containers that should have started are looked at this often, for this long.
const START_CHECK_PERIOD: Duration = Duration::from_secs(2);
const START_CHECK_TIME: Duration = Duration::from_secs(60);
/// Events come within 0.1 s even from a loaded daemon; what is older than this comes no more.
const SETTLE_TIME: Duration = Duration::from_secs(2);
/// Waits between attempts to reach a daemon that is away.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LAST: Duration = Duration::from_secs(5);

/// Records what happens to containers.
#[derive(Debug)]
pub struct Recorder {
    docker: Docker,
    writer: Writer,
    ledger: Ledger,
    metrics: LifecycleMetrics,
    /// Containers that should have started, and since when.
    waiting: HashMap<String, Instant>,
    /// Containers to which something happened so lately that an event may still tell of it.
    unsettled: HashSet<String>,
}

/// What the last process knew: read it before anything else changes the catalog.
#[derive(Debug)]
pub struct Past {
    position: Option<Vec<u8>>,
    rows: Vec<Container>,
}

impl Past {
    /// Reads it from the catalog.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn read(writer: &Writer) -> Result<Self, store::StoreError> {
        let position = match writer.cursor(SOURCE)? {
            Position::Unset => None,
            Position::At(bytes) => Some(bytes),
            Position::Damaged => {
                tracing::warn!(
                    "what was heard of containers before is damaged; their present state tells what changed"
                );
                None
            }
        };
        Ok(Self { position, rows: writer.reader().containers()? })
    }
}

impl Recorder {
    /// Continues where the last process stopped. `docker` must have negotiated its API version; `host` is the
    /// label of that name; what `selection` refuses is not recorded.
    #[must_use]
    pub(crate) fn new(
        docker: Docker,
        writer: Writer,
        containers: Containers,
        host: &str,
        selection: Selection,
        past: &Past,
        metrics: LifecycleMetrics,
    ) -> Self {
        let ledger = Ledger::new(host, selection, containers, past.position.as_deref(), &past.rows);
        Self { docker, writer, ledger, metrics, waiting: HashMap::new(), unsettled: HashSet::new() }
    }

    /// Records until cancelled.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut was_down = false;
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                result = self.session(&mut was_down) => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "docker events broke off");
                    }
                }
            }
            self.metrics.breaks.inc();
            tokio::select! {
                () = cancel.cancelled() => return,
                away = self.wait_for_daemon() => {
                    if away && !was_down {
                        was_down = true;
                    }
                }
            }
        }
    }

    /// One connection, until it breaks.
    async fn session(&mut self, was_down: &mut bool) -> Result<(), String> {
        let now_s = now_ns() / 1_000_000_000;
        // What the daemon still remembers, up to now; then what it does not; then what comes.
        let since = self.ledger.position.time_ns;
        let replay: Vec<_> = self.events(since, Some(now_s)).take(QUEUE_EVENTS).collect().await;
        let replay: Vec<EventMessage> = replay.into_iter().collect::<Result<_, _>>()?;
        if std::mem::take(was_down) {
            let record = self.ledger.daemon(Action::DaemonUp, "the Docker daemon answers again", now_ns());
            self.store(vec![record]).await?;
        }
        self.note_boot().await?;
        for messages in replay.chunks(BATCH_EVENTS) {
            self.record(messages).await?;
        }
        self.reconcile().await?;
        let live = self.events(now_s.saturating_mul(1_000_000_000), None);
        let (sender, receiver) = mpsc::channel(QUEUE_EVENTS);
        let dropped = self.metrics.dropped.clone();
        // Both halves run in this task, but reading never waits for recording.
        tokio::select! {
            result = read_events(live, sender, dropped) => result,
            result = self.record_live(receiver) => result,
        }
    }

    async fn record_live(&mut self, mut receiver: mpsc::Receiver<EventMessage>) -> Result<(), String> {
        let mut messages = Vec::with_capacity(BATCH_EVENTS);
        let mut start_checks = tokio::time::interval(START_CHECK_PERIOD);
        let mut reconciled = Instant::now();
        let mut dropped = self.metrics.dropped.get();
        loop {
            tokio::select! {
                count = receiver.recv_many(&mut messages, BATCH_EVENTS) => {
                    if count == 0 {
                        return Ok(());
                    }
                    self.record(&messages).await?;
                    messages.clear();
                }
                _ = start_checks.tick() => self.check_starts().await?,
            }
            let lost = self.metrics.dropped.get() != dropped && receiver.is_empty();
            if lost || reconciled.elapsed() > RECONCILE_PERIOD {
                dropped = self.metrics.dropped.get();
                reconciled = Instant::now();
                self.reconcile().await?;
            }
        }
    }

    async fn record(&mut self, messages: &[EventMessage]) -> Result<(), String> {
        let wanted = self.ledger.wanted(messages);
        let fresh = self.inspect_all(wanted.into_iter().collect()).await?;
        for facts in fresh.values().filter(|facts| !facts.running) {
            self.waiting.entry(facts.id.clone()).or_insert_with(Instant::now);
        }
        let records = self.ledger.events(messages, fresh);
        self.store(records).await
    }

    /// A container that could not be started makes no event that says so.
    async fn check_starts(&mut self) -> Result<(), String> {
        let ledger = &self.ledger;
        self.waiting.retain(|id, since| since.elapsed() < START_CHECK_TIME && ledger.is_waiting_to_start(id));
        let mut ids = std::mem::take(&mut self.unsettled);
        ids.extend(self.waiting.keys().cloned());
        if ids.is_empty() { Ok(()) } else { self.compare(ids.into_iter().collect()).await }
    }

    /// Compares every container with what was recorded of it.
    async fn reconcile(&mut self) -> Result<(), String> {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let listed = timeout(REQUEST_TIMEOUT, self.docker.list_containers(Some(options))).await;
        let listed =
            listed.map_err(|_| "no answer to list".to_owned())?.map_err(|error| error.to_string())?;
        let ids: HashSet<String> = listed.into_iter().filter_map(|summary| summary.id).collect();
        self.ledger.retain(&ids);
        self.compare(ids.into_iter().collect()).await
    }

    async fn compare(&mut self, ids: Vec<String>) -> Result<(), String> {
        let mut records = Vec::new();
        let inspected = self.inspect_all(ids).await?;
        let settled_ns = now_ns().saturating_sub(i64::try_from(SETTLE_TIME.as_nanos()).unwrap_or(0));
        for (id, facts) in inspected {
            if !self.ledger.take_in(facts, settled_ns, &mut records) {
                self.unsettled.insert(id);
            }
        }
        records.sort_by_key(|record| record.timestamp_ns);
        if records.is_empty() { Ok(()) } else { self.store(records).await }
    }

    /// Events are few and precious: while the store refuses them, recording waits.
    async fn store(&self, records: Vec<Record>) -> Result<(), String> {
        self.metrics.count(&records);
        let mut wait = RETRY_FIRST;
        loop {
            match self.writer.append(self.ledger.batch(records.clone())).await {
                Ok(_) => return Ok(()),
                Err(store::StoreError::Closed) => return Err("the store is closed".to_owned()),
                Err(error) => tracing::warn!(%error, "cannot store lifecycle events; trying again"),
            }
            sleep(wait).await;
            wait = (wait * 2).min(RETRY_LAST);
        }
    }

    /// Waits until the daemon answers; tells, and records, when it did not at once. A proxy in between cuts
    /// quiet connections, which is no reason to say so.
    async fn wait_for_daemon(&mut self) -> bool {
        let mut wait = RETRY_FIRST;
        let mut away = false;
        loop {
            if matches!(timeout(REQUEST_TIMEOUT, self.docker.ping()).await, Ok(Ok(_))) {
                return away;
            }
            if !away {
                away = true;
                let record =
                    self.ledger.daemon(Action::DaemonDown, "the Docker daemon does not answer", now_ns());
                if let Err(error) = self.store(vec![record]).await {
                    tracing::debug!(error, "cannot record that the daemon is away");
                }
            }
            sleep(wait).await;
            wait = (wait * 2).min(RETRY_LAST);
        }
    }

    /// Records that the host has booted since the last event. Only told when this process runs on that host:
    /// the boot time is read from `/proc`.
    async fn note_boot(&mut self) -> Result<(), String> {
        let Some(booted_s) = crate::stats::boot_time_s() else { return Ok(()) };
        let before = std::mem::replace(&mut self.ledger.position.booted_s, booted_s);
        // The kernel's figure moves by a second when the clock is corrected.
        if before == 0 || booted_s.abs_diff(before) < 10 {
            return Ok(());
        }
        let booted_ns = i64::try_from(booted_s).unwrap_or(0).saturating_mul(1_000_000_000);
        let record = self.ledger.daemon(Action::HostBoot, "the host has booted", booted_ns);
        self.store(vec![record]).await
    }
}

async fn read_events(
    events: impl Stream<Item = Result<EventMessage, String>>,
    sender: mpsc::Sender<EventMessage>,
    dropped: IntCounter,
) -> Result<(), String> {
    let mut events = pin!(events);
    while let Some(event) = events.next().await {
        if sender.try_send(event?).is_err() {
            dropped.inc();
        }
    }
    Ok(())
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
