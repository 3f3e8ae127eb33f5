//! What is not collected: by label, by name, and Binnacle itself.

use std::time::Duration;

use crate::harness::container::emitter;
use crate::harness::engine::{Engine, Version};
use crate::harness::image::IMAGE;
use crate::harness::ledger::{Expected, Ledger, assert_exact};
use crate::harness::site::{Site, on_each_engine};
use crate::harness::{binnacle, wait_for};

const LIMIT: Duration = Duration::from_secs(60);

fn containers_are_excluded_by_label_and_by_name(version: Version) {
    let scratch = tempfile::tempdir().unwrap();
    let config = scratch.path().join("binnacle.yaml");
    std::fs::write(&config, "collect:\n  exclude_names: [\"noisy-*\"]\n").unwrap();
    let site = Site::open_with(version, "", &["--config", &config.to_string_lossy()]);
    let excluded = [
        emitter("opted-out", "lines=50").with("--label binnacle.enable=false").start(&site.engine),
        emitter("noisy-one", "lines=50").start(&site.engine),
    ];
    let wanted =
        emitter("wanted", "sleep=1 lines=50").with("--label binnacle.service=shop").start(&site.engine);
    excluded.iter().chain([&wanted]).for_each(|c| c.wait_exited(LIMIT));
    assert_exact(&site.server, &[Expected::of(&wanted, 1)], LIMIT);
    let ledger = Ledger::read(&site.server, "*");
    assert!(ledger.records.iter().all(|r| r.labels["container"] == "wanted"), "{:?}", ledger.records.first());
    assert!(ledger.records.iter().all(|r| r.labels["service_name"] == "shop"));
}

fn binnacle_in_a_container_does_not_collect_itself(version: Version) {
    let engine = Engine::start(version);
    let scratch = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_binnacle");
    // The binary needs the C library of the machine that built it; its own log makes it a noisy container.
    let id = engine.docker(&[
        "run",
        "--detach",
        "--network",
        "none",
        "--name",
        "observer",
        "--volume",
        "/usr:/usr:ro",
        "--volume",
        "/lib:/lib:ro",
        "--volume",
        "/lib64:/lib64:ro",
        "--volume",
        &format!("{program}:/binnacle:ro"),
        "--volume",
        &format!("{}:/docker.sock", engine.socket().display()),
        "--volume",
        &format!("{}:/data", scratch.path().display()),
        "--env",
        "RUST_LOG=debug",
        IMAGE,
        "/binnacle",
        "run",
        "--data",
        "/data",
        "--docker-host",
        "unix:///docker.sock",
    ]);
    let other = emitter("other", "lines=50").start(&engine);
    other.wait_exited(LIMIT);
    let folder = scratch.path().to_string_lossy().into_owned();
    let search = || {
        let arguments = ["search", "--data", &folder, "--json", "--limit", "0", "NOT stream:events"];
        let output = binnacle::binnacle().args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let found = wait_for(LIMIT, || search().lines().count() >= 50);
    std::thread::sleep(Duration::from_secs(2));
    let output = engine.docker_command(&["logs", &id]).output().unwrap();
    assert!(found, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stderr.is_empty(), "it has logged something itself");
    assert!(!search().contains("\"container\":\"observer\""), "it has collected itself");
}

on_each_engine!(
    containers_are_excluded_by_label_and_by_name,
    binnacle_in_a_container_does_not_collect_itself,
);
