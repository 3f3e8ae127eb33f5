//! Answers of any length as JSON lines: a hit or a whole record a line, and at the end one line with `summary` (or,
//! when the search fails on the way, `error` and `message`).

use std::marker::PhantomData;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use store::{Record, exchange};
use tokio::sync::mpsc;

use super::error::ApiError;
use super::search::NDJSON;
use super::state::AppState;
use crate::Hit;
use crate::exec::completeness::Completeness;
use crate::exec::search::{Search, SearchRequest, UnknownField};
use crate::exec::{Context, ExecError, Stats};

/// Chunks between the search and the client's connection. When they are full the search waits, so a slow client
/// costs this much memory and no more.
const CHUNKS: usize = 4;
/// Size at which a chunk is handed on, in bytes.
const CHUNK_BYTES: usize = 64 << 10;
/// Most rows of one page.
const PAGE_ROWS: usize = 8_192;

/// What a line of the answer shows of a record found.
pub(super) trait Row: Sized + Send + 'static {
    /// The next ones of the search.
    fn next_page(search: &mut Search, limit: usize, context: &Context) -> Result<Vec<Self>, ExecError>;

    /// As a line without its end.
    fn to_line(&self) -> Result<Vec<u8>, String>;
}

impl Row for Hit {
    fn next_page(search: &mut Search, limit: usize, context: &Context) -> Result<Vec<Self>, ExecError> {
        search.next_page(limit, context)
    }

    fn to_line(&self) -> Result<Vec<u8>, String> {
        serde_json::to_vec(self).map_err(|error| error.to_string())
    }
}

impl Row for Record {
    fn next_page(search: &mut Search, limit: usize, context: &Context) -> Result<Vec<Self>, ExecError> {
        search.next_records(limit, context)
    }

    fn to_line(&self) -> Result<Vec<u8>, String> {
        exchange::to_line(self).map_err(|error| error.to_string())
    }
}

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

/// Answers with all rows, or the first `limit` unless that is 0.
pub(super) async fn answer<R: Row>(
    state: AppState,
    request: SearchRequest,
    limit: usize,
) -> Result<Response, ApiError> {
    let cancel = state.shutdown().child_token();
    // Held by the body: when the client leaves, the body is dropped and the search ends.
    let guard = cancel.clone().drop_guard();
    let context = Arc::new(Context::new(state.config(), cancel));
    let query = request.query.clone();
    let mut producer = Producer::<R> {
        state: state.clone(),
        context,
        search: None,
        left: if limit == 0 { usize::MAX } else { limit },
        sent: 0,
        rows: PhantomData,
    };
    let first = producer.begin(request).await?;
    let first = match first {
        Ok(rows) => rows,
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

struct Producer<R> {
    state: AppState,
    context: Arc<Context>,
    search: Option<Search>,
    /// Rows that may still be sent.
    left: usize,
    sent: usize,
    rows: PhantomData<fn() -> R>,
}

/// The client has left: there is nobody to tell.
struct Gone;

impl<R: Row> Producer<R> {
    async fn begin(&mut self, request: SearchRequest) -> Result<Result<Vec<R>, UnknownField>, ExecError> {
        let limit = self.left.min(PAGE_ROWS);
        let work = move |reader: &store::Reader, context: &Context| {
            let mut search = Search::begin(reader, request, context)?;
            let rows = R::next_page(&mut search, limit, context)?;
            Ok(match search.unknown_field(reader, context)? {
                Some(unknown) => Err(unknown),
                None => Ok((search, rows)),
            })
        };
        Ok(match self.state.run_in(Arc::clone(&self.context), work).await? {
            Ok((search, rows)) => {
                self.search = Some(search);
                Ok(rows)
            }
            Err(unknown) => Err(unknown),
        })
    }

    async fn produce(mut self, first: Vec<R>, sender: &mpsc::Sender<Bytes>) {
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
        first: Vec<R>,
        sender: &mpsc::Sender<Bytes>,
    ) -> Result<Result<Summary, ExecError>, Gone> {
        let mut rows = first;
        loop {
            self.sent += rows.len();
            self.left -= rows.len().min(self.left);
            send(rows, sender).await?;
            let Some(search) = self.search.take() else { return Ok(Err(ExecError::Cancelled)) };
            if self.left == 0 || !search.more() {
                return Ok(self.summary(search).await);
            }
            match self.next(search).await {
                Ok(next) => rows = next,
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    async fn next(&mut self, mut search: Search) -> Result<Vec<R>, ExecError> {
        let limit = self.left.min(PAGE_ROWS);
        let work = move |_: &store::Reader, context: &Context| {
            let rows = R::next_page(&mut search, limit, context)?;
            Ok((search, rows))
        };
        let (search, rows) = self.state.run_in(Arc::clone(&self.context), work).await?;
        self.search = Some(search);
        Ok(rows)
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

async fn send<R: Row>(rows: Vec<R>, sender: &mpsc::Sender<Bytes>) -> Result<(), Gone> {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    for row in rows {
        match row.to_line() {
            Ok(line) => chunk.extend(line),
            Err(error) => {
                // Strings and maps of strings always have a JSON form; were there one without, ending is better than skipping.
                tracing::error!(%error, "cannot write a record as JSON");
                return Err(Gone);
            }
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
