//! What a push was told is stored is stored, whatever happens next.

use std::collections::BTreeMap;

use serde_json::json;

use crate::harness::binnacle::Server;
use crate::harness::http;

const LINES: usize = 100_000;
const PER_STREAM: usize = 4_000;
const FIRST_NS: usize = 1_700_000_000_000_000_000;

#[test]
fn a_hundred_thousand_lines_survive_a_kill_right_after_their_acknowledgement() {
    let scratch = tempfile::tempdir().unwrap();
    let mut server = Server::run(scratch.path(), "none");
    let streams: Vec<_> = (0..LINES / PER_STREAM)
        .map(|stream| {
            let value = |i: usize| {
                json!([(FIRST_NS + PER_STREAM - i).to_string(), format!("line {i} of stream {stream}")])
            };
            json!({"stream": {"job": "bulk", "nr": stream.to_string()}, "values": (0..PER_STREAM).map(value).collect::<Vec<_>>()})
        })
        .collect();
    let body = json!({ "streams": streams }).to_string();
    let answer = http::post_json(server.address(), "/loki/api/v1/push", body.as_bytes()).unwrap();
    assert_eq!(answer.status, 204, "{}", answer.text());
    server.kill();
    server.start();
    server.wait_ready();
    for stream in 0..LINES / PER_STREAM {
        assert_eq!(stored(&server, stream), (0..PER_STREAM).rev().map(|i| (i, 1)).collect());
    }
}

/// How often each line of a stream is in the store, by its number.
fn stored(server: &Server, stream: usize) -> BTreeMap<usize, usize> {
    let path = format!(
        "/loki/api/v1/query_range?query=%7Bjob%3D%22bulk%22%2Cnr%3D%22{stream}%22%7D&start={FIRST_NS}&end={}&limit=5000",
        FIRST_NS + PER_STREAM + 1
    );
    let answer = server.get(&path).json();
    let streams = answer["data"]["result"].as_array().unwrap();
    let mut lines = BTreeMap::new();
    for value in streams.iter().flat_map(|stream| stream["values"].as_array().unwrap()) {
        let ns: usize = value[0].as_str().unwrap().parse().unwrap();
        let number = FIRST_NS + PER_STREAM - ns;
        assert_eq!(value[1], format!("line {number} of stream {stream}"));
        *lines.entry(number).or_default() += 1;
    }
    lines
}
