//! Answers of any length as JSON lines: a hit a line, and at the end one line with `summary` (or, when the search
//! fails on the way, `error` and `message`).

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::mpsc;

use super::error::ApiError;
use super::search::NDJSON;
use super::state::AppState;
use crate::Hit;
use crate::exec::completeness::Completeness;
use crate::exec::search::{Search, SearchRequest};
use crate::exec::{Context, ExecError, Stats};

/// Chunks between the search and the client's connection. When they are full the search waits, so a slow client
/// costs this much memory and no more.
const CHUNKS: usize = 4;
/// Size at which a chunk is handed on, in bytes.
const CHUNK_BYTES: usize = 64 << 10;
/// Most hits of one page.
const PAGE_HITS: usize = 8_192;

/// The last line.
#[derive(Serialize)]
struct LastLine {
    summary: Summary,
}

#[derive(Serialize)]
struct Summary {
    records: usize,
    cursor: Option<String>,
    completeness: Completeness,
    stats: Stats,
}

/// Answers with all hits, or the first `limit` unless that is 0.
pub(super) async fn answer(
    state: AppState,
    request: SearchRequest,
    limit: usize,
) -> Result<Response, ApiError> {
    let cancel = state.shutdown().child_token();
    // Held by the body: when the client leaves, the body is dropped and the search ends.
    let guard = cancel.clone().drop_guard();
    let context = Arc::new(Context::new(state.config(), cancel));
    let query = request.query.clone();
    let mut producer = Producer {
        state: state.clone(),
        context,
        search: None,
        left: if limit == 0 { usize::MAX } else { limit },
        sent: 0,
    };
    let first = producer.begin(request).await?;
    let first = match first {
        Ok(hits) => hits,
        Err(unknown) => return Err(ApiError::unknown_field(&query, &unknown)),
    };
    let (sender, receiver) = mpsc::channel::<Bytes>(CHUNKS);
    state.tasks().spawn(async move { producer.produce(first, &sender).await });
    let body = futures_util::stream::unfold((receiver, guard), |(mut receiver, guard)| async move {
        let chunk = receiver.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), (receiver, guard)))
    });
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(body)).into_response())
}

struct Producer {
    state: AppState,
    context: Arc<Context>,
    search: Option<Search>,
    /// Hits that may still be sent.
    left: usize,
    sent: usize,
}

/// The client has left: there is nobody to tell.
struct Gone;

impl Producer {
    async fn begin(
        &mut self,
        request: SearchRequest,
    ) -> Result<Result<Vec<Hit>, crate::exec::search::UnknownField>, ExecError> {
        let limit = self.left.min(PAGE_HITS);
        let work = move |reader: &store::Reader, context: &Context| {
            let mut search = Search::begin(reader, request, context)?;
            let hits = search.next_page(limit, context)?;
            Ok(match search.unknown_field(reader, context)? {
                Some(unknown) => Err(unknown),
                None => Ok((search, hits)),
            })
        };
        Ok(match self.state.run_in(Arc::clone(&self.context), work).await? {
            Ok((search, hits)) => {
                self.search = Some(search);
                Ok(hits)
            }
            Err(unknown) => Err(unknown),
        })
    }

    async fn produce(mut self, first: Vec<Hit>, sender: &mpsc::Sender<Bytes>) {
        let outcome = self.send_all(first, sender).await;
        let Ok(outcome) = outcome else { return };
        let last = match outcome {
            Ok(summary) => serde_json::to_vec(&LastLine { summary }),
            Err(error) => serde_json::to_vec(&ApiError::from(error)),
        };
        if let Ok(mut line) = last {
            line.push(b'\n');
            // A client that has left needs no last line.
            drop(sender.send(line.into()).await);
        }
    }

    async fn send_all(
        &mut self,
        first: Vec<Hit>,
        sender: &mpsc::Sender<Bytes>,
    ) -> Result<Result<Summary, ExecError>, Gone> {
        let mut hits = first;
        loop {
            self.sent += hits.len();
            self.left -= hits.len().min(self.left);
            send(hits, sender).await?;
            let Some(search) = self.search.take() else { return Ok(Err(ExecError::Cancelled)) };
            if self.left == 0 || !search.more() {
                return Ok(self.summary(search).await);
            }
            match self.next(search).await {
                Ok(next) => hits = next,
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    async fn next(&mut self, mut search: Search) -> Result<Vec<Hit>, ExecError> {
        let limit = self.left.min(PAGE_HITS);
        let work = move |_: &store::Reader, context: &Context| {
            let hits = search.next_page(limit, context)?;
            Ok((search, hits))
        };
        let (search, hits) = self.state.run_in(Arc::clone(&self.context), work).await?;
        self.search = Some(search);
        Ok(hits)
    }

    async fn summary(&self, search: Search) -> Result<Summary, ExecError> {
        let records = self.sent;
        let work = move |reader: &store::Reader, context: &Context| {
            Ok(Summary {
                records,
                cursor: search.cursor(context)?.map(|cursor| cursor.encode()),
                completeness: Completeness::of(reader, search.range(), search.more(), context)?,
                stats: search.stats(context),
            })
        };
        self.state.run_in(Arc::clone(&self.context), work).await
    }
}

async fn send(hits: Vec<Hit>, sender: &mpsc::Sender<Bytes>) -> Result<(), Gone> {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    for hit in hits {
        if let Err(error) = serde_json::to_writer(&mut chunk, &hit) {
            // Strings and maps of strings always have a JSON form; were there one without, ending is better than skipping.
            tracing::error!(%error, "cannot write a hit as JSON");
            return Err(Gone);
        }
        chunk.push(b'\n');
        if chunk.len() >= CHUNK_BYTES {
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_BYTES));
            sender.send(full.into()).await.map_err(|_| Gone)?;
        }
    }
    if chunk.is_empty() {
        return Ok(());
    }
    sender.send(chunk.into()).await.map_err(|_| Gone)
}
