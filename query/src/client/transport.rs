//! Requests to a server over a connection each, or to our own routes.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, Request, StatusCode, header};
use axum::response::Response;
use dial::Endpoint;
use hyper_util::rt::TokioIo;
use store::Reader;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tower::ServiceExt;

use super::error::{ClientError, Refusal};
use crate::Config;
use crate::http::{AppState, router};

/// Largest body of an error that is read, in bytes.
const MAX_REFUSAL_BYTES: usize = 64 << 10;

#[derive(Clone, Debug)]
pub(super) enum Transport {
    Remote(Endpoint),
    Local(Router),
}

impl Transport {
    pub(super) fn local(reader: Reader, config: Config) -> Result<Self, ClientError> {
        let (_, ready) = watch::channel(true);
        let state =
            AppState::new(reader, config, prometheus::Registry::new(), ready, CancellationToken::new())?;
        Ok(Self::Local(router(state)))
    }

    /// The answer to a GET, when its status says success.
    pub(super) async fn get(
        &self,
        path: &str,
        parameters: &[(&str, Option<&str>)],
        headers: &[(HeaderName, &str)],
    ) -> Result<Response<Body>, ClientError> {
        let given: Vec<String> = parameters
            .iter()
            .filter_map(|(name, value)| value.map(|value| format!("{name}={}", encoded(value))))
            .collect();
        let target = format!("{path}?{}", given.join("&"));
        let response = match self {
            Self::Remote(endpoint) => ask(endpoint, &target, headers).await?,
            Self::Local(router) => {
                let request = request(&target, headers)?;
                router.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
            }
        };
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
    }
}

async fn ask(
    endpoint: &Endpoint,
    target: &str,
    headers: &[(HeaderName, &str)],
) -> Result<Response<Body>, ClientError> {
    let unreachable = |source| ClientError::Unreachable { url: endpoint.origin(), source };
    let stream = endpoint.connect().await.map_err(unreachable)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(ClientError::broken)?;
    let driver = AbortOnDropHandle::new(TaskTracker::new().spawn(connection));
    let mut request = request(&format!("{}{target}", endpoint.prefix()), headers)?;
    if let Ok(value) = endpoint.authority().parse() {
        request.headers_mut().insert(header::HOST, value);
    }
    if let Some(authorization) = endpoint.authorization() {
        request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
    }
    let response = sender.send_request(request).await.map_err(ClientError::broken)?;
    // The connection lives as long as the body that comes over it.
    Ok(response.map(|body| {
        let chunks = futures_util::stream::unfold(
            (Body::new(body).into_data_stream(), driver),
            |(mut chunks, driver)| async move {
                let chunk = futures_util::StreamExt::next(&mut chunks).await?;
                Some((chunk, (chunks, driver)))
            },
        );
        Body::from_stream(chunks)
    }))
}

fn request(target: &str, headers: &[(HeaderName, &str)]) -> Result<Request<Body>, ClientError> {
    let mut request = Request::get(target);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    request.body(Body::empty()).map_err(ClientError::broken)
}

async fn refusal(response: Response<Body>) -> ClientError {
    let status = response.status();
    if status == StatusCode::UNAUTHORIZED {
        return ClientError::Unauthorized;
    }
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_text = content_type.is_some_and(|value| value.starts_with("text/plain"));
    let body = axum::body::to_bytes(response.into_body(), MAX_REFUSAL_BYTES).await.unwrap_or_default();
    match serde_json::from_slice::<Refusal>(&body) {
        Ok(refusal) => refusal.into(),
        // Loki's API tells its errors as plain text.
        Err(_) if is_text && !body.is_empty() => ClientError::Refused {
            kind: status.as_str().to_owned(),
            message: String::from_utf8_lossy(&body).trim_end().to_owned(),
            pointer: None,
        },
        Err(_) => ClientError::NotUnderstood(format!("status {status}")),
    }
}

/// `text` for a URL: all but unreserved characters as `%XX`.
pub(super) fn encoded(text: &str) -> String {
    let mut url = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}
