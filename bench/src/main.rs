//! Measures Binnacle on made-up logs, beside `zstd -3`, ripgrep and jq over the same bytes in the same run.
//!
//! Whatever is measured runs in processes of its own, so that CPU time and memory are those of the thing measured. What the
//! targets are, and past results: docs/benchmarks.md.

#![expect(clippy::print_stdout, reason = "the figures are the program's purpose")]

mod cells;
mod delay;
mod hostile;
mod ingest;
mod plain;
mod process;
mod query;
mod question;
mod random;
mod requests;
mod rounds;
mod server;
mod services;
mod sets;
mod stored;
mod traces;
mod workloads;
mod yardstick;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use ingest::Way;
use sets::Set;

const SEED: u64 = 20_261_121;
const MB: f64 = 1e6;
/// Lines, unless told otherwise.
const LINES: usize = 1_500_000;
/// What the short form asks of, with so many lines: enough that fixed costs do not hide what a line costs.
const SHORT: [(Set, usize); 4] =
    [(Set::Plain, 60_000), (Set::Services, 60_000), (Set::Streams(1000), 30_000), (Set::Hostile, 10_000)];

/// Measures Binnacle on made-up logs, beside zstd, ripgrep and jq over the same bytes in the same run
///
/// Needs the Debian packages zstd, ripgrep and jq. BINARY is a built `binnacle`, such as target/release/binnacle.
#[derive(Debug, Parser)]
struct Arguments {
    /// `store`, unless told otherwise.
    #[command(subcommand)]
    measurement: Option<Measurement>,
}

#[derive(Debug, Subcommand)]
enum Measurement {
    /// The store alone, in rounds: bulk load, appends, needles, scans
    Store {
        #[arg(default_value_t = LINES)]
        lines: usize,
        #[arg(default_value_t = 5)]
        rounds: usize,
    },
    /// Every workload on every data set, one JSON line for each
    ///
    /// D1 is plain text of sixteen kinds of software, D2 JSON lines of forty services, D4-1k, D4-10k and D4-50k the same from so
    /// many containers that come and go, D5 lines that nobody wants. `ratio` is our CPU for one of the yardstick's. Fails
    /// where an answer differs from the yardstick's, or a stored line from what it was.
    Cells {
        binary: PathBuf,
        /// A data set (repeatable) [default: all]
        #[arg(long = "set")]
        sets: Vec<Set>,
        #[arg(long, default_value_t = LINES)]
        lines: usize,
    },
    /// The short form of `cells`: fails when a cell takes too many times what its yardstick takes
    Guard { binary: PathBuf },
    /// The questions of D2 as a table, on lines that `binnacle ingest` stored
    Logql {
        binary: PathBuf,
        #[arg(default_value_t = LINES)]
        lines: usize,
    },
    /// How long pushed lines wait until they are durable while heavy queries run
    ///
    /// Fails when that is more than 100 ms longer than without queries.
    Delay {
        binary: PathBuf,
        #[arg(default_value_t = LINES)]
        lines: usize,
        /// Where to have the data folder (repeatable) [default: where temporary files go, and /dev/shm]
        #[arg(long = "in")]
        places: Vec<PathBuf>,
    },
    /// What making traces costs
    Traces {
        #[arg(default_value_t = 60)]
        seconds: u64,
    },
    /// Write the lines of a data set
    Generate { set: Set, file: PathBuf, lines: usize },
    /// Times of texts looked for in a data folder, for profiles
    Scan { dir: PathBuf, texts: Vec<String> },
    #[command(hide = true)]
    Ingest { file: PathBuf, dir: PathBuf },
    #[command(hide = true)]
    Append { file: PathBuf, dir: PathBuf },
    #[command(hide = true)]
    Query { file: PathBuf, dir: PathBuf },
    #[command(hide = true)]
    StoreSet { set: Set, lines: usize, dir: PathBuf },
    #[command(hide = true)]
    TracesChild { way: String, seconds: u64, dir: PathBuf },
}

fn main() -> Result<()> {
    let measurement = Arguments::parse().measurement;
    match measurement.unwrap_or(Measurement::Store { lines: LINES, rounds: 5 }) {
        Measurement::Store { lines, rounds } => rounds::run(lines, rounds),
        Measurement::Cells { binary, sets, lines } => {
            let sets = if sets.is_empty() { Set::ALL.to_vec() } else { sets };
            sets.into_iter().try_for_each(|set| cells::measure(&binary, set, lines, tell))
        }
        Measurement::Guard { binary } => guard(&binary),
        Measurement::Logql { binary, lines } => {
            with_file(lines, |file, data| question::table(&binary, file, data))
        }
        Measurement::Delay { binary, lines, places } => {
            with_file(lines, |file, _| delay::run(&binary, file, &places))
        }
        Measurement::Traces { seconds } => traces::measure(seconds),
        Measurement::Generate { set, file, lines } => sets::write(set, lines, &file).map(drop),
        Measurement::Scan { dir, texts } => rounds::scan_child(&dir, &texts),
        Measurement::Ingest { file, dir } => rounds::ingest_child(&file, &dir, Way::Load),
        Measurement::Append { file, dir } => rounds::ingest_child(&file, &dir, Way::Append),
        Measurement::Query { file, dir } => rounds::query_child(&file, &dir),
        Measurement::StoreSet { set, lines, dir } => {
            println!("{}", serde_json::to_string(&stored::store(set, lines, &dir)?)?);
            Ok(())
        }
        Measurement::TracesChild { way, seconds, dir } => traces::child(&way, seconds, &dir),
    }
}

/// Makes the file of D2, and a place for the data folder.
fn with_file(lines: usize, work: impl Fn(&Path, &Path) -> Result<()>) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let file = scratch.path().join("lines.json");
    sets::write(Set::Services, lines, &file)?;
    work(&file, &scratch.path().join("data"))
}

fn tell(cell: &cells::Cell) {
    println!("{}", serde_json::to_string(cell).expect("a cell has names for keys"));
}

/// Every cell within its bound. What is not is measured a second time: noise comes once, a regression stays.
fn guard(binary: &Path) -> Result<()> {
    let mut complaints = Vec::new();
    for (set, lines) in SHORT {
        let first = complaints_of(binary, set, lines)?;
        if first.is_empty() {
            continue;
        }
        eprintln!("once more, for {}", first.values().cloned().collect::<Vec<_>>().join("; "));
        let again = complaints_of(binary, set, lines)?;
        complaints
            .extend(again.into_iter().filter(|(cell, _)| first.contains_key(cell)).map(|(_, what)| what));
    }
    ensure!(complaints.is_empty(), "slower or larger than it may be, twice:\n{}", complaints.join("\n"));
    Ok(())
}

/// The cells of a set that are out of their bounds, by their names, and how far.
fn complaints_of(binary: &Path, set: Set, lines: usize) -> Result<BTreeMap<String, String>> {
    let mut complaints = BTreeMap::new();
    cells::measure(binary, set, lines, |cell| {
        tell(cell);
        complaints.extend(cell.complaint().map(|what| (cell.name(), what)));
    })?;
    Ok(complaints)
}
