//! One container's log from its discovery to its removal.
//!
//! ```text
//!            inspect                read until nothing is new
//! discovered ------> live <-> retry -------------------------> drained --start--> live
//!                      \--driver keeps nothing, excluded--> parked --start, rename, update--> discovered
//!                       any --destroy--> gone
//! ```
//! What wakes a reader: an event, the doorbell, or a timer. What it then does is always the same: read to
//! the present end. Memory of a quiet container: its description, two lanes and a cursor, about 6 KB, and
//! while it is listened to a connection of about 20 KB.

use std::sync::Arc;
use std::time::Duration;

use store::{Container, GapReason};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::container::Description;
use super::damage;
use super::doorbell::Doorbell;
use super::engine::{Engine, EngineError};
use super::opening;
use super::pass::{Log, ReadError};
use super::shared::Shared;
use super::sink::{Sink, Stopped};
use super::timestamp;
use super::transport::LogsError;

/// A read that brings this many messages is followed by the next one at once.
const BUSY: u64 = 1_000;
/// A container this chatty is read by the clock; listening to it as well would double the daemon's work.
const TOO_CHATTY_TO_LISTEN: u64 = 100;
/// After so many reads without news a container is quiet.
const QUIET_AFTER: u32 = 2;
/// A quiet container whose doorbell never rings is read once in this time: a follow can hang.
const SAFETY_READ: Duration = Duration::from_secs(60);
/// Longest time between reads of a quiet container without a doorbell.
const COLD_READ: Duration = Duration::from_secs(5);
/// After so long without anything else to do, what changed about a container goes into the catalog. A
/// container that ends within milliseconds must be read before that.
const ROWS_WAIT: Duration = Duration::from_millis(50);
/// Waits after failures.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// What the watcher tells a reader; only the latest counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signal {
    /// Grows with everything that happened.
    pub(super) changes: u64,
    /// The last event that said so: started (`true`) or died.
    pub(super) alive: Option<bool>,
    /// The daemon reported the removal.
    pub(super) destroyed: bool,
}

/// What a reader does next.
enum Next {
    Now,
    At(Instant),
    /// Nothing until something happens.
    Park,
    /// The container is gone.
    End,
}

/// Reads one container.
pub(super) struct Tail {
    shared: Arc<Shared>,
    id: String,
    signals: watch::Receiver<Signal>,
    engine: watch::Receiver<Option<Engine>>,
    /// Found when the process started, so that its log may be long.
    history: bool,
    seen: Option<u64>,
    description: Description,
    log: Option<Log>,
    row: Option<Container>,
    doorbell: Option<Doorbell>,
    last_read: Option<Instant>,
    quiet: u32,
    failures: u32,
    /// Everything a container that does not run has logged was read.
    drained: bool,
    problem: Option<String>,
}

impl Tail {
    pub(super) fn new(
        shared: Arc<Shared>,
        id: String,
        signals: watch::Receiver<Signal>,
        history: bool,
    ) -> Self {
        Self {
            engine: shared.engine.clone(),
            shared,
            id,
            signals,
            history,
            seen: None,
            description: Description::default(),
            log: None,
            row: None,
            doorbell: None,
            last_read: None,
            quiet: 0,
            failures: 0,
            drained: false,
            problem: None,
        }
    }

    /// Reads until the container is gone or the process ends; then everything complete is stored, and what
    /// is unfinished will be read again.
    pub(super) async fn run(mut self) {
        let ended = loop {
            let next = match self.step().await {
                Ok(next) => next,
                Err(Stopped) => break Err(Stopped),
            };
            match self.wait(next).await {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(Stopped) => break Err(Stopped),
            }
        };
        if let (Err(Stopped), Some(log)) = (ended, &mut self.log)
            && (log.commit_rows().await.is_err() || log.sink.settle().await.is_err())
        {
            tracing::warn!(
                container = log.name,
                "the last lines read were not stored; they will be read again"
            );
        }
    }

    async fn step(&mut self) -> Result<Next, Stopped> {
        let Some(engine) = self.engine.borrow_and_update().clone() else { return Ok(Next::Park) };
        let signal = *self.signals.borrow_and_update();
        tracing::trace!(container = self.name(), ?signal, "looks");
        if self.seen != Some(signal.changes) {
            if let Some(next) = self.look(&engine, signal).await? {
                return Ok(next);
            }
            self.seen = Some(signal.changes);
        }
        if self.log.is_none() || self.drained {
            return Ok(Next::Park);
        }
        self.read(&engine).await
    }

    /// Something happened: looks at the container afresh.
    async fn look(&mut self, engine: &Engine, signal: Signal) -> Result<Option<Next>, Stopped> {
        // Read first and ask later: with `--rm` the log is gone some 30 ms after the end.
        let ended = signal.alive == Some(false) || signal.destroyed;
        self.drained &= ended;
        self.read_at_once(engine, ended).await?;
        let answer = {
            let _turn = self.shared.unless_stopped(self.shared.inspects.acquire()).await?;
            // An inspect waits while the container starts or ends; what happens meanwhile comes first.
            let opened = self.log.is_some();
            tokio::select! {
                biased;
                () = self.shared.token.cancelled() => return Err(Stopped),
                Ok(()) = self.signals.changed(), if opened => return Ok(Some(Next::Now)),
                answer = engine.inspect(&self.id) => answer,
            }
        };
        match answer {
            Ok(answer) => {
                let description = Description::new(&self.id, answer);
                // What a read after the end brought is not all until one brings nothing.
                self.drained = false;
                self.describe(description).await?;
                Ok(None)
            }
            Err(EngineError::NoSuchContainer) => {
                self.gone(signal.destroyed).await?;
                Ok(Some(Next::End))
            }
            Err(error) => Ok(Some(self.failed("inspect", &error.to_string()))),
        }
    }

    /// Takes over a new description: opens the log, or says why it is not read.
    async fn describe(&mut self, description: Description) -> Result<(), Stopped> {
        let renamed = description.name != self.description.name;
        self.description = description;
        let refused = self.shared.selection.refuses(&self.description);
        match (&mut self.log, refused) {
            (log, Some(reason)) => {
                if log.is_some() || self.row.is_none() {
                    tracing::debug!(container = self.description.name, reason, "not collected");
                }
                if let Some(mut log) = log.take() {
                    log.commit_rows().await?;
                    log.sink.settle().await?;
                }
                self.doorbell = None;
                return self.store_row("excluded".to_owned()).await;
            }
            (Some(log), None) if renamed => {
                let shapes = opening::shapes(&self.shared, &self.description);
                log.rename(self.description.name.clone(), shapes);
            }
            (Some(_), None) => {}
            (None, None) => match opening::open(&self.shared, &self.description, self.history).await? {
                Ok(log) => self.log = Some(log),
                Err(error) => {
                    tracing::error!(container = self.description.name, %error, "not collected");
                    return Ok(());
                }
            },
        }
        self.store_row("poll".to_owned()).await
    }

    async fn read(&mut self, engine: &Engine) -> Result<Next, Stopped> {
        let Some(log) = &mut self.log else { return Ok(Next::Park) };
        let bulk = self.history && log.cursor.is_empty();
        let mut permits = self.shared.permits(bulk).await?;
        let started = Instant::now();
        self.last_read = Some(started);
        let outcome = log.read(engine, &mut permits).await;
        drop(permits);
        match outcome {
            Ok(new) => {
                self.recovered();
                self.quiet = if new == 0 { self.quiet.saturating_add(1) } else { 0 };
                if self.description.running {
                    Ok(self.schedule(engine, new, started.elapsed()).await?)
                } else if new == 0 {
                    self.drained().await?;
                    Ok(Next::Park)
                } else {
                    Ok(Next::Now)
                }
            }
            Err(ReadError::Stopped) => Err(Stopped),
            Err(error) => self.broke_off(engine, error).await,
        }
    }

    /// When to read a running container next.
    async fn schedule(&mut self, engine: &Engine, new: u64, took: Duration) -> Result<Next, Stopped> {
        if new >= BUSY {
            self.doorbell = None;
            return Ok(Next::Now);
        }
        if new >= TOO_CHATTY_TO_LISTEN {
            self.doorbell = None;
        }
        let interval = self.shared.config.poll_interval.0;
        let pause = self.log.as_ref().map_or(interval, |log| log.pause(self.description.kept_bytes, took));
        let earliest = self.last_read.unwrap_or_else(Instant::now) + pause;
        if self.quiet < QUIET_AFTER {
            return Ok(Next::At(earliest));
        }
        if self.doorbell.is_some() {
            return Ok(Next::At(Instant::now() + jittered(SAFETY_READ, &self.id, self.quiet)));
        }
        if let Ok(permit) = Arc::clone(&self.shared.doorbells).try_acquire_owned() {
            let metrics = &self.shared.metrics;
            let opened = Doorbell::open(&engine.logs, &self.id, permit, metrics);
            if let Ok(doorbell) = self.shared.unless_stopped(opened).await? {
                self.doorbell = Some(doorbell);
                // What came before it could ring.
                return Ok(Next::Now);
            }
        }
        let backoff = interval.saturating_mul(1 << self.quiet.min(10)).min(COLD_READ);
        Ok(Next::At(Instant::now() + jittered(backoff, &self.id, self.quiet)))
    }

    /// A read failed: says when to try again, or gives up what cannot be had.
    async fn broke_off(&mut self, engine: &Engine, error: ReadError) -> Result<Next, Stopped> {
        let Some(log) = &mut self.log else { return Ok(Next::Park) };
        match &error {
            ReadError::Logs(LogsError::Gone) => {
                // Ask what became of it.
                self.seen = None;
                Ok(self.failed("gone", &error.to_string()))
            }
            ReadError::Logs(LogsError::Unreadable) => {
                self.unreadable().await?;
                Ok(Next::Park)
            }
            error if damage::is_damage(error) => {
                self.shared.metrics.decode_error();
                let next = self.failed("damaged", &error.to_string());
                if self.failures < 3 {
                    return Ok(next);
                }
                let Some(log) = &mut self.log else { return Ok(next) };
                let mut permits = self.shared.permits(true).await?;
                match damage::skip(log, engine, &mut permits).await {
                    Ok(Some(_)) => Ok(Next::Now),
                    Ok(None) if !self.description.running => {
                        let from_ns = log.cursor.latest_ns().unwrap_or(self.description.created_ns);
                        log.gap(from_ns, timestamp::now_ns(), GapReason::DaemonError);
                        self.drained().await?;
                        Ok(Next::Park)
                    }
                    Ok(None) => Ok(next),
                    Err(ReadError::Stopped) => Err(Stopped),
                    Err(_) => Ok(next),
                }
            }
            ReadError::Decode(_) => {
                log.commit_rows().await?;
                Ok(self.failed("cut", &error.to_string()))
            }
            ReadError::Logs(LogsError::Timeout { .. }) => Ok(self.failed("timeout", &error.to_string())),
            ReadError::Logs(LogsError::Refused { .. }) => Ok(self.failed("refused", &error.to_string())),
            _ => Ok(self.failed("connection", &error.to_string())),
        }
    }

    /// Counts a failure, says so once, and tells when to try again.
    fn failed(&mut self, reason: &'static str, message: &str) -> Next {
        self.shared.metrics.broke_off(reason);
        self.failures = self.failures.saturating_add(1);
        self.doorbell = None;
        if self.problem.as_deref() != Some(message) && self.failures > 1 {
            tracing::warn!(container = self.name(), error = message, "cannot read the log; trying again");
            self.problem = Some(message.to_owned());
        }
        let backoff = FIRST_RETRY.saturating_mul(1 << (self.failures - 1).min(10)).min(LAST_RETRY);
        Next::At(Instant::now() + jittered(backoff, &self.id, self.failures))
    }

    fn recovered(&mut self) {
        self.failures = 0;
        if self.problem.take().is_some() {
            tracing::info!(container = self.name(), "the log can be read again");
        }
    }

    /// A container that does not run brought nothing new: its lines are all there.
    async fn drained(&mut self) -> Result<(), Stopped> {
        self.drained = true;
        self.doorbell = None;
        if let Some(log) = &mut self.log {
            log.flush(self.description.finished_ns).await?;
        }
        Ok(())
    }

    /// Reads once without asking anything first; after the container has `ended`, that is all there is.
    async fn read_at_once(&mut self, engine: &Engine, ended: bool) -> Result<(), Stopped> {
        if self.drained {
            return Ok(());
        }
        let Some(log) = &mut self.log else { return Ok(()) };
        let mut permits = self.shared.permits(false).await?;
        match log.read(engine, &mut permits).await {
            Ok(_) => self.drained = ended,
            Err(ReadError::Stopped) => return Err(Stopped),
            Err(error) => tracing::debug!(container = log.name, %error, "the last read failed"),
        }
        Ok(())
    }

    /// The daemon knows it no more.
    async fn gone(&mut self, destroyed: bool) -> Result<(), Stopped> {
        let now_ns = timestamp::now_ns();
        let refused = self.shared.selection.refuses(&self.description).is_some();
        if let (Some(log), false, false) = (&mut self.log, self.drained, refused) {
            let from_ns = log.cursor.latest_ns().unwrap_or(self.description.created_ns);
            log.gap(from_ns, now_ns, GapReason::Removed);
        }
        "removed".clone_into(&mut self.description.state);
        let source = self.row.as_ref().map(|row| row.source.clone()).unwrap_or_default();
        if let Some(log) = &mut self.log {
            log.sink.container(self.description.row(source));
            // Missing is not destroyed: another daemon may have answered. The cursor is dropped on proof only.
            log.close(!destroyed).await?;
        } else if self.row.is_some() {
            self.store_row(source).await?;
        }
        Ok(())
    }

    /// The driver keeps nothing: recorded once, and not tried again until the container changes.
    async fn unreadable(&mut self) -> Result<(), Stopped> {
        let driver = self.description.driver.clone();
        self.shared.metrics.unreadable(&self.description.name, &driver, true);
        self.drained = true;
        if let Some(log) = &mut self.log {
            opening::record_unreadable(log, &self.description).await?;
        }
        self.store_row(format!("unreadable ({driver})")).await
    }

    /// Writes its row of the catalog if anything in it changed.
    async fn store_row(&mut self, source: String) -> Result<(), Stopped> {
        let unreadable = |row: &Container| row.source.starts_with("unreadable");
        let source = match &self.row {
            // A new look at it does not make it readable.
            Some(row) if unreadable(row) && source == "poll" => row.source.clone(),
            _ => source,
        };
        let row = self.description.row(source);
        if self.row.as_ref() == Some(&row) {
            return Ok(());
        }
        self.row = Some(row.clone());
        if let Some(log) = &mut self.log {
            log.sink.container(row);
            return Ok(());
        }
        let mut sink = Sink::new(self.shared.outlet.clone(), self.id.clone());
        sink.container(row);
        sink.commit(None, None).await?;
        sink.settle().await
    }

    fn name(&self) -> &str {
        if self.description.name.is_empty() { &self.id } else { &self.description.name }
    }

    /// Waits for `next` or for whatever comes before it; `false` when there is nothing more to do.
    async fn wait(&mut self, next: Next) -> Result<bool, Stopped> {
        let mut deadline = match next {
            Next::End => return Ok(false),
            Next::Now => return Ok(true),
            Next::At(instant) => Some(instant),
            Next::Park => None,
        };
        let now = Instant::now();
        let far = now + Duration::from_secs(86_400);
        let rows_due = now + ROWS_WAIT;
        let mut rows_wait = self.log.is_some();
        let mut heard = false;
        loop {
            let trace = self.log.as_ref().and_then(Log::deadline).map(Instant::from_std);
            tokio::select! {
                biased;
                () = self.shared.token.cancelled() => return Err(Stopped),
                changed = self.signals.changed() => return changed.map(|()| true).map_err(|_| Stopped),
                changed = self.engine.changed() => return changed.map(|()| true).map_err(|_| Stopped),
                () = sleep_until(deadline.unwrap_or(far)), if deadline.is_some() => break,
                () = sleep_until(trace.unwrap_or(far)), if trace.is_some() => {
                    if let Some(log) = &mut self.log {
                        log.flush_due().await?;
                    }
                }
                () = sleep_until(rows_due), if rows_wait => {
                    rows_wait = false;
                    if let Some(log) = &mut self.log {
                        log.commit_rows().await?;
                    }
                }
                open = ring(&mut self.doorbell), if self.doorbell.is_some() => {
                    heard = true;
                    if !open {
                        self.doorbell = None;
                    }
                    let earliest = self.last_read.unwrap_or(far) + self.shared.config.poll_interval.0;
                    deadline = Some(deadline.map_or(earliest, |deadline| deadline.min(earliest)));
                }
            }
        }
        if heard {
            self.quiet = 0;
        }
        Ok(true)
    }
}

async fn ring(doorbell: &mut Option<Doorbell>) -> bool {
    match doorbell {
        Some(doorbell) => doorbell.rung().await,
        None => std::future::pending().await,
    }
}

/// `period` give or take a fifth, so that thousands of containers do not ask at the same time.
fn jittered(period: Duration, id: &str, round: u32) -> Duration {
    let hash = xxhash_rust::xxh3::xxh3_64_with_seed(id.as_bytes(), u64::from(round));
    period.mul_f64(0.8 + 0.4 * (hash % 1_000) as f64 / 1_000.0)
}
