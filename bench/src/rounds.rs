//! The store alone, in rounds, beside zstd and ripgrep over the same bytes: the table on top of docs/benchmarks.md.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use store::{Prune, Text};

use crate::ingest::{self, Way};
use crate::sets::{self, Set};
use crate::yardstick::{ripgrep, zstd};
use crate::{MB, SEED, process, query};

/// Trace ids looked for in each round.
const NEEDLES: usize = 200;
/// Texts counted over everything: with many hits, with none, digits, hex digits, quotes, a space.
const NEEDLES_TO_SCAN: [&str; 6] =
    ["\"status\":500", "ransfe", "55127", "c0ffe", "\",\"path\":\"/api/v2/", "con 10."];

/// So many rounds over a file of so many lines: bulk load, appends, needles and scans, each in a process of its own.
pub(crate) fn run(lines: usize, rounds: usize) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let file = scratch.path().join("lines.json");
    let bytes = sets::write(Set::Services, lines, &file)?.bytes;
    println!(
        "{lines} lines, {:.1} MB, {:.1} B/line, seed {SEED}",
        bytes as f64 / MB,
        bytes as f64 / lines as f64
    );
    for round in 1..=rounds {
        println!("round {round}");
        let dir = scratch.path().join(format!("data-{round}"));
        let zstd = zstd(&file)?;
        println!(
            "  zstd -3    cpu {:6.2} s   {:.3} B/B   {:5.2} CPU-s/GB",
            zstd.cpu,
            zstd.bytes as f64 / bytes as f64,
            zstd.cpu / (bytes as f64 / 1e9)
        );
        child("append", &file, &dir)?;
        std::fs::remove_dir_all(&dir)?;
        child("ingest", &file, &dir)?;
        child("query", &file, &dir)?;
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(())
}

fn child(mode: &str, file: &Path, dir: &Path) -> Result<()> {
    let status = Command::new(std::env::current_exe()?).arg(mode).args([file, dir]).status()?;
    ensure!(status.success(), "{mode} failed");
    Ok(())
}

pub(crate) fn ingest_child(file: &Path, dir: &Path, way: Way) -> Result<()> {
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

pub(crate) fn query_child(file: &Path, dir: &Path) -> Result<()> {
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
pub(crate) fn scan_child(dir: &Path, texts: &[String]) -> Result<()> {
    let reader = store::Reader::open(dir)?;
    for text in texts {
        for _ in 0..5 {
            let (before, _) = process::cpu_seconds()?;
            let scanned = query::scan(&reader, text, &Prune::Text(Text::substring(text.as_str())))?;
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
