//! Lines to a running server by Loki's push API.
//!
//! A request whose answer is lost is sent again with the same bytes: the server stores them once.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use dial::Endpoint;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use store::{Labels, Record};
use tokio::sync::mpsc;

use super::{Batches, Clock, IngestError, Options, Progress, Summary};
use crate::config::IngestConfig;

/// Of Loki's push API.
const PUSH_PATH: &str = "/loki/api/v1/push";
/// Waits between attempts; after the last the ingest ends. About a minute in all: a restart of the server.
const BACK_OFF: [Duration; 8] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(6),
    Duration::from_secs(10),
    Duration::from_secs(15),
    Duration::from_secs(30),
];
/// An answer takes no longer: storing a batch takes milliseconds.
const ANSWER_WAIT: Duration = Duration::from_secs(60);
/// Of an error's text so much is shown.
const MAX_ANSWER_BYTES: usize = 4096;
/// Different hours in which the lines of one request lie: servers refuse too many (`ingest.push.max_hours`).
const MAX_HOURS: usize = 256;
const HOUR_NS: i64 = 3_600_000_000_000;
/// Requests read ahead of the one being sent; the reader waits when they are ready.
const READ_AHEAD: usize = 1;

/// A request ready to be sent, and what is done once it is answered.
struct Ready {
    body: Bytes,
    /// How far the input is then stored; `None` when more requests of the same lines follow.
    progress: Option<Progress>,
}

/// Pushes the lines of `input` to `server`; `progress` is called after each answered request.
///
/// # Errors
/// When the input cannot be read, or the server refuses or stays away; what `progress` reported is stored.
pub async fn to_url(
    input: impl Read + Send + 'static,
    server: &Endpoint,
    config: &IngestConfig,
    options: &Options,
    mut progress: impl FnMut(Progress),
) -> Result<Summary, IngestError> {
    let clock = Clock::start();
    let mut batches = Batches::new(input, config, options)?;
    let (sender, mut ready) = mpsc::channel::<Ready>(READ_AHEAD);
    let reading = tokio::task::spawn_blocking(move || {
        while let Some(records) = batches.next()? {
            let mut rest = records.as_slice();
            while !rest.is_empty() {
                let (request, others) = rest.split_at(within_hours(rest, MAX_HOURS));
                rest = others;
                let body = request_body(request, &mut batches.summary);
                let progress = if rest.is_empty() { Some(batches.progress()) } else { None };
                if sender.blocking_send(Ready { body, progress }).is_err() {
                    return Ok(batches.summary); // the other end has failed and says why
                }
            }
        }
        Ok::<Summary, IngestError>(batches.summary)
    });
    while let Some(request) = ready.recv().await {
        send(server, &request.body).await?;
        if let Some(done) = request.progress {
            progress(done);
        }
    }
    let summary = reading.await.map_err(|e| std::io::Error::other(e.to_string()))??;
    Ok(clock.end(summary))
}

/// How many of the first records lie in at most `hours` different hours; one at least.
fn within_hours(records: &[Record], hours: usize) -> usize {
    let mut seen = HashSet::new();
    let is_too_much = |record: &Record| {
        seen.insert(record.timestamp_ns.div_euclid(HOUR_NS));
        seen.len() > hours
    };
    records.iter().position(is_too_much).unwrap_or(records.len())
}

/// Loki's JSON, streams in the order of their labels, lines in the order of the input.
fn request_body(records: &[Record], summary: &mut Summary) -> Bytes {
    let mut streams: BTreeMap<&Labels, Vec<[String; 2]>> = BTreeMap::new();
    for record in records {
        let line = String::from_utf8_lossy(&record.line);
        summary.altered_lines += u64::from(matches!(line, std::borrow::Cow::Owned(_)));
        let entry = [record.timestamp_ns.to_string(), line.into_owned()];
        streams.entry(&record.labels).or_default().push(entry);
    }
    let streams: Vec<serde_json::Value> = streams
        .into_iter()
        .map(|(labels, values)| {
            let labels: BTreeMap<&str, &str> = labels.iter().collect();
            serde_json::json!({ "stream": labels, "values": values })
        })
        .collect();
    serde_json::json!({ "streams": streams }).to_string().into()
}

/// Sends a request until it is answered, as often as [`BACK_OFF`] says.
async fn send(server: &Endpoint, body: &Bytes) -> Result<(), IngestError> {
    let url = format!("{}{}{PUSH_PATH}", server.origin(), server.prefix());
    let refused = |reason| IngestError::Refused { url: url.clone(), reason };
    let mut waits = BACK_OFF.into_iter();
    loop {
        let attempt = tokio::time::timeout(ANSWER_WAIT, attempt(server, body)).await;
        let reason = match attempt.unwrap_or_else(|_| Err("no answer".to_owned())) {
            Ok((status, _)) if status.is_success() => return Ok(()),
            Ok((status, text)) => {
                let reason = format!("{status}: {}", text.trim());
                let later = status.is_server_error()
                    || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
                if !later {
                    return Err(refused(reason));
                }
                reason
            }
            Err(reason) => reason,
        };
        let Some(wait) = waits.next() else { return Err(refused(reason)) };
        tracing::warn!(url, %reason, ?wait, "push failed, trying again");
        tokio::time::sleep(wait).await;
    }
}

/// One request on a connection of its own.
async fn attempt(server: &Endpoint, body: &Bytes) -> Result<(StatusCode, String), String> {
    let stream = server.connect().await.map_err(|e| e.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let mut request = Request::post(format!("{}{PUSH_PATH}", server.prefix()))
        .header(HOST, server.authority())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body.clone()))
        .map_err(|e| e.to_string())?;
    if let Some(authorization) = server.authorization() {
        request.headers_mut().insert(AUTHORIZATION, authorization.clone());
    }
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        let text =
            body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
        Ok((status, text))
    };
    // The connection is driven here rather than by a task: when this future goes, it goes too.
    tokio::pin!(connection, exchange);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        end = &mut connection => match end {
            // The connection may end right after the answer came.
            Ok(()) => exchange.await,
            Err(error) => Err(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn lines_far_apart_go_into_several_requests() {
        let at = |hour: i64| Record {
            timestamp_ns: hour * HOUR_NS,
            labels: Arc::new(Labels::new([("a", "b")])),
            line: Bytes::new(),
            level: store::Level::Unset,
            pairs: Vec::new(),
        };
        let records: Vec<Record> = [0, 1, 0, 1, 2, 0, 3].map(at).into();
        let mut lengths = Vec::new();
        let mut rest = records.as_slice();
        while !rest.is_empty() {
            let length = within_hours(rest, 2);
            lengths.push(length);
            rest = &rest[length..];
        }
        assert_eq!(lengths, [4, 2, 1]);
    }
}
