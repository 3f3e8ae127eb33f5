//! The API called in process: scenarios from text files, and rules that every answer must keep.

mod limits;
mod rules;
mod scenario;
mod shape;
mod tail;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use store::{Batch, Labels, Level, Pair, Record, Writer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use self::shape::{Answer, Asked, check};
use crate::Config;
use crate::http::{AppState, router};

/// The header with which Grafana asks for labels by category.
const CATEGORIZED: (&str, &str) = ("x-loki-response-encoding-flags", "categorize-labels");

/// A store with its API.
struct Server {
    writer: Writer,
    state: AppState,
    router: axum::Router,
    _dir: tempfile::TempDir,
}

impl Server {
    fn new(config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = prometheus::Registry::new();
        let writer = Writer::open(dir.path(), &store::Config::default(), &registry).unwrap();
        let (_, ready) = watch::channel(true);
        let state =
            AppState::new(writer.reader(), config, registry, ready, CancellationToken::new()).unwrap();
        Self { writer, router: router(state.clone()), state, _dir: dir }
    }

    fn load(&self, records: Vec<Record>) {
        self.writer.append_blocking(Batch { records, ..Batch::default() }).unwrap();
    }

    /// The bare answer.
    async fn send(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Status and body of an answer that keeps the rules of [`shape`].
    async fn ask(&self, request: Request<Body>) -> (StatusCode, String) {
        let target = request.uri().to_string();
        let asked = Asked::new(&target, request.headers().contains_key(CATEGORIZED.0));
        let response = self.send(request).await;
        let (head, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let answer = Answer {
            status: head.status,
            content_type: head.headers[header::CONTENT_TYPE].to_str().unwrap().to_owned(),
            nosniff: head.headers.get(header::X_CONTENT_TYPE_OPTIONS).is_some_and(|value| value == "nosniff"),
            body: String::from_utf8(body.to_vec()).unwrap(),
        };
        if let Err(broken) = check(&asked, &answer) {
            panic!("{target}: {broken}\n{}", answer.body);
        }
        (answer.status, answer.body)
    }

    /// [`Server::ask`] by `GET target`, with one header if there is one.
    async fn get(&self, target: &str, header: Option<(&str, &str)>) -> (StatusCode, String) {
        let mut request = Request::builder().method(Method::GET).uri(target);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        self.ask(request.body(Body::empty()).unwrap()).await
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A server on a port of its own, until the test's runtime ends.
struct Listening {
    server: Server,
    address: std::net::SocketAddr,
    _serving: tokio::task::JoinSet<()>,
}

impl Listening {
    async fn new(config: Config) -> Self {
        let server = Server::new(config);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = server.router.clone();
        let mut serving = tokio::task::JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { server, address, _serving: serving }
    }

    fn log(&self, seconds: i64, line: &str) {
        let labels = Arc::new(Labels::new([("app", "shop")]));
        self.server.load(vec![record(&labels, seconds * 1_000_000_000, line, Vec::new(), Level::Info)]);
    }

    async fn tail(&self, params: &str, categorize: bool) -> Result<Socket, Error> {
        let url = format!("ws://{}{}", self.address, target("/loki/api/v1/tail", params));
        let mut request = url.into_client_request().unwrap();
        if categorize {
            request.headers_mut().insert(CATEGORIZED.0, header::HeaderValue::from_static(CATEGORIZED.1));
        }
        connect_async(request).await.map(|(socket, _)| socket)
    }
}

fn record(labels: &Arc<Labels>, ts_ns: i64, line: &str, pairs: Vec<Pair>, level: Level) -> Record {
    Record { timestamp_ns: ts_ns, labels: Arc::clone(labels), line: line.to_owned().into(), level, pairs }
}

/// Encodes the parameters as written in a scenario: `name=value` separated by ` & `.
fn target(path: &str, params: &str) -> String {
    let encode = |text: &str| -> String {
        text.bytes()
            .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect()
    };
    let pairs: Vec<String> = params
        .split(" & ")
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    format!("{path}?{}", pairs.join("&"))
}
