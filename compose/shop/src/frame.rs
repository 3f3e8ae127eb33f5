//! What all services share: ids, logs, metrics, health, faults, deadlines and the end of the process.
//!
//! The invariant: every request that reaches a service's own routes is counted, and told in one line of the log.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::args::Node;
use crate::client::Client;
use crate::context::{self, Context};
use crate::error::{Failure, Kind};
use crate::faults::{Change, Faults};
use crate::log::{Level, Logger};
use crate::metrics::Metrics;

/// Longest that a request may take here; callers give up before.
const REQUEST_DEADLINE: Duration = Duration::from_secs(20);
/// Longest wait for the requests in work when the service ends; Docker kills after ten seconds.
const DRAIN_DEADLINE: Duration = Duration::from_secs(8);

/// One service's parts.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) logger: Logger,
    pub(crate) metrics: Metrics,
    pub(crate) client: Client,
    /// Cancelled when the service ends.
    pub(crate) stop: CancellationToken,
    /// Everything that runs beside requests.
    pub(crate) tasks: TaskTracker,
    faults: Faults,
    random: Mutex<fastrand::Rng>,
    /// False while the database that the service needs does not answer; written by its watcher.
    dependency_up: AtomicBool,
}

impl Frame {
    /// # Errors
    /// When two metrics have one name.
    pub(crate) fn new(
        name: &'static str,
        logger: Logger,
        node: &Node,
        stop: CancellationToken,
        tasks: TaskTracker,
    ) -> anyhow::Result<Self> {
        // Services with one seed must not make the same ids.
        let mut random =
            match node.seed {
                Some(seed) => fastrand::Rng::with_seed(name.bytes().fold(seed, |seed, byte| {
                    seed.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(byte))
                })),
                None => fastrand::Rng::new(),
            };
        let client = Client::new(&node.upstream, random.fork());
        let metrics = Metrics::new(name).context("cannot make the metrics")?;
        Ok(Self {
            logger,
            metrics,
            client,
            stop,
            tasks,
            faults: Faults::default(),
            random: Mutex::new(random),
            dependency_up: AtomicBool::new(true),
        })
    }

    /// Something random.
    pub(crate) fn random<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.random.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Takes over whether the database answers.
    pub(crate) fn set_dependency(&self, name: &str, is_up: bool) {
        let was_up = self.dependency_up.swap(is_up, Ordering::Relaxed);
        self.metrics.dependency_up.with_label_values(&[name]).set(is_up.into());
        if was_up != is_up {
            let (level, message) = if is_up {
                (Level::Info, "database answers")
            } else {
                (Level::Error, "database does not answer")
            };
            self.logger.plain(level, message, &[("dependency", name.into())]);
        }
    }

    fn is_ready(&self) -> bool {
        self.dependency_up.load(Ordering::Relaxed) && !self.stop.is_cancelled()
    }
}

/// The service's own routes with everything around them.
pub(crate) fn app(frame: &Arc<Frame>, routes: Router) -> Router {
    let leaking = Arc::clone(frame);
    frame.tasks.spawn(async move {
        tokio::select! {
            () = leaking.faults.leak() => {}
            () = leaking.stop.cancelled() => {}
        }
    });
    let watched = routes.layer(from_fn_with_state(Arc::clone(frame), observe));
    Router::new()
        .route("/health", get(|| async { "ok\n" }))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/fault", get(show_faults).post(change_faults).delete(clear_faults))
        .with_state(Arc::clone(frame))
        .merge(watched)
}

/// Answers until told to stop, then lets the requests in work end.
pub(crate) async fn serve(
    listener: tokio::net::TcpListener,
    app: Router,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN_DEADLINE).await;
    };
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::select! {
        served = serving.into_future() => served.context("cannot serve"),
        () = drained => Err(anyhow::anyhow!("requests were still in work {} s after the stop", DRAIN_DEADLINE.as_secs())),
    }
}

/// Around every request: a caller that hangs up ends neither the work nor the line that tells of it.
async fn observe(State(frame): State<Arc<Frame>>, request: Request, next: Next) -> Response {
    let working = Arc::clone(&frame);
    let work = frame.tasks.spawn(async move { answer(&working, request, next).await });
    match work.await {
        Ok(response) => response,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(), // it panicked, and said so
    }
}

/// The request's ids, its faults, its deadline, its metrics and its line.
async fn answer(frame: &Frame, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let context = frame.random(|random| Context::continued(request.headers(), random));
    request.extensions_mut().insert(context.clone());
    let method = request.method().to_string();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();

    let faults = frame.faults.settings();
    let answer = async {
        tokio::time::sleep(Duration::from_millis(faults.latency_ms)).await;
        if faults.error_rate > 0.0 && frame.random(fastrand::Rng::f64) < faults.error_rate {
            return Failure::new(Kind::Injected, "injected fault").into_response();
        }
        next.run(request).await
    };
    let mut response = match tokio::time::timeout(REQUEST_DEADLINE, answer).await {
        Ok(response) => response,
        Err(_) => Failure::new(Kind::Timeout, "not done before the deadline").into_response(),
    };
    if let Ok(value) = context.correlation_id.parse() {
        response.headers_mut().insert(context::CORRELATION_ID, value);
    }

    let status = response.status();
    let elapsed = started.elapsed();
    frame.metrics.requests.with_label_values(&[&method, &route, status.as_str()]).inc();
    frame.metrics.request_seconds.with_label_values(&[&method, &route]).observe(elapsed.as_secs_f64());
    if let Some(failure) = response.extensions().get::<Failure>().filter(|_| status.is_server_error()) {
        frame.logger.failure(&context, &format!("{method} {route} failed"), failure);
    }
    let level = match status.as_u16() {
        500.. => Level::Error,
        400.. => Level::Warn,
        _ => Level::Info,
    };
    let duration_ms = (elapsed.as_secs_f64() * 1e6).round() / 1e3;
    frame.logger.request(
        level,
        &context,
        "request",
        &[
            ("method", method.into()),
            ("path", path.into()),
            ("status", status.as_u16().into()),
            ("duration_ms", duration_ms.into()),
        ],
    );
    response
}

async fn ready(State(frame): State<Arc<Frame>>) -> (StatusCode, &'static str) {
    if frame.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn metrics(State(frame): State<Arc<Frame>>) -> Response {
    let settings = frame.faults.settings();
    for (fault, value) in [
        ("latency_seconds", settings.latency_ms as f64 / 1e3),
        ("error_rate", settings.error_rate),
        ("leaked_bytes", settings.leaked_bytes as f64),
    ] {
        frame.metrics.faults.with_label_values(&[fault]).set(value);
    }
    match frame.metrics.exposition() {
        Ok(page) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn show_faults(State(frame): State<Arc<Frame>>) -> Response {
    Json(frame.faults.settings()).into_response()
}

async fn clear_faults(State(frame): State<Arc<Frame>>) -> Response {
    frame.faults.clear();
    frame.logger.plain(Level::Warn, "faults mended", &[]);
    Json(frame.faults.settings()).into_response()
}

async fn change_faults(State(frame): State<Arc<Frame>>, Json(change): Json<Change>) -> Response {
    if let Err(message) = change.validate() {
        return Failure::new(Kind::Invalid, message).into_response();
    }
    let settings = frame.faults.apply(&change);
    let told = serde_json::to_value(&change).unwrap_or_default();
    frame.logger.plain(Level::Warn, "fault injected", &[("fault", told)]);
    if let Some(lines) = change.log_burst_lines {
        let bursting = Arc::clone(&frame);
        frame.tasks.spawn_blocking(move || burst(&bursting, lines));
    }
    if change.crash == Some(true) {
        std::process::abort();
    }
    Json(settings).into_response()
}

/// Numbered lines, so that it can be counted whether all arrived.
fn burst(frame: &Frame, lines: u64) {
    let id = frame.random(context::uuid);
    for line in 1..=lines {
        if frame.stop.is_cancelled() {
            return;
        }
        let fields = [("burst", id.as_str().into()), ("line", line.into()), ("of", lines.into())];
        frame.logger.plain(Level::Debug, "log burst", &fields);
    }
}
