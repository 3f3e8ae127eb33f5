//! How long lines wait until they are durable: while traces are made of what is stored, while nothing and while heavy
//! queries run, on disk and in memory. Of a delay in memory no disk is the cause; what is left is locks and processors.
//!
//! Times without and with queries are taken in turns, so that what else the machine does falls on both.

mod pushes;
mod queries;
mod syncs;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::process::ThreadTime;
use crate::server::{Server, load};
use pushes::Pushes;

/// Where data folders are in memory.
const MEMORY: &str = "/dev/shm";
/// How long each turn takes, and how many there are of each kind.
const TURN: Duration = Duration::from_secs(10);
const TURNS: usize = 3;
/// Spans come every second while there are lines to read.
const SETTLED: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(900);
/// How much longer a push may take beside heavy queries.
const MAX_DELAY: Duration = Duration::from_millis(100);
/// The store's thread that stores what is pushed.
const COMMITTER: &str = "binnacle-commit";

/// Measures with data folders in `places`, by default on disk and in memory. Prints all times; fails when heavy queries
/// delay a push for too long.
pub(crate) fn run(binary: &Path, file: &Path, places: &[PathBuf]) -> Result<()> {
    let default = [std::env::temp_dir(), PathBuf::from(MEMORY)];
    let places = if places.is_empty() { &default[..] } else { places };
    let mut complaints = Vec::new();
    for place in places {
        let data = tempfile::tempdir_in(place)?;
        complaints.extend(measure(binary, file, data.path())?);
    }
    ensure!(
        complaints.is_empty(),
        "heavy queries delay collection by more than 100 ms:\n{}",
        complaints.join("\n")
    );
    Ok(())
}

/// What a kind of turn showed.
#[derive(Default)]
struct Turns {
    pushes: Pushes,
    syncs: Vec<Duration>,
    committer: ThreadTime,
    queries: usize,
}

fn measure(binary: &Path, file: &Path, data: &Path) -> Result<Option<String>> {
    load(binary, file, data)?;
    let server = Server::start(binary, "run", data)?;
    let (mut traces, mut alone, mut beside) = (Turns::default(), Turns::default(), Turns::default());
    turn(&server, data, &mut traces)?;
    wait_for_traces(&server)?;
    for _ in 0..TURNS {
        turn(&server, data, &mut alone)?;
        let (pushed, answered) = queries::beside(&server, || turn(&server, data, &mut beside))?;
        pushed?;
        beside.queries += answered;
    }
    let kind = if syncs::is_memory(data)? { "memory" } else { "disk" };
    println!("| {kind}, times in ms | median | 99th percentile | longest |\n|---|---|---|---|");
    tell("traces are made of the stored lines", &mut traces);
    tell("no queries", &mut alone);
    tell("heavy queries without a pause", &mut beside);
    println!();
    let least = if kind == "memory" { Duration::ZERO } else { alone.pushes.longest() };
    let delay = beside.pushes.longest().saturating_sub(least);
    Ok((delay > MAX_DELAY).then(|| format!("{kind}: {} ms", delay.as_millis())))
}

/// Pushes for a while.
fn turn(server: &Server, data: &Path, turns: &mut Turns) -> Result<()> {
    let before = server.threads(COMMITTER)?;
    let syncs = syncs::beside(data, || turns.pushes.push_for(server.address(), TURN))?;
    turns.syncs.extend(syncs);
    turns.committer += server.threads(COMMITTER)? - before;
    Ok(())
}

/// Waits until no spans have been stored for a while: what is stored has been read.
fn wait_for_traces(server: &Server) -> Result<()> {
    let start = Instant::now();
    let (mut stored, mut since) = (0.0, Instant::now());
    while since.elapsed() < SETTLED || stored == 0.0 {
        ensure!(start.elapsed() < PATIENCE, "traces are still being made after {PATIENCE:?}");
        std::thread::sleep(Duration::from_secs(1));
        let now = server.metric("binnacle_traces_spans_total")?;
        if now != stored {
            (stored, since) = (now, Instant::now());
        }
    }
    Ok(())
}

fn tell(name: &str, turns: &mut Turns) {
    let (pushes, queries, committer) = (turns.pushes.len(), turns.queries, &turns.committer);
    let queries = if queries > 0 { format!(", {queries} queries answered") } else { String::new() };
    let (ran, waited) = (committer.ran.as_secs_f64(), committer.waited.as_secs_f64());
    println!(
        "| **{name}**: {pushes} pushes{queries}; the committer had a processor for {ran:.2} s and waited {waited:.2} s for one | | | |"
    );
    for (part, times) in turns.pushes.parts() {
        row(part, times);
    }
    row("a sync of 4 KiB by another process", &mut turns.syncs);
}

fn row(name: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let ms = |i: usize| times.get(i).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
    println!(
        "| {name} | {:.1} | {:.1} | {:.1} |",
        ms(times.len() / 2),
        ms(times.len() * 99 / 100),
        ms(times.len().saturating_sub(1))
    );
}
