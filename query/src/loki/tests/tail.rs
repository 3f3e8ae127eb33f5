//! `tail` over real WebSockets on a loopback port.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::StreamExt;
use serde_json::Value;
use store::{Labels, Level};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{Server, record, target};
use crate::Config;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const PATIENCE: Duration = Duration::from_secs(20);

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

    async fn connect(&self, params: &str) -> Result<Socket, Error> {
        let url = format!("ws://{}{}", self.address, target("/loki/api/v1/tail", params));
        connect_async(url).await.map(|(socket, _)| socket)
    }
}

/// The lines of the next message that has some.
async fn next_lines(socket: &mut Socket) -> Vec<String> {
    let next = async {
        loop {
            let Message::Text(text) = socket.next().await.unwrap().unwrap() else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            let streams = message["streams"].as_array().unwrap();
            let lines: Vec<String> = streams
                .iter()
                .flat_map(|stream| stream["values"].as_array().unwrap())
                .map(|value| value[1].as_str().unwrap().to_owned())
                .collect();
            if !lines.is_empty() {
                return lines;
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_lines_come_first_and_then_every_new_one_that_matches() {
    let listening = Listening::new(Config::default()).await;
    listening.log(1, "an order was paid");
    listening.log(2, "an order was lost");
    let mut socket = listening.connect(r#"query={app="shop"} |= "order" & start=0"#).await.unwrap();
    assert_eq!(next_lines(&mut socket).await, ["an order was paid", "an order was lost"]);
    listening.log(3, "the cart is empty");
    listening.log(4, "an order was found");
    assert_eq!(next_lines(&mut socket).await, ["an order was found"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_gives_its_seat_back() {
    let listening = Listening::new(Config { max_tails: 1, ..Config::default() }).await;
    let query = r#"query={app="shop"}"#;
    let first = listening.connect(query).await.unwrap();
    match listening.connect(query).await {
        Err(Error::Http(refused)) => assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS),
        other => panic!("a second tail was not refused: {other:?}"),
    }
    drop(first);
    let free = async {
        while listening.connect(query).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, free).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_log_queries_can_be_tailed() {
    let listening = Listening::new(Config::default()).await;
    match listening.connect(r#"query=rate({app="shop"}[1m])"#).await {
        Err(Error::Http(refused)) => {
            assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
            let text = String::from_utf8(refused.into_body().unwrap_or_default()).unwrap();
            assert!(text.contains("tail is only supported for log queries"), "{text}");
        }
        other => panic!("a metric query was tailed: {other:?}"),
    }
}
