//! What all handlers share.

use std::sync::{Arc, OnceLock};

use store::Reader;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::metrics::Metrics;
use crate::Config;
use crate::exec::gate::Gate;
use crate::exec::{Context, ExecError, yielding};

type WriteMetrics = dyn Fn(&str) -> (&'static str, String) + Send + Sync;

/// Writes `/metrics`: content type and body for a value of `Accept`.
pub struct MetricsBody(Box<WriteMetrics>);

impl MetricsBody {
    /// Writes `/metrics` with this function.
    pub fn new(write: impl Fn(&str) -> (&'static str, String) + Send + Sync + 'static) -> Self {
        Self(Box::new(write))
    }
}

impl std::fmt::Debug for MetricsBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MetricsBody")
    }
}

/// What all handlers share, of the native API and of Loki's. Cloning shares it.
#[derive(Clone, Debug)]
pub struct AppState {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    reader: Reader,
    config: Config,
    gate: Gate,
    tails: Arc<Semaphore>,
    registry: prometheus::Registry,
    metrics_body: OnceLock<MetricsBody>,
    metrics: Metrics,
    ready: watch::Receiver<bool>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl AppState {
    /// The state of a server over `reader`. `/metrics` shows `registry`, `/ready` follows `ready`; queries and
    /// tails end when `shutdown` is cancelled, and [`AppState::drained`] waits for them.
    ///
    /// # Errors
    /// When `registry` has metrics of these names already.
    pub fn new(
        reader: Reader,
        config: Config,
        registry: prometheus::Registry,
        ready: watch::Receiver<bool>,
        shutdown: CancellationToken,
    ) -> Result<Self, prometheus::Error> {
        let gate = Gate::new(&config);
        let tails = Arc::new(Semaphore::new(config.max_tails));
        let metrics = Metrics::new(&registry, &gate, &config)?;
        let tasks = TaskTracker::new();
        Ok(Self {
            shared: Arc::new(Shared {
                reader,
                config,
                gate,
                tails,
                registry,
                metrics_body: OnceLock::new(),
                metrics,
                ready,
                shutdown,
                tasks,
            }),
        })
    }

    /// The data.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        &self.shared.reader
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// This crate's metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// The process's metrics.
    #[must_use]
    pub fn registry(&self) -> &prometheus::Registry {
        &self.shared.registry
    }

    /// Lets another writer than the plain text one write `/metrics`; the first call counts.
    pub fn write_metrics_with(&self, body: MetricsBody) {
        if self.shared.metrics_body.set(body).is_err() {
            tracing::debug!("`/metrics` has its writer already");
        }
    }

    /// Content type and body of `/metrics` for a value of `Accept`.
    ///
    /// # Errors
    /// When the metrics cannot be written as text.
    pub(super) fn metrics_body(&self, accept: &str) -> prometheus::Result<(&'static str, String)> {
        if let Some(MetricsBody(write)) = self.shared.metrics_body.get() {
            return Ok(write(accept));
        }
        let body = prometheus::TextEncoder::new().encode_to_string(&self.shared.registry.gather())?;
        Ok((prometheus::TEXT_FORMAT, body))
    }

    /// Whether the process is ready to answer.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.shared.ready.borrow()
    }

    /// Cancelled when the process ends.
    #[must_use]
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shared.shutdown
    }

    /// Owner of the tasks that answers leave behind: streams and tails.
    #[must_use]
    pub fn tasks(&self) -> &TaskTracker {
        &self.shared.tasks
    }

    /// Seats for live tails.
    pub(crate) fn tails(&self) -> &Arc<Semaphore> {
        &self.shared.tails
    }

    /// Waits until every stream and tail has ended; call it after cancelling the shutdown token.
    pub async fn drained(&self) {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// Runs `work` on data off the async runtime, behind the gate. When the returned future is dropped, because the
    /// client left, `work` is cancelled.
    ///
    /// # Errors
    /// When the server is busy, or as `work` says.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader, &Context) -> Result<T, ExecError> + Send + 'static,
    ) -> Result<T, ExecError> {
        let cancel = self.shared.shutdown.child_token();
        let _cancelled_when_dropped = cancel.clone().drop_guard();
        let context = Arc::new(Context::new(&self.shared.config, cancel));
        self.run_in(context, work).await
    }

    /// [`AppState::run`] with a context that outlives the call, for answers of many pages.
    ///
    /// # Errors
    /// As [`AppState::run`].
    pub async fn run_in<T: Send + 'static>(
        &self,
        context: Arc<Context>,
        work: impl FnOnce(&Reader, &Context) -> Result<T, ExecError> + Send + 'static,
    ) -> Result<T, ExecError> {
        let permit = self.shared.gate.enter().await?;
        let state = self.clone();
        // Who waits for the end of the process waits for the thread, too.
        let tracked = self.shared.tasks.token();
        yielding(move || {
            let _held = (permit, tracked);
            context.next_page();
            let before = context.decoded_bytes();
            let result = work(state.reader(), &context);
            state.metrics().query_done(&result, context.page_seconds(), context.decoded_bytes() - before);
            result
        })
        .await
    }
}
