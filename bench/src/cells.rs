//! Every workload on every set, one JSON line for each on standard output, beside the yardstick in the same run.
//!
//! CPU-seconds are those that Linux counts for the processes: wall times are told, but judge nothing.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::SEED;
use crate::process;
use crate::question::{Used, compare};
use crate::server::{self, Server};
use crate::sets::{self, Set, Written};
use crate::stored::Stored;
use crate::workloads::{Workload, ingest_bound, workloads};
use crate::yardstick::{Compressed, zstd};

/// A workload on a data set.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cell {
    pub(crate) set: String,
    pub(crate) workload: &'static str,
    pub(crate) question: String,
    /// Of the set.
    pub(crate) lines: usize,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    pub(crate) seed: u64,
    /// Of the answer: series, or different lines. It is the yardstick's too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rows: Option<usize>,
    pub(crate) cpu_s: f64,
    pub(crate) wall_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wall_ms_p50: Option<f64>,
    pub(crate) yardstick: &'static str,
    pub(crate) yardstick_cpu_s: f64,
    pub(crate) yardstick_wall_ms: f64,
    /// Our CPU for one of the yardstick's.
    pub(crate) ratio: f64,
    #[serde(flatten)]
    pub(crate) taken: Option<Taken>,
    /// What `ratio` and `stored_per_byte` may be in the short form.
    #[serde(skip)]
    pub(crate) most: (f64, f64),
}

/// What taking lines in took besides CPU.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Taken {
    pub(crate) stored_per_byte: f64,
    pub(crate) yardstick_stored_per_byte: f64,
    pub(crate) cpu_s_per_gb: f64,
    /// Where lines are stored by a process of the benchmark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peak_memory_bytes: Option<u64>,
}

impl Cell {
    /// Set, workload and question.
    pub(crate) fn name(&self) -> String {
        format!("{} {} {}", self.set, self.workload, self.question)
    }

    /// What is wrong with it, judged as in the short form.
    pub(crate) fn complaint(&self) -> Option<String> {
        let name = self.name();
        let (most, most_stored) = self.most;
        if self.ratio > most {
            return Some(format!(
                "{name}: {:.1} times the CPU of {}, at most {most}",
                self.ratio, self.yardstick
            ));
        }
        let stored = self.taken?.stored_per_byte;
        (stored > most_stored)
            .then(|| format!("{name}: {stored:.3} bytes on disk for each byte, at most {most_stored}"))
    }
}

/// Measures every workload on a set of so many lines; `tell` is called with each as it is done.
pub(crate) fn measure(binary: &Path, set: Set, lines: usize, mut tell: impl FnMut(&Cell)) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let (file, data) = (scratch.path().join("lines"), scratch.path().join("data"));
    let written = sets::write(set, lines, &file)?;
    let zstd = zstd(&file)?;
    let taken = |question, stored| taken(set, lines, &written, zstd, question, stored);
    tell(&taken("append", append(set, lines, &data)?));
    // Its labels are made of fields: lines of other sets would all be of one stream.
    if set == Set::Services {
        tell(&taken("file", ingest(binary, &file, &scratch.path().join("loaded"))?));
    }
    let server = Server::start(binary, "serve", &data)?;
    for Workload { id, question, most } in workloads(set, &file)? {
        let compared = compare(&server, &file, &question)?;
        let Used { best_ms, median_ms, cpu } = compared.ours;
        tell(&Cell {
            set: set.name(),
            workload: id,
            lines,
            bytes: written.bytes,
            sha256: written.sha256.clone(),
            seed: SEED,
            rows: Some(compared.rows),
            cpu_s: cpu,
            wall_ms: best_ms,
            wall_ms_p50: Some(median_ms),
            yardstick: if question.pipeline.contains("jq ") { "jq" } else { "ripgrep" },
            yardstick_cpu_s: compared.pipeline.cpu,
            yardstick_wall_ms: compared.pipeline.best_ms,
            ratio: cpu / compared.pipeline.cpu,
            taken: None,
            most: (most, f64::MAX),
            question: question.name,
        });
    }
    Ok(())
}

/// W1 batch by batch, in a process of its own.
fn append(set: Set, lines: usize, data: &Path) -> Result<Stored> {
    let output = Command::new(std::env::current_exe()?)
        .args(["store-set", &set.name(), &lines.to_string()])
        .arg(data)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "the lines of {} could not be stored", set.name());
    serde_json::from_slice(&output.stdout).context("the child told no figures")
}

/// W1 by `binnacle ingest` of the file: the whole command.
fn ingest(binary: &Path, file: &Path, data: &Path) -> Result<Stored> {
    let (before, start) = (process::cpu_seconds()?.1, Instant::now());
    server::load(binary, file, data)?;
    let (wall_ms, cpu) = (start.elapsed().as_secs_f64() * 1e3, process::cpu_seconds()?.1 - before);
    let disk_bytes = process::disk_bytes(data)?;
    std::fs::remove_dir_all(data)?;
    Ok(Stored { wall_ms, cpu, peak_memory: None, disk_bytes })
}

fn taken(
    set: Set,
    lines: usize,
    written: &Written,
    zstd: Compressed,
    question: &str,
    stored: Stored,
) -> Cell {
    let per_byte = |bytes: u64| bytes as f64 / written.bytes as f64;
    let bound = ingest_bound(set);
    Cell {
        set: set.name(),
        workload: "W1",
        question: question.to_owned(),
        lines,
        bytes: written.bytes,
        sha256: written.sha256.clone(),
        seed: SEED,
        rows: None,
        cpu_s: stored.cpu,
        wall_ms: stored.wall_ms,
        wall_ms_p50: None,
        yardstick: "zstd -3",
        yardstick_cpu_s: zstd.cpu,
        yardstick_wall_ms: zstd.wall_ms,
        ratio: stored.cpu / zstd.cpu,
        taken: Some(Taken {
            stored_per_byte: per_byte(stored.disk_bytes),
            yardstick_stored_per_byte: per_byte(zstd.bytes),
            cpu_s_per_gb: stored.cpu / (written.bytes as f64 / 1e9),
            peak_memory_bytes: stored.peak_memory,
        }),
        most: (bound.cpu, bound.disk),
    }
}
