use std::time::Duration;

use axum::body::BodyDataStream;
use axum::http::{HeaderName, Method, StatusCode};
use futures_util::StreamExt;
use serde_json::Value;
use store::Level;

use super::{Server, server};
use crate::Config;
use crate::exec::tests::record;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// A tail that says nothing for so long is broken.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, PartialEq)]
struct Event {
    kind: String,
    id: String,
    data: Value,
}

struct Tail {
    chunks: BodyDataStream,
    text: String,
}

async fn tail(server: &Server, query: &str, last: Option<&str>) -> Tail {
    let headers: Vec<(HeaderName, &str)> = last.map(|id| (LAST_EVENT_ID, id)).into_iter().collect();
    let response = server.send(Method::GET, &format!("/api/v1/tail?query={query}"), &headers).await;
    assert_eq!(response.status(), StatusCode::OK);
    Tail { chunks: response.into_body().into_data_stream(), text: String::new() }
}

impl Tail {
    async fn next(&mut self) -> Event {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let value = |name: &str| {
                    event
                        .lines()
                        .find_map(|l| l.strip_prefix(name)?.strip_prefix(": "))
                        .unwrap_or_default()
                        .to_owned()
                };
                let event = Event {
                    kind: value("event"),
                    id: value("id"),
                    data: serde_json::from_str(&value("data")).unwrap_or_default(),
                };
                self.text = rest.to_owned();
                if event.data != Value::Null {
                    return event;
                }
                continue;
            }
            let chunk =
                tokio::time::timeout(PATIENCE, self.chunks.next()).await.expect("silence").unwrap().unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

fn paid(i: i64) -> store::Record {
    record("pay", 5_000 + i, &format!("paid {i}"), Level::Info, &[])
}

#[tokio::test]
async fn a_tail_gives_new_matching_records_and_goes_on_after_the_last_seen() {
    let server = server(Config::default());
    let mut first = tail(&server, "paid", None).await;
    server.data.append(vec![paid(1), record("pay", 1, "other", Level::Info, &[]), paid(2), paid(3)]);
    let seen = first.next().await;
    assert_eq!(seen.data["line"], "paid 1");
    drop(first);
    server.data.append(vec![paid(4)]);
    let mut second = tail(&server, "paid", Some(&seen.id)).await;
    for expected in ["paid 2", "paid 3", "paid 4"] {
        assert_eq!(second.next().await.data["line"], expected);
    }
}

#[tokio::test]
async fn a_slow_client_is_told_how_many_records_it_missed() {
    let server = server(Config { tail_buffer: 4, ..Config::default() });
    let mut slow = tail(&server, "paid", None).await;
    server.data.append((0..100).map(paid).collect());
    // The feeder fills the buffer and skips the rest while nobody reads.
    while server.state.metrics().tail_skipped.get() < 96 {
        tokio::task::yield_now().await;
    }
    for i in 0..4 {
        assert_eq!(slow.next().await.data["line"], format!("paid {i}"));
    }
    server.data.append(vec![paid(100)]);
    let told = slow.next().await;
    assert_eq!((told.kind.as_str(), &told.data["records"]), ("skipped", &Value::from(96)));
    assert_eq!(slow.next().await.data["line"], "paid 100");
}

#[tokio::test]
async fn a_tail_of_other_data_says_that_it_cannot_know_what_is_missing() {
    let server = server(Config::default());
    let mut tail = tail(&server, "", Some("999-1")).await;
    server.data.append(vec![paid(1)]);
    let told = tail.next().await;
    assert_eq!((told.kind.as_str(), &told.data["records"]), ("skipped", &Value::Null));
    assert_eq!(tail.next().await.data["line"], "paid 1");
}

#[tokio::test]
async fn tails_are_bounded_and_end_with_the_process() {
    let server = server(Config { max_tails: 1, ..Config::default() });
    let mut open = tail(&server, "", None).await;
    assert_eq!(server.json("/api/v1/tail").await.1["error"], "busy");
    server.state.shutdown().cancel();
    server.state.drained().await;
    assert!(open.chunks.next().await.is_none());
}
