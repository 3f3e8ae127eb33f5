//! Tells that a quiet container has logged something.
//!
//! A follow of the log from its end, of which nothing but the arrival of bytes is used: it costs the daemon
//! nothing while the container is quiet, and may skip, repeat or break off without doing harm. What was
//! logged is then read by [`super::pass`].

use tokio::sync::OwnedSemaphorePermit;

use super::metrics::Metrics;
use super::transport::{LogsClient, LogsError, Reply};

/// One open follow.
#[derive(Debug)]
pub(super) struct Doorbell {
    reply: Reply,
    metrics: Metrics,
    _permit: OwnedSemaphorePermit,
}

impl Doorbell {
    /// Starts to listen. What is logged before this returns may go unheard.
    pub(super) async fn open(
        logs: &LogsClient,
        id: &str,
        permit: OwnedSemaphorePermit,
        metrics: &Metrics,
    ) -> Result<Self, LogsError> {
        let reply = logs.follow(id).await?;
        metrics.doorbells(1);
        Ok(Self { reply, metrics: metrics.clone(), _permit: permit })
    }

    /// Waits for bytes. `false` when the follow has ended: read now, and do not listen again to this one.
    pub(super) async fn rung(&mut self) -> bool {
        matches!(self.reply.chunk().await, Ok(Some(_)))
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        self.metrics.doorbells(-1);
    }
}
