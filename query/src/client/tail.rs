//! Server-sent events of a tail, followed across broken connections.

use std::time::Duration;

use axum::http::{HeaderName, header};
use serde::Deserialize;

use super::lines::Lines;
use super::transport::Transport;
use super::{Answer, Answers, ClientError};

/// Waits between attempts to connect again: this long at first, doubled up to the last.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LAST_WAIT: Duration = Duration::from_secs(5);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

struct Tail {
    transport: Transport,
    query: String,
    /// Where to go on after a break.
    last_id: Option<String>,
    lines: Option<Lines>,
}

pub(super) async fn follow(transport: Transport, query: &str) -> Result<Answers, ClientError> {
    let mut tail = Tail { transport, query: query.to_owned(), last_id: None, lines: None };
    tail.connect().await?;
    Ok(Box::pin(futures_util::stream::unfold(Some(tail), |tail| async move {
        let mut tail = tail?;
        match tail.next().await {
            Ok(answer) => Some((Ok(answer), Some(tail))),
            Err(error) => Some((Err(error), None)),
        }
    })))
}

impl Tail {
    async fn connect(&mut self) -> Result<(), ClientError> {
        let mut headers = vec![(header::ACCEPT, "text/event-stream")];
        if let Some(id) = &self.last_id {
            headers.push((LAST_EVENT_ID, id));
        }
        let response = self.transport.get("/api/v1/tail", &[("query", Some(&self.query))], &headers).await?;
        self.lines = Some(Lines::of(response));
        Ok(())
    }

    /// The next event; connects again after a break, as often as it takes, unless the server refuses.
    async fn next(&mut self) -> Result<Answer, ClientError> {
        let mut wait = FIRST_WAIT;
        loop {
            if let Some(lines) = &mut self.lines {
                match event(lines, &mut self.last_id).await {
                    Ok(Some(answer)) => return Ok(answer),
                    Ok(None) => tracing::warn!("the server closed the tail; connecting again"),
                    Err(ClientError::Broken(error)) => {
                        tracing::warn!(%error, "the tail broke; connecting again")
                    }
                    Err(error) => return Err(error),
                }
                self.lines = None;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LAST_WAIT);
            match self.connect().await {
                Ok(()) => wait = FIRST_WAIT,
                Err(ClientError::Unreachable { .. } | ClientError::Broken(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The next event of a connection, `None` at its end.
async fn event(lines: &mut Lines, last_id: &mut Option<String>) -> Result<Option<Answer>, ClientError> {
    #[derive(Deserialize)]
    struct Skipped {
        records: Option<u64>,
    }
    let mut kind = Vec::new();
    let mut data: Vec<u8> = Vec::new();
    loop {
        let Some(line) = lines.next().await? else { return Ok(None) };
        let (name, value) = match memchr::memchr(b':', &line) {
            Some(colon) => {
                (&line[..colon], line[colon + 1..].strip_prefix(b" ").unwrap_or(&line[colon + 1..]))
            }
            None => (line.as_slice(), &b""[..]),
        };
        match name {
            b"event" => kind = value.to_vec(),
            b"data" => data.extend_from_slice(value),
            b"id" => *last_id = String::from_utf8(value.to_vec()).ok(),
            b"" if line.is_empty() && !data.is_empty() => break,
            // A comment that keeps the connection alive, or a field we do not need.
            _ => {}
        }
    }
    if kind == b"skipped" {
        let skipped: Skipped = serde_json::from_slice(&data).map_err(ClientError::not_understood)?;
        return Ok(Some(Answer::Skipped(skipped.records)));
    }
    let hit = serde_json::from_slice(&data).map_err(ClientError::not_understood)?;
    Ok(Some(Answer::Hit(Box::new(hit))))
}
