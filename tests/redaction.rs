//! Secrets in lines, on every way into the store: none of them is stored, and what stands around them is.

use std::path::Path;
use std::time::Duration;

use crate::harness::binnacle::{Server, binnacle};
use crate::harness::engine::{Engine, Version};
use crate::harness::http;
use crate::harness::image::IMAGE;
use crate::harness::wait_for;

const LIMIT: Duration = Duration::from_secs(60);
const RULES: &str =
    "ingest:\n  redact: {bearer_tokens: mask, url_passwords: mask, cards: mask, emails: mask}\n";
/// A line with a secret of each kind; MARK tells the ways apart.
const LINE: &str = r#"{"msg":"MARK joe@example.org 4111111111111111 redis://u:s3cret@h Bearer abc123def456","trace_id":"5555555555554444"}"#;
const SECRETS: [&str; 4] = ["joe@example", "4111111111111111", "s3cret", "abc123def456"];

fn config(folder: &Path) -> String {
    let file = folder.join("binnacle.yaml");
    std::fs::write(&file, RULES).unwrap();
    file.display().to_string()
}

fn line(mark: &str) -> String {
    LINE.replace("MARK", mark)
}

/// What a search finds of the line with `mark`.
fn found(server: &Server, mark: &str) -> String {
    let mut answer = String::new();
    let path = format!("/api/v1/search?query={mark}&limit=5");
    assert!(wait_for(LIMIT, || {
        answer = server.get(&path).text();
        answer.contains(mark)
    }));
    answer
}

fn assert_clean(server: &Server, mark: &str) {
    let answer = found(server, mark);
    for secret in SECRETS {
        assert!(!answer.contains(secret), "{secret} of {mark} in {answer}");
        let path = format!("/api/v1/search?query=%22{}%22", secret.replace('@', "%40"));
        assert_eq!(server.get(&path).json()["records"].as_array().map(Vec::len), Some(0), "{secret}");
    }
    for kind in ["token", "url_password", "card", "email"] {
        assert!(answer.contains(&format!("[redacted:{kind}]")), "{kind} of {mark} in {answer}");
    }
    assert!(answer.contains("5555555555554444"), "the id of {mark} in {answer}");
}

#[test]
fn no_way_into_the_store_lets_secrets_pass() {
    let engine = Engine::start(Version::Installed);
    let scratch = tempfile::tempdir().unwrap();
    let config = config(scratch.path());
    let host = engine.host();
    let mut server = Server::new("run", scratch.path(), &["--docker-host", &host, "--config", &config]);
    server.start();
    server.wait_ready();

    engine.docker(&[
        "run",
        "--network",
        "none",
        "--name",
        "leaky",
        IMAGE,
        "/bin/busybox",
        "echo",
        &line("docker"),
    ]);
    assert_clean(&server, "docker");
    let loki = serde_json::json!({"streams": [{"stream": {"job": "test"}, "values": [[
        now_ns(), line("loki"), {"user": "joe@example.org", "request_id": "call@sip.example.org"},
    ]]}]});
    let answer = http::post_json(server.address(), "/loki/api/v1/push", loki.to_string().as_bytes()).unwrap();
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_clean(&server, "loki");
    assert!(found(&server, "loki").contains("call@sip.example.org"), "an id in structured metadata stays");
    let otlp = serde_json::json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{
        "timeUnixNano": now_ns(), "body": {"stringValue": line("otlp")},
        "attributes": [{"key": "user", "value": {"stringValue": "joe@example.org"}}],
    }]}]}]});
    let answer = http::post_json(server.address(), "/otlp/v1/logs", otlp.to_string().as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_clean(&server, "otlp");
    let redacted = server.metric("binnacle_redactions_total", "");
    assert!(redacted >= 3.0 * 4.0, "{redacted}");
}

fn now_ns() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_nanos().to_string()
}

#[test]
fn lines_of_files_and_labels_made_of_them_are_redacted() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("lines");
    std::fs::write(&file, r#"{"msg":"file","user":"joe@example.org"}"#).unwrap();
    let data = scratch.path().join("data");
    let config = config(scratch.path());
    let run = |arguments: &[&str]| {
        binnacle().args(arguments).arg("--data").arg(&data).args(["--config", &config]).output().unwrap()
    };
    let stored = run(&["ingest", &file.display().to_string(), "--label-field", "user"]);
    assert!(stored.status.success(), "{}", String::from_utf8_lossy(&stored.stderr));
    let found = run(&["search", "--json", "file"]);
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(found.contains(r#""user":"[redacted:email]""#) && !found.contains("joe@"), "{found}");
}

#[test]
fn a_rule_that_cannot_be_applied_stops_the_start() {
    let scratch = tempfile::tempdir().unwrap();
    let start = |environment: &[(&str, &str)]| {
        let mut command = binnacle();
        command.args(["run", "--docker-host", "none", "--data"]).arg(scratch.path().join("data"));
        let output = command.envs(environment.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(start(&[("BINNACLE_INGEST_REDACT_EMAILS", "hash")]).contains("hash_key_file"));
    assert!(start(&[("BINNACLE_INGEST_REDACT_EMAILS", "remove")]).contains("BINNACLE_INGEST_REDACT_EMAILS"));
    let absent = scratch.path().join("absent").display().to_string();
    let said = start(&[
        ("BINNACLE_INGEST_REDACT_EMAILS", "hash"),
        ("BINNACLE_INGEST_REDACT_HASH_KEY_FILE", &absent),
    ]);
    assert!(said.contains(&absent), "{said}");
    assert!(!scratch.path().join("data").exists());
}
