//! One request to an OTLP receiver and what came of it, over gRPC or HTTP.
//!
//! The invariant: a failure is told as what it means for the spans. Only a receiver that has read the request
//! and will never take it makes [`Failure::Refused`]; everything else, a wrong token or address included, can
//! be mended without losing a span.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};

use super::config::{ExportConfig, Protocol};
use super::{ExportError, grpc, http};

/// Why spans were not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The receiver will never take this request.
    #[error("{0}")]
    Refused(String),
    /// It may take a smaller one.
    #[error("{0}")]
    TooMuch(String),
    /// It may take it later.
    #[error("{what}")]
    Unavailable {
        /// What happened.
        what: String,
        /// How long the receiver wants to be left alone.
        retry_after: Option<Duration>,
    },
}

impl Failure {
    pub(super) fn unavailable(what: impl Into<String>) -> Self {
        Self::Unavailable { what: what.into(), retry_after: None }
    }
}

/// What the receiver says of a request it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Spans that it did not keep and does not want again.
    pub(super) rejected: u64,
    /// Why, or a warning.
    pub(super) message: String,
}

impl From<ExportTraceServiceResponse> for Taken {
    fn from(response: ExportTraceServiceResponse) -> Self {
        let partial = response.partial_success.unwrap_or_default();
        Self { rejected: u64::try_from(partial.rejected_spans).unwrap_or(0), message: partial.error_message }
    }
}

/// A connection to the receiver; made when it is first used, and again when it broke.
#[derive(Debug)]
pub(super) struct Client {
    transport: Transport,
    timeout: Duration,
    /// For people.
    pub(super) url: String,
}

#[derive(Debug)]
enum Transport {
    Grpc(grpc::Client),
    Http(http::Client),
}

impl Client {
    /// Prepares it; nothing is sent. Needs an async runtime.
    pub(super) fn new(config: &ExportConfig) -> Result<Self, ExportError> {
        let url = config.url().ok_or(ExportError::NoEndpoint)?;
        let transport = match config.protocol {
            Protocol::Grpc => Transport::Grpc(grpc::Client::new(&url, config)?),
            Protocol::HttpProtobuf => Transport::Http(http::Client::new(&url, config)?),
        };
        Ok(Self { transport, timeout: config.timeout.0, url })
    }

    /// Sends one request.
    pub(super) async fn send(&self, request: ExportTraceServiceRequest) -> Result<Taken, Failure> {
        let sending = async {
            match &self.transport {
                Transport::Grpc(client) => client.send(request).await,
                Transport::Http(client) => client.send(&request).await,
            }
        };
        match tokio::time::timeout(self.timeout, sending).await {
            Ok(result) => result,
            Err(_) => {
                let seconds = self.timeout.as_secs_f64();
                Err(Failure::unavailable(format!("no answer within {seconds} s (`export.timeout`)")))
            }
        }
    }
}
