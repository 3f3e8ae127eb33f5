//! Traces as receivers written by others take them: `rotel` decodes them, `arize-phoenix` stores them.
//!
//! Both are Python packages that `./test` installs under `target/otlp-receivers`.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::harness::binnacle::{Server, free_address};
use crate::harness::tls::TlsDoor;
use crate::harness::{http, wait_for};

const LIMIT: Duration = Duration::from_secs(120);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// Service, span and parent of each span of [`TRACE`].
const TREE: [(&str, &str, &str); 4] = [
    ("web", "00f067aa0ba90001", ""),
    ("cart", "00f067aa0ba90002", "00f067aa0ba90001"),
    ("payment", "00f067aa0ba90003", "00f067aa0ba90001"),
    ("bank", "00f067aa0ba90004", "00f067aa0ba90003"),
];

/// Span id to parent id.
type Tree = BTreeMap<String, String>;

fn tree() -> Tree {
    TREE.iter().map(|(_, span, parent)| ((*span).to_owned(), (*parent).to_owned())).collect()
}

/// A receiver, ended when dropped.
struct Receiver {
    process: Child,
    log: PathBuf,
}

impl Receiver {
    fn start(command: &mut Command, folder: &Path) -> Self {
        let log = folder.join("receiver.log");
        let file = File::create(&log).unwrap();
        let command =
            command.current_dir(folder).stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let process =
            command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}; run ./test, which installs it"));
        Self { process, log }
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("cannot end the receiver: {error}");
        }
    }
}

/// Where `./test` installs a package's programs.
fn installed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/otlp-receivers").join(path)
}

/// A server that sends to `endpoint` over `protocol`, with the lines of [`TREE`] pushed to it.
fn server(scratch: &Path, endpoint: SocketAddr, protocol: &str) -> Server {
    server_with(scratch, &format!("endpoint: 'http://{endpoint}', protocol: {protocol}"))
}

/// The same with these settings of `export`.
fn server_with(scratch: &Path, export: &str) -> Server {
    let config = scratch.join("binnacle.yaml");
    std::fs::write(&config, format!("traces: {{idle: 1s}}\nexport: {{{export}}}\n")).unwrap();
    let config = config.display().to_string();
    let mut server = Server::new("run", scratch, &["--docker-host", "none", "--config", &config]);
    server.start();
    server.wait_ready();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let streams: Vec<_> = TREE
        .iter()
        .map(|(service, span, parent)| {
            let line = json!({"msg": "request completed", "method": "GET", "path": "/orders/7", "status": 200,
                "duration_ms": 5, "trace_id": TRACE, "span_id": span, "parent_span_id": parent});
            json!({"stream": {"service_name": service}, "values": [[now.to_string(), line.to_string()]]})
        })
        .collect();
    let body = json!({"streams": streams}).to_string();
    let answer = http::post_json(server.address(), "/loki/api/v1/push", body.as_bytes()).unwrap();
    assert_eq!(answer.status, 204, "{}", answer.text());
    server
}

/// The last value of `key : value` lines before each `ID` of what rotel prints.
fn rotel_tree(said: &str) -> Tree {
    let (mut tree, mut trace, mut parent) = (Tree::new(), "", "");
    for line in said.lines() {
        let Some((key, value)) = line.split_once(": ") else { continue };
        match key.trim() {
            "Trace ID" => trace = value.trim(),
            "Parent ID" => parent = value.trim(),
            "ID" if trace == TRACE => {
                tree.insert(value.trim().to_owned(), parent.to_owned());
            }
            _ => {}
        }
    }
    tree
}

/// A `rotel` that prints the spans it takes at these addresses.
fn rotel(scratch: &Path, grpc: SocketAddr, web: SocketAddr) -> Receiver {
    let found = Command::new("sh")
        .arg("-c")
        .arg("ls */lib/python3*/site-packages/rotel/rotel-agent")
        .current_dir(installed(""))
        .output();
    let agent = String::from_utf8(found.expect("run ./test, which installs rotel").stdout).unwrap();
    let mut command = Command::new(installed(agent.trim()));
    command.args(["start", "--exporter", "blackhole"]);
    command.args(["--debug-log", "traces", "--debug-log-verbosity", "detailed"]);
    command.args(["--otlp-grpc-endpoint", &grpc.to_string(), "--otlp-http-endpoint", &web.to_string()]);
    Receiver::start(&mut command, scratch)
}

#[test]
fn rotel_takes_the_tree_over_grpc_behind_tls_and_nothing_before_the_certificate_is_trusted() {
    let scratch = tempfile::tempdir().unwrap();
    let (grpc, web) = (free_address(), free_address());
    let rotel = rotel(scratch.path(), grpc, web);
    let (door, stranger) = (TlsDoor::before(grpc), TlsDoor::before(grpc));
    let authority = scratch.path().join("authority.pem");
    std::fs::write(&authority, stranger.certificate()).unwrap();
    let (endpoint, path) = (door.url(), authority.display());
    let export = format!("endpoint: '{endpoint}', protocol: grpc, certificate: '{path}'");
    let mut server = server_with(scratch.path(), &export);
    let has_tried = || server.metric("binnacle_export_retries_total", "") >= 2.0;
    assert!(wait_for(LIMIT, has_tried), "{}", server.log_tail());
    assert!(server.log().contains(&endpoint), "{}", server.log());
    assert_eq!(server.metric("binnacle_export_sent_spans_total", ""), 0.0);
    assert_eq!(server.metric("binnacle_export_dropped_spans_total", ""), 0.0);
    assert!(server.end("TERM").success());

    std::fs::write(&authority, door.certificate()).unwrap();
    server.start();
    server.wait_ready();
    let is_whole = wait_for(LIMIT, || rotel_tree(&rotel.said()).len() >= TREE.len());
    assert!(is_whole, "{}\n{}", rotel.said(), server.log_tail());
    assert_eq!(rotel_tree(&rotel.said()), tree());
}

#[test]
fn rotel_decodes_the_tree_over_grpc_and_over_http() {
    for protocol in ["grpc", "http/protobuf"] {
        let scratch = tempfile::tempdir().unwrap();
        let (grpc, web) = (free_address(), free_address());
        let rotel = rotel(scratch.path(), grpc, web);
        let server = server(scratch.path(), if protocol == "grpc" { grpc } else { web }, protocol);
        let is_whole = wait_for(LIMIT, || rotel_tree(&rotel.said()).len() >= TREE.len());
        let said = rotel.said();
        assert!(is_whole, "{protocol}: {said}\n{}", server.log_tail());
        assert_eq!(rotel_tree(&said), tree(), "{protocol}");
        for (service, ..) in TREE {
            assert!(said.contains(&format!("service.name: Str({service})")), "{protocol}: {said}");
        }
        for told in ["GET /orders/{id}", "SPAN_KIND_SERVER", "http.response.status_code: Int(200)"] {
            assert_eq!(said.matches(told).count(), TREE.len(), "{protocol}: {told}: {said}");
        }
    }
}

#[test]
fn phoenix_stores_the_tree_and_its_api_returns_it() {
    let scratch = tempfile::tempdir().unwrap();
    let (web, grpc) = (free_address(), free_address());
    let mut command = Command::new(installed("phoenix/bin/phoenix"));
    command.arg("serve").env("PHOENIX_WORKING_DIR", scratch.path()).env("PHOENIX_TELEMETRY_ENABLED", "false");
    command.env("PHOENIX_HOST", "127.0.0.1");
    command.env("PHOENIX_PORT", web.port().to_string()).env("PHOENIX_GRPC_PORT", grpc.port().to_string());
    let phoenix = Receiver::start(&mut command, scratch.path());
    let is_up = wait_for(LIMIT, || http::get(web, "/healthz").is_ok_and(|answer| answer.status == 200));
    assert!(is_up, "{}", phoenix.said());
    let server = server(scratch.path(), web, "http/protobuf");
    let spans = || {
        let answer = http::get(web, "/v1/projects/default/spans?limit=100").ok().filter(|a| a.status == 200);
        answer.and_then(|answer| answer.json()["data"].as_array().cloned()).unwrap_or_default()
    };
    let is_whole = wait_for(LIMIT, || spans().len() >= TREE.len());
    assert!(is_whole, "{}\n{}", phoenix.said(), server.log_tail());
    let stored: Tree = spans()
        .iter()
        .map(|span| {
            assert_eq!(span["context"]["trace_id"], TRACE);
            assert_eq!(span["name"], "GET /orders/{id}");
            let id = span["context"]["span_id"].as_str().unwrap_or_default().to_owned();
            (id, span["parent_id"].as_str().unwrap_or_default().to_owned())
        })
        .collect();
    assert_eq!(stored, tree());
}
