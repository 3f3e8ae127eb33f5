//! What an emitter writes, as a list of words: settings and actions, taken from left to right.
//!
//! The invariant: [`play`] is the only definition of what a script writes. The emitter plays it into its
//! standard streams, the tests play it into memory, so that a ledger can compare byte for byte.
//!
//! Settings: `len=BYTES` of a line with its line end, `rate=LINES` a second (0: no pauses),
//! `to=out|err|alternate`, `text=x|hostile|noise`. Actions: `lines=N` numbered lines, `part=BYTES` of a line without its end,
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
    text: Text,
    next_number: u64,
}

/// What stands behind the number of a line.
#[derive(Clone, Copy)]
enum Text {
    X,
    /// Another kind of trouble in each line.
    Hostile,
    /// What no compression makes much smaller.
    Noise,
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
    let mut state = State {
        len: 100,
        lines_per_second: 0.0,
        target: Target::One(Stream::Out),
        text: Text::X,
        next_number: 0,
    };
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
        "text" => state.text = text(value)?,
        "lines" => lines(tag, run, value.parse().ok()?, state, sink),
        "part" => {
            let stream = state.target.of(state.next_number);
            let len = value.parse().ok()?;
            sink.write(stream, &numbered(tag, run, stream, state.next_number, len, state.text));
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
        let mut line = numbered(tag, run, stream, number, state.len.saturating_sub(1), state.text);
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

fn text(name: &str) -> Option<Text> {
    match name {
        "x" => Some(Text::X),
        "hostile" => Some(Text::Hostile),
        "noise" => Some(Text::Noise),
        _ => None,
    }
}

/// `c=TAG r=RUN s=o n=NUMBER xxx…`, at least as long as its numbers need.
fn numbered(tag: &str, run: u32, stream: Stream, number: u64, len: usize, text: Text) -> Vec<u8> {
    let letter = if stream == Stream::Out { 'o' } else { 'e' };
    let head = format!("c={tag} r={run} s={letter} n={number:08} ").into_bytes();
    match text {
        Text::X => filled(head, len, b"x"),
        Text::Noise => filled(head, len, &base64(number, len)),
        Text::Hostile if number % 8 == 4 => deep(head, len),
        Text::Hostile => filled(head, len, &hostile(number)),
    }
}

/// `line`, filled up to `len` bytes by repeating `filler`.
fn filled(mut line: Vec<u8>, len: usize, filler: &[u8]) -> Vec<u8> {
    let missing = len.saturating_sub(line.len());
    line.extend(filler.iter().cycle().take(missing));
    line
}

/// Text that parsers, terminals and encoders stumble over.
fn hostile(number: u64) -> Vec<u8> {
    match number % 8 {
        0 => b"\x1b[1;31mred\x1b[0m\x1b[2J\x07 ".to_vec(),
        1 => b"\0\0nul\0 ".to_vec(),
        2 => b"\xff\xfe\xc3\x28\xed\xa0\x80\xf8 ".to_vec(),
        3 => "日志，記錄。ログ 로그 ".as_bytes().to_vec(),
        5 => base64(number, 997),
        6 => "\r\t\"\\\u{2028}\u{85}\u{202e}'{}[]%s%n ".as_bytes().to_vec(),
        _ => b"level=error trace_id= =\"= \"unclosed ".to_vec(),
    }
}

/// A JSON object whose one field holds the number, the other arrays as deep as the length allows.
fn deep(head: Vec<u8>, len: usize) -> Vec<u8> {
    let mut line = b"{\"head\":\"".to_vec();
    line.extend(head);
    line.extend(b"\",\"deep\":");
    let depth = len.saturating_sub(line.len() + 1) / 2;
    line.extend(std::iter::repeat_n(b'[', depth));
    line.extend(std::iter::repeat_n(b']', depth));
    line.extend(if depth == 0 { b"0}".as_slice() } else { b"}" });
    line
}

/// Letters without pattern, as of a picture in a log.
fn base64(number: u64, len: usize) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        LETTERS[(state >> 58) as usize]
    };
    (0..len).map(letter).collect()
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}
