//! Containers that die for real in all the ways they do, and what `why` says of each.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::engine::Version;
use crate::harness::image::IMAGE;
use crate::harness::site::{Site, on_each_engine};
use crate::harness::wait_for;

const LIMIT: Duration = Duration::from_secs(60);

impl Site {
    /// Starts a container in the background; tells whether it started.
    fn run(&self, arguments: &[&str], command: &[&str]) -> bool {
        let all = [&["run", "--detach", "--network", "none"], arguments, &[IMAGE], command].concat();
        self.engine.docker_command(&all).output().unwrap().status.success()
    }

    fn shell(&self, name: &str, arguments: &[&str], script: &str) {
        let arguments = [&["--name", name], arguments].concat();
        assert!(self.run(&arguments, &["/bin/sh", "-c", script]), "`{name}` does not start");
    }

    fn inspect(&self, name: &str, format: &str) -> String {
        self.engine.docker(&["inspect", "--format", format, name])
    }

    /// The newest verdict on `target`, once there are `count` and the newest is settled.
    pub(crate) fn verdict(&self, target: &str, count: usize, cause: &str) -> Value {
        let mut last = Value::Null;
        let settled = wait_for(LIMIT, || {
            let answer = self.server.get(&format!("/api/v1/why/{target}"));
            if answer.status != 200 {
                return false;
            }
            last = answer.json();
            last["deaths"].as_array().is_some_and(|deaths| deaths.len() >= count)
                && last["deaths"][0]["cause"] == cause
        });
        assert!(settled, "`{target}` should have ended by {cause}: {last:#}");
        let verdict = last["deaths"][0].clone();
        assert!(!verdict["evidence"].as_array().unwrap().is_empty(), "{verdict:#}");
        assert!(verdict["confidence"].as_f64().unwrap() >= 0.5, "{verdict:#}");
        verdict
    }
}

fn an_oom_kill_is_found_for_the_main_process_and_for_a_child(version: Version) {
    let site = Site::open(version);
    let limit = ["--memory", "32m", "--memory-swap", "32m"];
    site.shell("oom", &limit, "exec busybox tail /dev/zero");
    let verdict = site.verdict("oom", 1, "oom_kill");
    assert_eq!(verdict["exit_code"], 137);
    assert!(verdict["summary"].as_str().unwrap().contains("32.0 MiB"), "{verdict:#}");
    site.shell("oom-child", &limit, "busybox tail /dev/zero; exit 7");
    assert_eq!(site.verdict("oom-child", 1, "oom_kill")["exit_code"], 7);
}

fn a_crash_shows_its_last_words_also_when_the_container_is_gone(version: Version) {
    let site = Site::open(version);
    let trace = "echo starting; echo 'Traceback (most recent call last):' >&2; \
                 echo '  File \"shop.py\", line 7, in pay' >&2; echo 'ValueError: no such card' >&2; exit 1";
    site.shell("crash", &[], trace);
    let has_lines = |verdict: &Value| verdict["last_lines"].to_string().contains("no such card");
    let mut verdict = site.verdict("crash", 1, "crash");
    wait_for(LIMIT, || {
        verdict = site.verdict("crash", 1, "crash");
        has_lines(&verdict)
    });
    assert!(has_lines(&verdict), "{verdict:#}");
    assert_eq!(verdict["exit_code"], 1);
    site.engine.docker(&["rm", "crash"]);
    let id = verdict["container_id"].as_str().unwrap();
    let gone = site.verdict(id.split_at(12).0, 1, "crash");
    assert!(has_lines(&gone), "{gone:#}");
    let said = site.server.client(&["why", "crash"]);
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(text.contains("failed with exit code 1") && text.contains("no such card"), "{text}");
    let all = site.server.client(&["why", "--since", "1h", "--json"]);
    assert_eq!(String::from_utf8_lossy(&all.stdout).lines().count(), 1);
    let unknown = site.server.client(&["why", "nobody"]);
    assert_eq!(unknown.status.code(), Some(2));
}

fn exit_137_is_told_apart_by_who_did_it(version: Version) {
    let site = Site::open(version);
    for name in ["stopped", "killed", "shot"] {
        // Like most programs without a handler, a main process ignores SIGTERM.
        site.shell(name, &["--stop-timeout", "1"], "exec busybox sleep 1000");
    }
    site.engine.docker(&["stop", "stopped"]);
    site.engine.docker(&["kill", "killed"]);
    let pid = site.inspect("shot", "{{.State.Pid}}");
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    assert_eq!(site.verdict("stopped", 1, "docker_stop")["exit_code"], 137);
    assert_eq!(site.verdict("killed", 1, "docker_kill")["exit_code"], 137);
    assert_eq!(site.verdict("shot", 1, "killed_from_outside")["exit_code"], 137);
}

fn a_restart_for_a_failing_health_check_is_known_as_one(version: Version) {
    let site = Site::open(version);
    let check = ["--health-cmd", "echo sick; false", "--health-interval", "1s", "--health-retries", "1"];
    site.shell("sick", &[&check[..], &["--stop-timeout", "1"]].concat(), "exec busybox sleep 1000");
    assert!(wait_for(LIMIT, || site.inspect("sick", "{{.State.Health.Status}}") == "unhealthy"));
    // What a watcher of health does.
    site.engine.docker(&["restart", "sick"]);
    site.verdict("sick", 1, "health_restart");
}

fn a_start_that_fails_names_what_is_to_blame(version: Version) {
    let site = Site::open(version);
    assert!(!site.run(&["--name", "typo"], &["/bin/nope"]), "it should not start");
    let verdict = site.verdict("typo", 1, "start_failure");
    assert_eq!(verdict["blame"], "entrypoint", "{verdict:#}");
    assert!(!site.run(&["--name", "mount", "--volume", "/etc/passwd:/tmp"], &["/bin/sh"]));
    assert_eq!(site.verdict("mount", 1, "start_failure")["blame"], "mount");
}

fn a_restart_loop_is_seen_as_one(version: Version) {
    let site = Site::open(version);
    site.shell("loop", &["--restart", "on-failure:3"], "echo round; exit 3");
    let verdict = site.verdict("loop", 4, "crash");
    assert_eq!(verdict["pattern"]["restart_loop"], true, "{verdict:#}");
    assert_eq!(verdict["exit_code"], 3);
    let lines = verdict["last_lines"].as_array().map(Vec::len);
    assert_eq!(lines, Some(1), "the rounds before are not this death's: {verdict:#}");
}

fn events_are_no_lines_of_a_container(version: Version) {
    let site = Site::open(version);
    site.shell("chatty", &[], "for i in 1 2 3; do echo line $i; done");
    site.verdict("chatty", 1, "clean_exit");
    let lines = |query: &str| {
        let output = site.server.client(&["search", "--json", "--limit", "0", query]);
        String::from_utf8_lossy(&output.stdout).lines().count()
    };
    assert!(wait_for(LIMIT, || lines("container:chatty") == 3), "{}", lines("container:chatty"));
    assert_eq!(lines("*"), 3);
    assert!(lines("stream:events container:chatty") >= 3, "create, start and die at least");
}

on_each_engine!(
    an_oom_kill_is_found_for_the_main_process_and_for_a_child,
    a_crash_shows_its_last_words_also_when_the_container_is_gone,
    exit_137_is_told_apart_by_who_did_it,
    a_restart_for_a_failing_health_check_is_known_as_one,
    a_start_that_fails_names_what_is_to_blame,
    a_restart_loop_is_seen_as_one,
    events_are_no_lines_of_a_container,
);
