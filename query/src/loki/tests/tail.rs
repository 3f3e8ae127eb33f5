//! `tail` over real WebSockets on a loopback port.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::StreamExt;
use serde_json::Value;
use store::{Labels, Level};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::shape::check_frame;
use super::{Listening, Socket, record};
use crate::Config;

const PATIENCE: Duration = Duration::from_secs(20);

/// The next message with something in it.
async fn next_message(socket: &mut Socket) -> Value {
    let next = async {
        loop {
            let Message::Text(text) = socket.next().await.unwrap().unwrap() else { continue };
            assert_eq!(check_frame(&text, false), Ok(()));
            return serde_json::from_str(&text).unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, next).await.unwrap()
}

fn lines_of(message: &Value) -> Vec<String> {
    let streams = message["streams"].as_array().unwrap();
    let values = streams.iter().flat_map(|stream| stream["values"].as_array().unwrap());
    values.map(|value| value[1].as_str().unwrap().to_owned()).collect()
}

async fn next_lines(socket: &mut Socket) -> Vec<String> {
    lines_of(&next_message(socket).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_lines_come_first_and_then_every_new_one_that_matches() {
    let listening = Listening::new(Config::default()).await;
    listening.log(1, "an order was paid");
    listening.log(2, "an order was lost");
    let mut socket = listening.tail(r#"query={app="shop"} |= "order" & start=0"#, false).await.unwrap();
    assert_eq!(next_lines(&mut socket).await, ["an order was paid", "an order was lost"]);
    listening.log(3, "the cart is empty");
    listening.log(4, "an order was found");
    assert_eq!(next_lines(&mut socket).await, ["an order was found"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_gives_its_seat_back() {
    let listening = Listening::new(Config { max_tails: 1, ..Config::default() }).await;
    let query = r#"query={app="shop"}"#;
    let first = listening.tail(query, false).await.unwrap();
    match listening.tail(query, false).await {
        Err(Error::Http(refused)) => assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS),
        other => panic!("a second tail was not refused: {other:?}"),
    }
    drop(first);
    let free = async {
        while listening.tail(query, false).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, free).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_misses_lines_and_is_told() {
    const LINES: i64 = 600;
    let listening = Listening::new(Config::default()).await;
    listening.log(1, "first");
    let mut socket = listening.tail(r#"query={app="shop"} & start=0"#, false).await.unwrap();
    assert_eq!(next_lines(&mut socket).await, ["first"]);
    // More than the sockets hold, and then more than is kept for tails once it has left the head.
    let filler = "x".repeat(64 << 10);
    let labels = Arc::new(Labels::new([("app", "shop")]));
    let line =
        |i: i64| record(&labels, (2 + i) * 1_000_000_000, &format!("{i} {filler}"), Vec::new(), Level::Info);
    tokio::task::block_in_place(|| {
        for first in (0..LINES).step_by(20) {
            listening.server.load((first..first + 20).map(line).collect());
        }
        listening.server.writer.flush_blocking().unwrap();
    });
    let (mut seen, mut dropped) = (Vec::new(), 0);
    while dropped == 0 {
        let message = next_message(&mut socket).await;
        dropped += message["dropped_entries"].as_array().map_or(0, Vec::len);
        seen.extend(lines_of(&message));
    }
    listening.log(LINES + 2, "last");
    while seen.last().is_none_or(|line| line != "last") {
        seen.extend(lines_of(&next_message(&mut socket).await));
    }
    let numbers: Vec<i64> = seen.iter().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert!((numbers.len() as i64) < LINES, "nothing was dropped");
}
