//! Made-up logs of forty services: JSON lines of some 320 bytes, the same for the same seed.
//!
//! Nothing repeats by cycling: trace ids, numbers and addresses are drawn anew for every line, words and
//! templates from fixed stocks. Time passes at about ten thousand lines a second.

use std::fmt::Write;

use crate::random::Random;
use crate::sets::{BEGIN_US, Origin};

/// Lines open at the same time, by their trace.
const TRACES: usize = 500;
/// A trace has this many lines on average, times ten.
const LINES_PER_TRACE_X10: u64 = 55;
pub(crate) const SERVICES: [&str; 40] = [
    "gateway",
    "checkout",
    "cart",
    "catalog",
    "payment",
    "search",
    "session",
    "inventory",
    "shipping",
    "pricing",
    "auth",
    "profile",
    "review",
    "mailer",
    "billing",
    "ledger",
    "fraud",
    "ranking",
    "upload",
    "thumbs",
    "notify",
    "webhook",
    "export",
    "import",
    "report",
    "audit",
    "geo",
    "tax",
    "coupon",
    "loyalty",
    "chat",
    "feed",
    "media",
    "proxy",
    "cache",
    "queue",
    "cron",
    "config",
    "flags",
    "metrics",
];
const LEVELS: [(&str, u64); 4] = [("info", 85), ("debug", 93), ("warn", 98), ("error", 100)];
const SYLLABLES: [&str; 32] = [
    "re", "con", "ac", "tion", "pro", "ment", "in", "ter", "al", "ser", "ver", "ing", "cle", "pa", "ble",
    "sta", "or", "der", "ex", "port", "un", "load", "ti", "me", "out", "fer", "man", "ge", "lo", "gi", "que",
    "ry",
];

/// Every so many lines has a message that no template makes, of words that most blocks have.
const LINES_PER_RARE: u64 = 100_000;

/// A message's words, and what stands between them.
#[derive(Clone, Copy, Debug)]
enum Piece {
    Word(usize),
    Number,
    Address,
    Hex,
}

/// Makes lines one after the other.
#[derive(Debug)]
pub(crate) struct Services {
    random: Random,
    words: Vec<String>,
    templates: Vec<Vec<Piece>>,
    paths: Vec<String>,
    traces: Vec<u128>,
    time_us: i64,
    lines: u64,
}

impl Services {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let words: Vec<String> = (0..2000)
            .map(|_| (0..2 + random.below(3)).map(|_| SYLLABLES[random.below(32) as usize]).collect())
            .collect();
        let templates = (0..1000)
            .map(|_| {
                let piece = |random: &mut Random| match random.below(12) {
                    0 => Piece::Number,
                    1 if random.below(3) == 0 => Piece::Address,
                    2 if random.below(3) == 0 => Piece::Hex,
                    _ => Piece::Word(random.skewed(2000) as usize),
                };
                (0..8 + random.below(13)).map(|_| piece(&mut random)).collect()
            })
            .collect();
        let paths = (0..60_000)
            .map(|i| {
                let (a, b) = (&words[random.below(200) as usize], &words[random.below(2000) as usize]);
                format!("/api/v{}/{a}/{b}/{i}", 1 + random.below(3))
            })
            .collect();
        let mut traces = Vec::with_capacity(TRACES);
        for _ in 0..TRACES {
            traces.push(u128::from(random.next()) << 64 | u128::from(random.next()));
        }
        Self { random, words, templates, paths, traces, time_us: BEGIN_US, lines: 0 }
    }

    /// The message of one in [`LINES_PER_RARE`] lines: frequent words that nowhere else follow each other so.
    pub(crate) fn rare_phrase(&self) -> String {
        rare_phrase(&self.words)
    }

    /// Appends the next line, without its end.
    pub(crate) fn line(&mut self, out: &mut String) -> Origin {
        let random = &mut self.random;
        self.time_us += 1 + random.below(199) as i64;
        let percent = random.below(100);
        let level = LEVELS.iter().find(|(_, up_to)| percent < *up_to).map_or("info", |(level, _)| level);
        let service = SERVICES[random.skewed(40) as usize];
        let slot = random.below(TRACES as u64) as usize;
        let trace = self.traces[slot];
        if random.below(LINES_PER_TRACE_X10) < 10 {
            self.traces[slot] = u128::from(random.next()) << 64 | u128::from(random.next());
        }
        let time = jiff::Timestamp::from_microsecond(self.time_us).unwrap_or_default();
        let template = &self.templates[random.skewed(1000) as usize];
        let mut write = |args: std::fmt::Arguments<'_>| {
            out.write_fmt(args).expect("a string takes any text");
        };
        write(format_args!(
            r#"{{"timestamp":"{time:.6}","level":"{level}","service":"{service}","trace_id":"{trace:032x}","message":""#
        ));
        let mut message = String::new();
        for (i, piece) in template.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            let written = match piece {
                Piece::Word(word) => write!(message, "{space}{}", self.words[*word]),
                Piece::Number => write!(message, "{space}{}", random.skewed(100_000)),
                Piece::Hex => write!(message, "{space}{:012x}", random.next() >> 16),
                Piece::Address => {
                    let [_, a, b, c, ..] = random.next().to_be_bytes();
                    write!(message, "{space}10.{a}.{b}.{c}:{}", 1024 + random.below(60_000))
                }
            };
            written.expect("a string takes any text");
        }
        // Whatever the template has drawn is drawn all the same: all other lines stay what they were.
        self.lines += 1;
        if self.lines % LINES_PER_RARE == LINES_PER_RARE / 2 {
            message = rare_phrase(&self.words);
        }
        write(format_args!("{message}"));
        let status = [200, 200, 200, 200, 201, 204, 304, 400, 404, 500][random.skewed(10) as usize];
        let path = &self.paths[random.below(60_000) as usize];
        let latency = random.skewed(200_000);
        write(format_args!(
            r#"","status":{status},"path":"{path}","latency_ms":{}.{:02},"user_id":"u{}"}}"#,
            latency / 100,
            latency % 100,
            random.skewed(100_000)
        ));
        Origin { time_us: self.time_us, service, container: None }
    }
}

fn rare_phrase(words: &[String]) -> String {
    [4, 2, 0, 3].map(|word: usize| words[word].as_str()).join(" ")
}
