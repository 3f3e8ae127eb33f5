//! The real binary: servers that run beside a test, and commands that run to their end.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use super::http::{self, Answer};
use super::wait_for;

/// The binary, without any of the caller's settings in its environment.
pub(crate) fn binnacle() -> Command {
    without_settings(Command::new(env!("CARGO_BIN_EXE_binnacle")))
}

fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if ["BINNACLE_", "OTEL_"].iter().any(|ours| name.to_string_lossy().starts_with(ours))
            || name == "DOCKER_HOST"
        {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// A `run`, `collect` or `serve` and its data folder. Dropping it kills the process; when the test fails,
/// the end of its log is shown.
#[derive(Debug)]
pub(crate) struct Server {
    /// A command that turns into the one behind it, as `nsenter` does.
    wrapper: Vec<String>,
    arguments: Vec<String>,
    address: SocketAddr,
    data: PathBuf,
    log: PathBuf,
    process: Option<Child>,
}

/// How long a start or an orderly end may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

impl Server {
    /// Prepares `binnacle COMMAND --data scratch/data --listen FREE ARGUMENTS…`, to be started.
    pub(crate) fn new(command: &str, scratch: &Path, arguments: &[&str]) -> Self {
        let (data, address) = (scratch.join("data"), free_address());
        let mut all = vec![command.to_owned(), "--data".into(), data.display().to_string()];
        all.extend(["--listen".to_owned(), address.to_string()]);
        all.extend(arguments.iter().map(|a| (*a).to_owned()));
        let log = scratch.join(format!("{command}.log"));
        Self { wrapper: Vec::new(), arguments: all, address, data, log, process: None }
    }

    /// Starts the binary through another command, which must replace itself with it.
    pub(crate) fn wrap(&mut self, wrapper: &[&str]) {
        self.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Listens on all interfaces; it is asked over loopback all the same.
    pub(crate) fn listen_everywhere(&mut self) {
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.address.port())).to_string();
        let loopback = self.address.to_string();
        for argument in self.arguments.iter_mut().filter(|argument| **argument == loopback) {
            argument.clone_from(&everywhere);
        }
    }

    /// Starts `binnacle run` on an engine and waits until it is ready.
    pub(crate) fn run(scratch: &Path, docker_host: &str) -> Self {
        let mut server = Self::new("run", scratch, &["--docker-host", docker_host]);
        server.start();
        server.wait_ready();
        server
    }

    /// Starts the process, again after [`Server::kill`] or [`Server::end`].
    pub(crate) fn start(&mut self) {
        assert!(self.process.is_none(), "BUG: the server runs");
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut command = match self.wrapper.split_first() {
            None => binnacle(),
            Some((wrapper, words)) => {
                let mut command = without_settings(Command::new(wrapper));
                command.args(words).arg(env!("CARGO_BIN_EXE_binnacle")).stdin(Stdio::null());
                command
            }
        };
        let process = command
            .args(&self.arguments)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("cannot run binnacle");
        self.process = Some(process);
    }

    /// Waits until `/ready` says 200.
    ///
    /// # Panics
    /// When it does not, or the process has ended.
    pub(crate) fn wait_ready(&mut self) {
        let ready = wait_for(PATIENCE, || {
            let ended = self.process.as_mut().and_then(|p| p.try_wait().ok().flatten());
            assert!(ended.is_none(), "binnacle ended: {ended:?}\n{}", self.log_tail());
            http::get(self.address, "/ready").is_ok_and(|answer| answer.status == 200)
        });
        assert!(ready, "binnacle is not ready\n{}", self.log_tail());
    }

    /// Whether the process that was started has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| matches!(process.try_wait(), Ok(Some(_))))
    }

    /// `kill -9`, at whatever it is doing.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().expect("BUG: the server does not run");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Sends a signal and waits for the orderly end.
    ///
    /// # Panics
    /// When the process does not end.
    pub(crate) fn end(&mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        let mut process = self.process.take().expect("BUG: the server does not run");
        let mut status = None;
        wait_for(PATIENCE, || {
            status = process.try_wait().unwrap();
            status.is_some()
        });
        let Some(status) = status else {
            process.kill().unwrap();
            process.wait().unwrap();
            panic!("binnacle does not end on SIG{signal}\n{}", self.log_tail());
        };
        status
    }

    /// Sends a signal, for example `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success(), "cannot send SIG{name} to {pid}");
    }

    /// Number of the running process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().expect("BUG: the server does not run").id()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// `GET path`.
    ///
    /// # Panics
    /// When there is no answer.
    pub(crate) fn get(&self, path: &str) -> Answer {
        http::get(self.address, path).unwrap_or_else(|e| panic!("GET {path}: {e}\n{}", self.log_tail()))
    }

    /// The value of a metric: the sum over its series whose text holds `labels`; 0 without such series.
    pub(crate) fn metric(&self, name: &str, labels: &str) -> f64 {
        let text = self.get("/metrics").text();
        let series = text.lines().filter(|l| {
            let rest = l.strip_prefix(name);
            rest.is_some_and(|r| r.starts_with(['{', ' ']) && r.contains(labels))
        });
        series.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// A client command against this server, run to its end.
    pub(crate) fn client(&self, arguments: &[&str]) -> Output {
        let (command, rest) = arguments.split_first().expect("BUG: no command");
        binnacle().arg(command).args(["--url", &self.url()]).args(rest).output().expect("cannot run binnacle")
    }

    /// Everything the server has logged itself.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the end of `{}`\n{}", self.log.display(), self.log_tail());
        }
        if let Some(mut process) = self.process.take()
            && let Err(error) = process.kill().and_then(|()| process.wait())
        {
            eprintln!("cannot end binnacle: {error}");
        }
    }
}

/// An address on loopback that nobody listens on. Another process may take it first: then the start fails.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}
