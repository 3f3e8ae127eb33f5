//! What an emitter writes, as a list of words: settings and actions, taken from left to right.
//!
//! The invariant: [`play`] is the only definition of what a script writes. The emitter plays it into its
//! standard streams, the tests play it into memory, so that a ledger can compare byte for byte.
//!
//! Settings: `len=BYTES` of a line with its line end, `rate=LINES` a second (0: no pauses),
//! `to=out|err|alternate`. Actions: `lines=N` numbered lines, `part=BYTES` of a line without its end,
//! `raw=HEX` bytes, `end=N` line ends, `sleep=SECONDS`.

use std::time::Duration;

/// Standard output or standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// Where a script is played.
pub(crate) trait Sink {
    /// Takes bytes for a stream. The bytes of one call are to be written at once.
    fn write(&mut self, stream: Stream, bytes: &[u8]);
    /// Lets time pass before the next write.
    fn pause(&mut self, time: Duration);
}

/// Bytes collected before a write when lines come without pauses.
const BURST_BYTES: usize = 64 * 1024;

struct State {
    len: usize,
    lines_per_second: f64,
    target: Target,
    next_number: u64,
}

#[derive(Clone, Copy)]
enum Target {
    One(Stream),
    Alternate,
}

impl Target {
    fn of(self, number: u64) -> Stream {
        match self {
            Self::One(stream) => stream,
            Self::Alternate if number.is_multiple_of(2) => Stream::Out,
            Self::Alternate => Stream::Err,
        }
    }
}

/// Plays `words` as the `run`-th run of the emitter named `tag`.
///
/// # Errors
/// Names the word that is not understood.
pub(crate) fn play(tag: &str, run: u32, words: &[String], sink: &mut impl Sink) -> Result<(), String> {
    let mut state =
        State { len: 100, lines_per_second: 0.0, target: Target::One(Stream::Out), next_number: 0 };
    for word in words {
        step(tag, run, word, &mut state, sink).ok_or_else(|| format!("cannot play `{word}`"))?;
    }
    Ok(())
}

fn step(tag: &str, run: u32, word: &str, state: &mut State, sink: &mut impl Sink) -> Option<()> {
    let (name, value) = word.split_once('=')?;
    match name {
        "len" => state.len = value.parse().ok()?,
        "rate" => state.lines_per_second = value.parse().ok()?,
        "to" => state.target = target(value)?,
        "lines" => lines(tag, run, value.parse().ok()?, state, sink),
        "part" => {
            let stream = state.target.of(state.next_number);
            sink.write(stream, &numbered(tag, run, stream, state.next_number, value.parse().ok()?));
            state.next_number += 1;
        }
        "raw" => sink.write(state.target.of(state.next_number), &unhex(value)?),
        "end" => sink.write(state.target.of(state.next_number), &vec![b'\n'; value.parse().ok()?]),
        "sleep" => sink.pause(Duration::try_from_secs_f64(value.parse().ok()?).ok()?),
        _ => return None,
    }
    Some(())
}

fn target(name: &str) -> Option<Target> {
    match name {
        "out" => Some(Target::One(Stream::Out)),
        "err" => Some(Target::One(Stream::Err)),
        "alternate" => Some(Target::Alternate),
        _ => None,
    }
}

fn lines(tag: &str, run: u32, count: u64, state: &mut State, sink: &mut impl Sink) {
    let paced = state.lines_per_second > 0.0;
    let mut burst = Vec::new();
    for number in state.next_number..state.next_number + count {
        let stream = state.target.of(number);
        let mut line = numbered(tag, run, stream, number, state.len.saturating_sub(1));
        line.push(b'\n');
        if paced {
            sink.write(stream, &line);
            sink.pause(Duration::from_secs_f64(1.0 / state.lines_per_second));
            continue;
        }
        burst.extend_from_slice(&line);
        if burst.len() >= BURST_BYTES || matches!(state.target, Target::Alternate) {
            sink.write(stream, &burst);
            burst.clear();
        }
    }
    if !burst.is_empty() {
        sink.write(state.target.of(0), &burst);
    }
    state.next_number += count;
}

/// `c=TAG r=RUN s=o n=NUMBER xxx…`, at least as long as its numbers need.
fn numbered(tag: &str, run: u32, stream: Stream, number: u64, len: usize) -> Vec<u8> {
    let letter = if stream == Stream::Out { 'o' } else { 'e' };
    let mut line = format!("c={tag} r={run} s={letter} n={number:08} ").into_bytes();
    line.resize(len.max(line.len()), b'x');
    line
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}
