//! A scripted Docker Engine: many containers that have logged one line and are silent, and one that logs at
//! a steady rate. What the fast one has logged follows from the clock, so nothing is kept.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// Its threads end with their connections; the listener ends with the process.
#[derive(Debug)]
pub(crate) struct FakeEngine {
    path: PathBuf,
}

#[derive(Debug)]
struct Script {
    version: &'static str,
    idle_containers: usize,
    lines_per_second: u64,
    begun_ns: i64,
}

/// A connection is a thread; two thousand of them must be cheap.
const STACK_BYTES: usize = 64 * 1024;
const LINE_BYTES: usize = 200;

impl FakeEngine {
    /// Serves `path`.
    pub(crate) fn start(
        path: PathBuf,
        version: &'static str,
        idle_containers: usize,
        lines_per_second: u64,
    ) -> Self {
        let listener = UnixListener::bind(&path).expect("a socket");
        let script = Arc::new(Script { version, idle_containers, lines_per_second, begun_ns: now_ns() });
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let script = Arc::clone(&script);
                // A client that leaves ends its thread with a write error.
                let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
                thread.spawn(move || script.serve(&connection).ok()).expect("a thread");
            }
        });
        Self { path }
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }
}

fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(now.as_nanos()).expect("a clock before 2262")
}

impl Script {
    fn serve(&self, connection: &UnixStream) -> std::io::Result<()> {
        let mut requests = BufReader::new(connection);
        let mut line = String::new();
        while requests.read_line(&mut line)? > 0 {
            let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
            while line.trim_end() != "" {
                line.clear();
                requests.read_line(&mut line)?;
            }
            line.clear();
            self.answer(&target, connection)?;
        }
        Ok(())
    }

    fn answer(&self, target: &str, mut connection: &UnixStream) -> std::io::Result<()> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let api = if self.version.starts_with("20.") { "1.41" } else { "1.45" };
        let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        if parts.first().is_some_and(|part| part.starts_with("v1.")) {
            parts.remove(0); // the version of the API
        }
        let body = match parts.as_slice() {
            ["version"] => json!({"Version": self.version, "ApiVersion": api, "MinAPIVersion": "1.12"}),
            ["containers", "json"] => (0..=self.idle_containers).map(|i| self.summary(i)).collect(),
            ["containers", id, "json"] => self.inspection(id),
            ["containers", id, "logs"] => return self.logs(id, query, connection),
            ["events"] => {
                connection.write_all(CHUNKED)?;
                loop {
                    std::thread::sleep(Duration::from_secs(3600));
                }
            }
            _ => json!("OK"),
        };
        let body = body.to_string();
        let length = body.len();
        write!(
            connection,
            "HTTP/1.1 200 OK\r\nApi-Version: {api}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    }

    /// Container 0 is the fast one.
    fn summary(&self, index: usize) -> Value {
        let name = if index == 0 { "/fast".to_owned() } else { format!("/idle{index}") };
        json!({"Id": format!("{index:064x}"), "Names": [name], "Image": "scripted", "State": "running",
               "Created": self.begun_ns / 1_000_000_000, "Labels": {}})
    }

    fn inspection(&self, id: &str) -> Value {
        let index = usize::from_str_radix(id, 16).unwrap_or(0);
        let began = rfc3339(self.begun_ns);
        json!({"Id": id, "Name": self.summary(index)["Names"][0], "Created": began, "Image": "scripted",
               "State": {"Status": "running", "Running": true, "Pid": 1, "StartedAt": began,
                         "FinishedAt": "0001-01-01T00:00:00Z"},
               "Config": {"Tty": false, "Image": "scripted", "Labels": {}},
               "HostConfig": {"LogConfig": {"Type": "json-file", "Config": {}}}})
    }

    fn logs(&self, id: &str, query: &str, mut connection: &UnixStream) -> std::io::Result<()> {
        let parameter = |name: &str| query.split('&').find_map(|p| p.strip_prefix(name)?.strip_prefix('='));
        let since = parameter("since").and_then(parse_since).unwrap_or(0);
        let tail = parameter("tail").and_then(|t| t.parse::<u64>().ok()).unwrap_or(u64::MAX);
        let follow = parameter("follow") == Some("1");
        let is_fast = usize::from_str_radix(id, 16) == Ok(0);
        connection.write_all(CHUNKED)?;
        let mut end = self.logged(is_fast);
        let mut next = end.saturating_sub(tail).max(self.first_since(since, is_fast));
        loop {
            let mut buffer = Vec::new();
            for number in next..end.max(next) {
                self.frame(number, &mut buffer);
                if buffer.len() > 64 * 1024 {
                    connection.write_all(&buffer)?;
                    buffer.clear();
                }
            }
            connection.write_all(&buffer)?;
            if !follow {
                return connection.write_all(b"0\r\n\r\n");
            }
            next = end;
            std::thread::sleep(if is_fast { Duration::from_millis(5) } else { Duration::from_secs(3600) });
            end = self.logged(is_fast);
        }
    }

    /// How many lines there are by now.
    fn logged(&self, is_fast: bool) -> u64 {
        let elapsed = u64::try_from(now_ns() - self.begun_ns).unwrap_or(0);
        if is_fast { elapsed / 1_000 * self.lines_per_second / 1_000_000 } else { 1 }
    }

    fn time_of(&self, number: u64) -> i64 {
        let after = number * 1_000_000 / self.lines_per_second.max(1) * 1_000;
        self.begun_ns + i64::try_from(after).unwrap_or(0)
    }

    fn first_since(&self, since_ns: i64, is_fast: bool) -> u64 {
        let before = u64::try_from((since_ns - self.begun_ns).max(0)).unwrap_or(0) / 1_000;
        let first = before * self.lines_per_second / 1_000_000;
        if is_fast { first } else { u64::from(since_ns > self.begun_ns) }
    }

    /// One HTTP chunk with one frame, as dockerd sends them.
    fn frame(&self, number: u64, buffer: &mut Vec<u8>) {
        let mut payload = format!("{} line number {number} ", rfc3339(self.time_of(number))).into_bytes();
        payload.resize(LINE_BYTES, b'x');
        payload.push(b'\n');
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        buffer.extend_from_slice(format!("{:x}\r\n", length + 8).as_bytes());
        buffer.extend_from_slice(&[1, 0, 0, 0]);
        buffer.extend_from_slice(&length.to_be_bytes());
        buffer.extend_from_slice(&payload);
        buffer.extend_from_slice(b"\r\n");
    }
}

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

fn rfc3339(ns: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(ns.into()).expect("a time in range");
    format!("{time:.9}")
}

/// `seconds.nanoseconds`
fn parse_since(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let fraction = format!("{fraction:0<9}");
    Some(seconds.parse::<i64>().ok()? * 1_000_000_000 + fraction.get(..9)?.parse::<i64>().ok()?)
}
