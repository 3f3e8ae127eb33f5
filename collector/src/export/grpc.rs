//! OTLP over gRPC.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use super::ExportError;
use super::client::{Failure, Taken};
use super::config::{Compression, ExportConfig};

#[derive(Debug)]
pub(super) struct Client {
    service: TraceServiceClient<Channel>,
    metadata: MetadataMap,
}

impl Client {
    pub(super) fn new(url: &str, config: &ExportConfig) -> Result<Self, ExportError> {
        let wrong = |e: tonic::transport::Error| ExportError::Url { url: url.to_owned(), reason: chain(&e) };
        let mut endpoint =
            Endpoint::from_shared(url.to_owned()).map_err(wrong)?.connect_timeout(config.timeout.0);
        if endpoint.uri().scheme_str() == Some("https") {
            let tls = match &config.certificate {
                Some(file) => {
                    let pem = std::fs::read(file).map_err(|error| ExportError::Certificate {
                        file: file.clone(),
                        reason: error.to_string(),
                    })?;
                    ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))
                }
                None => ClientTlsConfig::new().with_native_roots(),
            };
            endpoint = endpoint.tls_config(tls).map_err(wrong)?;
        }
        let mut service = TraceServiceClient::new(endpoint.connect_lazy());
        if config.compression == Compression::Gzip {
            service = service
                .send_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Gzip);
        }
        let headers = config.headers.to_http().map_err(ExportError::Header)?;
        Ok(Self { service, metadata: MetadataMap::from_headers(headers.into_iter().collect()) })
    }

    pub(super) async fn send(&self, message: ExportTraceServiceRequest) -> Result<Taken, Failure> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        match self.service.clone().export(request).await {
            Ok(response) => Ok(response.into_inner().into()),
            Err(status) => Err(failure(&status)),
        }
    }
}

/// What a status means for the spans.
fn failure(status: &Status) -> Failure {
    let what = match std::error::Error::source(status) {
        Some(source) => chain(source),
        None => format!("gRPC status {:?}: {}", status.code(), status.message()),
    };
    let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    match status.code() {
        Code::InvalidArgument => Failure::Refused(what),
        // Without a time to come back this is what a message over the receiver's limit gets.
        Code::ResourceExhausted if retry_after.is_none() => Failure::TooMuch(what),
        _ => Failure::Unavailable { what, retry_after },
    }
}

/// An error with all its causes: the outer ones say only "transport error".
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn only_what_is_wrong_with_the_spans_refuses_them() {
        assert!(matches!(failure(&Status::invalid_argument("bad span")), Failure::Refused(_)));
        assert!(matches!(failure(&Status::resource_exhausted("larger than max")), Failure::TooMuch(_)));
        for code in [Code::Unavailable, Code::Unauthenticated, Code::Unimplemented, Code::Internal] {
            let failure = failure(&Status::new(code, "x"));
            assert!(matches!(failure, Failure::Unavailable { retry_after: None, .. }), "{failure}");
        }
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(7)));
        let busy = Status::with_error_details(Code::ResourceExhausted, "busy", details);
        assert!(matches!(failure(&busy), Failure::Unavailable { retry_after: Some(_), .. }));
    }
}
