//! An OTLP receiver over HTTP that counts how often it gets each span, and can be out of order.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::runtime::Runtime;

use super::binnacle::free_address;

/// A span as it came, with its resource's service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Received {
    pub(crate) service: String,
    pub(crate) span: Span,
}

impl Received {
    /// A text attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        text(&self.span.attributes, name)
    }
}

fn text<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a str> {
    let attribute = attributes.iter().find(|attribute| attribute.key == name)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// Trace id and span id.
type Id = (Vec<u8>, Vec<u8>);

#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Each span as often as it came, by trace and span id.
    pub(crate) spans: BTreeMap<Id, Vec<Received>>,
    pub(crate) requests: u64,
    /// Headers of the last request.
    pub(crate) headers: HeaderMap,
    /// Whether requests are taken, but not answered.
    is_mute: bool,
    /// Spans of the requests that were not answered.
    pub(crate) unanswered: usize,
}

impl Taken {
    /// How many spans came again.
    pub(crate) fn repeated(&self) -> usize {
        self.spans.values().map(|times| times.len() - 1).sum()
    }
}

/// See the module. What it has taken outlives an outage.
#[derive(Debug)]
pub(crate) struct Receiver {
    address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
    runtime: Option<Runtime>,
}

impl Receiver {
    /// One that answers.
    pub(crate) fn start() -> Self {
        let mut receiver = Self { address: free_address(), taken: Arc::default(), runtime: None };
        receiver.up();
        receiver
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Begins to listen.
    pub(crate) fn up(&mut self) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let routes = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&self.taken));
        let listener = runtime.block_on(tokio::net::TcpListener::bind(self.address)).unwrap();
        drop(runtime.handle().spawn(async move { axum::serve(listener, routes).await }));
        self.runtime = Some(runtime);
    }

    /// Closes everything: connections are refused.
    pub(crate) fn down(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }

    /// Takes requests from now on without ever answering them, or answers again.
    pub(crate) fn mute(&self, is_mute: bool) {
        self.taken().is_mute = is_mute;
    }

    pub(crate) fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn take(
    State(taken): State<Arc<Mutex<Taken>>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Vec<u8>) {
    let mut plain = body.to_vec();
    if headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        plain = Vec::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
    }
    let request = ExportTraceServiceRequest::decode(&plain[..]).unwrap();
    let is_mute = {
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.requests += 1;
        taken.headers = headers;
        let mut spans = 0;
        for resource_spans in request.resource_spans {
            let attributes = resource_spans.resource.unwrap_or_default().attributes;
            let service = text(&attributes, "service.name").unwrap_or_default().to_owned();
            for span in resource_spans.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                spans += 1;
                let id = (span.trace_id.clone(), span.span_id.clone());
                taken.spans.entry(id).or_default().push(Received { service: service.clone(), span });
            }
        }
        if taken.is_mute {
            taken.unanswered += spans;
        }
        taken.is_mute
    };
    if is_mute {
        std::future::pending::<()>().await;
    }
    (StatusCode::OK, ExportTraceServiceResponse::default().encode_to_vec())
}
