//! Patterns of lines: what stays the same among many, with `<_>` for what does not.
//!
//! A line is cut into words and what separates them. Lines with the same separators and the same keys (`key=`,
//! `"key":`) are alike when more than half of their other words are the same; words that hold a digit do not count.
//! Alike lines make one pattern, in which the words that differ become `<_>`.
//!
//! Invariants: a pattern, given to the line filter `|>`, matches every line counted under it. Memory is bounded
//! whatever the lines are. The same lines in the same order give the same patterns.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use store::Level;
use xxhash_rust::xxh3::Xxh3;

/// Patterns kept while mining. Beyond, the rarer half goes: what is seen again finds its way back.
const MAX_PATTERNS: usize = 1_000;
/// Patterns of lines with the same separators and keys. Further lines join the one they are most like: so many
/// differ in what they are about, not in their form.
const MAX_ALIKE: usize = 16;
/// Words looked at; what follows them in the line becomes `<_>`.
const MAX_WORDS: usize = 128;

const WILDCARD: &str = "<_>";

/// A pattern and how often it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mined {
    /// For `|>`.
    pub(crate) pattern: String,
    pub(crate) level: Level,
    /// Lines by the bucket of time given with them.
    pub(crate) counts: BTreeMap<i64, u64>,
}

/// Lines with the same separators and keys have the same form.
type Form = u128;

#[derive(Debug)]
struct Cluster {
    form: Form,
    level: Level,
    /// The words that all lines share; `None` where they differ.
    words: Vec<Option<Box<str>>>,
    separators: Box<[Box<str>]>,
    /// Whether lines go on after the last separator or word.
    goes_on: bool,
    lines: u64,
    counts: BTreeMap<i64, u64>,
}

/// Finds the patterns of the lines it is given.
#[derive(Debug, Default)]
pub(crate) struct Miner {
    clusters: Vec<Cluster>,
    by_form: HashMap<Form, Vec<usize>>,
    words: Words,
}

impl Miner {
    /// Counts a line in the bucket of time `at`. Empty lines have no pattern.
    pub(crate) fn add(&mut self, line: &[u8], level: Level, at: i64) {
        if line.is_empty() {
            return;
        }
        // The buffers are put back below.
        let mut words = std::mem::take(&mut self.words);
        let text = words.cut(line);
        let form = words.form(text, level);
        let place = match self.nearest(form, text, &words) {
            Some(place) => place,
            None => self.begin(form, level, text, &words),
        };
        let cluster = &mut self.clusters[place];
        cluster.generalise(text, &words);
        cluster.lines += 1;
        *cluster.counts.entry(at).or_default() += 1;
        self.words = words;
    }

    /// The cluster that the line belongs to.
    fn nearest(&self, form: Form, text: &str, words: &Words) -> Option<usize> {
        let places = self.by_form.get(&form)?;
        let mut best: Option<(usize, usize)> = None;
        let mut compared = 0;
        for place in places {
            let (same, of) = self.clusters[*place].likeness(text, words);
            compared = of;
            if best.is_none_or(|(most, _)| same > most) {
                best = Some((same, *place));
            }
        }
        let (same, place) = best?;
        (same == compared || same * 2 > compared || places.len() >= MAX_ALIKE).then_some(place)
    }

    fn begin(&mut self, form: Form, level: Level, text: &str, words: &Words) -> usize {
        if self.clusters.len() >= MAX_PATTERNS {
            self.forget_rare();
        }
        let piece = |range: &Range<usize>| Box::from(text.get(range.clone()).unwrap_or_default());
        self.clusters.push(Cluster {
            form,
            level,
            words: words.words.iter().map(|word| Some(piece(&word.at))).collect(),
            separators: words.separators.iter().map(piece).collect(),
            goes_on: words.goes_on,
            lines: 0,
            counts: BTreeMap::new(),
        });
        let place = self.clusters.len() - 1;
        self.by_form.entry(form).or_default().push(place);
        place
    }

    /// Keeps the more frequent half; of equally frequent ones the older.
    fn forget_rare(&mut self) {
        let mut lines: Vec<u64> = self.clusters.iter().map(|cluster| cluster.lines).collect();
        lines.sort_unstable();
        let half = lines.len() / 2;
        let least = lines[lines.len() - half];
        let mut ties = half - (lines.len() - lines.partition_point(|lines| *lines <= least));
        self.clusters.retain(|cluster| {
            let kept = cluster.lines > least || (cluster.lines == least && ties > 0);
            ties -= usize::from(kept && cluster.lines == least);
            kept
        });
        self.by_form.clear();
        for (place, cluster) in self.clusters.iter().enumerate() {
            self.by_form.entry(cluster.form).or_default().push(place);
        }
    }

    /// The patterns, the most frequent first, at most `limit` of them.
    pub(crate) fn finish(self, limit: usize) -> Vec<Mined> {
        let mut by_text: BTreeMap<(String, Level), BTreeMap<i64, u64>> = BTreeMap::new();
        for cluster in &self.clusters {
            let counts = by_text.entry((cluster.pattern(), cluster.level)).or_default();
            for (at, lines) in &cluster.counts {
                *counts.entry(*at).or_default() += lines;
            }
        }
        let mut mined: Vec<Mined> =
            by_text.into_iter().map(|((pattern, level), counts)| Mined { pattern, level, counts }).collect();
        mined.sort_by_cached_key(|mined| std::cmp::Reverse(mined.counts.values().sum::<u64>()));
        mined.truncate(limit);
        mined
    }
}

// === impl Cluster ===

impl Cluster {
    /// How many of the line's words that tell are the same here, and how many there are.
    fn likeness(&self, text: &str, words: &Words) -> (usize, usize) {
        let (mut same, mut of) = (0, 0);
        for (word, known) in words.words.iter().zip(&self.words) {
            if word.tells {
                of += 1;
                same += usize::from(known.as_deref() == text.get(word.at.clone()));
            }
        }
        (same, of)
    }

    fn generalise(&mut self, text: &str, words: &Words) {
        for (word, known) in words.words.iter().zip(&mut self.words) {
            if known.is_some() && known.as_deref() != text.get(word.at.clone()) {
                *known = None;
            }
        }
    }

    fn pattern(&self) -> String {
        let mut pattern = String::new();
        for (i, word) in self.words.iter().enumerate() {
            pattern.push_str(word.as_deref().unwrap_or(WILDCARD));
            pattern.push_str(self.separators.get(i).map_or("", |separator| separator));
        }
        let ends_open =
            self.separators.len() < self.words.len() && self.words.last().is_some_and(Option::is_none);
        if self.goes_on && !ends_open {
            pattern.push_str(WILDCARD);
        }
        pattern
    }
}

// === Words ===

/// A line cut up: word, separator, word, ...; only the first word may be empty.
#[derive(Debug, Default)]
struct Words {
    words: Vec<Word>,
    separators: Vec<Range<usize>>,
    goes_on: bool,
}

#[derive(Debug)]
struct Word {
    at: Range<usize>,
    /// Whether it takes part in the comparison: no digit in it, and no key.
    tells: bool,
    is_key: bool,
}

impl Words {
    /// Cuts up the first row of `line`, as far as it is text and free of `<`, which patterns cannot quote. Gives the
    /// text that was cut up.
    fn cut<'a>(&mut self, line: &'a [u8]) -> &'a str {
        let row = line.get(..memchr::memchr2(b'<', b'\n', line).unwrap_or(line.len())).unwrap_or_default();
        let text = match std::str::from_utf8(row) {
            Ok(text) => text,
            Err(error) => {
                let valid = row.get(..error.valid_up_to()).unwrap_or_default();
                std::str::from_utf8(valid).unwrap_or_default()
            }
        };
        self.words.clear();
        self.separators.clear();
        let bytes = text.as_bytes();
        let mut at = 0;
        while self.words.is_empty() || (at < bytes.len() && self.words.len() < MAX_WORDS) {
            let start = at;
            let mut digits = false;
            while let Some(kind) = kind_at(bytes, at) {
                digits |= kind == Kind::Digit;
                at += 1;
            }
            let word = start..at;
            while at < bytes.len() && kind_at(bytes, at).is_none() {
                at += 1;
            }
            let separator = bytes.get(word.end..at).unwrap_or_default();
            let is_key = !word.is_empty()
                && (separator.starts_with(b"\":") || matches!(separator.first(), Some(b'=' | b':')));
            if !separator.is_empty() {
                self.separators.push(word.end..at);
            }
            self.words.push(Word { tells: !digits && !is_key && !word.is_empty(), is_key, at: word });
        }
        self.goes_on = at < line.len();
        text
    }

    /// What lines must have in common to be compared word by word.
    fn form(&self, text: &str, level: Level) -> Form {
        let mut hasher = Xxh3::new();
        hasher.update(&[level as u8, u8::from(self.goes_on)]);
        hasher.update(&self.words.len().to_le_bytes());
        let keys = self.words.iter().filter(|word| word.is_key || word.at.is_empty()).map(|word| &word.at);
        for piece in self.separators.iter().chain(keys) {
            hasher.update(&piece.len().to_le_bytes());
            hasher.update(text.get(piece.clone()).unwrap_or_default().as_bytes());
        }
        // Which words are keys.
        for (i, _) in self.words.iter().enumerate().filter(|(_, word)| word.is_key || word.at.is_empty()) {
            hasher.update(&i.to_le_bytes());
        }
        hasher.digest128()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Digit,
}

/// What the byte is within a word; `None` for what separates words. A colon between digits, as in times and
/// addresses, belongs to the word.
fn kind_at(bytes: &[u8], at: usize) -> Option<Kind> {
    match *bytes.get(at)? {
        b'0'..=b'9' => Some(Kind::Digit),
        b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'-' | b'.' | b'/' | b'@' | b'%' | 0x80.. => Some(Kind::Letter),
        b':' => {
            let is_digit =
                |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
            (is_digit(at.checked_sub(1)) && is_digit(at.checked_add(1))).then_some(Kind::Digit)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::logql::pattern::Pattern;

    fn mined(lines: &[&str]) -> Vec<(String, u64)> {
        let mut miner = Miner::default();
        for line in lines {
            miner.add(line.as_bytes(), Level::Info, 0);
        }
        let total = |mined: &Mined| mined.counts.values().sum();
        miner.finish(usize::MAX).iter().map(|mined| (mined.pattern.clone(), total(mined))).collect()
    }

    #[test]
    fn what_differs_becomes_a_wildcard() {
        for (lines, expected) in [
            (
                &["GET /a/1 took 3 ms", "GET /a/2 took 41 ms", "GET /b/1 took 1 ms"][..],
                &[("GET <_> took <_> ms", 3)][..],
            ),
            (
                &["user alice logged in", "user bob logged in", "disk is full"],
                &[("user <_> logged in", 2), ("disk is full", 1)],
            ),
            (
                &[
                    r#"{"level":"info","msg":"paid","ms":12}"#,
                    r#"{"level":"info","msg":"paid","ms":7}"#,
                    r#"{"level":"info","cart":"empty","ms":7}"#,
                ],
                &[
                    (r#"{"level":"info","msg":"paid","ms":<_>}"#, 2),
                    (r#"{"level":"info","cart":"empty","ms":7}"#, 1),
                ],
            ),
            (&["at 10:00:01 from 10.0.0.1:80", "at 10:00:02 from 10.0.0.9:81"], &[("at <_> from <_>", 2)]),
            (&["a <b> c 1", "a <b> d 2", "first\nsecond", "first\nthird"], &[("a <_>", 2), ("first<_>", 2)]),
            (
                &["Accepted connection", "Closed connection"],
                &[("Accepted connection", 1), ("Closed connection", 1)],
            ),
            (&["", "7", "8"], &[("<_>", 2)]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(text, n)| ((*text).to_owned(), *n)).collect();
            assert_eq!(mined(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn levels_and_times_are_told_apart() {
        let mut miner = Miner::default();
        for (level, at) in [(Level::Info, 10), (Level::Error, 10), (Level::Info, 20), (Level::Info, 10)] {
            miner.add(b"cart 7 is empty", level, at);
        }
        let mined = miner.finish(10);
        assert_eq!(mined.len(), 2);
        assert_eq!((mined[0].level, &mined[0].counts), (Level::Info, &BTreeMap::from([(10, 2), (20, 1)])));
    }

    #[test]
    fn memory_is_bounded_and_the_frequent_stay() {
        let mut miner = Miner::default();
        for i in 0..20_000 {
            // Every line has separators of its own.
            let noise: String =
                format!("{i:014b}").chars().map(|c| if c == '0' { "a " } else { "a;" }).collect();
            miner.add(noise.as_bytes(), Level::Info, 0);
            miner.add(b"the kettle boils", Level::Info, 0);
        }
        assert!(miner.clusters.len() <= MAX_PATTERNS);
        let mined = miner.finish(5);
        assert_eq!((mined.len(), mined[0].pattern.as_str()), (5, "the kettle boils"));
        assert_eq!(mined[0].counts[&0], 20_000);
    }

    proptest! {
        #[test]
        fn every_line_is_counted_once_under_a_pattern_that_matches_it(
            lines in proptest::collection::vec("(a|bc|d1|<|>|<_>|<x>| |  |=|\":|:|1:2|é|,|\n){0,9}", 1..30),
        ) {
            let mined = mined(&lines.iter().map(String::as_str).collect::<Vec<_>>());
            let counted: u64 = mined.iter().map(|(_, lines)| lines).sum();
            prop_assert_eq!(counted as usize, lines.iter().filter(|line| !line.is_empty()).count());
            let patterns: Vec<Pattern> = mined.iter().map(|(text, _)| Pattern::line_filter(text).unwrap()).collect();
            for line in lines.iter().filter(|line| !line.is_empty()) {
                prop_assert!(patterns.iter().any(|pattern| pattern.is_match(line.as_bytes())), "{:?}: {:?}", line, mined);
            }
        }

        #[test]
        fn bytes_that_are_no_text_are_survived(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 1..20)) {
            let mut miner = Miner::default();
            for line in &lines {
                miner.add(line, Level::Unset, 0);
            }
            let patterns: Vec<Pattern> = miner.finish(100).iter().map(|m| Pattern::line_filter(&m.pattern).unwrap()).collect();
            for line in lines.iter().filter(|line| !line.is_empty()) {
                prop_assert!(patterns.iter().any(|pattern| pattern.is_match(line)), "{:?}", line);
            }
        }
    }
}
