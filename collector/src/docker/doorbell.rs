//! Tells that a quiet container has logged something.
//!
//! A follow of the log from its end, of which nothing but the arrival of bytes is used: it costs the daemon
//! nothing while the container is quiet, and may skip, repeat or break off without doing harm. What was
//! logged is then read by [`super::pass`].

use tokio::sync::OwnedSemaphorePermit;

use super::engine::Engine;
use super::metrics::Metrics;
use super::transport::{LogsError, Reply};

/// What is heard from a doorbell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ring {
    /// Something was logged.
    Bytes,
    /// The run has ended, and every line of it was told before.
    RunEnded,
    /// The follow is over, and nothing follows from that.
    Over,
}

/// One open follow.
#[derive(Debug)]
pub(super) struct Doorbell {
    reply: Reply,
    ends_with_run: bool,
    metrics: Metrics,
    _permit: OwnedSemaphorePermit,
}

impl Doorbell {
    /// Starts to listen. What is logged before this returns may go unheard.
    pub(super) async fn open(
        engine: &Engine,
        id: &str,
        permit: OwnedSemaphorePermit,
        metrics: &Metrics,
    ) -> Result<Self, LogsError> {
        let reply = engine.logs.follow(id).await?;
        metrics.doorbells(1);
        Ok(Self {
            reply,
            ends_with_run: engine.follows_to_the_end,
            metrics: metrics.clone(),
            _permit: permit,
        })
    }

    /// Waits until it is heard of again; after anything but bytes it is of no use.
    pub(super) async fn rung(&mut self) -> Ring {
        match self.reply.chunk().await {
            Ok(Some(_)) => Ring::Bytes,
            Ok(None) if self.ends_with_run => Ring::RunEnded,
            Ok(None) | Err(_) => Ring::Over,
        }
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        self.metrics.doorbells(-1);
    }
}
