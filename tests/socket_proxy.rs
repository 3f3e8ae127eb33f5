//! The socket proxy before a real engine: the collector works through it, and nothing else does.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use crate::harness::binnacle::{Server, binnacle};
use crate::harness::container::emitter;
use crate::harness::engine::{Engine, Version};
use crate::harness::ledger::{Expected, assert_exact};
use crate::harness::wait_for;

const LIMIT: Duration = Duration::from_secs(60);

/// A running `binnacle socket-proxy`; dropping it ends it.
struct Proxy {
    process: Child,
    socket: PathBuf,
}

impl Proxy {
    fn start(engine: &Engine, folder: &Path) -> Self {
        let socket = folder.join("proxy.sock");
        let process = binnacle()
            .args(["socket-proxy", "--docker-host", &engine.host(), "--socket"])
            .arg(&socket)
            .spawn()
            .unwrap();
        let proxy = Self { process, socket };
        let healthy = || binnacle().args(["healthcheck", "--socket"]).arg(&proxy.socket).output().unwrap();
        assert!(wait_for(LIMIT, || healthy().status.success()));
        proxy
    }

    fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    fn ask(&self, method: &str, path: &str) -> String {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("cannot end the proxy: {error}");
        }
    }
}

#[test]
fn the_collector_works_through_the_proxy_over_its_restarts() {
    let engine = Engine::start(Version::Installed);
    let scratch = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(&engine, scratch.path());
    let mut server = Server::run(scratch.path(), &proxy.host());
    let container = emitter("proxied", "rate=500 lines=3000").start(&engine);
    assert!(wait_for(LIMIT, || server.get("/api/v1/search?query=*&limit=1").text().contains("proxied")));
    drop(proxy);
    std::thread::sleep(Duration::from_millis(500));
    let proxy = Proxy::start(&engine, scratch.path());
    container.wait_exited(LIMIT);
    assert_exact(&server, &[Expected::of(&container, 1)], LIMIT);
    assert!(wait_for(LIMIT, || server.metric("container_last_seen", "") > 0.0), "stats pass");
    let died = || server.get("/api/v1/why/proxied").text().contains("\"exit_code\":0");
    assert!(wait_for(LIMIT, died), "events pass: {}", server.get("/api/v1/why/proxied").text());
    assert!(!server.log().contains("socket proxy:"), "nothing that the collector asks is refused");
    server.end("TERM");
    drop(proxy);
}

#[test]
fn a_real_daemon_gets_only_what_the_collector_asks() {
    let engine = Engine::start(Version::Installed);
    let scratch = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(&engine, scratch.path());
    let container = emitter("guarded", "rate=10 lines=1000").start(&engine);
    for (method, path) in [
        ("POST", "/containers/create"),
        ("POST", "/v1.41/containers/guarded/kill"),
        ("DELETE", "/containers/guarded?force=1"),
        ("PUT", "/containers/guarded/archive?path=/"),
        ("HEAD", "/containers/guarded/archive?path=/etc/passwd"),
        ("GET", "/containers/guarded/archive?path=/etc/passwd"),
        ("GET", "/containers/guarded/export"),
        ("GET", "/containers/guarded/%61rchive?path=/etc/passwd"),
        ("GET", "/containers/x/../guarded/export"),
        ("GET", "/v1.41/images/json"),
        ("GET", "/secrets"),
        ("GET", "/system/df"),
        ("GET", "/containers/guarded/attach/ws?stream=1"),
    ] {
        let answer = proxy.ask(method, path);
        assert!(answer.starts_with("HTTP/1.1 403 "), "{method} {path}: {answer}");
    }
    assert!(proxy.ask("GET", "/v1.41/containers/guarded/json").starts_with("HTTP/1.1 200 "));
    assert!(
        proxy.ask("GET", "/containers/absent/json").starts_with("HTTP/1.1 404 "),
        "the daemon's own word"
    );
    assert!(container.is_running());
}

#[test]
fn beyond_loopback_the_proxy_needs_the_users_word() {
    let refused = binnacle().args(["socket-proxy", "--listen", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--socket"));
    let scratch = tempfile::tempdir().unwrap();
    let absent = scratch.path().join("absent.sock");
    let check = binnacle().args(["healthcheck", "--socket"]).arg(&absent).output().unwrap();
    assert_eq!(check.status.code(), Some(2));
    let check = binnacle().args(["healthcheck", "--listen", "127.0.0.1:1"]).output().unwrap();
    assert_eq!(check.status.code(), Some(2));
}

#[test]
fn the_page_lists_what_passes() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md")).unwrap();
    let listed: Vec<&str> = page.lines().filter(|line| line.starts_with("| `GET ")).collect();
    let expected: Vec<String> = collector::socket_proxy::ENDPOINTS
        .iter()
        .map(|endpoint| {
            let parameters: Vec<String> =
                endpoint.parameters.iter().map(|name| format!("`{name}`")).collect();
            format!(
                "| `GET /{}` | {} | {} |",
                endpoint.path.join("/"),
                parameters.join(" "),
                endpoint.purpose
            )
        })
        .collect();
    assert_eq!(listed, expected, "docs/security.md should list:\n{}", expected.join("\n"));
}
