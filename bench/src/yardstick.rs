//! What `zstd -3` and ripgrep take for the same bytes.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::process;

/// CPU time comes in hundredths of a second: so much is enough to tell it.
const ENOUGH_CPU_SECONDS: f64 = 0.5;

/// What compressing took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compressed {
    /// CPU seconds.
    pub(crate) cpu: f64,
    pub(crate) wall_ms: f64,
    pub(crate) bytes: u64,
}

/// `zstd -3` on one thread; on average, where it takes little.
pub(crate) fn zstd(file: &Path) -> Result<Compressed> {
    let compressed = file.with_extension("zst");
    let (_, before) = process::cpu_seconds()?;
    let start = Instant::now();
    let (mut runs, mut cpu) = (0.0, 0.0);
    while cpu < ENOUGH_CPU_SECONDS {
        let status = Command::new("zstd")
            .args(["-3", "--single-thread", "-c", "-q"])
            .arg(file)
            .stdout(File::create(&compressed)?)
            .status()
            .context("cannot run zstd (Debian package zstd)")?;
        ensure!(status.success(), "zstd failed");
        cpu = process::cpu_seconds()?.1 - before;
        runs += 1.0;
    }
    let wall_ms = start.elapsed().as_secs_f64() * 1e3 / runs;
    let bytes = std::fs::metadata(&compressed)?.len();
    std::fs::remove_file(&compressed)?;
    Ok(Compressed { cpu: cpu / runs, wall_ms, bytes })
}

/// Lines ripgrep counts, and the best of five times in milliseconds.
pub(crate) fn ripgrep(file: &Path, needle: &str) -> Result<(usize, f64)> {
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
