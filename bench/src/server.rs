//! A `binnacle` process that is asked over HTTP, and its CPU time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::process::{self, ThreadTime};

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// `binnacle COMMAND --data DIR` on a free port of loopback; ended when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    pub(crate) fn start(binary: &Path, command: &str, data: &Path) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let process = Command::new(binary)
            .args([command, "--listen", &address.to_string(), "--docker-host", "none", "--data"])
            .arg(data)
            .env("BINNACLE_LOG", "warn")
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run `{}`", binary.display()))?;
        let mut server = Self { process, address };
        let start = Instant::now();
        while !server.get("/ready").is_ok_and(|answer| answer.status == 200) {
            if let Some(status) = server.process.try_wait()? {
                bail!("`binnacle {command}` has ended: {status}");
            }
            ensure!(start.elapsed() < PATIENCE, "`binnacle {command}` is not ready after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// CPU seconds of the process so far, to a hundredth.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        Ok(process::cpu_seconds_of(&self.process.id().to_string())?.0)
    }

    /// What its threads of this name have spent so far.
    pub(crate) fn threads(&self, name: &str) -> Result<ThreadTime> {
        process::thread_time_of(self.process.id(), name)
    }

    /// The value of a metric without labels.
    pub(crate) fn metric(&self, name: &str) -> Result<f64> {
        let answer = self.get("/metrics")?;
        ensure!(answer.status == 200, "metrics: status {}", answer.status);
        let text = String::from_utf8_lossy(&answer.body);
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.with_context(|| format!("there is no metric `{name}`"))?.parse()?)
    }

    fn get(&self, target: &str) -> Result<Answer> {
        request(self.address, &format!("GET {target} HTTP/1.0\r\n\r\n"), &[])
    }

    /// The JSON that `GET path` with these parameters answers.
    pub(crate) fn ask(&self, path: &str, params: &[(&str, &str)]) -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(&self.answer_to(path, params)?)?)
    }

    /// The bytes of it.
    pub(crate) fn answer_to(&self, path: &str, params: &[(&str, &str)]) -> Result<Vec<u8>> {
        let pairs: Vec<String> =
            params.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
        let Answer { status, body, .. } = self.get(&format!("{path}?{}", pairs.join("&")))?;
        ensure!(status == 200, "{params:?}: status {status}, {}", String::from_utf8_lossy(&body));
        Ok(body)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("cannot end binnacle: {error}");
        }
    }
}

/// Stores the lines of `file` in `data`, a stream for each service.
pub(crate) fn load(binary: &Path, file: &Path, data: &Path) -> Result<()> {
    let status = Command::new(binary)
        .arg("ingest")
        .arg(file)
        .args(["--label", "host=bench", "--label-field", "service=service_name", "--data"])
        .arg(data)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("cannot run `{}`", binary.display()))?;
    ensure!(status.success(), "`binnacle ingest` failed");
    Ok(())
}

fn escape(text: &str) -> String {
    let escape =
        |b: u8| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(escape).collect()
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header, named in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (header, value) = line.split_once(':')?;
            header.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Sends head and body over a connection of its own; gives the answer.
pub(crate) fn request(address: SocketAddr, head: &str, body: &[u8]) -> Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let Some(end) = memchr::memmem::find(&answer, b"\r\n\r\n") else { bail!("no HTTP answer") };
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok(Answer { status, head, body: answer.split_off(end + 4) })
}
