//! Containers that come and go: their last lines, their next runs, their names, their end.

use std::time::Duration;

use crate::harness::container::{Container, emitter};
use crate::harness::engine::Version;
use crate::harness::image::IMAGE;
use crate::harness::ledger::{Expected, Ledger, assert_exact};
use crate::harness::script::Stream;
use crate::harness::site::{Site, on_each_engine};
use crate::harness::wait_for;

const LIMIT: Duration = Duration::from_secs(60);

fn the_last_lines_before_an_exit_are_stored(version: Version) {
    let site = Site::open(version);
    let mut expected = Vec::new();
    for round in 0..2 {
        let at_once: Vec<Container<'_>> = (0..8)
            .map(|i| emitter(&format!("burst-{round}-{i}"), "len=120 lines=20000").start(&site.engine))
            .collect();
        at_once.iter().for_each(|c| c.wait_exited(LIMIT));
        expected.extend(at_once.iter().map(|c| Expected::of(c, 1)));
    }
    let verdicts = assert_exact(&site.server, &expected, LIMIT);
    assert!(verdicts.iter().all(|v| v.in_gaps == 0));
}

fn containers_of_a_few_milliseconds_are_caught(version: Version) {
    let site = Site::open(version);
    let kept: Vec<Container<'_>> =
        (0..12).map(|i| emitter(&format!("kept-{i}"), "lines=100").start(&site.engine)).collect();
    let removed: Vec<Container<'_>> = (0..12)
        .map(|i| emitter(&format!("removed-{i}"), "lines=100 sleep=0.05").with("--rm").start(&site.engine))
        .collect();
    let cut_off: Vec<Container<'_>> = (0..6)
        .map(|i| {
            let script = "lines=60 sleep=0.05 lines=40";
            emitter(&format!("cut-off-{i}"), script).with("--rm").start(&site.engine)
        })
        .collect();
    kept.iter().for_each(|c| c.wait_exited(LIMIT));
    let ended = ["ps", "--all", "--filter", "name=removed", "--filter", "name=cut-off", "--quiet"];
    let gone = || site.engine.docker(&ended).is_empty();
    // An engine that cannot remove one leaves it: what it then still holds has to be read all the same.
    wait_for(LIMIT / 3, gone);
    removed.iter().chain(&cut_off).for_each(|c| assert!(c.has_ended(), "{}", c.name));

    let mut expected: Vec<Expected> = kept.iter().map(|c| Expected::of(c, 1)).collect();
    expected.extend(removed.iter().map(|c| Expected::gone(c, 1)));
    expected.extend(cut_off.iter().map(|c| Expected::gone(c, 1)));
    let verdicts = assert_exact(&site.server, &expected, LIMIT);
    let (kept, rest) = verdicts.split_at(kept.len());
    let (removed, _) = rest.split_at(removed.len());
    assert!(kept.iter().all(|v| v.in_gaps == 0));
    // The engine deletes the log while it may still be asked for: a gap then says so.
    let whole = removed.iter().filter(|v| v.in_gaps == 0).count();
    let gaps = Ledger::read(&site.server, "*").gaps;
    let gaps = gaps.iter().filter(|gap| gap.name.starts_with("removed")).count();
    println!("{whole} of {} removed containers were read whole, {gaps} have a gap", removed.len());
    assert!(whole >= removed.len() / 2);
    // Whoever is known to be read to its end has no gap. A busy machine comes too late to know it of some.
    assert!(gaps <= removed.len() - removed.len() / 4, "{gaps} gaps");
}

fn a_container_that_nobody_saw_alive_is_a_gap(version: Version) {
    let site = Site::open_with(version, "", &[]);
    site.server.signal("STOP"); // what happens meanwhile it hears when all is over
    let unseen = emitter("unseen", "lines=100").with("--rm").start(&site.engine);
    let left_alone =
        emitter("left-alone", "lines=100").with("--rm --label binnacle.enable=false").start(&site.engine);
    let gone = || site.engine.docker(&["ps", "--all", "--quiet"]).is_empty();
    assert!(wait_for(LIMIT, gone));
    site.server.signal("CONT");
    let verdicts = assert_exact(&site.server, &[Expected::gone(&unseen, 1)], LIMIT);
    assert_eq!((verdicts[0].stored, verdicts[0].in_gaps), (0, 100), "{}", verdicts[0]);
    let gaps = Ledger::read(&site.server, "*").gaps;
    assert!(gaps.iter().all(|gap| gap.name != left_alone.name), "{gaps:?}");
}

fn a_container_that_never_ran_leaves_no_gap(version: Version) {
    let site = Site::open(version);
    for number in 0..12 {
        let name = format!("never-started-{number}");
        site.engine.docker(&["create", "--name", &name, IMAGE, "/bin/emit", &name, "lines=1"]);
        site.engine.docker(&["rm", &name]);
    }
    let last = emitter("last", "lines=100").start(&site.engine);
    last.wait_exited(LIMIT);
    assert_exact(&site.server, &[Expected::of(&last, 1)], LIMIT);
    assert!(Ledger::read(&site.server, "*").gaps.is_empty(), "{}", site.server.log());
}

fn every_run_of_a_restarted_container_is_stored_once(version: Version) {
    const RUNS: u32 = 25;
    let mut site = Site::open(version);
    let container = emitter("again", "lines=400").start(&site.engine);
    for run in 1..RUNS {
        container.wait_exited(LIMIT);
        site.engine.docker(&["start", "again"]);
        if run % 8 == 0 {
            site.server.kill();
            site.server.start();
        }
    }
    container.wait_exited(LIMIT);
    let verdicts = assert_exact(&site.server, &[Expected::of(&container, RUNS)], LIMIT);
    assert_eq!(verdicts[0].stored, 400 * RUNS as usize, "{}", verdicts[0]);
}

fn a_restart_policy_loop_is_followed(version: Version) {
    let site = Site::open(version);
    let container = emitter("loop", "lines=300").with("--restart always").start(&site.engine);
    container.wait_held(1_500, LIMIT);
    site.engine.docker(&["stop", "--time", "0", "loop"]);
    assert_exact(&site.server, &[Expected::held(&container)], LIMIT);
}

fn a_container_removed_by_force_keeps_what_was_read(version: Version) {
    let site = Site::open(version);
    let container = emitter("forced", "rate=500 lines=60000").start(&site.engine);
    container.wait_held(1_000, LIMIT);
    let held = Expected { written: container.written(1), ..Expected::held(&container) };
    site.engine.docker(&["rm", "--force", "forced"]);
    // What it wrote in its last moments is unknown: the stored lines are a beginning of the script.
    let complete = || {
        let ledger = Ledger::read(&site.server, "*");
        let stored: Vec<&str> =
            ledger.of("forced").get(&Stream::Out).into_iter().flatten().map(|r| r.line.as_str()).collect();
        let written = &held.written[&Stream::Out];
        assert!(stored.iter().zip(written).all(|(s, w)| s.as_bytes() == w), "out of order or repeated");
        // The engine deletes the last lines together with the container: then a gap says so.
        stored.len() >= held.held[&Stream::Out].len() || ledger.gaps.iter().any(|gap| gap.name == "forced")
    };
    assert!(wait_for(LIMIT, complete), "{}", Ledger::read(&site.server, "*").compare(&held));
}

fn lines_removed_while_the_collector_was_down_are_a_gap(version: Version) {
    let mut site = Site::open(version);
    let container = emitter("lost", "lines=1000 sleep=3 lines=1000").start(&site.engine);
    container.wait_held(1_000, LIMIT);
    assert_exact(&site.server, &[Expected::held(&container)], LIMIT);
    site.server.kill();
    container.wait_exited(LIMIT);
    let expected = Expected::gone(&container, 1);
    site.engine.docker(&["rm", "lost"]);
    site.server.start();
    site.server.wait_ready();
    let verdicts = assert_exact(&site.server, &[expected], LIMIT);
    assert_eq!((verdicts[0].stored, verdicts[0].in_gaps), (1_000, 1_000), "{}", verdicts[0]);
    assert!(verdicts[0].reasons.contains("removed"), "{:?}", verdicts[0].reasons);
}

fn a_renamed_container_goes_on_under_its_new_name(version: Version) {
    let site = Site::open(version);
    let container = emitter("before", "rate=300 lines=3000").start(&site.engine);
    container.wait_held(900, LIMIT);
    site.engine.docker(&["rename", "before", "after"]);
    container.wait_exited(LIMIT);
    let written = container.written(1).remove(&Stream::Out).unwrap();
    let both_names = || {
        let ledger = Ledger::read(&site.server, "*");
        let [before, after] = ["before", "after"].map(|name| {
            let lines = ledger.of(name).remove(&Stream::Out).unwrap_or_default();
            lines.iter().map(|r| r.line.clone().into_bytes()).collect::<Vec<_>>()
        });
        (before.len(), after.len(), [before, after].concat())
    };
    let whole = wait_for(LIMIT, || both_names().2.len() >= written.len());
    let (before, after, lines) = both_names();
    assert!(whole && lines == written, "{before} before and {after} after of {}", written.len());
    assert!(before > 0 && after > 0, "{before} before and {after} after");
}

fn a_storm_of_events_hides_no_container(version: Version) {
    let site = Site::open(version);
    emitter("storm-0", "sleep=600").start(&site.engine);
    let mut expected = Vec::new();
    // More events than the 256 that the engine remembers, with short lives among them.
    for i in 0..120 {
        site.engine.docker(&["rename", &format!("storm-{i}"), &format!("storm-{}", i + 1)]);
        if i % 10 == 0 {
            expected.push(emitter(&format!("amid-{i}"), "lines=30").start(&site.engine));
        }
    }
    expected.iter().for_each(|c| c.wait_exited(LIMIT));
    let expected: Vec<Expected> = expected.iter().map(|c| Expected::of(c, 1)).collect();
    assert_exact(&site.server, &expected, LIMIT);
}

on_each_engine!(
    the_last_lines_before_an_exit_are_stored,
    containers_of_a_few_milliseconds_are_caught,
    a_container_that_nobody_saw_alive_is_a_gap,
    a_container_that_never_ran_leaves_no_gap,
    every_run_of_a_restarted_container_is_stored_once,
    a_restart_policy_loop_is_followed,
    a_container_removed_by_force_keeps_what_was_read,
    lines_removed_while_the_collector_was_down_are_a_gap,
    a_renamed_container_goes_on_under_its_new_name,
    a_storm_of_events_hides_no_container,
);
