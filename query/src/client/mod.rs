//! The other side of the HTTP API, for the command line: searches, traces and tails as streams of hits.
//!
//! A client asks a server by its URL, or calls the same routes in its own process over a data folder. Either
//! way the answers are the same, because the same handlers give them.

mod error;
mod lines;
mod tail;
#[cfg(test)]
mod tests;
mod transport;

use std::pin::Pin;

use axum::body::Body;
use axum::http::header;
use axum::response::Response;
use dial::Endpoint;
use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use store::Reader;

use crate::traces::waterfall::Waterfall;
use crate::{Config, Hit};
pub use error::ClientError;
use lines::Lines;
use transport::Transport;

/// Asks one server, or the data folder of this process. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Transport,
}

/// What to search for, as the command line names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchOptions {
    /// Query in the search syntax.
    pub query: String,
    /// First time inside; see [`crate::time::parse`] for the forms.
    pub start: Option<String>,
    /// First time after.
    pub end: Option<String>,
    /// Length of time up to `end`, or up to now.
    pub since: Option<String>,
    /// Most hits, 0 for no limit.
    pub limit: usize,
    /// Oldest first.
    pub forward: bool,
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A record found.
    Hit(Box<Hit>),
    /// A record as [`store::exchange`] writes it, without its line end.
    Record(Vec<u8>),
    /// Records were left out here because this client was too slow; how many, when known.
    Skipped(Option<u64>),
    /// The end of a search: `records`, `cursor`, `completeness` and `stats`, as docs/http-api.md describes them.
    Summary(serde_json::Value),
}

/// An answer as it comes in.
pub type Answers = Pin<Box<dyn Stream<Item = Result<Answer, ClientError>> + Send>>;

impl Client {
    /// A client of a server. Connects when first asked.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self { transport: Transport::Remote(endpoint) }
    }

    /// A client that answers from `reader` in this process.
    ///
    /// # Errors
    /// When the metrics of the handlers cannot be made.
    pub fn local(reader: Reader, config: Config) -> Result<Self, ClientError> {
        Ok(Self { transport: Transport::local(reader, config)? })
    }

    /// Searches; the hits are followed by a summary.
    ///
    /// # Errors
    /// When there is no answer, or the server refuses the query. Later errors come in the stream.
    pub async fn search(&self, options: &SearchOptions) -> Result<Answers, ClientError> {
        let limit = options.limit.to_string();
        let parameters = [
            ("query", Some(options.query.as_str())),
            ("start", options.start.as_deref()),
            ("end", options.end.as_deref()),
            ("since", options.since.as_deref()),
            ("limit", Some(&limit)),
            ("direction", Some(if options.forward { "forward" } else { "backward" })),
        ];
        self.stream("/api/v1/search", &parameters).await
    }

    /// Every record found, whole and oldest first, followed by a summary. Of `options` the limit and the order are
    /// not used.
    ///
    /// # Errors
    /// As [`Client::search`].
    pub async fn export(&self, options: &SearchOptions) -> Result<Answers, ClientError> {
        let parameters = [
            ("query", Some(options.query.as_str())),
            ("start", options.start.as_deref()),
            ("end", options.end.as_deref()),
            ("since", options.since.as_deref()),
        ];
        self.stream("/api/v1/export", &parameters).await
    }

    /// Every line of a trace or correlation id, oldest first, followed by a summary. Of `options` the query and the
    /// order are not used.
    ///
    /// # Errors
    /// As [`Client::search`].
    pub async fn trace(&self, id: &str, options: &SearchOptions) -> Result<Answers, ClientError> {
        let limit = options.limit.to_string();
        let parameters = [
            ("start", options.start.as_deref()),
            ("end", options.end.as_deref()),
            ("since", options.since.as_deref()),
            ("limit", Some(limit.as_str())),
        ];
        self.stream(&trace_path(id), &parameters).await
    }

    /// The waterfall of the trace of an id; `None` when no line or span tells of one.
    ///
    /// # Errors
    /// As [`Client::json`].
    pub async fn waterfall(&self, id: &str) -> Result<Option<Waterfall>, ClientError> {
        // It does not depend on which lines come with it.
        let answer = self.json(&trace_path(id), &[("limit", Some("1"))]).await?;
        serde_json::from_value(answer["waterfall"].clone()).map_err(ClientError::not_understood)
    }

    /// The spans of the trace of an id as an OTLP document; `None` when no line or span tells of one.
    ///
    /// # Errors
    /// As [`Client::json`].
    pub async fn otlp(&self, id: &str) -> Result<Option<serde_json::Value>, ClientError> {
        match self.json(&trace_path(id), &[("format", Some("otlp"))]).await {
            Err(ClientError::Refused { kind, .. }) if kind == crate::http::UNKNOWN_TRACE => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// New records as they are stored, without end. After a broken connection it goes on where it was.
    ///
    /// # Errors
    /// When the first connection fails or the server refuses the query.
    pub async fn tail(&self, query: &str) -> Result<Answers, ClientError> {
        tail::follow(self.transport.clone(), query).await
    }

    /// Any JSON answer, for example of `/api/v1/labels`.
    ///
    /// # Errors
    /// When there is no answer, or it is an error or no JSON.
    pub async fn json(
        &self,
        path: &str,
        parameters: &[(&str, Option<&str>)],
    ) -> Result<serde_json::Value, ClientError> {
        let response = self.transport.get(path, parameters, &[(header::ACCEPT, "application/json")]).await?;
        let mut body = Vec::new();
        let mut chunks = response.into_body().into_data_stream();
        while let Some(chunk) = chunks.next().await {
            body.extend_from_slice(&chunk.map_err(ClientError::broken)?);
        }
        serde_json::from_slice(&body).map_err(ClientError::not_understood)
    }

    /// Whether the server says that it is ready.
    ///
    /// # Errors
    /// When there is no answer, or another one.
    pub async fn ready(&self) -> Result<(), ClientError> {
        self.transport.get("/ready", &[], &[]).await.map(|_| ())
    }

    async fn stream(&self, path: &str, parameters: &[(&str, Option<&str>)]) -> Result<Answers, ClientError> {
        let response: Response<Body> =
            self.transport.get(path, parameters, &[(header::ACCEPT, crate::http::NDJSON)]).await?;
        let lines = Lines::of(response);
        Ok(Box::pin(futures_util::stream::unfold(Some(lines), |lines| async move {
            let mut lines = lines?;
            let line = match lines.next().await {
                Ok(Some(line)) => line,
                Ok(None) => return Some((Err(ClientError::CutOff), None)),
                Err(error) => return Some((Err(error), None)),
            };
            match understood(line) {
                Ok(summary @ Answer::Summary(_)) => Some((Ok(summary), None)),
                Ok(answer) => Some((Ok(answer), Some(lines))),
                Err(error) => Some((Err(error), None)),
            }
        })))
    }
}

fn trace_path(id: &str) -> String {
    format!("/api/v1/traces/{}", transport::encoded(id))
}

/// One line of a streamed answer.
fn understood(line: Vec<u8>) -> Result<Answer, ClientError> {
    #[derive(Deserialize)]
    struct Last {
        summary: Option<serde_json::Value>,
        #[serde(flatten)]
        refusal: Option<error::Refusal>,
    }
    if line.starts_with(b"{\"timestamp\"") {
        return serde_json::from_slice(&line)
            .map(|hit| Answer::Hit(Box::new(hit)))
            .map_err(ClientError::not_understood);
    }
    if line.starts_with(store::exchange::MARK) {
        return Ok(Answer::Record(line));
    }
    let last: Last = serde_json::from_slice(&line).map_err(ClientError::not_understood)?;
    match (last.summary, last.refusal) {
        (Some(summary), _) => Ok(Answer::Summary(summary)),
        (None, Some(refusal)) => Err(refusal.into()),
        (None, None) => Err(ClientError::CutOff),
    }
}
