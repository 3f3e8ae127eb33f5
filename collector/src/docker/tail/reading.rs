//! Reading a container's log, and when to read it next.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use store::GapReason;
use tokio::time::Instant;

use super::super::damage;
use super::super::doorbell::{Doorbell, Ring};
use super::super::engine::Engine;
use super::super::pass::ReadError;
use super::super::sink::Stopped;
use super::super::timestamp;
use super::super::transport::LogsError;
use super::{Next, Tail};

/// A read that brings this many messages is followed by the next one at once.
const BUSY: u64 = 1_000;
/// A container this chatty is read by the clock; listening to it as well would double the daemon's work.
const TOO_CHATTY_TO_LISTEN: u64 = 50;
/// After so many reads without news a container is quiet.
const QUIET_AFTER: u32 = 2;
/// A quiet container whose doorbell never rings is read once in this time: a follow can hang.
const SAFETY_READ: Duration = Duration::from_secs(60);
/// Longest time between reads of a quiet container without a doorbell.
const COLD_READ: Duration = Duration::from_secs(5);
/// Rings that are taken note of at once when a container has ended: more than a follow has under way.
const MAX_RINGS: usize = 256;
/// Waits after failures.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(10);

impl Tail {
    pub(super) async fn read(&mut self, engine: &Engine) -> Result<Next, Stopped> {
        let Some(log) = &mut self.log else { return Ok(Next::Park) };
        let bulk = self.history && log.cursor.is_empty();
        let mut permits = self.shared.permits(bulk).await?;
        let started = Instant::now();
        self.last_read = Some(started);
        let ended = std::mem::take(&mut self.bell_ended);
        let had_files = log.files.is_some();
        let outcome = log.read(engine, &mut permits).await;
        drop(permits);
        self.outdated |= !matches!(outcome, Ok(0));
        if had_files && log.files.is_none() {
            self.store_source().await?;
        }
        match outcome {
            Ok(new) => {
                self.recovered();
                self.silent = self.doorbell.is_some();
                if !self.description.running || ended {
                    self.read_to_end_of = Some(self.starts);
                }
                self.quiet = if new == 0 { self.quiet.saturating_add(1) } else { 0 };
                if self.description.running && ended {
                    // The event that tells the same is on its way.
                    Ok(Next::At(started + self.shared.config.poll_interval.0))
                } else if self.description.running {
                    Ok(self.schedule(engine, new, started.elapsed()).await?)
                } else {
                    self.end_of_run().await
                }
            }
            Err(ReadError::Stopped) => Err(Stopped),
            Err(error) => self.broke_off(engine, error).await,
        }
    }

    /// When to read a running container next.
    async fn schedule(&mut self, engine: &Engine, new: u64, took: Duration) -> Result<Next, Stopped> {
        let to_the_end = self.listens_to_the_end(engine);
        if new >= TOO_CHATTY_TO_LISTEN && !to_the_end {
            self.doorbell = None;
        }
        if new >= BUSY {
            return Ok(Next::Now);
        }
        let interval = self.shared.config.poll_interval.0;
        let pause = self.log.as_ref().map_or(interval, |log| log.pause(self.description.kept_bytes, took));
        let earliest = self.last_read.unwrap_or_else(Instant::now) + pause;
        let is_heard = self.doorbell.is_some() || !to_the_end;
        if self.quiet < QUIET_AFTER && is_heard {
            return Ok(Next::At(earliest));
        }
        if self.doorbell.is_some() {
            return Ok(Next::At(Instant::now() + jittered(SAFETY_READ, &self.id, self.quiet)));
        }
        if let Ok(permit) = Arc::clone(&self.shared.doorbells).try_acquire_owned() {
            let metrics = &self.shared.metrics;
            let opened = Doorbell::open(engine, &self.id, permit, metrics);
            if let Ok(doorbell) = self.shared.unless_stopped(opened).await? {
                self.doorbell = Some(doorbell);
                // What came before it could ring.
                return Ok(Next::Now);
            }
        }
        if self.quiet < QUIET_AFTER {
            return Ok(Next::At(earliest));
        }
        let backoff = interval.saturating_mul(1 << self.quiet.min(10)).min(COLD_READ);
        Ok(Next::At(Instant::now() + jittered(backoff, &self.id, self.quiet)))
    }

    /// Whether the doorbell is held open however much the container logs: when a container with `--rm` ends, an
    /// engine from 23 on leaves some milliseconds between the end of follows and the removal of the log.
    fn listens_to_the_end(&self, engine: &Engine) -> bool {
        self.description.auto_remove && engine.follows_to_the_end
    }

    /// Takes note of what the doorbell told.
    pub(super) fn heard(&mut self, ring: Ring) {
        match ring {
            Ring::Bytes => self.silent = false,
            Ring::RunEnded => {
                if self.silent {
                    self.read_to_end_of = Some(self.starts);
                }
                self.bell_ended = true;
                self.doorbell = None;
            }
            Ring::Over => self.doorbell = None,
        }
    }

    /// Takes note of what the doorbell has told already.
    pub(super) fn hear_out(&mut self) {
        for _ in 0..MAX_RINGS {
            let Some(ring) = self.doorbell.as_mut().and_then(|doorbell| doorbell.rung().now_or_never())
            else {
                return;
            };
            self.heard(ring);
        }
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
                        let from_ns = log.cursor.gap_from_ns().unwrap_or(self.description.created_ns);
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
    pub(super) fn failed(&mut self, reason: &'static str, message: &str) -> Next {
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

    /// Reads once without asking anything first; after the container has `ended`, that is all there is. `died`:
    /// an event told of its end.
    pub(super) async fn read_at_once(
        &mut self,
        engine: &Engine,
        ended: bool,
        died: bool,
    ) -> Result<(), Stopped> {
        if self.drained {
            return Ok(());
        }
        let Some(log) = &mut self.log else { return Ok(()) };
        let mut permits = self.shared.permits(false).await?;
        let outcome = log.read(engine, &mut permits).await;
        self.outdated |= !matches!(outcome, Ok(0));
        match outcome {
            Ok(_) => {
                self.silent = self.doorbell.is_some();
                self.drained = ended;
                if died {
                    self.read_to_end_of = Some(self.starts);
                }
            }
            Err(ReadError::Stopped) => return Err(Stopped),
            Err(error) => tracing::debug!(container = log.name, %error, "the last read failed"),
        }
        Ok(())
    }
}

/// `period` give or take a fifth, so that thousands of containers do not ask at the same time.
fn jittered(period: Duration, id: &str, round: u32) -> Duration {
    let hash = xxhash_rust::xxh3::xxh3_64_with_seed(id.as_bytes(), u64::from(round));
    period.mul_f64(0.8 + 0.4 * (hash % 1_000) as f64 / 1_000.0)
}
