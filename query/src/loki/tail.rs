//! `tail`: lines over a WebSocket, first the newest that are stored, then every new one.
//!
//! A client that is slower than the logs misses lines rather than holding anything up: it is told so by
//! `dropped_entries`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use store::reader::NewRecords;
use store::{Snapshot, TimeRange};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::MissedTickBehavior;

use super::error::LokiError;
use super::json::{self, Body};
use super::params::{Params, now_ns};
use super::query::wants_categories;
use crate::exec::ExecError;
use crate::exec::select::Order;
use crate::http::AppState;
use crate::logql::ast::{Expr, LogExpr};
use crate::logql::logs::{self, Entry, Follower, LogRequest};

const DEFAULT_LIMIT: usize = 100;
/// Loki allows clients to ask for a delay of at most this many seconds.
const MAX_DELAY_SECONDS: usize = 5;
/// Records taken from the store at once.
const BATCH_RECORDS: usize = 4_096;
/// Lines of one message.
const FRAME_LINES: usize = 500;
/// Clients take a silent connection for a dead one.
const PING_EVERY: Duration = Duration::from_secs(1);
/// A client that has taken nothing for so long is gone, and its seat free again. Slower ones miss lines before that.
const STALLED_AFTER: Duration = Duration::from_secs(30);
/// Times that the beginning is read again because a commit came in between.
const MAX_ATTEMPTS: usize = 5;

pub(super) async fn tail(
    State(state): State<AppState>,
    headers: HeaderMap,
    Query(pairs): Query<Vec<(String, String)>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, LokiError> {
    let request = TailRequest::new(&Params::from(pairs), &headers, &state)?;
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return Ok(rejection.into_response()),
    };
    let Ok(seat) = Arc::clone(state.tails()).try_acquire_owned() else {
        let max = state.config().max_tails;
        return Err(LokiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!(
                "max concurrent tail requests limit exceeded, count > limit ({max}); see `query.max_tails`"
            ),
        ));
    };
    let tasks = state.tasks().clone();
    Ok(upgrade.on_upgrade(move |socket| {
        tasks.track_future(async move {
            state.metrics().tails.inc();
            Tail { state: state.clone(), socket, request, seat }.run().await;
            state.metrics().tails.dec();
        })
    }))
}

struct TailRequest {
    log: LogExpr,
    start_ns: i64,
    limit: usize,
    delay: Duration,
    categorize: bool,
}

impl TailRequest {
    fn new(params: &Params, headers: &HeaderMap, state: &AppState) -> Result<Self, LokiError> {
        let Expr::Log(log) = params.expr()? else {
            return Err(LokiError::bad("tail is only supported for log queries"));
        };
        let delay = match params.get("delay_for") {
            None | Some("0") => 0,
            Some(_) => params.limit("delay_for", 0)?,
        };
        if delay > MAX_DELAY_SECONDS {
            return Err(LokiError::bad(format!("delay_for can't be greater than {MAX_DELAY_SECONDS}")));
        }
        let limit = params.limit("limit", DEFAULT_LIMIT)?;
        super::limits::check_entries(limit, state)?;
        Ok(Self {
            log,
            start_ns: params.range()?.start_ns,
            limit,
            delay: Duration::from_secs(delay as u64),
            categorize: wants_categories(headers),
        })
    }
}

/// One client's tail. The seat is given back at its end.
struct Tail {
    state: AppState,
    socket: WebSocket,
    request: TailRequest,
    #[expect(dead_code, reason = "held until the tail ends")]
    seat: OwnedSemaphorePermit,
}

/// Why a tail ends.
enum End {
    /// The client has left, or the process ends.
    Closed,
    /// It cannot go on.
    Failed(String),
}

impl Tail {
    async fn run(mut self) {
        let end = self.follow().await;
        let (code, reason) = match end {
            End::Closed => (1000, String::new()),
            End::Failed(reason) => {
                tracing::warn!(%reason, "tail ended");
                (1011, reason)
            }
        };
        // A close frame holds at most 123 bytes of text.
        let reason: String = reason.chars().take(120).filter(char::is_ascii).collect();
        let frame = CloseFrame { code, reason: reason.into() };
        if self.transmit(Message::Close(Some(frame))).await.is_err() {
            tracing::debug!("tail: the client was gone already");
        }
    }

    async fn follow(&mut self) -> End {
        let mut changed = self.state.reader().subscribe();
        let mut follower = match Follower::new(&self.request.log) {
            Ok(follower) => follower,
            Err(message) => return End::Failed(message),
        };
        let mut at = match begin(&self.state, &self.request).await {
            Ok((entries, commit)) => {
                if let Err(end) = self.send(&entries, false).await {
                    return end;
                }
                commit
            }
            Err(error) => return End::Failed(error.to_string()),
        };
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shutdown = self.state.shutdown().clone();
        loop {
            loop {
                let before = at;
                match self.catch_up(&mut follower, at).await {
                    Ok(up_to) => at = up_to,
                    Err(end) => return end,
                }
                if at == before {
                    break;
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return End::Closed,
                news = changed.changed() => if news.is_err() { return End::Closed },
                _ = ping.tick() => {
                    if let Err(end) = self.transmit(Message::Ping(Bytes::new())).await {
                        return end;
                    }
                }
                message = self.socket.recv() => match message {
                    None | Some(Err(_) | Ok(Message::Close(_))) => return End::Closed,
                    Some(Ok(_)) => {}
                },
            }
        }
    }

    /// Sends what was committed after `at`; gives the last commit seen.
    async fn catch_up(&mut self, follower: &mut Follower, at: u64) -> Result<u64, End> {
        let reader = self.state.reader().clone();
        let read = tokio::task::spawn_blocking(move || reader.commits_after(at, BATCH_RECORDS)).await;
        let news: NewRecords = match read {
            Ok(Ok(news)) => news,
            Ok(Err(error)) => return Err(End::Failed(error.to_string())),
            Err(error) => return Err(End::Failed(error.to_string())),
        };
        if news.commits.is_empty() && !news.missed {
            return Ok(news.up_to.max(at));
        }
        if !self.request.delay.is_zero() {
            tokio::time::sleep(self.request.delay).await;
        }
        let records = news.commits.iter().flat_map(|(_, records)| records.iter());
        let mut entries: Vec<Entry> = records.filter_map(|record| follower.entry(record)).collect();
        entries.sort_by_key(|entry| entry.timestamp_ns);
        self.send(&entries, news.missed).await?;
        Ok(news.up_to.max(at))
    }

    async fn send(&mut self, entries: &[Entry], missed: bool) -> Result<(), End> {
        self.state.metrics().tail_records.inc_by(entries.len() as u64);
        let mut frames: Vec<&[Entry]> = entries.chunks(FRAME_LINES).collect();
        if frames.is_empty() && missed {
            frames.push(&[]);
        }
        for (i, lines) in frames.into_iter().enumerate() {
            let text = frame(lines, self.request.categorize, missed && i == 0);
            self.transmit(Message::Text(text.into())).await?;
        }
        Ok(())
    }

    /// Hands a message to the client, unless it has left, takes nothing any more, or the process ends.
    async fn transmit(&mut self, message: Message) -> Result<(), End> {
        let shutdown = self.state.shutdown().clone();
        tokio::select! {
            biased;
            sent = tokio::time::timeout(STALLED_AFTER, self.socket.send(message)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(End::Closed),
                Err(_) => Err(End::Failed(format!("the client took nothing for {STALLED_AFTER:?}"))),
            },
            () = shutdown.cancelled() => Err(End::Closed),
        }
    }
}

/// The newest stored lines, oldest first, and the commit to go on after.
async fn begin(state: &AppState, tail: &TailRequest) -> Result<(Vec<Entry>, u64), LokiTailError> {
    let changed = state.reader().subscribe();
    let request = LogRequest {
        log: tail.log.clone(),
        range: TimeRange { start_ns: tail.start_ns, end_ns: now_ns().max(tail.start_ns) },
        limit: tail.limit,
        order: Order::Backward,
        interval_ns: 0,
    };
    let (read, commit) = state
        .run(move |reader, context| {
            let (snapshot, commit) = consistent(|| *changed.borrow(), || Ok(reader.snapshot()?))?;
            Ok((logs::read(&request, &snapshot, context)?, commit))
        })
        .await?;
    let (mut entries, _) = read.map_err(LokiTailError::Query)?;
    entries.reverse();
    Ok((entries, commit))
}

/// A snapshot and the number of the last commit in it.
fn consistent(
    commit: impl Fn() -> u64,
    snapshot: impl Fn() -> Result<Snapshot, ExecError>,
) -> Result<(Snapshot, u64), ExecError> {
    for _ in 1..MAX_ATTEMPTS {
        let before = commit();
        let taken = snapshot()?;
        if commit() == before {
            return Ok((taken, before));
        }
    }
    // Under constant writing a line may come twice, which clients bear; one that is missing they do not.
    let before = commit();
    Ok((snapshot()?, before))
}

/// One message. What was missed is told without its labels, which nobody knows.
fn frame(entries: &[Entry], categorize: bool, missed: bool) -> String {
    let mut body = Body::default();
    body.raw("{");
    if categorize {
        body.raw("\"encodingFlags\":[\"categorize-labels\"],");
    }
    body.raw("\"streams\":");
    json::streams(&mut body, entries, categorize);
    if missed {
        body.raw(&format!(",\"dropped_entries\":[{{\"labels\":{{}},\"timestamp\":\"{}\"}}]", now_ns()));
    }
    body.raw("}");
    body.into_text()
}

/// Why the beginning of a tail cannot be read.
#[derive(Debug, thiserror::Error)]
enum LokiTailError {
    #[error("{0}")]
    Query(String),
    #[error(transparent)]
    Exec(#[from] ExecError),
}
