//! Finds the position in a log again when the stored one is damaged: by what of the log is stored.
//!
//! The records of a stream are the front of what the container wrote to it, and carry the daemon's times. So of each
//! stream the lines of the latest record are looked for in the log; the message that ends them is where the stream goes
//! on. Then reading goes on as ever: what is missing in between is found to be, and nothing is read twice.
//!
//! Of a log in which a clock was set back shortly before, lines may be read again: the latest record is not the last.

use std::collections::HashSet;

use store::block::BlockError;
use store::record::attribute;
use store::{Block, BlockQuery, Prune, Reader, StoreError, StreamId, TimeRange};

use super::cursor::{Cursor, Mark, StreamCursor};
use super::frames::{Frame, Stream};
use super::partial::{Assembler, Line};

/// The latest of what is stored of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Latest {
    /// Time of the latest record.
    pub(super) ns: i64,
    /// Records of that time.
    pub(super) records: u64,
    /// Lines in these: a stack trace has several.
    pub(super) lines: u64,
}

/// What is stored last of the container `id`, by [`Stream::index`]. Blocking.
///
/// # Errors
/// When the store cannot be read. A block that is damaged is passed over: its lines are read again.
pub(super) fn latest(reader: &Reader, id: &str, created_ns: i64) -> Result<[Option<Latest>; 2], StoreError> {
    let snapshot = reader.snapshot()?;
    let mut latest = [None, None];
    for stream in Stream::ALL {
        let is_ours = |name: Option<&str>| name == Some(stream.name());
        let streams: HashSet<StreamId> =
            snapshot.streams().iter().filter(|s| is_ours(s.labels.get("stream"))).map(|s| s.id).collect();
        let range = TimeRange { start_ns: created_ns, end_ns: i64::MAX };
        let prune = Prune::Pair { name: attribute::CONTAINER_ID.to_owned(), value: id.to_owned() };
        let query = BlockQuery { range, streams: Some(&streams), levels: None, prune: &prune };
        let mut blocks = snapshot.candidates(&query)?.blocks;
        blocks.sort_by_key(|block| std::cmp::Reverse(block.max_ns()));
        for block in blocks {
            if latest[stream.index()].is_some_and(|found: Latest| found.ns > block.max_ns()) {
                break;
            }
            if let Err(error) = block.open().and_then(|block| take(&block, id, &mut latest[stream.index()])) {
                tracing::warn!(%error, "looks for a position without this block");
            }
        }
    }
    Ok(latest)
}

/// Looks at the records of a block.
fn take(block: &Block, id: &str, latest: &mut Option<Latest>) -> Result<(), BlockError> {
    let ids = block.pairs_named(attribute::CONTAINER_ID)?;
    for (i, ns) in block.timestamps()?.iter().copied().enumerate().rev() {
        if latest.is_some_and(|found| found.ns > ns) {
            break; // a block is in the order of time
        }
        if ids.value(i) != Some(id) {
            continue;
        }
        let lines = 1 + memchr::memchr_iter(b'\n', &block.line(i)?).count() as u64;
        *latest = Some(match *latest {
            Some(found) if found.ns == ns => {
                Latest { ns, records: found.records + 1, lines: found.lines + lines }
            }
            _ => Latest { ns, records: 1, lines },
        });
    }
    Ok(())
}

/// Goes through a log, from some time before the latest records to its end.
#[derive(Debug)]
pub(super) struct Search {
    streams: [Trail; 2],
    /// Messages passed.
    passed: u64,
}

/// One stream on the way to its place.
#[derive(Debug)]
struct Trail {
    latest: Option<Latest>,
    assembler: Assembler<(Mark, u64)>,
    last: Option<Mark>,
    /// Lines of the latest records that were found, and the message that ends them, with its number in the log.
    lines: u64,
    end: Option<(Mark, u64)>,
    /// The message after that.
    next: Option<(Mark, u64)>,
    /// The messages of their time are passed.
    past_time: bool,
    /// The log begins behind the latest records.
    gone: bool,
}

impl Search {
    /// For the log of an engine that cuts lines at `chunk_size` bytes.
    pub(super) fn new(latest: [Option<Latest>; 2], chunk_size: usize, tty: bool) -> Self {
        let trail = |latest| Trail {
            latest,
            assembler: Assembler::new(chunk_size, 0, tty),
            last: None,
            lines: 0,
            end: None,
            next: None,
            past_time: false,
            gone: false,
        };
        Self { streams: latest.map(trail), passed: 0 }
    }

    /// Takes the next message of the log.
    pub(super) fn pass(&mut self, frame: &Frame) {
        self.streams[frame.stream.index()].pass(frame, self.passed);
        self.passed += 1;
    }

    /// Where the log goes on.
    pub(super) fn end(mut self) -> Cursor {
        self.streams.iter_mut().for_each(Trail::finish);
        let at = |stream: Stream| self.streams[stream.index()].end.map(|(_, at)| at);
        let known = |stream: &Stream| self.streams[stream.index()].latest.is_some();
        let latest_ns = |stream: Stream| self.streams[stream.index()].latest.map(|latest| latest.ns);
        // A place that was found is behind one that the log has no more.
        let last = Stream::ALL.into_iter().filter(known).max_by_key(|s| (at(*s), latest_ns(*s)));
        let front = last.and_then(at);
        let position = |stream: Stream| self.streams[stream.index()].position(front);
        Cursor {
            out: position(Stream::Stdout),
            err: position(Stream::Stderr),
            last,
            front: front.is_some(),
            unreadable: false,
        }
    }
}

impl Trail {
    fn is_done(&self) -> bool {
        self.gone || self.latest.is_none_or(|latest| self.lines >= latest.lines)
    }

    fn pass(&mut self, frame: &Frame, at: u64) {
        let same_time = self.last.filter(|last| last.ts == frame.timestamp_ns);
        let ordinal = same_time.map_or(0, |last| last.ordinal.saturating_add(1));
        let mark = Mark { ts: frame.timestamp_ns, ordinal, hash: frame.hash(), high: None };
        self.last = Some(mark);
        if self.is_done() {
            self.next.get_or_insert((mark, at));
            return;
        }
        let Some(latest) = self.latest else { return };
        let begun = self.end.is_some() || self.assembler.open_start().is_some();
        if !begun && frame.timestamp_ns < latest.ns {
            return;
        }
        if !begun && frame.timestamp_ns > latest.ns {
            (self.gone, self.next) = (true, Some((mark, at)));
            return;
        }
        if frame.timestamp_ns != latest.ns && !self.past_time {
            self.past_time = true;
            self.finish();
            // Of each record at least one line: those that are not there were rotated away.
            self.lines = self.lines.max(latest.records);
        }
        if self.is_done() {
            self.next.get_or_insert((mark, at));
            return;
        }
        let mut ended = Vec::new();
        self.assembler.push(frame.timestamp_ns, &frame.payload, (mark, at), |line| ended.push(line));
        ended.iter().for_each(|line| self.ended(line));
        if self.is_done() && self.end.is_some_and(|(_, end)| end < at) {
            self.next.get_or_insert((mark, at));
        }
    }

    fn ended(&mut self, line: &Line<(Mark, u64)>) {
        if self.is_done() {
            self.next.get_or_insert(line.start);
            return;
        }
        (self.lines, self.end) = (self.lines + 1, Some(line.end));
    }

    /// The log is over: a line without an end is one.
    fn finish(&mut self) {
        let mut ended = Vec::new();
        self.assembler.flush(&mut |line| ended.push(line));
        ended.iter().for_each(|line| self.ended(line));
    }

    /// Where the stream goes on. `front` is the number of the message behind which neither does.
    fn position(&self, front: Option<u64>) -> StreamCursor {
        // A message that is not in the log: a read shows what is missing.
        let gone = || self.latest.map(|latest| Mark { ts: latest.ns, ordinal: 0, hash: 0, high: None });
        let mark = self.end.map(|(mark, _)| mark).or_else(gone);
        let behind = |(_, at): &(Mark, u64)| !self.gone && front.is_some_and(|front| *at < front);
        StreamCursor { mark, pending: self.next.filter(behind).map(|(mark, _)| mark) }
    }
}

#[cfg(test)]
mod tests;
