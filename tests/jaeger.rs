//! Jaeger's API over real connections: from the process that stores, and from another one over the same folder.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::binnacle::Server;
use crate::harness::engine::{Engine, Version};
use crate::harness::http;
use crate::harness::image::IMAGE;
use crate::harness::wait_for;

const LIMIT: Duration = Duration::from_secs(60);

fn now_ns() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()
}

/// Pushes a request that two services log; the second fails 40 ms after it began.
fn push(server: &Server, id: &str) {
    let begin = now_ns() - 200_000_000;
    let at = |ms: u128| (begin + ms * 1_000_000).to_string();
    let line = |msg: &str, level: &str| {
        json!({"msg": msg, "level": level, "correlation_id": id, "method": "POST", "path": "/pay"})
            .to_string()
    };
    let body = json!({"streams": [
        {"stream": {"service_name": "web"}, "values": [
            [at(0), line("request received", "info")], [at(100), line("request completed", "info")]]},
        {"stream": {"service_name": "payment"}, "values": [
            [at(20), line("request received", "info")], [at(60), line("card declined", "error")]]},
    ]});
    let answer = http::post_json(server.address(), "/loki/api/v1/push", body.to_string().as_bytes()).unwrap();
    assert_eq!(answer.status, 204, "{}", answer.text());
}

fn data(server: &Server, path: &str) -> Value {
    let answer = server.get(&format!("/jaeger/api/{path}"));
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()["data"].clone()
}

/// Service and parent's service of each span.
fn tree(trace: &Value) -> Vec<(String, Option<String>)> {
    let spans = trace["spans"].as_array().unwrap();
    let service = |span: &Value| {
        trace["processes"][span["processID"].as_str().unwrap()]["serviceName"].as_str().unwrap().to_owned()
    };
    let parent = |span: &Value| {
        let id = &span["references"][0]["spanID"];
        spans.iter().find(|other| other["spanID"] == *id).map(service)
    };
    spans.iter().map(|span| (service(span), parent(span))).collect()
}

#[test]
fn traces_of_pushed_lines_are_shown_while_open_and_found_once_closed() {
    let scratch = tempfile::tempdir().unwrap();
    let config = scratch.path().join("binnacle.yaml");
    std::fs::write(&config, "traces: {idle: 2s}\n").unwrap();
    let config = config.display().to_string();
    let mut server = Server::new("run", scratch.path(), &["--docker-host", "none", "--config", &config]);
    server.start();
    server.wait_ready();
    let mut other = Server::new("serve", scratch.path(), &["--config", &config]);
    other.start();
    other.wait_ready();

    push(&server, "order-1");
    let expected = [("web".to_owned(), None), ("payment".to_owned(), Some("web".to_owned()))];
    let both = [&server, &other];
    for server in both {
        let shown = || data(server, "traces/order-1")[0].clone();
        assert!(
            wait_for(LIMIT, || server.get("/jaeger/api/traces/order-1").status == 200),
            "{}",
            server.log_tail()
        );
        assert_eq!(tree(&shown()), expected);
    }
    let search =
        "traces?service=payment&tags=%7B%22error%22%3A%22true%22%7D&minDuration=40ms&maxDuration=40ms";
    for server in both {
        assert!(
            wait_for(LIMIT, || !data(server, search).as_array().unwrap().is_empty()),
            "{}",
            server.log_tail()
        );
        let found = data(server, search);
        assert_eq!(tree(&found[0]), expected);
        assert_eq!(found[0], data(server, "traces/order-1")[0], "the index has what the lines tell");
        assert_eq!(data(server, "services"), json!(["payment", "web"]));
        assert_eq!(data(server, "services/web/operations"), json!(["POST /pay"]));
        assert_eq!(
            data(server, "dependencies"),
            json!([{"parent": "web", "child": "payment", "callCount": 1}])
        );
        let otlp = server.get("/jaeger/api/v3/traces/order-1").json();
        assert_eq!(otlp["result"]["resourceSpans"].as_array().unwrap().len(), 2);
        let unknown = server.get("/jaeger/api/traces/4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((unknown.status, &unknown.json()["errors"][0]["msg"]), (404, &json!("trace not found")));
    }
}

#[test]
fn a_trace_tells_what_its_container_used() {
    let engine = Engine::start(Version::Installed);
    let line =
        r#"{"msg":"request completed","method":"GET","path":"/a","status":200,"correlation_id":"order-1"}"#;
    let script = format!("(/bin/busybox sleep 6; echo '{line}') & while :; do :; done");
    let limits = ["--cpus", "0.5", "--memory", "64m"];
    let start = ["run", "--detach", "--network", "none", "--name", "busy"];
    engine.docker(&[&start[..], &limits, &[IMAGE, "/bin/sh", "-c", &script]].concat());
    let scratch = tempfile::tempdir().unwrap();
    let server = Server::run(scratch.path(), &engine.host());
    let mut other = Server::new("serve", scratch.path(), &[]);
    other.start();
    other.wait_ready();

    let container = |server: &Server| {
        let answer = server.get("/api/v1/traces/order-1");
        if answer.status == 200 { answer.json()["waterfall"]["containers"][0].clone() } else { Value::Null }
    };
    for server in [&server, &other] {
        let is_between = || container(server)["resources"]["readings"].as_u64() >= Some(2);
        assert!(wait_for(LIMIT, is_between), "{}\n{}", container(server), server.log_tail());
        let told = container(server);
        let used = &told["resources"];
        let number = |name: &str| used[name].as_f64().unwrap_or(f64::NAN);
        assert_eq!((&told["container"], &used["is_around"]), (&json!("busy"), &json!(true)), "{told}");
        assert_eq!((number("cpu_limit"), number("memory_limit_bytes")), (0.5, f64::from(64 << 20)), "{told}");
        // How much of its half CPU it gets is the machine's affair, and so is how often the limit stops it.
        assert!((0.01..0.6).contains(&number("cpu_mean")), "{told}");
        assert!((0.0..=1.0).contains(&number("throttled")) && number("memory_peak_bytes") > 0.0, "{told}");
    }
    let shown = server.client(&["trace", "order-1"]);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(text.contains("container busy (") && text.contains(" of 0.50 ("), "{text}");
}
