//! Measures the store on made-up service logs, beside zstd and ripgrep over the same bytes in the same run.
//!
//! `bench [LINES] [ROUNDS]` prints one table, `bench traces [SECONDS]` what making traces costs. Each round runs in
//! processes of its own, so that CPU time and memory are those of the thing measured. `bench logql BINARY [LINES]` asks a
//! built `binnacle` in LogQL, beside ripgrep and jq; `bench delay BINARY [LINES]` measures how long pushed lines wait while
//! it answers heavy queries. What the targets are, and past results: docs/benchmarks.md.

#![expect(clippy::print_stdout, reason = "the table is the program's purpose")]

mod delay;
mod ingest;
mod logql;
mod process;
mod query;
mod requests;
mod server;
mod services;
mod traces;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use ingest::Way;
use services::Services;
use store::{Prune, Text};

const SEED: u64 = 20_261_121;
const MB: f64 = 1e6;
/// Lines, unless told otherwise.
const LINES: usize = 1_500_000;
/// Trace ids looked for in each round.
const NEEDLES: usize = 200;
/// Texts counted over everything: with many hits, with none, digits, hex digits, quotes, a space.
const NEEDLES_TO_SCAN: [&str; 6] =
    ["\"status\":500", "ransfe", "55127", "c0ffe", "\",\"path\":\"/api/v2/", "con 10."];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["ingest", file, dir] => ingest_child(Path::new(file), Path::new(dir), Way::Load),
        ["append", file, dir] => ingest_child(Path::new(file), Path::new(dir), Way::Append),
        ["scan", dir, texts @ ..] => scan_child(Path::new(dir), texts),
        ["query", file, dir] => query_child(Path::new(file), Path::new(dir)),
        ["generate", file, lines] => generate(Path::new(file), lines.parse()?).map(drop),
        ["traces"] => run_traces(60),
        ["traces", seconds] => run_traces(seconds.parse()?),
        ["traces", way, seconds, dir] => traces_child(way, seconds.parse()?, Path::new(dir)),
        ["logql", binary, lines @ ..] => {
            with_file(lines, |file, data| logql::run(Path::new(binary), file, data))
        }
        ["delay", binary, lines @ ..] => {
            with_file(lines, |file, data| delay::run(Path::new(binary), file, data))
        }
        [] => run(LINES, 5),
        [lines] => run(lines.parse()?, 5),
        [lines, rounds, ..] => run(lines.parse()?, rounds.parse()?),
    }
}

/// Makes the file, and a place for the data folder.
fn with_file(lines: &[&str], work: impl Fn(&Path, &Path) -> Result<()>) -> Result<()> {
    let lines = lines.first().map_or(Ok(LINES), |lines| lines.parse())?;
    let scratch = tempfile::tempdir()?;
    let file = scratch.path().join("lines.json");
    generate(&file, lines)?;
    work(&file, &scratch.path().join("data"))
}

fn run(lines: usize, rounds: usize) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let file = scratch.path().join("lines.json");
    let bytes = generate(&file, lines)?;
    println!(
        "{lines} lines, {:.1} MB, {:.1} B/line, seed {SEED}",
        bytes as f64 / MB,
        bytes as f64 / lines as f64
    );
    for round in 1..=rounds {
        println!("round {round}");
        let dir = scratch.path().join(format!("data-{round}"));
        let (zstd_cpu, zstd_bytes) = zstd(&file)?;
        println!(
            "  zstd -3    cpu {zstd_cpu:6.2} s   {:.3} B/B   {:5.2} CPU-s/GB",
            zstd_bytes as f64 / bytes as f64,
            zstd_cpu / (bytes as f64 / 1e9)
        );
        child("append", &file, &dir)?;
        std::fs::remove_dir_all(&dir)?;
        child("ingest", &file, &dir)?;
        child("query", &file, &dir)?;
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(())
}

/// Lines at a steady rate without and with traces, each in a process of its own.
fn run_traces(seconds: u64) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    for (way, _) in traces::Traces::ALL {
        let dir = scratch.path().join(way);
        let status = Command::new(std::env::current_exe()?)
            .args(["traces", way, &seconds.to_string()])
            .arg(&dir)
            .status()?;
        ensure!(status.success(), "traces {way} failed");
    }
    Ok(())
}

fn traces_child(way: &str, seconds: u64, dir: &Path) -> Result<()> {
    let (_, traces) =
        traces::Traces::ALL.into_iter().find(|(name, _)| *name == way).context("no such way")?;
    let used = traces::run(dir, traces, seconds)?;
    println!(
        "traces {way:<10} cpu {:6.2} s, {:5.1} us a line; {} spans; memory {:.0} MB, of open traces {:.1} MB",
        used.cpu_seconds,
        used.cpu_seconds * 1e6 / used.lines as f64,
        used.spans,
        used.peak_memory as f64 / MB,
        used.peak_traces as f64 / MB,
    );
    Ok(())
}

fn generate(path: &Path, lines: usize) -> Result<u64> {
    let mut services = Services::new(SEED);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut line = String::new();
    let mut bytes = 0;
    for _ in 0..lines {
        line.clear();
        services.line(&mut line);
        line.push('\n');
        out.write_all(line.as_bytes())?;
        bytes += line.len() as u64;
    }
    out.flush()?;
    Ok(bytes)
}

/// CPU seconds and size of `zstd -3` on one thread.
fn zstd(file: &Path) -> Result<(f64, u64)> {
    let (_, before) = process::cpu_seconds()?;
    let output = Command::new("zstd")
        .args(["-3", "--single-thread", "-c", "-q"])
        .arg(file)
        .stdout(File::create(file.with_extension("zst"))?)
        .status()
        .context("cannot run zstd (Debian package zstd)")?;
    ensure!(output.success(), "zstd failed");
    let (_, after) = process::cpu_seconds()?;
    Ok((after - before, std::fs::metadata(file.with_extension("zst"))?.len()))
}

fn child(mode: &str, file: &Path, dir: &Path) -> Result<()> {
    let status = Command::new(std::env::current_exe()?).arg(mode).args([file, dir]).status()?;
    ensure!(status.success(), "{mode} failed");
    Ok(())
}

fn ingest_child(file: &Path, dir: &Path, way: Way) -> Result<()> {
    let bytes = std::fs::metadata(file)?.len() as f64;
    let used = ingest::ingest(file, dir, way)?;
    let name = match way {
        Way::Load => "ingest",
        Way::Append => "append",
    };
    println!(
        "  {name}     cpu {:6.2} s   {:.3} B/B   {:5.2} CPU-s/GB   wall {:.2} s   memory {:.0} MB   (making records: {:.2} s)",
        used.cpu_seconds,
        used.disk_bytes as f64 / bytes,
        used.cpu_seconds / (bytes / 1e9),
        used.seconds,
        used.peak_memory as f64 / MB,
        used.parse_seconds,
    );
    Ok(())
}

fn query_child(file: &Path, dir: &Path) -> Result<()> {
    let reader = store::Reader::open(dir)?;
    let ids = trace_ids(file)?;
    let mut times = Vec::new();
    let (mut lines, mut blocks) = (0, 0);
    for id in &ids {
        let (found, read, ms) = query::find(&reader, id)?;
        ensure!(found > 0, "trace {id} not found");
        lines += found;
        blocks += read;
        times.push(ms);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "  needle     p50 {:.2} ms   p99 {:.2} ms   {:.1} lines   {:.1} blocks read",
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        lines as f64 / ids.len() as f64,
        blocks as f64 / ids.len() as f64
    );
    for needle in NEEDLES_TO_SCAN {
        let (rg_count, rg_ms) = ripgrep(file, needle)?;
        let by_index = Prune::Text(Text::substring(needle));
        for (prune, which) in [(&Prune::Any, "without the index"), (&by_index, "as queries do")] {
            let scans = (0..5).map(|_| query::scan(&reader, needle, prune)).collect::<Result<Vec<_>>>()?;
            let best = scans.into_iter().min_by(|a, b| a.milliseconds.total_cmp(&b.milliseconds));
            let query::Scanned { lines, blocks, milliseconds: ms } = best.context("no scan")?;
            ensure!(lines == rg_count, "scan for {needle}: {lines} lines, ripgrep: {rg_count}");
            println!(
                "  scan       {ms:.0} ms   ripgrep {rg_ms:.0} ms   {:.2}x   {lines} lines with {needle:?}   {blocks} blocks read, {which}",
                ms / rg_ms
            );
        }
    }
    println!("  verified   {} lines are byte for byte what went in", query::verify(&reader, file)?);
    Ok(())
}

/// Wall and CPU time of some scans, as queries do them: for profiles.
fn scan_child(dir: &Path, texts: &[&str]) -> Result<()> {
    let reader = store::Reader::open(dir)?;
    for text in texts {
        for _ in 0..5 {
            let (before, _) = process::cpu_seconds()?;
            let scanned = query::scan(&reader, text, &Prune::Text(Text::substring(*text)))?;
            let cpu = (process::cpu_seconds()?.0 - before) * 1e3;
            println!("{text:?}: {:.0} ms, cpu {cpu:.0} ms, {} lines", scanned.milliseconds, scanned.lines);
        }
    }
    Ok(())
}

/// Trace ids of lines spread over the file.
fn trace_ids(file: &Path) -> Result<Vec<String>> {
    let raw = std::fs::read(file)?;
    let mark = b"\"trace_id\":\"";
    let id = |i: usize| -> Option<String> {
        let rest = raw.get(raw.len() / NEEDLES * i..)?;
        let at = memchr::memmem::find(rest, mark)? + mark.len();
        Some(String::from_utf8_lossy(rest.get(at..at + 32)?).into_owned())
    };
    Ok((0..NEEDLES).filter_map(id).collect())
}

/// Lines ripgrep counts, and the best of five times in milliseconds.
fn ripgrep(file: &Path, needle: &str) -> Result<(usize, f64)> {
    let mut best = f64::MAX;
    let mut count = 0;
    for _ in 0..5 {
        let start = Instant::now();
        let output = Command::new("rg")
            .args(["--no-config", "-c", "-F", needle])
            .arg(file)
            .stdin(Stdio::null())
            .output()
            .context("cannot run rg (Debian package ripgrep)")?;
        best = best.min(start.elapsed().as_secs_f64() * 1e3);
        count = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(0);
    }
    Ok((count, best))
}
