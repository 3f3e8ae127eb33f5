//! Reading, with breaks and kills at any point, against a plain model of a log: every line that the log held
//! when it was read is stored once and in order, and a line that rotation took lies inside a recorded gap.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use store::{Labels, Record};

use super::super::cursor::Cursor;
use super::super::frames::{Frame, Stream};
use super::super::lane::{self, Lane, Shape};
use super::super::metrics::Metrics;
use super::super::partial::Assembler;
use super::*;
use crate::config::IngestConfig;
use crate::multiline::Joiner;
use crate::parse::{Enricher, ParseOptions};

mod verdicts;

/// Small, so that lines have several chunks.
const CHUNK: usize = 8;
/// Messages of a file before rotation sets it aside.
const FILE: usize = 24;
const SECOND: i64 = 1_000_000_000;

/// The daemon's side: what was written, and what rotation left of it.
#[derive(Default)]
struct ModelLog {
    held: VecDeque<Frame>,
    /// Lines ever written, by stream: time, and text.
    written: [Vec<(i64, String)>; 2],
    /// Chunks of each stream's last line that are written later.
    coming: [VecDeque<Frame>; 2],
    /// By the time of such lines: when the rest was written. A gap that ends at the rest ends then.
    finished: HashMap<i64, i64>,
    /// What rotation took, and how much of it before anything was read: nobody knows of that.
    taken: Vec<Frame>,
    taken_unseen: usize,
    engine: Engine,
    now_ns: i64,
}

/// What engines do differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Engine {
    #[default]
    Filters,
    /// From 24.0 it stops filtering by time at the first match.
    SinceEndsAtMatch,
    /// 20.10 with `compress=true`: where the oldest rotated file ends before `since`, all of them are left out.
    SinceLeavesOutFiles,
}

impl Engine {
    /// Between two lines: `since` reaches back two seconds, and whole files must be older than that.
    fn pause_ns(self) -> i64 {
        if self == Self::SinceLeavesOutFiles { SECOND / 2 } else { SECOND / 1_000 }
    }
}

fn is_numbered(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

impl ModelLog {
    /// Writes a line; only some of its chunks at first, where it is `slow` and may be cut there.
    fn write(&mut self, stream: Stream, text: String, jitter_ns: i64, slow: Option<usize>) {
        self.go_on(stream);
        self.now_ns += self.engine.pause_ns();
        // The streams' threads take the time before they take the log's lock.
        let last = self.written[stream.index()].last().map_or(0, |(ts, _)| *ts);
        let ts = (self.now_ns - jitter_ns).max(last + 1);
        let bytes = format!("{text}\n").into_bytes();
        let can_be_cut = is_numbered(&text) && bytes.len() % CHUNK != 1;
        let at_once = slow.filter(|_| can_be_cut).unwrap_or(usize::MAX);
        for (number, chunk) in bytes.chunks(CHUNK).enumerate() {
            let frame = Frame { stream, timestamp_ns: ts, payload: Bytes::copy_from_slice(chunk) };
            let place = if number < at_once { &mut self.held } else { &mut self.coming[stream.index()] };
            place.push_back(frame);
        }
        self.written[stream.index()].push((ts, text));
    }

    /// Writes the rest of a stream's last line.
    fn go_on(&mut self, stream: Stream) {
        let coming = &mut self.coming[stream.index()];
        self.finished.extend(coming.front().map(|frame| (frame.timestamp_ns, self.now_ns)));
        self.held.append(coming);
    }

    /// Takes so many messages. Of the lines, only numbered ones are cut: of others it could not be told
    /// afterwards which part is missing.
    fn rotate(&mut self, frames: usize) {
        let frames = frames.min(self.held.len());
        self.taken.extend(self.held.drain(..frames));
        while let (Some(last), Some(next)) = (self.taken.last(), self.held.front())
            && (last.stream, last.timestamp_ns) == (next.stream, next.timestamp_ns)
            && !(self.is_numbered(next) && next.payload != "\n")
        {
            self.taken.extend(self.held.pop_front());
        }
    }

    fn is_numbered(&self, frame: &Frame) -> bool {
        let line = self.written[frame.stream.index()].iter().find(|(ts, _)| *ts == frame.timestamp_ns);
        line.is_some_and(|(_, text)| is_numbered(text))
    }

    fn reply(&self, query: Query) -> Vec<Frame> {
        let since = query.since_ns.unwrap_or(i64::MIN);
        let left_out = self.left_out(since);
        let count = self.held.len() - left_out;
        let skipped = left_out + query.tail.map_or(0, |tail| count.saturating_sub(tail as usize));
        let mut matched = false;
        let in_time = |frame: &&Frame| {
            let filters = !(self.engine == Engine::SinceEndsAtMatch && matched);
            matched = !filters || frame.timestamp_ns >= since;
            matched
        };
        self.held.iter().skip(skipped).filter(in_time).cloned().collect()
    }

    /// How many messages at the front are in files that the engine leaves out of a reply.
    fn left_out(&self, since: i64) -> usize {
        let file = |index: usize| (self.taken.len() + index) / FILE;
        let last = self.held.len().saturating_sub(1);
        let (oldest, current) = (file(0), file(last));
        if self.engine != Engine::SinceLeavesOutFiles || oldest == current {
            return 0;
        }
        let in_oldest = self.held.iter().enumerate().filter(|(i, _)| file(*i) == oldest);
        let ends_before = in_oldest.map(|(_, frame)| frame.timestamp_ns).max() < Some(since);
        if ends_before { (0..=last).filter(|i| file(*i) < current).count() } else { 0 }
    }
}

/// What the store has: all that survives a kill.
#[derive(Default)]
struct Stored {
    records: Vec<Record>,
    cursor: Option<Vec<u8>>,
    gaps: Vec<(i64, i64)>,
}

/// The collector's side.
struct Reader {
    cursor: Cursor,
    lanes: [Lane; 2],
    records: Vec<Record>,
    gaps: Vec<(i64, i64)>,
    clock: Instant,
}

/// How a read ended.
#[derive(PartialEq)]
enum Read {
    Complete,
    Vanished,
    BrokeOff,
}

impl Reader {
    fn load(stored: &Stored, clock: Instant) -> Self {
        let cursor =
            stored.cursor.as_deref().map(Cursor::from_bytes).transpose().unwrap().unwrap_or_default();
        let ingest = IngestConfig::default();
        let enricher = Arc::new(Enricher::new(&ingest, crate::Redactor::off()));
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let lanes = Stream::ALL.map(|stream| {
            let shape = Shape {
                enricher: Arc::clone(&enricher),
                options: ParseOptions::default(),
                labels: Arc::new(Labels::new([("stream", stream.name())])),
                pairs: Vec::new(),
                series: metrics.series("model"),
            };
            let joiner = Joiner::new(&ingest, None);
            Lane::new(
                stream,
                Assembler::new(CHUNK, 1 << 20, false),
                joiner,
                shape,
                cursor.stream(stream).mark,
            )
        });
        Self { cursor, lanes, records: Vec::new(), gaps: Vec::new(), clock }
    }

    fn read(&mut self, log: &ModelLog, expected: u64, mut budget: usize) -> Read {
        let open_ns = self.lanes.iter().filter_map(Lane::open_ns).min();
        let compresses = log.engine == Engine::SinceLeavesOutFiles;
        let mut query = Query::next(&self.cursor, open_ns, log.now_ns, expected, true);
        if compresses {
            query = query.for_compressed();
        }
        loop {
            let mut pass = Pass::new(&self.cursor, query.tail.is_none());
            let mut too_short = false;
            for frame in log.reply(query) {
                if budget == 0 {
                    return Read::BrokeOff;
                }
                budget -= 1;
                let was_covered = pass.is_covered();
                match pass.judge(&self.cursor, &frame) {
                    Verdict::Old => continue,
                    Verdict::TooShort => {
                        too_short = true;
                        break;
                    }
                    Verdict::NewAfterGap => {
                        let open_ns = self.lanes.iter().filter_map(Lane::open_ns).min();
                        self.gaps.push(self.cursor.gap_before(frame.timestamp_ns, open_ns, log.now_ns));
                        let streams = if was_covered { &[frame.stream][..] } else { &Stream::ALL };
                        for stream in streams {
                            self.lanes[stream.index()].flush(self.clock, &mut self.records);
                        }
                    }
                    Verdict::New => {}
                }
                let (mark, _) = self.cursor.advance(&frame, pass.is_past_front());
                self.lanes[frame.stream.index()].push(&frame, mark, self.clock, &mut self.records);
            }
            match pass.end(&self.cursor) {
                _ if too_short => {}
                End::Complete => {
                    pass.note_front(&mut self.cursor);
                    return Read::Complete;
                }
                End::TooShort => {}
                End::Vanished => return Read::Vanished,
                End::Lost => {
                    let lost_ns = pass.give_up_lost(&mut self.cursor).unwrap();
                    self.gaps.push((lost_ns, log.now_ns));
                    return Read::Complete;
                }
                End::Replaced => panic!("the clock was never set back by more than the disorder"),
            }
            query = if compresses { query.wider_for_compressed() } else { query.wider() };
        }
    }

    fn commit(&mut self, stored: &mut Stored) {
        if self.cursor.is_empty() {
            return;
        }
        let position = lane::position(&self.lanes, &self.cursor);
        stored.records.append(&mut self.records);
        stored.gaps.append(&mut self.gaps);
        stored.cursor = Some(position.to_bytes());
    }

    fn flush(&mut self) {
        for lane in &mut self.lanes {
            lane.flush(self.clock, &mut self.records);
        }
    }
}

#[derive(Clone, Debug)]
enum Operation {
    /// A line of so many bytes, some of them alike, some the beginning or the middle of a stack trace.
    Write {
        stream: Stream,
        length: usize,
        kind: u8,
        jitter_ms: i64,
        slow: Option<usize>,
    },
    /// The rest of a line of which only some chunks were written.
    GoOn(Stream),
    /// The front of the log is thrown away.
    Rotate(usize),
    /// A read that breaks off after so many messages.
    Read {
        expected: u64,
        budget: usize,
    },
    Commit,
    Kill,
    /// Stack traces that waited long enough are given out.
    Wait,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
    let slow = prop_oneof![3 => Just(None), 1 => (1..4usize).prop_map(Some)];
    let write = (stream.clone(), 0..40usize, 0..6u8, 0..35i64, slow).prop_map(
        |(stream, length, kind, jitter_ms, slow)| Operation::Write { stream, length, kind, jitter_ms, slow },
    );
    let read = (0..40u64, prop_oneof![4 => Just(usize::MAX), 1 => 0..60usize])
        .prop_map(|(expected, budget)| Operation::Read { expected, budget });
    let operation = prop_oneof![
        12 => write,
        2 => stream.prop_map(Operation::GoOn),
        1 => (0..30usize).prop_map(Operation::Rotate),
        4 => read,
        3 => Just(Operation::Commit),
        1 => Just(Operation::Kill),
        1 => Just(Operation::Wait),
    ];
    prop::collection::vec(operation, 0..300)
}

fn text(number: usize, length: usize, kind: u8) -> String {
    match kind {
        // Chunks of one line that are all alike.
        0 => "x".repeat(length),
        1 => "Traceback (most recent call last):".to_owned(),
        2 => format!("  File \"a.py\", line {number}, in f"),
        3 => String::new(),
        _ => format!("{number} {}", ('a'..='z').cycle().take(length).collect::<String>()),
    }
}

/// Lines of one stream as stored, with the time of their record.
fn lines_of(stored: &Stored, stream: Stream) -> Vec<(i64, String)> {
    let mut lines = Vec::new();
    for record in &stored.records {
        if record.labels.get("stream") == Some(stream.name()) {
            let text = String::from_utf8(record.line.to_vec()).unwrap();
            lines.extend(text.split('\n').map(|line| (record.timestamp_ns, line.to_owned())));
        }
    }
    lines
}

/// The lines that must have been stored: all but those of which rotation took a part before it was read.
fn check(log: &ModelLog, stored: &Stored) -> Result<(), TestCaseError> {
    for stream in Stream::ALL {
        let found = lines_of(stored, stream);
        let mut found = found.iter().peekable();
        for (ts, text) in &log.written[stream.index()] {
            // Lines of a trace carry the time of its first, so the text decides, and the order does the rest.
            if found.peek().is_some_and(|(found_ts, found_text)| found_text == text && found_ts <= ts) {
                found.next();
                continue;
            }
            let taken = log.taken.iter().position(|f| f.stream == stream && f.timestamp_ns == *ts);
            prop_assert!(taken.is_some(), "a line that was held is missing: {ts} `{text}`");
            let reported = stored.gaps.iter().any(|(from, to)| {
                let to = log.finished.get(to).unwrap_or(to);
                from - SECOND <= *ts && *ts <= to + SECOND
            });
            let unseen = taken.is_some_and(|position| position < log.taken_unseen);
            prop_assert!(reported || unseen, "a lost line is in no gap: {ts} `{text}` {:?}", stored.gaps);
            // Of a line cut by rotation its beginning was read before, and its end may be found.
            while found.peek().is_some_and(|(found_ts, part)| {
                found_ts <= ts && !part.is_empty() && text.contains(part.as_str())
            }) {
                found.next();
            }
        }
        prop_assert_eq!(found.next(), None, "a line was stored that was not written, or twice");
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_line_is_stored_once_or_lies_in_a_gap(
        operations in operations(),
        engine in prop::sample::select(vec![
            Engine::Filters,
            Engine::SinceEndsAtMatch,
            Engine::SinceLeavesOutFiles,
        ]),
    ) {
        let mut log = ModelLog { engine, now_ns: 1_000 * SECOND, ..ModelLog::default() };
        let mut stored = Stored::default();
        let mut clock = Instant::now();
        let mut reader = Reader::load(&stored, clock);
        for (number, operation) in operations.into_iter().enumerate() {
            match operation {
                Operation::Write { stream, length, kind, jitter_ms, slow } => {
                    log.write(stream, text(number, length, kind), jitter_ms * 1_000_000, slow);
                }
                Operation::GoOn(stream) => log.go_on(stream),
                Operation::Rotate(frames) => log.rotate(frames),
                Operation::Read { expected, budget } => {
                    if reader.cursor.is_empty() {
                        log.taken_unseen = log.taken.len();
                    }
                    reader.read(&log, expected, budget);
                }
                Operation::Commit => reader.commit(&mut stored),
                Operation::Kill => reader = Reader::load(&stored, clock),
                Operation::Wait => {
                    clock += Duration::from_secs(5);
                    reader.clock = clock;
                    let Reader { lanes, records, .. } = &mut reader;
                    lanes.iter_mut().for_each(|lane| lane.flush_due(clock, records));
                }
            }
        }
        Stream::ALL.into_iter().for_each(|stream| log.go_on(stream));
        if reader.cursor.is_empty() {
            log.taken_unseen = log.taken.len();
        }
        match reader.read(&log, 0, usize::MAX) {
            Read::Complete => {}
            Read::Vanished => reader.gaps.push((reader.cursor.gap_from_ns().unwrap_or(0), log.now_ns)),
            Read::BrokeOff => prop_assert!(false, "a read without budget broke off"),
        }
        reader.flush();
        reader.commit(&mut stored);
        check(&log, &stored)?;
    }
}
