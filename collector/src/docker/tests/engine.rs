//! A scripted engine whose containers log what a test tells them to, when it tells them to.
//!
//! It answers as Docker 20.10 does, or as Podman 4: with `tail` counted before `since`, and `since` leaving out every
//! earlier message. What Podman does differently: times in whole seconds, lines cut at 8 KiB, `remove` for `destroy`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use super::super::frames::tests::encode;

/// Whose ways it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Docker,
    Podman,
}

impl Kind {
    /// A line as it is kept.
    fn messages(self, stream: u8, ts_ns: i64, line: &str) -> impl Iterator<Item = Message> + use<> {
        let chunk = if self == Self::Podman { 8_192 } else { 16_384 };
        let payload = format!("{line}\n").into_bytes();
        let chunks: Vec<Vec<u8>> = payload.chunks(chunk).map(<[u8]>::to_vec).collect();
        chunks.into_iter().map(move |payload| Message { stream, ts_ns, payload })
    }
}

/// Ends with its tasks when it is dropped.
pub(super) struct Engine {
    pub(super) socket: PathBuf,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

struct State {
    kind: Kind,
    containers: Mutex<BTreeMap<String, Container>>,
    events: broadcast::Sender<String>,
    /// Changes with every message logged.
    logged: watch::Sender<u64>,
    /// Added to the clock, in seconds.
    clock_offset: AtomicI64,
    /// Said to every request.
    refusal: Mutex<Option<String>>,
}

#[derive(Clone, Default)]
struct Container {
    running: bool,
    log: Vec<Message>,
    /// Every answer brings so many messages that were not there before.
    storm: usize,
    /// How often its log was asked for.
    reads: usize,
    /// What it logs when it is started: the first while its log is asked for for the first time.
    coming: Vec<Message>,
}

#[derive(Clone)]
struct Message {
    stream: u8,
    ts_ns: i64,
    payload: Vec<u8>,
}

/// The id of the container `name`.
fn id_of(name: &str) -> String {
    format!("{:0<64}", name.bytes().map(|byte| format!("{byte:02x}")).collect::<String>())
}

impl Engine {
    pub(super) fn start(dir: &Path, kind: Kind) -> Self {
        let socket = dir.join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let state = Arc::new(State {
            kind,
            containers: Mutex::default(),
            events: broadcast::channel(1024).0,
            logged: watch::channel(0).0,
            clock_offset: AtomicI64::new(0),
            refusal: Mutex::default(),
        });
        let (shared, mut tasks) = (Arc::clone(&state), JoinSet::new());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(serve(connection, Arc::clone(&shared)));
            }
        });
        Self { socket, state, _tasks: tasks }
    }

    /// Starts a container.
    pub(super) fn run(&self, name: &str) {
        self.state.lock().insert(name.to_owned(), Container { running: true, ..Container::default() });
        self.tell(name, "start");
    }

    /// Makes a container that starts while its log is asked for for the first time: by then it has logged the first
    /// chunk of `line`. The event that tells of the start is late.
    pub(super) fn create(&self, name: &str, ts_ns: i64, line: &str) {
        let coming = self.state.kind.messages(1, ts_ns, line).collect();
        self.state.lock().insert(name.to_owned(), Container { coming, ..Container::default() });
        self.tell(name, "create");
    }

    /// How often the container's log was asked for.
    pub(super) fn reads(&self, name: &str) -> usize {
        self.state.lock()[name].reads
    }

    /// The event of its start comes, and the rest of its line.
    pub(super) fn go_on(&self, name: &str) {
        let mut containers = self.state.lock();
        let container = containers.get_mut(name).unwrap();
        container.log.append(&mut container.coming);
        drop(containers);
        self.tell(name, "start");
    }

    /// From now on the container logs `lines` between any two requests for its log.
    pub(super) fn storm(&self, name: &str, lines: usize) {
        self.state.lock().get_mut(name).unwrap().storm = lines;
    }

    /// The container writes a line.
    pub(super) fn log(&self, name: &str, stream: u8, ts_ns: i64, line: &str) {
        let messages = self.state.kind.messages(stream, ts_ns, line);
        self.state.lock().get_mut(name).unwrap().log.extend(messages);
        self.state.logged.send_modify(|count| *count += 1);
    }

    /// Refuses every request with these words, or no more.
    pub(super) fn refuse(&self, words: Option<&str>) {
        *self.state.refusal.lock().unwrap() = words.map(str::to_owned);
    }

    /// Sets the clock.
    pub(super) fn step_clock(&self, seconds: i64) {
        self.state.clock_offset.fetch_add(seconds, Ordering::Relaxed);
    }

    /// The container ends.
    pub(super) fn end(&self, name: &str) {
        self.state.lock().get_mut(name).unwrap().running = false;
        self.tell(name, "die");
    }

    /// The container is removed, with its log.
    pub(super) fn remove(&self, name: &str) {
        self.state.lock().remove(name);
        self.tell(name, if self.state.kind == Kind::Podman { "remove" } else { "destroy" });
    }

    fn tell(&self, name: &str, action: &str) {
        let id = id_of(name);
        let event = format!(
            r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"{id}","Attributes":{{"name":"{name}"}}}}}}"#
        );
        // Nobody may be listening yet.
        drop(self.state.events.send(event + "\n"));
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Container>> {
        self.containers.lock().unwrap()
    }

    fn date(&self) -> String {
        let now = jiff::Timestamp::now()
            + jiff::SignedDuration::from_secs(self.clock_offset.load(Ordering::Relaxed));
        jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now).unwrap()
    }

    fn version(&self) -> String {
        let component = match self.kind {
            Kind::Docker => r#"{"Name":"Engine","Version":"20.10.24"}"#,
            Kind::Podman => r#"{"Name":"Podman Engine","Version":"4.3.1"}"#,
        };
        format!(r#"{{"Version":"20.10.24","ApiVersion":"1.41","Components":[{component}]}}"#)
    }

    fn list(&self) -> String {
        let containers = self.lock();
        let listed: Vec<String> = containers
            .iter()
            .map(|(name, container)| {
                let state = if container.running { "running" } else { "exited" };
                format!(r#"{{"Id":"{}","Names":["/{name}"],"State":"{state}"}}"#, id_of(name))
            })
            .collect();
        format!("[{}]", listed.join(","))
    }

    fn inspect(&self, id: &str) -> Option<String> {
        let containers = self.lock();
        let (name, container) = containers.iter().find(|(name, _)| id_of(name) == id)?;
        let running = container.running;
        let state = if running { "running" } else { "exited" };
        Some(format!(
            r#"{{"Id":"{id}","Name":"/{name}","Created":"2026-01-01T00:00:00Z","Config":{{"Image":"i"}},
                "State":{{"Status":"{state}","Running":{running},"StartedAt":"2026-01-01T00:00:00Z"}}}}"#
        ))
    }

    /// The body of the answer to a request for a log.
    fn log(&self, id: &str, query: &str) -> Option<Vec<u8>> {
        let parameter = |name: &str| query.split('&').find_map(|p| p.strip_prefix(name)?.strip_prefix('='));
        let since_ns = parameter("since").map_or(i64::MIN, nanoseconds);
        let mut containers = self.lock();
        let (_, container) = containers.iter_mut().find(|(name, _)| id_of(name) == id)?;
        container.reads += 1;
        if container.reads == 1 && !container.coming.is_empty() {
            container.running = true;
            let first = container.coming.remove(0);
            container.log.push(first);
        }
        for _ in 0..container.storm {
            let number = container.log.len();
            let payload = format!("storm {number}\n").into_bytes();
            let ts_ns = 1_767_225_600_000_000_000 + number as i64 * 10_000;
            container.log.push(Message { stream: 1, ts_ns, payload });
        }
        let tail = parameter("tail").map_or(usize::MAX, |tail| tail.parse().unwrap());
        assert!(
            tail == usize::MAX || parameter("follow").is_some() || self.kind == Kind::Docker,
            "Podman counts `tail` wrongly: it must not be relied on"
        );
        let messages = &container.log[container.log.len().saturating_sub(tail)..];
        let shown = messages.iter().filter(|message| message.ts_ns >= since_ns);
        Some(shown.flat_map(|message| self.frame(message)).collect())
    }

    fn frame(&self, message: &Message) -> Vec<u8> {
        let precision = if self.kind == Kind::Podman { 1_000_000_000 } else { 1 };
        let shown_ns = message.ts_ns - message.ts_ns.rem_euclid(precision);
        let time = jiff::Timestamp::from_nanosecond(shown_ns.into()).unwrap();
        encode(message.stream, &[time.to_string().as_bytes(), b" ", &message.payload].concat())
    }
}

/// `seconds.nanoseconds`
fn nanoseconds(text: &str) -> i64 {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    seconds.parse::<i64>().unwrap() * 1_000_000_000 + format!("{fraction:0<9}").parse::<i64>().unwrap()
}

async fn serve(mut connection: UnixStream, state: Arc<State>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match connection.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let refusal = state.refusal.lock().unwrap().clone();
    if let Some(words) = refusal {
        let body = format!(r#"{{"message":"{words}"}}"#);
        let reply = format!("HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n\r\n{body}");
        drop(connection.write_all(reply.as_bytes()).await);
        return;
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parts: Vec<&str> =
        path.split('/').filter(|part| !part.is_empty() && !part.starts_with("v1.")).collect();
    let body = match parts.as_slice() {
        ["version"] => Some(state.version().into_bytes()),
        ["containers", "json"] => Some(state.list().into_bytes()),
        ["containers", id, "json"] => state.inspect(id).map(String::into_bytes),
        ["containers", _, "logs"] if query.contains("follow=1") => return ring(connection, &state).await,
        ["containers", id, "logs"] => state.log(id, query),
        ["events"] => return tell_events(connection, &state).await,
        _ => None,
    };
    let reply = match body {
        Some(body) => {
            let head = format!("HTTP/1.1 200 OK\r\nDate: {}\r\n\r\n", state.date());
            [head.as_bytes(), &body].concat()
        }
        None => b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}".to_vec(),
    };
    // The collector may have closed a reply that it does not need.
    drop(connection.write_all(&reply).await);
}

/// A follow: of what it brings nothing is read, so a byte for each change will do.
async fn ring(mut connection: UnixStream, state: &State) {
    let mut logged = state.logged.subscribe();
    let mut bytes = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    while connection.write_all(&bytes).await.is_ok() && logged.changed().await.is_ok() {
        bytes = vec![1];
    }
}

async fn tell_events(mut connection: UnixStream, state: &State) {
    let mut events = state.events.subscribe();
    let mut bytes = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    while connection.write_all(&bytes).await.is_ok() {
        let Ok(event) = events.recv().await else { return };
        bytes = event.into_bytes();
    }
}
