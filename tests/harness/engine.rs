//! A Docker engine of a test's own, ended with the test whatever happens to it (see `engine.sh`).
//!
//! Every test starts its own: it then sees its own containers alone and may stop, kill or freeze the engine.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use super::{image, wait_for};

/// Which dockerd serves a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// The one in the PATH: 20.10 on Debian 12, whose log followers repeat and skip lines.
    Installed,
    /// The one of the Debian release after (26.1), unpacked beside the build.
    Newer,
}

/// A running engine. Dropping it ends it and all its containers.
#[derive(Debug)]
pub(crate) struct Engine {
    dir: PathBuf,
    supervisor: Child,
    channel: Mutex<Channel>,
}

#[derive(Debug)]
struct Channel {
    commands: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
}

/// How long an engine may take until it answers, and until it has ended: a loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);

impl Engine {
    pub(crate) fn start(version: Version) -> Self {
        Self::start_with(version, "")
    }

    /// Starts an engine with more flags for dockerd, loads the test image and returns once it answers.
    pub(crate) fn start_with(version: Version, flags: &str) -> Self {
        Self::make(version, flags, None)
    }

    /// Starts an engine whose data root is a disk of so many bytes.
    pub(crate) fn start_on_small_disk(version: Version, bytes: u64) -> Self {
        Self::make(version, "", Some(bytes))
    }

    fn make(version: Version, flags: &str, data_bytes: Option<u64>) -> Self {
        sweep();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Short: the path of a unix socket has at most 107 bytes.
        let name = format!("binnacle-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        let path_prefix = match version {
            Version::Installed => String::new(),
            Version::Newer => newer_engine(),
        };
        let mut supervisor =
            Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harness/engine.sh"))
                .arg(&dir)
                .arg(path_prefix)
                .args(data_bytes.map(|bytes| bytes.to_string()))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .process_group(0) // Ctrl-C ends the tests; the end of its input then ends the engine
                .spawn()
                .expect("cannot run `tests/harness/engine.sh`");
        let channel = Channel {
            commands: supervisor.stdin.take(),
            replies: BufReader::new(supervisor.stdout.take().unwrap()),
        };
        let engine = Self { dir, supervisor, channel: Mutex::new(channel) };
        engine.start_again(flags);
        image::load(&engine);
        engine
    }

    /// Starts dockerd after [`Engine::signal`] or [`Engine::stop`] has ended it.
    pub(crate) fn start_again(&self, flags: &str) {
        self.command(&format!("start {flags}"));
        let answers = wait_for(PATIENCE, || self.ping());
        assert!(
            answers,
            "dockerd does not answer; tests with containers need root and the package `docker.io` (see ./test)\n{}",
            self.log_tail()
        );
    }

    /// Sends dockerd a signal, for example `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        self.command(&format!("signal {name}"));
    }

    /// Sends dockerd a signal and waits until it has ended.
    pub(crate) fn end(&self, signal: &str) {
        self.signal(signal);
        self.command("wait");
    }

    /// The address for `--docker-host`.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("sock")
    }

    /// The engine's data root.
    pub(crate) fn data_root(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// `path` as the engine sees it, which has mounts of its own.
    pub(crate) fn inside(&self, path: &Path) -> PathBuf {
        let pid = std::fs::read_to_string(self.dir.join("pid")).expect("the engine runs");
        Path::new("/proc").join(pid.trim()).join("root").join(path.strip_prefix("/").unwrap_or(path))
    }

    /// What dockerd has logged itself.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// A docker command against this engine, for callers that want its output in parts.
    pub(crate) fn docker_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(self.host()).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs docker and returns its trimmed output.
    ///
    /// # Panics
    /// When docker fails.
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        let output = self.docker_command(arguments).output().expect("cannot run `docker`");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {arguments:?} failed: {errors}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn ping(&self) -> bool {
        let ask = || -> std::io::Result<bool> {
            let mut stream = UnixStream::connect(self.socket())?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")?;
            let mut status = [0; 12];
            stream.read_exact(&mut status)?;
            Ok(status.ends_with(b"200"))
        };
        ask().unwrap_or(false)
    }

    fn channel(&self) -> MutexGuard<'_, Channel> {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn command(&self, command: &str) {
        let mut channel = self.channel();
        let mut reply = String::new();
        let commands = channel.commands.as_mut().expect("BUG: the engine has been ended");
        let sent = writeln!(commands, "{command}");
        let received = channel.replies.read_line(&mut reply);
        assert!(
            sent.is_ok() && received.is_ok_and(|bytes| bytes > 0),
            "the engine's supervisor has ended; tests with containers need root\n{}",
            self.log_tail()
        );
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.channel().commands = None;
        if !wait_for(PATIENCE, || matches!(self.supervisor.try_wait(), Ok(Some(_)))) {
            eprintln!("the engine in `{}` does not end", self.dir.display());
        }
    }
}

/// Unpacks the newer engine when it is not there yet, and returns the folders of its programs for PATH.
fn newer_engine() -> String {
    static UNPACK: Once = Once::new();
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("newer-engine");
    UNPACK.call_once(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harness/newer-engine.sh");
        let status = Command::new(script).arg(&dir).status().expect("cannot run `newer-engine.sh`");
        assert!(status.success(), "cannot unpack the newer engine");
    });
    format!("{0}/usr/sbin:{0}/usr/bin", dir.display())
}

/// Removes what engines left whose supervisor was killed together with its children.
fn sweep() {
    static SWEEP: Once = Once::new();
    SWEEP.call_once(|| {
        for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
            let owner = std::fs::read_to_string(entry.path().join("owner")).unwrap_or_default();
            let ours = entry.file_name().to_string_lossy().starts_with("binnacle-test-");
            let alive = !owner.is_empty() && Path::new("/proc").join(owner.trim()).exists();
            if ours
                && !owner.is_empty()
                && !alive
                && let Err(error) = std::fs::remove_dir_all(entry.path())
            {
                eprintln!("cannot remove `{}`: {error}", entry.path().display());
            }
        }
    });
}
