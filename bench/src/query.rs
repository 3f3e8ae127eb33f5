//! Needles and scans over a store, and the proof that it gives back what went in.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Result, ensure};
use bytes::Bytes;
use store::block::Needle;
use store::{BlockQuery, Candidates, Prune, Reader, Text, TimeRange};
use xxhash_rust::xxh3::Xxh3;

use crate::ingest::Parser;

/// Threads of a scan: as many as the machine the targets are meant for has cores.
const SCAN_THREADS: usize = 2;

fn candidates(reader: &Reader, prune: &Prune) -> Result<Candidates> {
    let query = BlockQuery { range: TimeRange::ALL, streams: None, levels: None, prune };
    Ok(reader.snapshot()?.candidates(&query)?)
}

/// Finds the lines with `needle`, returns their number, the blocks read, and the time in milliseconds.
pub(crate) fn find(reader: &Reader, needle: &str) -> Result<(usize, usize, f64)> {
    let start = Instant::now();
    let found = candidates(reader, &Prune::Text(Text::substring(needle)))?;
    let needle = Needle::exact(needle.as_bytes());
    let mut lines_found = Vec::new();
    for block in &found.blocks {
        let block = block.open()?;
        for row in block.rows_with(&needle)?.iter() {
            lines_found.push(block.line(row)?.into_owned());
        }
    }
    Ok((lines_found.len(), found.blocks.len(), start.elapsed().as_secs_f64() * 1e3))
}

/// What a scan found.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) lines: usize,
    pub(crate) blocks: usize,
    pub(crate) milliseconds: f64,
}

/// Counts the lines with `needle`, in the blocks that `prune` leaves.
pub(crate) fn scan(reader: &Reader, needle: &str, prune: &Prune) -> Result<Scanned> {
    let start = Instant::now();
    let found = candidates(reader, prune)?;
    let needle = Needle::exact(needle.as_bytes());
    let next = AtomicUsize::new(0);
    let count_some = || -> Result<usize> {
        let mut count = 0;
        while let Some(block) = found.blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
            count += block.open()?.rows_with(&needle)?.count();
        }
        Ok(count)
    };
    let counts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..SCAN_THREADS).map(|_| scope.spawn(count_some)).collect();
        threads.into_iter().map(|t| t.join().expect("a scan thread panicked")).collect::<Result<Vec<_>>>()
    })?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    Ok(Scanned { lines: counts.iter().sum(), blocks: found.blocks.len(), milliseconds })
}

/// Every line of `file`, service by service in the file's order, is what the store gives back.
pub(crate) fn verify(reader: &Reader, file: &Path) -> Result<usize> {
    let mut parser = Parser::default();
    let mut expected: BTreeMap<String, (Xxh3, usize)> = BTreeMap::new();
    let raw = std::fs::read(file)?;
    for line in raw.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let (hash, lines) =
            expected.entry(parser.record(Bytes::copy_from_slice(line))?.labels.to_string()).or_default();
        hash.update(line);
        hash.update(b"\n");
        *lines += 1;
    }
    drop(raw);
    let mut found: BTreeMap<String, (Xxh3, usize)> = BTreeMap::new();
    for block in candidates(reader, &Prune::Any)?.blocks {
        let (hash, lines) = found.entry(block.labels().to_string()).or_default();
        let block = block.open()?;
        hash.update(block.lines()?.bytes());
        *lines += block.len();
    }
    let digest = |by: &BTreeMap<String, (Xxh3, usize)>| -> Vec<(String, u128, usize)> {
        by.iter().map(|(name, (hash, lines))| (name.clone(), hash.digest128(), *lines)).collect()
    };
    ensure!(
        digest(&expected) == digest(&found),
        "the store does not give back the lines of {}",
        file.display()
    );
    Ok(found.values().map(|(_, lines)| lines).sum())
}
