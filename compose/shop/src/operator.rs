//! What a person, or a health check, does inside of a service's container: its image has no shell.

use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::body::Bytes;
use axum::http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::faults::Change;

const DEADLINE: Duration = Duration::from_secs(5);
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Fails when the service is not ready.
pub(crate) async fn check(port: u16) -> anyhow::Result<()> {
    ask(Method::GET, port, "/ready", Bytes::new()).await?;
    Ok(())
}

/// Breaks the service, or mends it when there are no changes, and prints what is broken now.
pub(crate) async fn fault(port: u16, changes: &[String]) -> anyhow::Result<()> {
    let answer = if changes.is_empty() {
        ask(Method::DELETE, port, "/fault", Bytes::new()).await?
    } else {
        let change = Change::parse(changes).map_err(anyhow::Error::msg)?;
        let crashes = change.crash == Some(true);
        match ask(Method::POST, port, "/fault", serde_json::to_vec(&change)?.into()).await {
            // A process that has crashed does not answer.
            Err(_) if crashes => "crashed".to_owned(),
            answer => answer?,
        }
    };
    #[expect(clippy::print_stdout, reason = "the answer to the command that was typed")]
    {
        println!("{answer}");
    }
    Ok(())
}

async fn ask(method: Method, port: u16, path: &str, body: Bytes) -> anyhow::Result<String> {
    let url = format!("http://127.0.0.1:{port}{path}");
    let request = Request::builder()
        .method(method)
        .uri(&url)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let answer = async {
        let response = client.request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        anyhow::Ok((status, String::from_utf8_lossy(&body).trim().to_owned()))
    };
    let (status, body) = tokio::time::timeout(DEADLINE, answer)
        .await
        .with_context(|| format!("no answer from {url} within {} s", DEADLINE.as_secs()))?
        .with_context(|| format!("no answer from {url}"))?;
    if !status.is_success() {
        bail!("{url} answered {}: {body}", status.as_u16());
    }
    Ok(body)
}
