//! Compares what containers wrote, what the engine still holds, and what Binnacle answers.
//!
//! The rule: a line that the engine still holds is stored exactly once; lines of a stream are in order;
//! whatever else is missing lies in a recorded gap; nothing is stored that was not written.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::Deserialize;

use super::binnacle::Server;
use super::container::{Container, Lines};
use super::script::Stream;

/// A record as `binnacle search --json` prints it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Record {
    pub(crate) timestamp: jiff::Timestamp,
    pub(crate) line: String,
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, serde_json::Value>,
    /// The bytes as logged, where they are not UTF-8.
    #[serde(default)]
    pub(crate) line_base64: Option<String>,
}

impl Record {
    /// The line as logged.
    ///
    /// # Panics
    /// When the answer's base64 is none.
    pub(crate) fn bytes(&self) -> Cow<'_, [u8]> {
        match &self.line_base64 {
            Some(encoded) => Cow::Owned(BASE64_STANDARD.decode(encoded).expect("base64 in an answer")),
            None => Cow::Borrowed(self.line.as_bytes()),
        }
    }
}

/// A recorded gap, as answers to searches name it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Gap {
    pub(crate) name: String,
    pub(crate) from: jiff::Timestamp,
    pub(crate) to: jiff::Timestamp,
    pub(crate) reason: String,
}

/// Every line a server answers, oldest first. What happened to containers (`stream="events"`) is left out.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) records: Vec<Record>,
    pub(crate) gaps: Vec<Gap>,
}

impl Ledger {
    /// Asks for every record of `query` (`*` for all) and for all gaps.
    ///
    /// # Panics
    /// When the search fails, or answers something else than records.
    pub(crate) fn read(server: &Server, query: &str) -> Self {
        let arguments = ["search", "--json", "--limit", "0", "--forward", "--since", "1d", query];
        let output = server.client(&arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 1)), "search failed: {errors}");
        let text = String::from_utf8(output.stdout).expect("search prints UTF-8");
        let records = text.lines().map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("no record ({error}): {line}"))
        });
        let logged = |r: &Record| r.labels.get("stream").is_none_or(|stream| stream != "events");
        Self { records: records.filter(logged).collect(), gaps: gaps(server) }
    }

    /// Records of one container, by stream, in the order of the answer.
    pub(crate) fn of(&self, container: &str) -> BTreeMap<Stream, Vec<&Record>> {
        let mut streams: BTreeMap<Stream, Vec<&Record>> = BTreeMap::new();
        for record in
            self.records.iter().filter(|r| r.labels.get("container").is_some_and(|c| c == container))
        {
            let stream = match record.labels.get("stream").map(String::as_str) {
                Some("stdout") => Stream::Out,
                Some("stderr") => Stream::Err,
                other => panic!("container `{container}` has a record of the stream {other:?}"),
            };
            streams.entry(stream).or_default().push(record);
        }
        streams
    }

    /// Compares the records of a container with what it wrote and what is still held.
    pub(crate) fn compare(&self, expected: &Expected) -> Verdict {
        let Expected { container: name, written, held } = expected;
        let stored = self.of(name);
        let mut verdict = Verdict { container: name.clone(), ..Verdict::default() };
        let none = Vec::new();
        for stream in [Stream::Out, Stream::Err] {
            let written = written.get(&stream).unwrap_or(&none);
            let held = held.get(&stream).unwrap_or(&none);
            let stored = stored.get(&stream).map_or(&[] as &[_], Vec::as_slice);
            let places = self.place(written, stored, &mut verdict);
            self.judge_missing(name, written, held, &places, &mut verdict);
        }
        verdict
    }

    /// Where each written line was stored.
    fn place(
        &self,
        written: &[Vec<u8>],
        stored: &[&Record],
        verdict: &mut Verdict,
    ) -> Vec<Option<jiff::Timestamp>> {
        let positions: HashMap<&[u8], usize> =
            written.iter().enumerate().map(|(i, line)| (line.as_slice(), i)).collect();
        let mut places = vec![None; written.len()];
        let mut furthest = None;
        for record in stored {
            let Some(&position) = positions.get(&*record.bytes()) else {
                verdict.note(|v| &mut v.invented, &record.line);
                continue;
            };
            if places[position].replace(record.timestamp).is_some() {
                verdict.note(|v| &mut v.repeated, &record.line);
            } else if furthest > Some(position) {
                verdict.note(|v| &mut v.out_of_order, &record.line);
            }
            furthest = furthest.max(Some(position));
            verdict.stored += 1;
        }
        places
    }

    fn judge_missing(
        &self,
        name: &str,
        written: &[Vec<u8>],
        held: &[Vec<u8>],
        places: &[Option<jiff::Timestamp>],
        verdict: &mut Verdict,
    ) {
        let held: HashSet<&[u8]> = held.iter().map(Vec::as_slice).collect();
        let mut before = jiff::Timestamp::MIN;
        let mut position = 0;
        for hole in places.chunk_by(|a, b| a.is_some() == b.is_some()) {
            let lines = &written[position..position + hole.len()];
            position += hole.len();
            if let Some(time) = hole[hole.len() - 1] {
                before = time;
                continue;
            }
            verdict.holes += 1;
            let after = places.get(position).copied().flatten().unwrap_or(jiff::Timestamp::MAX);
            let gap = self.gaps.iter().find(|g| g.name == name && g.from <= after && g.to >= before);
            for line in lines {
                let shown = String::from_utf8_lossy(line);
                match gap {
                    _ if held.contains(line.as_slice()) => verdict.note(|v| &mut v.lost_though_held, &shown),
                    None => verdict.note(|v| &mut v.lost_in_silence, &shown),
                    Some(gap) => {
                        verdict.in_gaps += 1;
                        verdict.reasons.insert(gap.reason.clone());
                    }
                }
            }
        }
    }
}

/// What became of the lines of one container.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    container: String,
    /// Records that match a written line.
    pub(crate) stored: usize,
    /// Missing lines that a recorded gap covers.
    pub(crate) in_gaps: usize,
    /// Reasons of these gaps.
    pub(crate) reasons: BTreeSet<String>,
    /// Runs of missing lines.
    pub(crate) holes: usize,
    /// Records that no container wrote.
    pub(crate) invented: usize,
    pub(crate) repeated: usize,
    pub(crate) out_of_order: usize,
    lost_though_held: usize,
    lost_in_silence: usize,
    examples: Vec<String>,
}

impl Verdict {
    fn note(&mut self, counter: impl Fn(&mut Self) -> &mut usize, line: &str) {
        *counter(self) += 1;
        if *counter(self) <= 2 {
            self.examples.push(line.chars().take(60).collect());
        }
    }

    /// Whether the rule holds.
    pub(crate) fn is_exact(&self) -> bool {
        self.is_exact_as_far_as_stored() && self.lost() == 0
    }

    /// Missing lines that no gap covers, or that could still be read.
    pub(crate) fn lost(&self) -> usize {
        self.lost_though_held + self.lost_in_silence
    }

    /// Whether everything that the engine still holds is stored.
    pub(crate) fn has_all_held(&self) -> bool {
        self.lost_though_held == 0
    }

    /// Whether what is stored is right, however much is missing.
    pub(crate) fn is_exact_as_far_as_stored(&self) -> bool {
        self.invented + self.repeated + self.out_of_order == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} stored, {} in gaps, {} lost though held, {} lost in silence, {} repeated, {} out of order, {} invented",
            self.container,
            self.stored,
            self.in_gaps,
            self.lost_though_held,
            self.lost_in_silence,
            self.repeated,
            self.out_of_order,
            self.invented
        )?;
        self.examples.iter().try_for_each(|line| write!(f, "\n    for example `{line}`"))
    }
}

/// What a container at rest has written, and what the engine still holds of it.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) container: String,
    pub(crate) written: Lines,
    pub(crate) held: Lines,
}

impl Expected {
    /// Of a container that has played its scripts to the end `runs` times.
    pub(crate) fn of(container: &Container<'_>, runs: u32) -> Self {
        Self { container: container.name.clone(), written: container.written(runs), held: container.held() }
    }

    /// Of a container that was interrupted somewhere: what the engine holds stands for what was written.
    pub(crate) fn held(container: &Container<'_>) -> Self {
        let held = container.held();
        Self { container: container.name.clone(), written: held.clone(), held }
    }

    /// Of a removed container.
    pub(crate) fn gone(container: &Container<'_>, runs: u32) -> Self {
        Self { container: container.name.clone(), written: container.written(runs), held: Lines::new() }
    }
}

/// Reads the ledger until every verdict is exact, or the time is over.
///
/// # Panics
/// When the time is over: with the verdict of each container.
pub(crate) fn assert_exact(server: &Server, expected: &[Expected], limit: Duration) -> Vec<Verdict> {
    let (verdicts, gaps) = settle(server, expected, limit);
    if !verdicts.iter().all(Verdict::is_exact) {
        let lines: Vec<String> = verdicts.iter().map(Verdict::to_string).collect();
        panic!("not exact after {limit:?}:\n{}\ngaps: {gaps:?}", lines.join("\n"));
    }
    verdicts
}

/// Reads the ledger until every verdict is exact, or the time is over; returns the last ones, with all gaps.
pub(crate) fn settle(server: &Server, expected: &[Expected], limit: Duration) -> (Vec<Verdict>, Vec<Gap>) {
    let deadline = Instant::now() + limit;
    loop {
        let begun = Instant::now();
        let ledger = Ledger::read(server, "*");
        let verdicts: Vec<Verdict> = expected.iter().map(|e| ledger.compare(e)).collect();
        if verdicts.iter().all(Verdict::is_exact) || Instant::now() > deadline {
            return (verdicts, ledger.gaps);
        }
        // A long reading leaves the server as much time for its work.
        std::thread::sleep(begun.elapsed().max(Duration::from_millis(300)));
    }
}

fn gaps(server: &Server) -> Vec<Gap> {
    let answer = server.get("/api/v1/search?query=*&limit=1&since=1d").json();
    serde_json::from_value(answer["completeness"]["gaps"].clone())
        .expect("an answer names the gaps of its range")
}
