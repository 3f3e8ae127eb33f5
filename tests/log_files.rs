//! Logs read from Docker's files (`collect.read_files`) instead of its API: as exact, over kills, rotation and
//! changes between the two.

use std::path::PathBuf;
use std::time::Duration;

use crate::harness::Random;
use crate::harness::container::emitter;
use crate::harness::engine::Version;
use crate::harness::ledger::{Expected, Ledger, assert_exact};
use crate::harness::site::{Site, on_each_engine};

const LIMIT: Duration = Duration::from_secs(60);
const KILLS: u32 = 8;

/// The configuration file, which says whether files are read.
struct Config(tempfile::TempDir);

impl Config {
    fn new(read_files: bool) -> Self {
        let config = Self(tempfile::tempdir().unwrap());
        config.write(read_files);
        config
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("binnacle.yaml")
    }

    fn write(&self, read_files: bool) {
        std::fs::write(self.path(), format!("collect:\n  read_files: {read_files}\n")).unwrap();
    }

    fn site(&self, version: Version) -> Site {
        Site::open_with(version, "", &["--config", &self.path().to_string_lossy()])
    }
}

fn json_file(max_size: &str, max_file: u32) -> String {
    format!("--log-driver json-file --log-opt max-size={max_size} --log-opt max-file={max_file}")
}

/// How the log of a container is read, as the API tells it.
fn source_of(site: &Site, name: &str) -> String {
    let answer: serde_json::Value = site.server.get("/api/v1/containers").json();
    let containers = answer["containers"].as_array().unwrap();
    let container = containers.iter().find(|container| container["name"] == name).unwrap();
    container["source"].as_str().unwrap().to_owned()
}

fn lines_are_exact_over_kills_and_changes_between_files_and_api(version: Version) {
    let config = Config::new(true);
    let mut site = config.site(version);
    let compressed = format!("{} --log-opt compress=true", json_file("300k", 12));
    let containers = [
        emitter("rotated", "len=200 rate=1000 lines=20000").with(&json_file("400k", 6)).start(&site.engine),
        emitter("compressed", "len=150 rate=700 lines=14000").with(&compressed).start(&site.engine),
        emitter("interleaved", "len=100 rate=500 lines=10000")
            .and("to=err len=100 rate=500 lines=10000")
            .start(&site.engine),
        emitter("terminal", "len=90 rate=400 lines=8000").tty().start(&site.engine),
        emitter("long-lines", "len=40000 rate=5 lines=100").start(&site.engine),
        emitter("no-final-newline", "to=err rate=300 lines=6000 part=40").start(&site.engine),
        emitter("local-driver", "rate=300 lines=6000").with("--log-driver local").start(&site.engine),
    ];
    let mut random = Random::new();
    for kill in 1..=KILLS {
        std::thread::sleep(Duration::from_millis(400 + random.below(1800)));
        site.server.kill();
        config.write(kill % 3 != 0);
        std::thread::sleep(Duration::from_millis(random.below(500)));
        site.server.start();
    }
    site.server.wait_ready();
    containers.iter().for_each(|c| c.wait_exited(LIMIT));
    let expected = containers.each_ref().map(|c| Expected::of(c, 1));
    let verdicts = assert_exact(&site.server, &expected, LIMIT);
    for verdict in &verdicts {
        assert_eq!(verdict.in_gaps, 0, "{verdict}");
    }
    assert_eq!(
        (source_of(&site, "rotated").as_str(), source_of(&site, "local-driver").as_str()),
        ("files", "poll")
    );
}

fn a_file_that_rotation_takes_away_is_read_to_its_end(version: Version) {
    let config = Config::new(true);
    let site = config.site(version);
    // A new file four times a second, and of the old ones one is kept.
    let container =
        emitter("hasty", "len=200 rate=3000 lines=30000").with(&json_file("250k", 2)).start(&site.engine);
    container.wait_exited(LIMIT);
    let verdicts = assert_exact(&site.server, &[Expected::of(&container, 1)], LIMIT);
    assert_eq!(verdicts[0].in_gaps, 0, "{}", verdicts[0]);
}

fn a_log_cut_from_outside_goes_on(version: Version) {
    let config = Config::new(true);
    let site = config.site(version);
    let container = emitter("cut", "lines=500 sleep=6 lines=500 sleep=1").start(&site.engine);
    container.wait_held(500, LIMIT);
    let first_half = Expected { container: "cut".into(), written: container.held(), held: container.held() };
    assert_exact(&site.server, &[first_half], LIMIT);
    let log = format!("containers/{0}/{0}-json.log", container.id);
    std::fs::File::create(site.engine.data_root().join(log)).unwrap();
    container.wait_exited(LIMIT);
    let written = container.written(1);
    assert_exact(
        &site.server,
        &[Expected { container: "cut".into(), held: container.held(), written }],
        LIMIT,
    );
}

fn a_log_whose_files_cannot_be_read_is_read_through_the_api(version: Version) {
    let config = Config::new(true);
    let folder = config.0.path().join("elsewhere");
    let text = format!("collect:\n  read_files: true\n  log_folder: {}\n", folder.display());
    std::fs::write(config.path(), text).unwrap();
    let site = config.site(version);
    let container = emitter("plain", "lines=1000").start(&site.engine);
    container.wait_exited(LIMIT);
    assert_exact(&site.server, &[Expected::of(&container, 1)], LIMIT);
    assert_eq!(source_of(&site, "plain"), "poll");
}

fn the_log_of_a_container_that_is_removed_at_its_end_is_read(version: Version) {
    let config = Config::new(true);
    let site = config.site(version);
    let container = emitter("fleeting", "rate=1000 lines=2000").with("--rm").start(&site.engine);
    let gone = || site.engine.docker(&["ps", "--all", "--quiet"]).trim().is_empty();
    assert!(crate::harness::wait_for(LIMIT, gone), "it is not removed");
    let expected = Expected::gone(&container, 1);
    let complete = || {
        let verdict = Ledger::read(&site.server, "*").compare(&expected);
        assert!(verdict.is_exact_as_far_as_stored(), "{verdict}");
        verdict.stored == 2000
    };
    assert!(crate::harness::wait_for(LIMIT, complete), "lines are missing");
}

on_each_engine!(
    lines_are_exact_over_kills_and_changes_between_files_and_api,
    a_file_that_rotation_takes_away_is_read_to_its_end,
    a_log_cut_from_outside_goes_on,
    a_log_whose_files_cannot_be_read_is_read_through_the_api,
    the_log_of_a_container_that_is_removed_at_its_end_is_read,
);
