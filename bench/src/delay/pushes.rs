//! Pushes at a steady pace, and where the time of each goes.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use crate::server::request;

/// Lines pushed at once, and how often: what a busy host logs.
const LINES: usize = 100;
const PACE: Duration = Duration::from_millis(10);

/// Times of pushes: the whole, what the server says of its parts (`Server-Timing`), and the rest.
#[derive(Default)]
pub(super) struct Pushes {
    whole: Vec<Duration>,
    decode: Vec<Duration>,
    wait: Vec<Duration>,
    commit: Vec<Duration>,
    rest: Vec<Duration>,
}

impl Pushes {
    /// Pushes until `time` is over.
    pub(super) fn push_for(&mut self, address: SocketAddr, time: Duration) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < time {
            let begun = Instant::now();
            self.push(address)?;
            std::thread::sleep(PACE.saturating_sub(begun.elapsed()));
        }
        Ok(())
    }

    fn push(&mut self, address: SocketAddr) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let values: Vec<_> = (0..LINES)
            .map(|i| [(now + i as u128).to_string(), format!("GET /cart/{i} took {} ms", now % 977)])
            .collect();
        let body =
            serde_json::json!({"streams": [{"stream": {"job": "delay"}, "values": values}]}).to_string();
        let head = format!(
            "POST /loki/api/v1/push HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let sent = Instant::now();
        let answer = request(address, &head, body.as_bytes())?;
        let whole = sent.elapsed();
        ensure!(answer.status == 204, "push: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
        let timing = answer.header("server-timing").context("a push is answered without `Server-Timing`")?;
        let part = |name| part_of(timing, name).with_context(|| format!("no `{name}` in `{timing}`"));
        let (decode, wait, commit) = (part("decode")?, part("wait")?, part("commit")?);
        self.whole.push(whole);
        self.decode.push(decode);
        self.wait.push(wait);
        self.commit.push(commit);
        self.rest.push(whole.saturating_sub(decode + wait + commit));
        Ok(())
    }

    pub(super) const fn len(&self) -> usize {
        self.whole.len()
    }

    pub(super) fn longest(&self) -> Duration {
        self.whole.iter().max().copied().unwrap_or_default()
    }

    pub(super) fn parts(&mut self) -> [(&'static str, &mut [Duration]); 5] {
        [
            ("a push", &mut self.whole),
            ("of it: read and parsed", &mut self.decode),
            ("waiting for the committer", &mut self.wait),
            ("its transaction", &mut self.commit),
            ("connection, request and answer", &mut self.rest),
        ]
    }
}

/// The duration of one part in a header `Server-Timing`.
fn part_of(timing: &str, name: &str) -> Option<Duration> {
    let part = timing.split(", ").find_map(|part| part.strip_prefix(name)?.strip_prefix(";dur="))?;
    Duration::try_from_secs_f64(part.parse::<f64>().ok()? / 1e3).ok()
}
