//! `binnacle doctor`: what it finds, what it says helps, and that it changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use crate::harness::binnacle::{Server, binnacle, free_address};
use crate::harness::container::emitter;
use crate::harness::engine::{Engine, Version};
use crate::harness::site::on_each_engine;

/// Exit code, and state, message and help by check.
fn examine(data: &Path, docker_host: &str, more: &[&str]) -> (i32, BTreeMap<String, [String; 3]>) {
    let address = free_address().to_string();
    let output = binnacle()
        .args(["doctor", "--json", "--docker-host", docker_host, "--listen", &address, "--data"])
        .arg(data)
        .args(more)
        .output()
        .unwrap();
    let findings = String::from_utf8(output.stdout).unwrap();
    let findings = findings.lines().map(|line| {
        let finding: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
        (text("check"), [text("state"), text("message"), text("help")])
    });
    (output.status.code().unwrap(), findings.collect())
}

fn containers_whose_logs_cannot_be_read_are_named(version: Version) {
    let engine = Engine::start(version);
    let scratch = tempfile::tempdir().unwrap();
    emitter("readable", "lines=10 sleep=600").start(&engine);
    emitter("unreadable", "lines=10 sleep=600").with("--log-driver none").start(&engine);
    emitter("dropping", "lines=10 sleep=600").with("--log-opt mode=non-blocking").start(&engine);
    let opted_out = "--log-driver none --label binnacle.enable=false";
    emitter("opted-out", "lines=10 sleep=600").with(opted_out).start(&engine);
    let data = scratch.path().join("data");
    let (code, findings) = examine(&data, &engine.host(), &[]);
    assert_eq!(code, 0, "warnings are no failure: {findings:?}");
    for check in ["configuration", "data", "port", "docker", "clock"] {
        assert_eq!(findings[check][0], "ok", "{findings:?}");
    }
    let [state, message, help] = &findings["containers"];
    assert_eq!(state, "warn");
    assert!(message.contains("`unreadable`: the driver `none`"), "{message}");
    assert!(message.contains("`dropping`: Docker may drop lines"), "{message}");
    assert!(!message.contains("`readable`") && !message.contains("opted-out"), "{message}");
    assert!(help.contains("--log-driver"), "{help}");
    assert!(!data.exists(), "nothing is made");
}

on_each_engine!(containers_whose_logs_cannot_be_read_are_named);

#[test]
fn what_does_not_work_fails_with_what_helps() {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::write(scratch.path().join("file"), "").unwrap();
    let socket = format!("unix://{}/no.sock", scratch.path().display());
    let (code, findings) = examine(&scratch.path().join("file/data"), &socket, &[]);
    assert_eq!(code, 2);
    assert_eq!(findings["data"][0], "fail", "{findings:?}");
    assert!(findings["data"][2].contains("--data"), "{findings:?}");
    assert_eq!(findings["docker"][0], "fail", "{findings:?}");
    assert!(findings["docker"][2].contains("--docker-host"), "{findings:?}");
}

#[test]
fn a_wrong_setting_is_the_only_finding() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("binnacle.yaml");
    std::fs::write(&file, "store: {window: 1s}\n").unwrap();
    let (code, findings) = examine(scratch.path(), "none", &["--config", &file.to_string_lossy()]);
    assert_eq!(code, 2);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings["configuration"][1].contains("store.window"), "{findings:?}");
}

#[test]
fn a_folder_in_use_names_its_holder() {
    let scratch = tempfile::tempdir().unwrap();
    let mut server = Server::new("run", scratch.path(), &["--docker-host", "none"]);
    server.start();
    server.wait_ready();
    let (code, findings) = examine(server.data(), "none", &[]);
    assert_eq!(code, 0, "{findings:?}");
    let pid = format!("pid {}", server.pid());
    assert!(findings["data"][1].contains(&pid), "{findings:?}");
}
