//! What a sync of the disk takes that is none of Binnacle's.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

const BYTES: usize = 4096;
/// Rare enough not to be what others wait for.
const PACE: Duration = Duration::from_millis(100);

/// Runs `work` and, beside it, syncs a small file next to `data` again and again. Returns the times of the syncs.
pub(super) fn beside(data: &Path, work: impl FnOnce() -> Result<()>) -> Result<Vec<Duration>> {
    let mut file = tempfile::tempfile_in(data.parent().unwrap_or(data))?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let syncing = scope.spawn(|| sync_until(&mut file, &stop));
        let outcome = work();
        stop.store(true, Ordering::Relaxed);
        let times = syncing.join().expect("BUG: a thread panicked");
        outcome?;
        times
    })
}

fn sync_until(file: &mut File, stop: &AtomicBool) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        file.rewind()?;
        let begun = Instant::now();
        file.write_all(&[0; BYTES])?;
        file.sync_data()?;
        times.push(begun.elapsed());
        std::thread::sleep(PACE);
    }
    Ok(times)
}

/// Whether a folder lies in memory.
pub(super) fn is_memory(dir: &Path) -> Result<bool> {
    let output = Command::new("stat").args(["--file-system", "--format=%T"]).arg(dir).output()?;
    ensure!(output.status.success(), "`stat` cannot tell the file system of `{}`", dir.display());
    Ok(output.stdout.starts_with(b"tmpfs"))
}
