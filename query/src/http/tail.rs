//! `GET /api/v1/tail`: new records as server-sent events, filtered. The id of each event says where to resume
//! (`Last-Event-ID`); an event `skipped` says where lines are missing from the stream, and how many when known.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::Record;
use store::reader::NewRecords;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::error::ApiError;
use super::params::Params;
use super::search::question;
use super::state::AppState;
use crate::Hit;
use crate::exec::ExecError;
use crate::exec::question::Question;
use crate::filter::{Filter, Row};
use crate::logql::logs::Follower;

/// Records taken from the store at once.
const BATCH_RECORDS: usize = 4_096;
/// Proxies close connections that are silent for about half a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Parameters of a tail.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TailParams {
    query: String,
}

/// The whole of a commit has been seen.
const ALL: usize = usize::MAX;

/// Place of a record among all commits: what a client resumes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    commit: u64,
    /// Records of the commit that have been seen; [`ALL`] when the whole commit was.
    records: usize,
}

impl Position {
    fn parse(id: &str) -> Option<Self> {
        let (commit, records) = id.split_once('-')?;
        Some(Self { commit: commit.parse().ok()?, records: records.parse().ok()? })
    }

    fn id(self) -> String {
        format!("{}-{}", self.commit, self.records)
    }
}

/// Data of an event `skipped`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Skipped {
    /// Matching records left out, `null` when nobody can tell.
    records: Option<u64>,
}

pub(super) async fn tail(
    State(state): State<AppState>,
    headers: HeaderMap,
    Params(params): Params<TailParams>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let follow = Follow::new(&params.query)?;
    let resume = match headers.get("last-event-id").map(|id| id.to_str().ok().and_then(Position::parse)) {
        None => None,
        Some(Some(position)) => Some(position),
        Some(None) => {
            return Err(ApiError::bad_parameter(
                "the header `Last-Event-ID` is not one this server gave out",
            ));
        }
    };
    let Ok(seat) = Arc::clone(state.tails()).try_acquire_owned() else {
        let max = state.config().max_tails;
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            format!("{max} live tails are open; close one, or raise `query.max_tails`"),
        ));
    };
    let cancel = state.shutdown().child_token();
    let guard = cancel.clone().drop_guard();
    let (sender, receiver) = mpsc::channel(state.config().tail_buffer);
    let mut changed = state.reader().subscribe();
    // Taken before the answer begins: what is stored after the client has it, is in the tail.
    let newest = *changed.borrow_and_update();
    let at = resume.filter(|position| position.commit <= newest);
    // An id from the future belongs to other data: begin now, and say that something is missing.
    let skipped = if at.is_none() && resume.is_some() { None } else { Some(0) };
    let at = at.unwrap_or(Position { commit: newest, records: ALL });
    let feeder = Feeder { state: state.clone(), follow, changed, sender, cancel, skipped };
    state.tasks().spawn(async move {
        feeder.state.metrics().tails.inc();
        let state = feeder.state.clone();
        feeder.run(at).await;
        state.metrics().tails.dec();
        drop(seat);
    });
    let events = futures_util::stream::unfold((receiver, guard), |(mut receiver, guard)| async move {
        let event = receiver.recv().await?;
        Some((Ok(event), (receiver, guard)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// Which new records are wanted, and as what.
enum Follow {
    Filter(Box<Filter>),
    LogQl(Box<Follower>),
}

impl Follow {
    fn new(query: &str) -> Result<Self, ApiError> {
        Ok(match question(query)? {
            Question::Filter(filter) => Self::Filter(Box::new(filter)),
            Question::LogQl(log) => Self::LogQl(Box::new(
                Follower::new(&log).map_err(|message| ApiError::from(ExecError::Query(message)))?,
            )),
        })
    }

    fn hit(&mut self, record: &Record) -> Option<Hit> {
        match self {
            Self::Filter(filter) => filter.is_match(&Row::of_record(record)).then(|| Hit::of_record(record)),
            Self::LogQl(follower) => follower.hit(record),
        }
    }
}

/// Follows the commits for one client. It never waits for the client: what does not fit into the buffer is skipped
/// and counted.
struct Feeder {
    state: AppState,
    follow: Follow,
    changed: watch::Receiver<u64>,
    sender: mpsc::Sender<Event>,
    cancel: CancellationToken,
    /// Matching records not sent since the last event, `None` when the number is unknown.
    skipped: Option<u64>,
}

impl Feeder {
    async fn run(mut self, mut at: Position) {
        loop {
            match self.catch_up(at).await {
                Some(position) => at = position,
                None => return,
            }
            tokio::select! {
                () = self.cancel.cancelled() => return,
                changed = self.changed.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Sends what has been committed since `at`; `None` when the client has left or the store is closed.
    async fn catch_up(&mut self, mut at: Position) -> Option<Position> {
        loop {
            let news = self.read(at).await?;
            if news.missed {
                self.skipped = None;
            }
            if news.commits.is_empty() {
                return Some(at);
            }
            for (commit, records) in news.commits {
                let seen = if commit == at.commit { at.records } else { 0 };
                for (i, record) in records.iter().enumerate().skip(seen) {
                    let here = Position { commit, records: i + 1 };
                    if let Some(hit) = self.follow.hit(record)
                        && !self.offer(here, &hit)
                    {
                        return None;
                    }
                }
                at = Position { commit, records: ALL };
            }
        }
    }

    async fn read(&self, at: Position) -> Option<NewRecords> {
        let reader = self.state.reader().clone();
        // A commit that was seen in part is read again; one that was seen whole is not.
        let after = if at.records == ALL { at.commit } else { at.commit.saturating_sub(1) };
        let read = tokio::task::spawn_blocking(move || reader.commits_after(after, BATCH_RECORDS)).await;
        match read {
            Ok(Ok(news)) => Some(news),
            Ok(Err(error)) => {
                tracing::warn!(%error, "live tail ended: cannot read new records");
                None
            }
            Err(error) => {
                tracing::error!(%error, "live tail ended: the reading thread failed");
                None
            }
        }
    }

    /// Sends one record, or counts it as skipped; `false` when the client has left.
    fn offer(&mut self, here: Position, hit: &Hit) -> bool {
        let skipped = self.skipped != Some(0);
        if self.sender.is_closed() {
            return false;
        }
        if self.sender.capacity() < 1 + usize::from(skipped) {
            self.skipped = self.skipped.map(|n| n + 1);
            self.state.metrics().tail_skipped.inc();
            return true;
        }
        if skipped {
            let data = Skipped { records: self.skipped };
            if !self.send(Event::default().event("skipped").json_data(data)) {
                return false;
            }
            self.skipped = Some(0);
        }
        self.state.metrics().tail_records.inc();
        self.send(Event::default().id(here.id()).json_data(hit))
    }

    fn send(&self, event: Result<Event, axum::Error>) -> bool {
        match event {
            Ok(event) => self.sender.try_send(event).is_ok(),
            Err(error) => {
                tracing::error!(%error, "live tail ended: cannot write a record as JSON");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back() {
        let position = Position { commit: 7, records: 3 };
        assert_eq!(Position::parse(&position.id()), Some(position));
        for wrong in ["", "7", "-", "a-b", "7--1"] {
            assert_eq!(Position::parse(wrong), None, "{wrong}");
        }
    }
}
