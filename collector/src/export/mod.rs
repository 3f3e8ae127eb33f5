//! Traces, sent to an OTLP receiver.
//!
//! The span index is the queue: every change of a span has a sequence number, and the number up to which all
//! are sent is stored. Its bound is `retention.max_span_bytes`; what that deletes before it was sent is counted.
//! The invariant: the stored number never runs ahead of what the receiver has taken, so an outage or a killed
//! process loses nothing; it repeats at most the one request whose answer did not arrive.

mod client;
mod config;
mod grpc;
mod history;
mod http;
mod metrics;
mod own;
mod queue;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use correlation::Span;
use correlation::otlp::resource_spans;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use store::Writer;
use tokio_util::sync::CancellationToken;

use client::{Client, Failure};
pub use config::{Compression, ExportConfig, Headers, Protocol};
pub use history::{Exported, HistoryError, send_history};
pub use metrics::ExportMetrics;
pub use own::{OwnSpans, Recorder, own_spans};
use queue::Queue;

/// How often the index is looked at for new spans.
const TICK: Duration = Duration::from_secs(1);
/// The first and the longest pause after a request that failed.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// The longest that a receiver is left alone when it asks for it.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);
/// How long a request in flight is waited for at the end, so that it need not be repeated.
const LAST_ANSWER: Duration = Duration::from_secs(5);

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Nobody to send to.
    #[error("no receiver is named: set `export.endpoint`, or `OTEL_EXPORTER_OTLP_ENDPOINT`")]
    NoEndpoint,
    /// An address that cannot be used.
    #[error("cannot send traces to `{url}` (`export.endpoint`): {reason}")]
    Url {
        /// The address.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A file that cannot be used.
    #[error("cannot use the certificates in `{}` (`export.certificate`): {reason}", file.display())]
    Certificate {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A header that HTTP cannot carry.
    #[error("cannot send the header `{0}` (`export.headers`)")]
    Header(String),
}

/// Sends spans, one request at a time.
#[derive(Debug)]
pub struct Exporter {
    client: Client,
    metrics: ExportMetrics,
    /// The most spans of a request, and of the next one: fewer after one that was too large or refused.
    most: usize,
    next: usize,
    pauses: ExponentialBackoff,
    /// Since when nothing is taken, and what happened last.
    out: Option<(Instant, String)>,
}

/// What came of sending.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Attempt {
    /// So many of the first spans are done with: taken, or dropped because they are refused.
    Done(usize),
    /// Nothing is done; to be tried again after this pause.
    Again(Duration),
}

impl Exporter {
    /// Prepares the connection; nothing is sent. To be called within an async runtime.
    ///
    /// # Errors
    /// When the address, the headers or the certificates cannot be used.
    pub fn new(config: &ExportConfig, metrics: ExportMetrics) -> Result<Self, ExportError> {
        let client = Client::new(config)?;
        let most = config.batch_spans;
        Ok(Self { client, metrics, most, next: most, pauses: pauses(), out: None })
    }

    /// The address that is sent to.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.client.url
    }

    /// Sends as many of `spans`, from the first on, as one request may have.
    async fn send(&mut self, spans: &[Span]) -> Attempt {
        let now = spans.get(..self.next).unwrap_or(spans);
        let request = ExportTraceServiceRequest { resource_spans: resource_spans(now) };
        match self.client.send(request).await {
            Ok(taken) => {
                self.recovered();
                let rejected = taken.rejected.min(now.len() as u64);
                self.metrics.sent(now.len() as u64 - rejected);
                if rejected > 0 || !taken.message.is_empty() {
                    self.metrics.refused(rejected);
                    tracing::warn!(rejected, message = taken.message, "the receiver of traces complains");
                }
                self.next = self.most;
                Attempt::Done(now.len())
            }
            Err(Failure::Refused(what) | Failure::TooMuch(what)) if now.len() > 1 => {
                tracing::debug!(what, spans = now.len(), "a request is refused and goes again in halves");
                self.metrics.retried();
                self.next = now.len() / 2;
                Attempt::Again(Duration::ZERO)
            }
            Err(Failure::Refused(what) | Failure::TooMuch(what)) => {
                self.recovered();
                tracing::warn!(
                    what,
                    span = now.first().map(|span| &span.name),
                    "a span is refused and dropped"
                );
                self.metrics.refused(now.len() as u64);
                Attempt::Done(now.len())
            }
            Err(Failure::Unavailable { what, retry_after }) => {
                self.metrics.retried();
                if self.out.is_none() {
                    tracing::warn!(what, "traces cannot be sent to {}; trying again", self.client.url);
                }
                let since = self.out.take().map_or_else(Instant::now, |(since, _)| since);
                self.out = Some((since, what));
                let pause = self.pauses.next().unwrap_or(PAUSE.1);
                Attempt::Again(pause.max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER)))
            }
        }
    }

    /// Sends what there is of Binnacle's own work, once.
    async fn send_own(&self, own: &mut OwnSpans) {
        let (spans, dropped) = own.take(self.most);
        self.metrics.dropped_own(dropped);
        if spans.is_empty() {
            return;
        }
        let count = spans.len() as u64;
        match self.client.send(ExportTraceServiceRequest { resource_spans: resource_spans(&spans) }).await {
            Ok(_) => self.metrics.sent(count),
            Err(failure) => {
                tracing::debug!(%failure, "spans of Binnacle's own work are dropped");
                self.metrics.dropped_own(count);
            }
        }
    }

    /// What happened last, when nothing was taken for at least `limit`.
    fn out_for(&self, limit: Duration) -> Option<String> {
        let (since, what) = self.out.as_ref()?;
        (since.elapsed() >= limit).then(|| what.clone())
    }

    fn recovered(&mut self) {
        self.pauses = pauses();
        if let Some((since, _)) = self.out.take() {
            let seconds = since.elapsed().as_secs();
            tracing::info!("traces can be sent to {} again, after {seconds} s", self.client.url);
        }
    }
}

/// Pauses that double, each with some chance added, so that many senders do not come back together.
fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(PAUSE.0)
        .with_max_delay(PAUSE.1)
        .with_jitter()
        .without_max_times()
        .build()
}

/// Sends every span that is stored from the first start on, and those of Binnacle's own work, until cancelled.
pub async fn follow(
    mut exporter: Exporter,
    writer: Writer,
    mut own: Option<OwnSpans>,
    cancel: CancellationToken,
) {
    let mut queue = Queue::new(writer, exporter.metrics.clone());
    loop {
        let pause = match step(&mut exporter, &mut queue, &cancel).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(%error, "stored spans could not be read to be sent; trying again");
                PAUSE.1
            }
        };
        if let Some(own) = &mut own {
            exporter.send_own(own).await;
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Sends the spans of Binnacle's own work alone, until cancelled: for a process that makes no traces.
pub async fn follow_own(exporter: Exporter, mut own: OwnSpans, cancel: CancellationToken) {
    loop {
        exporter.send_own(&mut own).await;
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// Sends what one look at the queue finds. Returns how long to wait before the next.
async fn step(
    exporter: &mut Exporter,
    queue: &mut Queue,
    cancel: &CancellationToken,
) -> Result<Duration, queue::QueueError> {
    let page = queue.read(exporter.most).await?;
    if page.is_empty() {
        return Ok(TICK);
    }
    let mut done = 0;
    while done < page.spans.len() && !cancel.is_cancelled() {
        let sending = exporter.send(&page.spans[done..]);
        let attempt = tokio::select! {
            attempt = sending => attempt,
            () = too_late(cancel) => return Ok(TICK),
        };
        match attempt {
            // The page is read again: it may have changed meanwhile.
            Attempt::Again(pause) => return Ok(pause),
            Attempt::Done(spans) => {
                done += spans;
                queue.advance(&page, done).await?;
            }
        }
    }
    if page.spans.is_empty() {
        queue.advance(&page, 0).await?;
    }
    Ok(Duration::ZERO)
}

/// Some time after the cancellation.
async fn too_late(cancel: &CancellationToken) {
    cancel.cancelled().await;
    tokio::time::sleep(LAST_ANSWER).await;
}
