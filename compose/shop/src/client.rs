//! Calls to other services: the request's ids passed on, a deadline a try, a few tries, a circuit breaker each.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::breaker::Breaker;
use crate::context::Context;
use crate::error::{Failure, Kind};
use crate::frame::Frame;
use crate::log::Level;
use crate::retry;

/// Until the whole answer to one try is there.
pub(crate) const TRY_DEADLINE: Duration = Duration::from_secs(3);
const CONNECT_DEADLINE: Duration = Duration::from_secs(1);
/// Largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Calls services by name.
#[derive(Debug)]
pub(crate) struct Client {
    http: HttpClient<HttpConnector, Full<Bytes>>,
    /// `http://{}:8080`
    upstream: String,
    breakers: Mutex<HashMap<&'static str, Breaker>>,
    random: Mutex<fastrand::Rng>,
}

/// A request to another service.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    upstream: &'static str,
    method: Method,
    path: String,
    body: Bytes,
    /// Whether doing it twice does no harm.
    is_repeatable: bool,
}

// === impl Call ===

impl Call {
    pub(crate) fn get(upstream: &'static str, path: String) -> Self {
        Self { upstream, method: Method::GET, path, body: Bytes::new(), is_repeatable: true }
    }

    pub(crate) fn delete(upstream: &'static str, path: String) -> Self {
        Self { method: Method::DELETE, ..Self::get(upstream, path) }
    }

    /// A POST that is tried once.
    pub(crate) fn post(upstream: &'static str, path: &str, body: &impl Serialize) -> Result<Self, Failure> {
        let body =
            serde_json::to_vec(body).map_err(|error| Failure::new(Kind::Invalid, error.to_string()))?;
        let call = Self::get(upstream, path.to_owned());
        Ok(Self { method: Method::POST, body: body.into(), is_repeatable: false, ..call })
    }

    /// The receiver knows a repetition by a key in it.
    pub(crate) fn repeatable(self) -> Self {
        Self { is_repeatable: true, ..self }
    }
}

// === impl Client ===

impl Client {
    pub(crate) fn new(upstream: &str, random: fastrand::Rng) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_DEADLINE));
        connector.set_nodelay(true);
        Self {
            http: HttpClient::builder(TokioExecutor::new()).build(connector),
            upstream: upstream.to_owned(),
            breakers: Mutex::new(HashMap::new()),
            random: Mutex::new(random),
        }
    }

    /// Makes the call, again where that may help, and reads the JSON of the answer.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        frame: &Frame,
        context: &Context,
        call: &Call,
    ) -> Result<T, Failure> {
        let answer = self.call_again(frame, context, call).await?;
        serde_json::from_slice(&answer)
            .map_err(|error| Failure::upstream(call.upstream, format!("its answer makes no sense: {error}")))
    }

    /// Makes the call, again where that may help.
    pub(crate) async fn call_again(
        &self,
        frame: &Frame,
        context: &Context,
        call: &Call,
    ) -> Result<Bytes, Failure> {
        let upstream = call.upstream;
        let mut attempt = 1;
        loop {
            let failure = match self.call_guarded(frame, context, call).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            attempt += 1;
            let pause = retry::pause_before(attempt, &mut lock(&self.random));
            let Some(pause) = pause.filter(|_| call.is_repeatable && failure.is_transient()) else {
                return Err(failure.passed());
            };
            frame.metrics.retries.with_label_values(&[upstream]).inc();
            frame.logger.request(
                Level::Warn,
                context,
                "trying again",
                &[
                    ("upstream", upstream.into()),
                    ("attempt", attempt.into()),
                    ("error", failure.to_string().into()),
                ],
            );
            tokio::time::sleep(pause).await;
        }
    }

    /// One try, unless the breaker is open.
    async fn call_guarded(&self, frame: &Frame, context: &Context, call: &Call) -> Result<Bytes, Failure> {
        let upstream = call.upstream;
        let count = |outcome| frame.metrics.calls.with_label_values(&[upstream, outcome]).inc();
        if !lock(&self.breakers).entry(upstream).or_default().allows(Instant::now()) {
            count("rejected");
            return Err(Failure::new(Kind::Rejected, format!("{upstream}: not called, its circuit is open")));
        }
        let answer = match tokio::time::timeout(TRY_DEADLINE, self.call_once(context, call)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::new(
                Kind::Timeout,
                format!("{upstream}: no answer within {} ms", TRY_DEADLINE.as_millis()),
            )),
        };
        let has_failed = answer.as_ref().is_err_and(Failure::is_transient);
        count(if has_failed { "failed" } else { "answered" });
        let (has_opened, is_open) = {
            let mut breakers = lock(&self.breakers);
            let breaker = breakers.entry(upstream).or_default();
            (breaker.record(!has_failed, Instant::now()), breaker.is_open())
        };
        frame.metrics.circuit_open.with_label_values(&[upstream]).set(is_open.into());
        if has_opened {
            frame.logger.request(Level::Error, context, "circuit opened", &[("upstream", upstream.into())]);
        }
        answer
    }

    async fn call_once(&self, context: &Context, call: &Call) -> Result<Bytes, Failure> {
        let failed = |message: String| Failure::upstream(call.upstream, message);
        let url = format!("{}{}", self.upstream.replace("{}", call.upstream), call.path);
        let mut request = Request::builder().method(call.method.clone()).uri(url);
        for (name, value) in context.headers() {
            request = request.header(name, value);
        }
        if !call.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(call.body.clone()))
            .map_err(|error| Failure::new(Kind::Invalid, format!("{}: {error}", call.upstream)))?;
        let response = self.http.request(request).await.map_err(|error| failed(innermost(&error)))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
        let body = body.collect().await.map_err(|error| failed(format!("its answer broke off: {error}")))?;
        let body = body.to_bytes();
        if status.is_success() {
            return Ok(body);
        }
        let message = format!("{}: {}", call.upstream, error_message(status, &body));
        Err(Failure::new(kind_of(status), message))
    }
}

/// What an answer's status means to the caller.
fn kind_of(status: StatusCode) -> Kind {
    match status {
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::PAYMENT_REQUIRED => Kind::Declined,
        StatusCode::GATEWAY_TIMEOUT => Kind::Timeout,
        status if status.is_client_error() => Kind::Invalid,
        _ => Kind::Upstream,
    }
}

fn error_message(status: StatusCode, body: &[u8]) -> String {
    serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|body| body["error"].as_str().map(str::to_owned))
        .unwrap_or_else(|| format!("status {}", status.as_u16()))
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
