//! Scenarios as text, in `tests/data/loki`: what is loaded, what is asked, what is expected.
//!
//! ```text
//! load                        records, indented: seconds, labels, line, given pairs, derived pairs; `!level` in
//!   10 {"a":"b"} "text"       the pairs is the record's level
//! flush                       all that was loaded goes into parts on disk
//! get [categorized] PATH PARAMETERS
//! EXPECTED                    the body but for its stats, or `status CODE PART OF THE TEXT`
//! tail [categorized] PARAMETERS
//! frame                       the next message of the tail
//! EXPECTED                    or, right after `tail`, `status CODE PART OF THE TEXT`
//! ```

use std::iter::{Enumerate, Peekable};
use std::str::Lines;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::StreamExt;
use serde_json::Value;
use store::{Labels, Level, Origin, Pair, Record};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::shape::check_frame;
use super::{CATEGORIZED, Listening, Socket, record, target};
use crate::Config;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_give_what_they_say() {
    for (name, text) in [
        ("lines.txt", include_str!("../../../tests/data/loki/lines.txt")),
        ("paging.txt", include_str!("../../../tests/data/loki/paging.txt")),
        ("merging.txt", include_str!("../../../tests/data/loki/merging.txt")),
        ("tail.txt", include_str!("../../../tests/data/loki/tail.txt")),
        ("metrics.txt", include_str!("../../../tests/data/loki/metrics.txt")),
        ("volume.txt", include_str!("../../../tests/data/loki/volume.txt")),
        ("drilldown.txt", include_str!("../../../tests/data/loki/drilldown.txt")),
        ("patterns.txt", include_str!("../../../tests/data/loki/patterns.txt")),
    ] {
        let mut scenario = Scenario {
            name,
            lines: text.lines().enumerate().peekable(),
            place: String::new(),
            listening: Listening::new(Config::default()).await,
            tail: None,
            checks: 0,
        };
        scenario.run().await;
    }
}

struct Scenario<'a> {
    name: &'static str,
    lines: Peekable<Enumerate<Lines<'a>>>,
    /// File and line of the present command.
    place: String,
    listening: Listening,
    /// The open tail, and whether it asked for categories.
    tail: Option<(Socket, bool)>,
    checks: usize,
}

impl<'a> Scenario<'a> {
    async fn run(&mut self) {
        while let Some((number, line)) = self.lines.next() {
            self.place = format!("{}:{}", self.name, number + 1);
            let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
            let (rest, categorize) = match rest.strip_prefix("categorized ") {
                Some(rest) => (rest, true),
                None => (rest, false),
            };
            match command {
                "" | "#" => {}
                "load" => self.load(),
                "flush" => self.listening.server.writer.flush_blocking().unwrap(),
                "get" => self.get(rest, categorize).await,
                "tail" => self.open_tail(rest, categorize).await,
                "frame" => self.frame().await,
                _ => panic!("{}: cannot read `{line}`", self.place),
            }
        }
        assert!(self.checks > 0, "{} checks nothing", self.name);
    }

    fn load(&mut self) {
        let mut records = Vec::new();
        while let Some((_, line)) = self.lines.next_if(|(_, line)| line.starts_with("  ")) {
            records.push(parse_record(line.trim()));
        }
        self.listening.server.load(records);
    }

    fn expected(&mut self) -> &'a str {
        self.checks += 1;
        self.lines.next().unwrap().1
    }

    async fn get(&mut self, request: &str, categorize: bool) {
        let (path, params) = request.split_once(' ').unwrap_or((request, ""));
        let header = categorize.then_some(CATEGORIZED);
        let (status, body) = self.listening.server.get(&target(path, params), header).await;
        let expected = self.expected();
        match expected.strip_prefix("status ") {
            Some(expected) => self.assert_answer(status, &body, expected),
            None => {
                assert_eq!(status, StatusCode::OK, "{}: {body}", self.place);
                assert_eq!(without_stats(&body), expected, "{}", self.place);
            }
        }
    }

    /// `expected` is a status and a part of the text.
    fn assert_answer(&self, status: StatusCode, body: &str, expected: &str) {
        let (code, part) = expected.split_once(' ').unwrap_or((expected, ""));
        assert_eq!(status.as_str(), code, "{}: {body}", self.place);
        assert!(body.contains(part), "{}: {body}", self.place);
    }

    async fn open_tail(&mut self, params: &str, categorize: bool) {
        let opened = self.listening.tail(params, categorize).await;
        let refusal = self.lines.next_if(|(_, line)| line.starts_with("status "));
        match (opened, refusal) {
            (Ok(socket), None) => self.tail = Some((socket, categorize)),
            (Err(Error::Http(refused)), Some((_, expected))) => {
                let (head, body) = refused.into_parts();
                let body = String::from_utf8(body.unwrap_or_default()).unwrap();
                self.assert_answer(head.status, &body, expected.trim_start_matches("status "));
                self.checks += 1;
            }
            (opened, _) => panic!("{}: {opened:?}", self.place),
        }
    }

    async fn frame(&mut self) {
        let expected = self.expected();
        let (socket, categorize) = self.tail.as_mut().expect("no tail is open");
        let next = async {
            loop {
                if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
                    return text;
                }
            }
        };
        let text = tokio::time::timeout(PATIENCE, next).await.expect("no message comes");
        assert_eq!(text.trim_end(), expected, "{}", self.place);
        assert_eq!(check_frame(&text, *categorize), Ok(()), "{}", self.place);
    }
}

fn parse_record(line: &str) -> Record {
    let (seconds, rest) = line.split_once(' ').unwrap();
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
    let labels = values.next().unwrap().unwrap();
    let text = values.next().unwrap().unwrap();
    let mut pairs = Vec::new();
    let mut level = Level::Unset;
    for (origin, extra) in [Origin::Given, Origin::Derived].into_iter().zip(values) {
        for (name, value) in extra.unwrap().as_object().unwrap() {
            let value = value.as_str().unwrap();
            match name.as_str() {
                "!level" => level = Level::from_name(value).unwrap(),
                _ => pairs.push(Pair { origin, name: name.as_str().into(), value: value.into() }),
            }
        }
    }
    let labels = labels.as_object().unwrap().iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap()));
    let labels = Arc::new(Labels::new(labels));
    let ts_ns = (seconds.parse::<f64>().unwrap() * 1e9).round() as i64;
    record(&labels, ts_ns, text.as_str().unwrap(), pairs, level)
}

/// Takes `data.stats` away: it differs from run to run.
fn without_stats(text: &str) -> String {
    match text.split_once(",\"stats\":{") {
        Some((result, _)) => format!("{result}}}}}"),
        None => text.trim_end().to_owned(),
    }
}
