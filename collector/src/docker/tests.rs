//! The collector against a scripted daemon, for what a real one cannot be made to do on demand.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use store::{BlockQuery, GapReason, Prune, Reader, TimeRange, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::frames::tests::encode;
use super::*;

mod engine;
mod live;

const ID: &str = "aa11bb22cc33dd44ee55ff66aa11bb22cc33dd44ee55ff66aa11bb22cc33dd44";
const LINES: usize = 100;
/// How long a test waits for what must happen, and no longer when it does.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the daemon does with one request for the log.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// All of it, or what `tail` asks for.
    Whole,
    /// As much, cut off inside this frame.
    CutIn(usize),
    /// An error frame before this line, wherever it is reached.
    DamagedAt(usize),
    /// A status and nothing else.
    Status(u16),
    /// The connection is closed at once.
    Nothing,
}

/// A daemon with one container that has ended.
struct Daemon {
    socket: PathBuf,
    tasks: JoinSet<()>,
}

impl Daemon {
    /// Answers requests for the log with `script`, and with its last entry from then on.
    fn start(dir: &Path, script: Vec<Answer>) -> Self {
        let socket = dir.join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let script = Arc::new(Mutex::new(script));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(serve(connection, Arc::clone(&script)));
            }
        });
        Self { socket, tasks }
    }
}

async fn serve(mut connection: UnixStream, script: Arc<Mutex<Vec<Answer>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match connection.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap();
    let state = r#"{"Status":"exited","Running":false,"ExitCode":0,"FinishedAt":"2026-01-01T00:10:00Z"}"#;
    let json = if path.ends_with("/version") {
        r#"{"Version":"26.1.5","ApiVersion":"1.45"}"#.to_owned()
    } else if path.contains("/containers/json") {
        format!(r#"[{{"Id":"{ID}","Names":["/web"],"State":"exited"}}]"#)
    } else if path.contains("/json") {
        format!(r#"{{"Id":"{ID}","Name":"/web","State":{state},"Config":{{"Image":"i"}}}}"#)
    } else if path.contains("/events") {
        let written = connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        assert!(written.is_ok());
        return std::future::pending().await;
    } else {
        let answer = next_answer(&script);
        let reply = log_reply(answer, tail_of(path));
        // The collector may have closed a reply that it does not need.
        drop(connection.write_all(&reply).await);
        return;
    };
    let reply = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{json}");
    drop(connection.write_all(reply.as_bytes()).await);
}

fn next_answer(script: &Mutex<Vec<Answer>>) -> Answer {
    let mut script = script.lock().unwrap();
    if script.len() > 1 { script.remove(0) } else { script[0] }
}

fn tail_of(path: &str) -> usize {
    let tail = path.split(['?', '&']).find_map(|pair| pair.strip_prefix("tail="));
    tail.map_or(LINES, |tail| tail.parse().unwrap()).min(LINES)
}

fn log_reply(answer: Answer, tail: usize) -> Vec<u8> {
    let mut reply = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    for line in LINES - tail..LINES {
        let message = format!("2026-01-01T00:{:02}:{:02}.000000000Z line {line}\n", line / 60, line % 60);
        let frame = encode(1, message.as_bytes());
        match answer {
            Answer::Status(status) => return format!("HTTP/1.1 {status} No\r\n\r\n{{}}").into_bytes(),
            Answer::Nothing => return Vec::new(),
            Answer::CutIn(cut) if line == cut => {
                reply.extend(&frame[..frame.len() / 2]);
                return reply;
            }
            Answer::DamagedAt(damaged) if line == damaged => {
                reply.extend(encode(3, b"Error grabbing logs: invalid character"));
                return reply;
            }
            _ => reply.extend(frame),
        }
    }
    reply
}

/// Collects from a daemon that answers by `script` until `done` says so; returns the stored lines, and the
/// reasons of the gaps.
async fn collect(
    script: Vec<Answer>,
    done: impl Fn(&[String], &[GapReason]) -> bool,
) -> (Vec<String>, Vec<GapReason>) {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(dir.path(), script);
    let registry = prometheus::Registry::new();
    let writer = Writer::open(&dir.path().join("data"), &store::Config::default(), &registry).unwrap();
    let (config, ingest) = (CollectConfig::default(), IngestConfig::default());
    let host = DockerHost::Unix(daemon.socket.clone());
    let enricher = Arc::new(Enricher::new(&ingest, crate::Redactor::off()));
    let source = Source::new(&config, &ingest, enricher, writer.clone(), host, &registry).unwrap();
    let token = CancellationToken::new();
    let mut ready = source.ready();
    daemon.tasks.spawn(source.run(token.clone()));
    let reader = writer.reader();
    let waiting = async {
        ready.wait_for(|ready| *ready).await.unwrap();
        while !done(&lines(&reader), &gaps(&reader)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    let found = (lines(&reader), gaps(&reader));
    assert!(waited.is_ok(), "it never came to that: {} lines, gaps {:?}", found.0.len(), found.1);
    token.cancel();
    daemon.tasks.shutdown().await;
    found
}

fn lines(reader: &Reader) -> Vec<String> {
    let query = BlockQuery { range: TimeRange::ALL, streams: None, levels: None, prune: &Prune::Any };
    let blocks = reader.snapshot().unwrap().candidates(&query).unwrap().blocks;
    let mut lines = Vec::new();
    for block in blocks {
        let opened = block.open().unwrap();
        lines.extend(opened.lines().unwrap().iter().map(|line| String::from_utf8(line.to_vec()).unwrap()));
    }
    lines
}

fn gaps(reader: &Reader) -> Vec<GapReason> {
    reader.gaps(TimeRange::ALL).unwrap().iter().map(|gap| gap.reason).collect()
}

fn numbered(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|number| format!("line {number}")).collect()
}

fn all_there(lines: &[String], _: &[GapReason]) -> bool {
    lines.len() >= LINES
}

#[tokio::test]
async fn a_reply_cut_inside_a_frame_is_read_on_from_there() {
    let script = vec![Answer::CutIn(40), Answer::CutIn(90), Answer::Nothing, Answer::Whole];
    let (lines, gaps) = collect(script, all_there).await;
    assert_eq!(lines, numbered(0..LINES));
    assert_eq!(gaps, []);
}

#[tokio::test]
async fn a_daemon_that_refuses_is_asked_again() {
    let (lines, gaps) =
        collect(vec![Answer::Status(500), Answer::Status(400), Answer::Whole], all_there).await;
    assert_eq!((lines, gaps), (numbered(0..LINES), vec![]));
}

#[tokio::test]
async fn lines_behind_a_damaged_message_are_read_and_the_place_is_a_gap() {
    let done = |lines: &[String], _: &[GapReason]| lines.len() >= LINES - 1;
    let (lines, gaps) = collect(vec![Answer::DamagedAt(60)], done).await;
    assert_eq!(lines, numbered((0..60).chain(61..LINES)));
    assert_eq!(gaps, [GapReason::DaemonError]);
}

#[tokio::test]
async fn a_log_that_cannot_be_read_is_recorded_once() {
    let done = |_: &[String], gaps: &[GapReason]| !gaps.is_empty();
    let (lines, gaps) = collect(vec![Answer::Status(501)], done).await;
    assert_eq!(lines, Vec::<String>::new());
    assert_eq!(gaps, [GapReason::Unreadable]);
}
