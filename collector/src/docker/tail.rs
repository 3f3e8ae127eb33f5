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

use store::Container;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::container::Description;
use super::doorbell::{Doorbell, Ring};
use super::engine::{Engine, EngineError};
use super::opening;
use super::pass::Log;
use super::shared::Shared;
use super::sink::{Sink, Stopped};

mod ending;
mod reading;

/// After so long without anything else to do, what changed about a container goes into the catalog. A
/// container that ends within milliseconds must be read before that.
const ROWS_WAIT: Duration = Duration::from_millis(50);

/// What the watcher tells a reader; only the latest counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signal {
    /// Grows with everything that happened.
    pub(super) changes: u64,
    /// What was heard last, from an event or a list: started (`true`) or died.
    pub(super) alive: Option<bool>,
    /// How many starts events told of.
    pub(super) starts: u64,
    /// An event told of the end of the last run. That comes when nothing more can come into the log.
    pub(super) died: bool,
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
    /// Messages came since the description was made: a run that it does not know of may have logged them.
    outdated: bool,
    /// Everything a container that does not run has logged was read.
    drained: bool,
    /// `Signal::starts` at the last look.
    starts: u64,
    /// The run of which every line is known to be read, as counted by `starts`.
    read_to_end_of: Option<u64>,
    /// The doorbell was open when the last complete read began, and has not rung since.
    silent: bool,
    /// The doorbell told of the end of the run.
    bell_ended: bool,
    problem: Option<String>,
    /// It was gone before it could be looked at, and no event had told of a start.
    unstarted: bool,
}

impl Tail {
    /// `told` is what is known of the container before it is inspected: its id at least.
    pub(super) fn new(
        shared: Arc<Shared>,
        told: Description,
        signals: watch::Receiver<Signal>,
        history: bool,
    ) -> Self {
        Self {
            engine: shared.engine.clone(),
            shared,
            id: told.id.clone(),
            signals,
            history,
            seen: None,
            description: told,
            log: None,
            row: None,
            doorbell: None,
            last_read: None,
            quiet: 0,
            failures: 0,
            outdated: false,
            drained: false,
            starts: 0,
            read_to_end_of: None,
            silent: false,
            bell_ended: false,
            problem: None,
            unstarted: false,
        }
    }

    /// Reads until the container is gone or the process ends; then everything complete is stored, and what
    /// is unfinished will be read again. Returns the container's id and, when it was gone before it could be looked
    /// at and no event had told of a start, what is known of it.
    pub(super) async fn run(mut self) -> (String, Option<Description>) {
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
        (self.id, self.unstarted.then_some(self.description))
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
        self.drained &= ended && self.starts == signal.starts;
        self.starts = signal.starts;
        if ended {
            self.hear_out();
        }
        self.read_at_once(engine, ended, signal.died).await?;
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
                (self.drained, self.outdated) = (false, false);
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
        if let Some(log) = self.log.as_mut().filter(|log| log.files.is_none()) {
            // They may be there now: a container that has never run has none.
            log.files = opening::files(&self.shared, &self.description);
        }
        self.store_source().await
    }

    /// Writes its row if its log is read in another way than the row says, or anything else of it changed.
    async fn store_source(&mut self) -> Result<(), Stopped> {
        let from_files = self.log.as_ref().is_some_and(|log| log.files.is_some());
        let source = if from_files { Container::FROM_FILES } else { Container::FROM_API };
        self.store_row(source.to_owned()).await
    }

    /// Writes its row of the catalog if anything in it changed.
    async fn store_row(&mut self, source: String) -> Result<(), Stopped> {
        let unreadable = |row: &Container| row.source.starts_with("unreadable");
        let source = match &self.row {
            // A new look at it does not make it readable.
            Some(row)
                if unreadable(row) && [Container::FROM_API, Container::FROM_FILES].contains(&&*source) =>
            {
                row.source.clone()
            }
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
                changed = self.engine.changed() => {
                    // What was known of the end of a run may have been that of the daemon.
                    self.read_to_end_of = None;
                    return changed.map(|()| true).map_err(|_| Stopped);
                }
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
                ring = ring(&mut self.doorbell), if self.doorbell.is_some() => {
                    heard = true;
                    self.heard(ring);
                    if self.bell_ended {
                        return Ok(true);
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

async fn ring(doorbell: &mut Option<Doorbell>) -> Ring {
    match doorbell {
        Some(doorbell) => doorbell.rung().await,
        None => std::future::pending().await,
    }
}
