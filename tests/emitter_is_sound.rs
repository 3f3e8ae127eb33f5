//! The ground the other tests stand on: the engine holds what our emitter says it writes.

use std::time::Duration;

use crate::harness::container::emitter;
use crate::harness::engine::{Engine, Version};

fn holds_what_was_written(version: Version) {
    let engine = Engine::start(version);
    let containers = [
        emitter("plain", "len=80 lines=3000 to=err lines=20").start(&engine),
        emitter("terminal", "lines=50").tty().start(&engine),
        emitter("long", "len=100000 lines=5 len=16384 lines=1 part=16384 end=1 part=30").start(&engine),
        emitter("both", "lines=2000").and("to=err lines=2000").start(&engine),
        emitter("other-driver", "to=alternate lines=200").with("--log-driver local").start(&engine),
    ];
    for container in &containers {
        container.wait_exited(Duration::from_secs(30));
        assert_eq!(container.held(), container.written(1), "of `{}`", container.name);
    }
    engine.docker(&["start", "plain"]);
    containers[0].wait_exited(Duration::from_secs(30));
    assert_eq!(containers[0].held(), containers[0].written(2), "after a second run");
}

#[test]
fn the_installed_engine_holds_what_the_emitter_writes() {
    holds_what_was_written(Version::Installed);
}

#[test]
fn the_newer_engine_holds_what_the_emitter_writes() {
    holds_what_was_written(Version::Newer);
}
