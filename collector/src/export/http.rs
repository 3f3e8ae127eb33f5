//! OTLP over HTTP, as protobuf.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use rustls::RootCertStore;

use super::ExportError;
use super::client::{Failure, Taken};
use super::config::{Compression, ExportConfig};
use super::grpc::chain;

const PROTOBUF: &str = "application/x-protobuf";
/// Answers are short; of a longer one nothing is of interest.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// As much of an answer is shown.
const SHOWN_CHARS: usize = 200;

#[derive(Debug)]
pub(super) struct Client {
    client: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    compression: Compression,
}

impl Client {
    pub(super) fn new(url: &str, config: &ExportConfig) -> Result<Self, ExportError> {
        let wrong = |reason: String| ExportError::Url { url: url.to_owned(), reason };
        let uri: Uri = url.parse().map_err(|e: hyper::http::uri::InvalidUri| wrong(e.to_string()))?;
        let builder = HttpsConnectorBuilder::new();
        let builder = match &config.certificate {
            Some(file) => {
                let roots = dial::roots_of(file).map_err(|error| {
                    let reason = match error {
                        dial::DialError::Certificates { reason, .. } => reason,
                        other => other.to_string(),
                    };
                    ExportError::Certificate { file: file.clone(), reason }
                })?;
                let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
                builder.with_tls_config(tls)
            }
            // Without a certificate of its own a system may still speak plain HTTP.
            None if uri.scheme_str() != Some("https") => {
                let nobody = RootCertStore::empty();
                let tls =
                    rustls::ClientConfig::builder().with_root_certificates(nobody).with_no_client_auth();
                builder.with_tls_config(tls)
            }
            None => {
                builder.with_native_roots().map_err(|e| wrong(format!("no trusted certificates: {e}")))?
            }
        };
        let connector = builder.https_or_http().enable_http1().build();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("binnacle/", env!("CARGO_PKG_VERSION"))));
        if config.compression == Compression::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        headers.extend(config.headers.to_http().map_err(ExportError::Header)?);
        let client = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, uri, headers, compression: config.compression })
    }

    pub(super) async fn send(&self, message: &ExportTraceServiceRequest) -> Result<Taken, Failure> {
        let mut body = message.encode_to_vec();
        if self.compression == Compression::Gzip {
            body = gzip(&body).map_err(|e| Failure::unavailable(format!("gzip: {e}")))?;
        }
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let response = self.client.request(request).await.map_err(|e| Failure::unavailable(chain(&e)))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.map(|body| body.to_bytes());
        if head.status.is_success() {
            // It was taken, whatever became of the rest of the answer.
            let answer = body.ok().and_then(|body| ExportTraceServiceResponse::decode(body).ok());
            return Ok(answer.unwrap_or_default().into());
        }
        Err(failure(head.status, &head.headers, &body.unwrap_or_default()))
    }
}

fn gzip(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

/// What a status means for the spans.
fn failure(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let mut what = format!("HTTP status {status}");
    let is_text = headers.get(CONTENT_TYPE).is_none_or(|kind| kind != PROTOBUF);
    let text = String::from_utf8_lossy(body);
    if let (true, false) = (is_text, text.trim().is_empty()) {
        let shown: String = text.trim().chars().filter(|c| !c.is_control()).take(SHOWN_CHARS).collect();
        what = format!("{what}: {shown}");
    }
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Failure::Refused(what),
        StatusCode::PAYLOAD_TOO_LARGE => Failure::TooMuch(what),
        _ => {
            let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            Failure::Unavailable { what, retry_after: seconds.map(Duration::from_secs) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wrong_with_the_spans_refuses_them() {
        let none = HeaderMap::new();
        let refused = failure(StatusCode::BAD_REQUEST, &none, b"bad\x1b[2J span\n");
        assert_eq!(refused, Failure::Refused("HTTP status 400 Bad Request: bad[2J span".to_owned()));
        assert!(matches!(failure(StatusCode::PAYLOAD_TOO_LARGE, &none, b""), Failure::TooMuch(_)));
        for status in [401, 403, 404, 429, 500, 503] {
            let failure = failure(StatusCode::from_u16(status).unwrap(), &none, b"");
            assert!(matches!(failure, Failure::Unavailable { .. }), "{failure}");
        }
        let busy = [(RETRY_AFTER, HeaderValue::from_static("12"))].into_iter().collect();
        let later = failure(StatusCode::TOO_MANY_REQUESTS, &busy, b"");
        assert!(matches!(later, Failure::Unavailable { retry_after: Some(_), .. }));
    }
}
