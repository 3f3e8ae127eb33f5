//! Lines pushed over HTTP: Loki's push API and OTLP logs.
//!
//! The invariant: what is stored of a request is stored in one batch before it is answered. Success means all of it; status
//! 400 that counts lines (in OTLP a partial success), all but these; any other answer, nothing. Everything is checked
//! first. A request that is sent again, byte for byte, after it was stored (its answer was lost) is answered as
//! before and not stored twice.

mod body;
mod error;
mod loki_json;
mod loki_proto;
mod metrics;
mod otlp;
mod otlp_json;
mod otlp_proto;
mod records;
mod refused;
mod repeats;
mod selector;
#[cfg(test)]
mod tests;
mod timing;
mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use store::{Batch, Record, Writer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::config::IngestConfig;
use crate::parse::Enricher;
use crate::redact::Redactor;
use error::{Answer, PushError};
use metrics::Metrics;
use records::{Builder, Decoded};
use repeats::{Repeats, Reservation};
use timing::Timing;

/// How long a request waits for its turn before it is told to come back.
const TURN_WAIT: Duration = Duration::from_secs(5);
/// A body that is not here by then is given up: its sender would hold memory for ever.
const BODY_WAIT: Duration = Duration::from_secs(30);
/// Bodies that are decoded where they are received: a millisecond at most, less than it may take to wake another thread
/// on a busy machine.
const SMALL_BYTES: usize = 16 << 10;

/// The routes `POST /loki/api/v1/push` and `POST /otlp/v1/logs`, storing into `writer`; their metrics go into `registry`.
///
/// # Errors
/// When the metrics are registered already.
pub fn router(
    writer: Writer,
    enricher: Arc<Enricher>,
    config: &IngestConfig,
    registry: &prometheus::Registry,
) -> Result<Router, prometheus::Error> {
    let push = Push {
        writer,
        builder: Arc::new(Builder::new(config.clone(), enricher)),
        turns: Arc::new(Semaphore::new(config.push.max_concurrent)),
        space: body::Space::new(config.push.max_concurrent, config.push.max_body_bytes),
        repeats: Repeats::default(),
        metrics: Metrics::new(registry)?,
        tasks: TaskTracker::new(),
    };
    Ok(Router::new()
        .route("/loki/api/v1/push", post(loki))
        .route("/otlp/v1/logs", post(otlp_logs))
        .with_state(Arc::new(push)))
}

/// What the handlers share.
struct Push {
    writer: Writer,
    builder: Arc<Builder>,
    /// Requests being decoded and stored; [`PushConfig::max_concurrent`](crate::config::PushConfig) of them.
    turns: Arc<Semaphore>,
    /// Their bodies, and those of requests on their way: as many bytes as that many of the largest hold.
    space: body::Space,
    repeats: Repeats,
    metrics: Metrics,
    /// Storing goes on when the client has hung up: whether its lines are stored must not hang on that.
    tasks: TaskTracker,
}

/// What is sent, in which notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Loki's push request in JSON.
    LokiJson,
    /// Loki's push request in protobuf; travels as a snappy block.
    LokiProtobuf,
    /// OTLP's logs export in JSON.
    OtlpJson,
    /// OTLP's logs export in protobuf.
    OtlpProtobuf,
}

impl Format {
    const fn name(self) -> &'static str {
        match self {
            Self::LokiJson => "loki_json",
            Self::LokiProtobuf => "loki_protobuf",
            Self::OtlpJson => "otlp_json",
            Self::OtlpProtobuf => "otlp_protobuf",
        }
    }

    const fn is_loki(self) -> bool {
        matches!(self, Self::LokiJson | Self::LokiProtobuf)
    }

    /// Whether the body is a snappy block without saying so: that is how Loki's protobuf travels.
    const fn is_snappy(self) -> bool {
        matches!(self, Self::LokiProtobuf)
    }
}

async fn loki(State(push): State<Arc<Push>>, headers: HeaderMap, body: Body) -> Response {
    // As Loki: what does not say JSON is protobuf.
    let json = content_type(&headers).is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    let format = if json { Format::LokiJson } else { Format::LokiProtobuf };
    let answer = take(&push, format, &headers, body).await;
    push.metrics.answered(format, error::loki_status(&answer));
    error::loki_response(answer)
}

async fn otlp_logs(State(push): State<Arc<Push>>, headers: HeaderMap, body: Body) -> Response {
    let kind = content_type(&headers).unwrap_or_default();
    let format = match kind.to_ascii_lowercase().as_str() {
        "application/x-protobuf" | "application/protobuf" => Format::OtlpProtobuf,
        "application/json" => Format::OtlpJson,
        _ => {
            let answer = Err(PushError::MediaType(kind.to_owned()));
            push.metrics.answered(Format::OtlpProtobuf, error::otlp_status(&answer));
            return error::otlp_response(answer, Format::OtlpProtobuf);
        }
    };
    let answer = take(&push, format, &headers, body).await;
    push.metrics.answered(format, error::otlp_status(&answer));
    error::otlp_response(answer, format)
}

/// The media type without its parameters.
fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(axum::http::header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim())
}

/// Reads, checks and stores a request.
async fn take(push: &Arc<Push>, format: Format, headers: &HeaderMap, body: Body) -> Answer {
    let encoding = body::Encoding::of(headers)?;
    // Before the turn: a sender that dawdles holds up nobody.
    let limit = push.builder.config().push.max_body_bytes;
    let body = push.space.receive(body, limit, BODY_WAIT).await?;
    push.metrics.read(format, body.bytes.len());
    let turn = turn(push).await?;
    let Some(reservation) = push.repeats.reserve(format.name(), &body.bytes)? else { return Ok(None) };
    let shared = Arc::clone(push);
    let storing =
        push.tasks.spawn(async move { shared.store(format, encoding, body, reservation, turn).await });
    storing.await.map_err(|e| PushError::Internal(e.to_string()))?
}

async fn turn(push: &Push) -> Result<OwnedSemaphorePermit, PushError> {
    match tokio::time::timeout(TURN_WAIT, Arc::clone(&push.turns).acquire_owned()).await {
        Ok(Ok(turn)) => Ok(turn),
        Ok(Err(_)) | Err(_) => Err(PushError::Busy(push.builder.config().push.max_concurrent)),
    }
}

// === impl Push ===

impl Push {
    async fn store(
        &self,
        format: Format,
        encoding: body::Encoding,
        body: body::Received,
        reservation: Reservation,
        _turn: OwnedSemaphorePermit,
    ) -> Answer {
        let begun = Instant::now();
        let len = body::decompressed_len(&body.bytes, encoding, format.is_snappy());
        let Decoded { records, refused, can_repeat } = if len.is_some_and(|len| len <= SMALL_BYTES) {
            decode(&self.builder, format, encoding, body)?
        } else {
            let builder = Arc::clone(&self.builder);
            // Decoding takes milliseconds per megabyte: off the runtime.
            let decoding = tokio::task::spawn_blocking(move || decode(&builder, format, encoding, body));
            decoding.await.map_err(|e| PushError::Internal(e.to_string()))??
        };
        let lines = records.len();
        let cut = records.iter().filter(|r| r.pair(store::record::attribute::TRUNCATED).is_some()).count();
        let mut timing = None;
        if lines > 0 {
            let decode = begun.elapsed();
            let committed = self.writer.append(Batch { records, ..Batch::default() }).await?;
            timing = Some(Timing::new(decode, &committed));
        }
        // Of a request that was refused whole nothing need be remembered.
        if can_repeat && (lines > 0 || refused.is_none()) {
            reservation.stored(refused.as_ref());
        }
        self.metrics.stored(format, lines, cut);
        let Some(refused) = refused else { return Ok(timing) };
        self.metrics.refused(format, refused.lines());
        Err(PushError::Lines(refused))
    }
}

/// The records that a decompressed body means, without storing them: what the routes do with it, for tests
/// and fuzzing.
///
/// # Errors
/// The text that the client would be answered when nothing is stored.
pub fn records_of(config: &IngestConfig, format: Format, body: &Bytes) -> Result<Vec<Record>, String> {
    let redactor = Redactor::new(&config.redact, &prometheus::Registry::new()).map_err(|e| e.to_string())?;
    let builder = Builder::new(config.clone(), Arc::new(Enricher::new(config, redactor)));
    match parse(&builder, format, body) {
        Ok(Decoded { records, refused: Some(refused), .. }) if records.is_empty() => Err(refused.to_string()),
        Ok(decoded) => Ok(decoded.records),
        Err(error) => Err(error.to_string()),
    }
}

fn decode(
    builder: &Builder,
    format: Format,
    encoding: body::Encoding,
    body: body::Received,
) -> Result<Decoded, PushError> {
    let limit = builder.config().push.max_decoded_bytes;
    let body = body::decompress(body.bytes, encoding, format.is_snappy(), limit)?;
    parse(builder, format, &body)
}

fn parse(builder: &Builder, format: Format, body: &Bytes) -> Result<Decoded, PushError> {
    let mut request = builder.request(format.is_loki());
    match format {
        Format::LokiJson => loki_json::decode(body, &mut request)?,
        Format::LokiProtobuf => loki_proto::decode(body, &mut request)?,
        Format::OtlpJson => otlp_json::decode(body, &mut request)?,
        Format::OtlpProtobuf => otlp_proto::decode(body, &mut request)?,
    }
    request.finish()
}
