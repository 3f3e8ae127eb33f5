//! A disk that fills up while lines come, is full over kills and restarts, and grows again; then one that can only be
//! read.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Round;
use super::table::Row;
use crate::harness::binnacle::Server;
use crate::harness::container::emitter;
use crate::harness::engine::Engine;
use crate::harness::ledger::{Expected, settle};
use crate::harness::wait_for;

const LIMIT: Duration = Duration::from_secs(90);
/// Kills while the disk is full.
const KILLS: u32 = 3;

pub(super) fn play(round: &mut Round) -> Row {
    let engine = Engine::start(round.version);
    let scratch = tempfile::tempdir().unwrap();
    let config = scratch.path().join("binnacle.yaml");
    let settings =
        "store: {flush_bytes: 1MiB, flush_age: 2s, head_bytes: 16MiB}\nretention: {min_free_bytes: off}\n";
    std::fs::write(&config, settings).unwrap();
    let config = config.display().to_string();
    let disk = Disk::mount(&scratch.path().join("data"), "8m");
    let mut server =
        Server::new("run", scratch.path(), &["--config", &config, "--docker-host", &engine.host()]);
    let wrapper = disk.enter();
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    server.wrap(&wrapper);
    server.start();
    server.wait_ready();
    // Text without pattern: 20 MB that hardly get smaller.
    let containers = [
        emitter("steady", "text=hostile len=1500 rate=450 lines=4500")
            .with("--log-driver local")
            .start(&engine),
        emitter("filler", "text=noise len=4000 rate=500 lines=5000").start(&engine),
    ];
    let fills = || server.log().contains("disk is full");
    assert!(wait_for(LIMIT, fills), "the disk does not fill up\n{}", server.log_tail());
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_millis(round.random.below(2_000)));
        server.kill();
        std::thread::sleep(Duration::from_millis(round.random.below(500)));
        server.start();
    }
    std::thread::sleep(Duration::from_millis(round.random.below(2_000)));
    disk.remount("size=512m");
    server.wait_ready();
    containers.iter().for_each(|container| container.wait_exited(LIMIT));
    let expected = containers.each_ref().map(|container| Expected::of(container, 1));
    let (verdicts, _) = settle(&server, &expected, LIMIT);
    let mut row = Row::with_harms(u64::from(KILLS) + 2);
    verdicts.iter().for_each(|verdict| row.add_verdict(verdict));

    assert!(server.end("TERM").success());
    disk.remount("ro");
    server.start();
    let refused = wait_for(LIMIT, || server.has_ended());
    assert!(refused, "a writer starts on a disk that can only be read\n{}", server.log_tail());
    let mut reader = Server::new("serve", scratch.path(), &["--config", &config]);
    reader.wrap(&wrapper);
    reader.start();
    reader.wait_ready();
    let (verdicts, _) = settle(&reader, &expected, LIMIT);
    verdicts.iter().for_each(|verdict| row.add_verdict(verdict));
    row
}

/// A tmpfs in a mount namespace of its own, which ends with this process at the latest.
struct Disk {
    path: PathBuf,
    holder: Child,
}

impl Disk {
    fn mount(path: &Path, size: &str) -> Self {
        std::fs::create_dir(path).unwrap();
        let script =
            format!("mount -t tmpfs -o size={size} tmpfs {} && echo mounted && read -r end", path.display());
        let mut holder = Command::new("unshare")
            .args(["--mount", "--", "/bin/sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut reply = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut reply).unwrap();
        assert_eq!(reply, "mounted\n");
        Self { path: path.to_owned(), holder }
    }

    /// The command that runs another one where the disk is seen.
    fn enter(&self) -> Vec<String> {
        vec!["nsenter".into(), format!("--mount=/proc/{}/ns/mnt", self.holder.id()), "--".into()]
    }

    fn remount(&self, options: &str) {
        let wrapper = self.enter();
        let status = Command::new(&wrapper[0])
            .args(&wrapper[1..])
            .args(["mount", "-o", &format!("remount,{options}")])
            .arg(&self.path)
            .status()
            .unwrap();
        assert!(status.success(), "cannot remount with `{options}`");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        self.holder.wait().ok();
    }
}
