//! From a container's description to a log that can be read: labels, parser, stored cursor.

use std::sync::Arc;

use regex::bytes::Regex;
use store::{GapReason, Position, StoreError, Writer};

use super::container::Description;
use super::cursor::{Cursor, CursorError};
use super::engine::Engine;
use super::files::LogFiles;
use super::frames::Stream;
use super::lane::{Lane, Shape};
use super::partial::Assembler;
use super::pass::{Log, Start};
use super::regain::{self, Latest};
use super::shared::Shared;
use super::sink::{Sink, Stopped};
use super::timestamp;
use crate::config::Backfill;
use crate::multiline::Joiner;
use crate::parse::{Format, ParseOptions};

/// `binnacle.multiline=<regex>` matches the first line of a record.
const LABEL_MULTILINE: &str = "binnacle.multiline";

/// `binnacle.parse=json|logfmt|none` states the format of its lines.
const LABEL_PARSE: &str = "binnacle.parse";

/// Why a container's log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// The stored cursor.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// The store cannot say where we were; going on would repeat lines.
    #[error("cannot read the stored position: {0}")]
    Store(#[from] StoreError),
}

/// Where the reading of a log begins.
enum Begin {
    /// It was not read before.
    Anew,
    Behind(Cursor),
    /// The position is damaged: behind what is stored.
    BehindStored([Option<Latest>; 2]),
}

impl Begin {
    /// What the store knows of the container; `history` when it was there before this process.
    fn read(writer: &Writer, id: &str, created_ns: i64, history: bool) -> Result<Self, OpenError> {
        let reader = writer.reader();
        let regain = || Ok(Self::BehindStored(regain::latest(&reader, id, created_ns)?));
        match writer.cursor(&source(id))? {
            Position::At(bytes) => Ok(Self::Behind(Cursor::from_bytes(&bytes)?)),
            Position::Damaged => regain(),
            Position::Unset if !history => Ok(Self::Anew),
            // The key of a damaged row may be another now.
            Position::Unset => {
                let was_read = reader.container(id)?.is_some_and(|row| row.was_read());
                match if was_read { regain()? } else { Self::Anew } {
                    Self::BehindStored([None, None]) => Ok(Self::Anew),
                    begin => Ok(begin),
                }
            }
        }
    }
}

/// Name of a container's log in the catalog.
pub(super) fn source(id: &str) -> String {
    format!("docker/{id}")
}

/// Opens the log of a container; `history` when it was there before this process.
pub(super) async fn open(
    shared: &Arc<Shared>,
    container: &Description,
    history: bool,
) -> Result<Result<Log, OpenError>, Stopped> {
    let source = source(&container.id);
    let stored = {
        let (writer, id, created_ns) =
            (shared.outlet.writer.clone(), container.id.clone(), container.created_ns);
        // The catalog is read from disk.
        let read = tokio::task::spawn_blocking(move || Begin::read(&writer, &id, created_ns, history));
        shared.unless_stopped(read).await?
    };
    let Ok(stored) = stored else { return Err(Stopped) };
    let (cursor, lost_place) = match stored {
        Err(error) => return Ok(Err(error)),
        Ok(Begin::Anew) => (Cursor::default(), None),
        Ok(Begin::Behind(cursor)) => (cursor, None),
        Ok(Begin::BehindStored(latest)) => (Cursor::default(), Some(latest)),
    };
    let chunk_size = shared.engine.borrow().as_ref().map_or(usize::MAX, Engine::chunk_size);
    let max_line = usize::try_from(shared.config.max_line_bytes.0).unwrap_or(usize::MAX);
    let [out, err] = shapes(shared, container);
    let lane = |stream: Stream, shape: Shape| {
        let assembler = Assembler::new(chunk_size, max_line, container.tty);
        let joiner = Joiner::new(&shared.ingest, first_line(container));
        Lane::new(stream, assembler, joiner, shape, cursor.stream(stream).mark)
    };
    let lanes = [lane(Stream::Stdout, out), lane(Stream::Stderr, err)];
    let sink = Sink::new(shared.outlet.clone(), source);
    let identity = (container.id.clone(), container.name.clone(), container.tty);
    let start = match lost_place {
        // Nothing is stored of it: nothing is repeated.
        Some([None, None]) => Start::First,
        _ => start(shared, container, history),
    };
    let mut log = Log::new(identity, start, cursor, lanes, sink, Arc::clone(shared));
    log.lost_place = lost_place;
    log.compresses = container.compresses;
    log.files = files(shared, container);
    Ok(Ok(log))
}

/// The files of its log, where these are to be read.
pub(super) fn files(shared: &Shared, container: &Description) -> Option<LogFiles> {
    let config = &shared.config;
    config.read_files.then(|| LogFiles::of(container, &config.log_folder)).flatten()
}

/// What the lines of the two streams become.
pub(super) fn shapes(shared: &Shared, container: &Description) -> [Shape; 2] {
    let series = shared.metrics.series(&container.name);
    if container.nonblocking {
        series.nonblocking();
    }
    let options = ParseOptions { format: format(container), ..ParseOptions::default() };
    Stream::ALL.map(|stream| Shape {
        enricher: Arc::clone(&shared.enricher),
        options,
        labels: container.stream_labels(&shared.host, stream),
        pairs: container.pairs(),
        series: Arc::clone(&series),
    })
}

/// Records once, and for good, that a container's lines cannot be had.
pub(super) async fn record_unreadable(log: &mut Log, container: &Description) -> Result<(), Stopped> {
    if log.cursor.unreadable {
        return Ok(());
    }
    tracing::warn!(
        container = container.name,
        driver = container.driver,
        "the log driver keeps nothing that can be read; use `json-file` or `local` to collect this container"
    );
    log.cursor.unreadable = true;
    log.gap(container.created_ns, timestamp::now_ns(), GapReason::Unreadable);
    log.close(true).await
}

/// Where to begin without a cursor: `backfill` is about what was there before us.
fn start(shared: &Shared, container: &Description, history: bool) -> Start {
    match shared.config.backfill {
        _ if !history => Start::Birth { created_ns: container.created_ns, kept_bytes: container.kept_bytes },
        Backfill::All => Start::First,
        Backfill::SinceStart => Start::Since(shared.started_ns),
        Backfill::Tail(0) => Start::Since(timestamp::now_ns()),
        Backfill::Tail(lines) => Start::Tail { lines, at: timestamp::now_ns() },
    }
}

fn format(container: &Description) -> Format {
    let Some(text) = container.label(LABEL_PARSE) else { return Format::default() };
    text.parse().unwrap_or_else(|error: String| {
        tracing::warn!(container = container.name, error, "label `{LABEL_PARSE}` is not understood");
        Format::default()
    })
}

fn first_line(container: &Description) -> Option<Regex> {
    let text = container.label(LABEL_MULTILINE)?;
    Regex::new(text)
        .inspect_err(|error| {
            tracing::warn!(container = container.name, %error, "label `{LABEL_MULTILINE}` is no regular expression");
        })
        .ok()
}
