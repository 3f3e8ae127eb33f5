//! Log files that are rotated while they are read. The engine replays lines (before 23) or silently skips
//! whole files to a reader that is late; neither may show, and a loss is recorded as a gap.

use std::time::Duration;

use crate::harness::container::emitter;
use crate::harness::engine::Version;
use crate::harness::ledger::{Expected, Ledger, assert_exact};
use crate::harness::site::{Site, on_each_engine};

const LIMIT: Duration = Duration::from_secs(60);

fn json_file(max_size: &str, max_file: u32) -> String {
    format!("--log-driver json-file --log-opt max-size={max_size} --log-opt max-file={max_file}")
}

fn rotation_neither_repeats_nor_loses_lines_that_are_read_in_time(version: Version) {
    let site = Site::open(version);
    // A new file about twice a second; three of them last for more than a second.
    let containers = [
        emitter("followed", "len=200 rate=1000 lines=10000").with(&json_file("200k", 4)).start(&site.engine),
        emitter("local-driver", "len=200 rate=1000 lines=10000")
            .with("--log-driver local --log-opt max-size=200k --log-opt max-file=4")
            .start(&site.engine),
        emitter("single-file", "len=200 rate=50 lines=600").with(&json_file("100k", 1)).start(&site.engine),
    ];
    containers.iter().for_each(|c| c.wait_exited(LIMIT));
    let expected = containers.each_ref().map(|c| Expected::of(c, 1));
    let verdicts = assert_exact(&site.server, &expected, LIMIT);
    assert_eq!(verdicts[0].in_gaps, 0, "{}", verdicts[0]);
}

fn a_backlog_over_several_files_is_read_whole_while_more_is_written(version: Version) {
    let mut site = Site::open(version);
    site.server.end("TERM");
    let container =
        emitter("backlog", "len=200 rate=15000 lines=90000").with(&json_file("5m", 8)).start(&site.engine);
    container.wait_held(40_000, LIMIT);
    site.server.start();
    container.wait_exited(LIMIT);
    let verdicts = assert_exact(&site.server, &[Expected::of(&container, 1)], LIMIT);
    assert_eq!(verdicts[0].in_gaps, 0, "{}", verdicts[0]);
}

fn a_writer_faster_than_any_reader_leaves_recorded_gaps_only(version: Version) {
    let site = Site::open(version);
    let containers = [
        emitter("flood", "lines=5 sleep=2 len=200 lines=300000")
            .with(&json_file("1m", 2))
            .start(&site.engine),
        emitter("tiny-files", "lines=5 sleep=2 len=200 lines=100000")
            .with(&json_file("100k", 2))
            .start(&site.engine),
    ];
    containers.iter().for_each(|c| c.wait_exited(LIMIT));
    let expected = containers.each_ref().map(|c| Expected::of(c, 1));
    let verdicts = assert_exact(&site.server, &expected, LIMIT);
    for verdict in &verdicts {
        assert!(verdict.in_gaps > 0, "the engine held 2 MB at most; {verdict}");
        assert!(verdict.reasons.contains("rotated"), "{:?}", verdict.reasons);
    }
    assert!(site.server.metric("docker_logs_gaps_total", "") >= 1.0);
}

fn lines_rotated_away_before_the_first_reading_are_a_gap(version: Version) {
    let site = Site::open(version);
    site.server.signal("STOP"); // it runs, but comes late
    let containers = [
        emitter("rotated-before", "len=200 lines=20000").with(&json_file("100k", 2)).start(&site.engine),
        emitter("not-yet-rotated", "len=200 lines=1000").with(&json_file("1m", 2)).start(&site.engine),
    ];
    containers.iter().for_each(|c| c.wait_exited(LIMIT));
    site.server.signal("CONT");
    let expected = containers.each_ref().map(|c| Expected::of(c, 1));
    let verdicts = assert_exact(&site.server, &expected, LIMIT);
    assert!(verdicts[0].in_gaps > 15_000, "{}", verdicts[0]);
    let ledger = Ledger::read(&site.server, "*");
    assert!(ledger.gaps.iter().all(|gap| gap.name == "rotated-before"), "{:?}", ledger.gaps);
}

fn a_restart_resumes_inside_a_compressed_file(version: Version) {
    let mut site = Site::open(version);
    let options = format!("{} --log-opt compress=true", json_file("200k", 12));
    let container = emitter("compressed", "len=200 rate=1000 lines=10000").with(&options).start(&site.engine);
    container.wait_held(2_000, LIMIT);
    site.server.kill();
    container.wait_held(6_000, LIMIT); // six files on
    site.server.start();
    container.wait_exited(LIMIT);
    let verdicts = assert_exact(&site.server, &[Expected::of(&container, 1)], LIMIT);
    assert_eq!(verdicts[0].in_gaps, 0, "{}", verdicts[0]);
}

fn a_log_truncated_from_outside_goes_on(version: Version) {
    let site = Site::open(version);
    let container = emitter("truncated", "lines=500 sleep=6 lines=500 sleep=1").start(&site.engine);
    container.wait_held(500, LIMIT);
    let written = container.written(1);
    let first_half =
        Expected { container: "truncated".into(), written: container.held(), held: container.held() };
    assert_exact(&site.server, &[first_half], LIMIT);
    let log = format!("containers/{0}/{0}-json.log", container.id);
    std::fs::File::create(site.engine.data_root().join(log)).unwrap();
    container.wait_exited(LIMIT);
    let both_halves = Expected { container: "truncated".into(), held: container.held(), written };
    assert_exact(&site.server, &[both_halves], LIMIT);
}

on_each_engine!(
    rotation_neither_repeats_nor_loses_lines_that_are_read_in_time,
    a_backlog_over_several_files_is_read_whole_while_more_is_written,
    a_writer_faster_than_any_reader_leaves_recorded_gaps_only,
    lines_rotated_away_before_the_first_reading_are_a_gap,
    a_restart_resumes_inside_a_compressed_file,
    a_log_truncated_from_outside_goes_on,
);
