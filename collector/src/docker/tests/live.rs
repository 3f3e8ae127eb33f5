//! What a real engine does at bad times only: a clock that is set back, Podman's ways, a storm beside quiet
//! containers.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::engine::{Engine, Kind};
use super::*;

/// 2026-01-01T00:00:00Z
const START_NS: i64 = 1_767_225_600_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;

/// A collector in a folder, which can be stopped and started again.
struct Site {
    dir: tempfile::TempDir,
    engine: Engine,
}

/// One run of the collector.
struct Run {
    writer: Writer,
    registry: prometheus::Registry,
    token: CancellationToken,
    tasks: JoinSet<()>,
}

impl Site {
    fn open(kind: Kind) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::start(dir.path(), kind);
        Self { dir, engine }
    }

    async fn start(&self) -> Run {
        let registry = prometheus::Registry::new();
        let data = self.dir.path().join("data");
        let writer = Writer::open(&data, &store::Config::default(), &registry).unwrap();
        let host = DockerHost::Unix(self.engine.socket.clone());
        let (config, ingest) = (CollectConfig::default(), IngestConfig::default());
        let enricher = Arc::new(crate::Enricher::new(&ingest, crate::Redactor::off()));
        let source = Source::new(&config, &ingest, enricher, writer.clone(), host, &registry).unwrap();
        let (token, mut ready, mut tasks) = (CancellationToken::new(), source.ready(), JoinSet::new());
        tasks.spawn(source.run(token.clone()));
        ready.wait_for(|ready| *ready).await.unwrap();
        Run { writer, registry, token, tasks }
    }
}

impl Run {
    /// Waits until `count` lines are stored, and returns them with the gaps.
    async fn stored(&self, count: usize) -> (Vec<String>, Vec<GapReason>) {
        let reader = self.writer.reader();
        let waiting = async {
            while lines(&reader).len() < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        let found = (lines(&reader), gaps(&reader));
        assert!(waited.is_ok(), "only {} lines of {count}, gaps {:?}", found.0.len(), found.1);
        found
    }

    fn metric(&self, name: &str) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().filter(|family| family.name() == name);
        family.flat_map(|f| f.get_metric()).map(|m| m.get_counter().get_value() as u64).sum()
    }

    /// Ends it in order.
    async fn end(mut self) {
        self.token.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.writer.close().await.unwrap();
    }
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn a_clock_set_back_loses_and_repeats_nothing() {
    let site = Site::open(Kind::Docker);
    site.engine.run("web");
    let run = site.start().await;
    let line = |i: i64, ts_ns: i64| site.engine.log("web", 1, ts_ns, &format!("line {i:03}"));
    (0..100).for_each(|i| line(i, START_NS + i * SECOND_NS));
    run.stored(100).await;
    // Five seconds back, and on from there past the time of the step.
    site.engine.step_clock(-5);
    (100..200).for_each(|i| line(i, START_NS + (i - 5) * SECOND_NS));
    run.stored(200).await;
    (200..300).for_each(|i| line(i, START_NS + (i - 5) * SECOND_NS));
    let (lines, gaps) = run.stored(300).await;
    assert_eq!(sorted(lines), (0..300).map(|i| format!("line {i:03}")).collect::<Vec<_>>());
    assert_eq!(gaps, []);
    assert_eq!(run.metric("docker_clock_steps_total"), 1);
}

#[tokio::test]
async fn a_damaged_position_is_found_again_by_what_is_stored() {
    for harm in [
        "UPDATE cursors SET position = CAST(replace(CAST(position AS TEXT), '1', '2') AS BLOB)",
        "UPDATE cursors SET source = 'docker/x'",
        "DELETE FROM cursors",
    ] {
        let site = Site::open(Kind::Docker);
        site.engine.run("web");
        let run = site.start().await;
        let line = |i: i64| {
            let text = if i % 10 == 9 { format!("  at line {i:03}") } else { format!("line {i:03}") };
            site.engine.log("web", 1 + u8::from(i % 3 == 0), START_NS + i / 2 * SECOND_NS, &text);
        };
        (0..101).for_each(line);
        // Nine of ten are records of their own.
        run.stored(91).await;
        run.end().await;
        let catalog = rusqlite::Connection::open(site.dir.path().join("data/catalog.db")).unwrap();
        assert!(catalog.execute(harm, []).unwrap() > 0, "{harm}");
        drop(catalog);
        (101..150).for_each(line);
        let run = site.start().await;
        let (lines, gaps) = run.stored(135).await;
        assert_eq!(texts(&lines), (0..150).collect::<Vec<_>>(), "{harm}");
        assert_eq!(gaps, [], "{harm}");
        run.end().await;
    }
}

/// Numbers of the lines.
fn texts(lines: &[String]) -> Vec<u32> {
    let lines = lines.iter().flat_map(|record| record.lines());
    let mut numbers: Vec<u32> = lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn a_clock_set_back_while_the_collector_was_down_loses_nothing() {
    let site = Site::open(Kind::Docker);
    site.engine.run("web");
    let run = site.start().await;
    let line = |i: i64, ts_ns: i64| site.engine.log("web", 1, ts_ns, &format!("line {i:03}"));
    (0..100).for_each(|i| line(i, START_NS + i * SECOND_NS));
    run.stored(100).await;
    run.end().await;
    // All of it lies before what the engine is asked for by time.
    (100..150).for_each(|i| line(i, START_NS + (i - 80) * SECOND_NS));
    let run = site.start().await;
    let (lines, gaps) = run.stored(150).await;
    assert_eq!(sorted(lines), (0..150).map(|i| format!("line {i:03}")).collect::<Vec<_>>());
    assert_eq!(gaps, []);
    run.end().await;
}

#[tokio::test]
async fn a_line_begun_before_the_start_of_its_container_is_known_stays_whole() {
    let site = Site::open(Kind::Docker);
    let line = "x".repeat(20_000);
    site.engine.create("web", START_NS, &line);
    let run = site.start().await;
    let read_twice = async {
        while site.engine.reads("web") < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, read_twice).await.expect("its log is read again");
    tokio::time::sleep(Duration::from_millis(100)).await; // for whatever the second reply has led to
    site.engine.go_on("web");
    let (lines, gaps) = run.stored(1).await;
    assert_eq!((lines, gaps), (vec![line], vec![]));
    run.end().await;
}

#[tokio::test]
async fn podmans_times_in_seconds_and_short_pieces_lose_and_repeat_nothing() {
    let site = Site::open(Kind::Podman);
    site.engine.run("pod");
    // Ten lines a second on either stream, all with the same time; one of three pieces a second.
    let log = |from: i64, to: i64| {
        for i in from..to {
            let ts_ns = START_NS + i * SECOND_NS / 10;
            let length = if i % 10 == 5 { 20_000 } else { 10 };
            site.engine.log("pod", 1, ts_ns, &format!("out {i:04} {}", "x".repeat(length)));
            site.engine.log("pod", 2, ts_ns, "the same again");
        }
    };
    let expected = |count: i64| {
        let out =
            (0..count).map(|i| format!("out {i:04} {}", "x".repeat(if i % 10 == 5 { 20_000 } else { 10 })));
        sorted(out.chain((0..count).map(|_| "the same again".to_owned())).collect())
    };
    log(0, 104);
    let run = site.start().await;
    assert_eq!(sorted(run.stored(208).await.0), expected(104));
    log(104, 108); // within the second that was read in part
    run.stored(216).await;
    run.end().await;
    log(108, 123);
    let run = site.start().await;
    let (lines, gaps) = run.stored(246).await;
    assert_eq!((sorted(lines), gaps), (expected(123), vec![]));
    site.engine.end("pod");
    log(123, 125); // what comes between the end and its event
    run.stored(250).await;
    site.engine.remove("pod");
    let reader = run.writer.reader();
    let is_removed = || reader.containers().unwrap().iter().all(|container| container.state == "removed");
    let waiting = async {
        while !is_removed() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("`remove` is taken for `destroy`");
    assert_eq!(run.stored(250).await.1, []);
    assert!(run.writer.cursors("docker/").unwrap().is_empty(), "its position is forgotten");
    run.end().await;
}

#[tokio::test]
async fn a_storm_in_one_container_holds_up_none_of_five_hundred_others() {
    const QUIET: usize = 500;
    let site = Site::open(Kind::Docker);
    site.engine.run("storm");
    site.engine.storm("storm", 2_000); // more with every request, so that it never ends
    for i in 0..QUIET {
        site.engine.run(&format!("quiet{i}"));
    }
    let run = site.start().await;
    let reader = run.writer.reader();
    let storm_lines = AtomicUsize::new(0);
    for round in 0..3_i64 {
        for i in 0..QUIET {
            let ts_ns = START_NS + round * SECOND_NS;
            site.engine.log(&format!("quiet{i}"), 1, ts_ns, &format!("quiet {i} round {round}"));
        }
        let wanted = QUIET * (round as usize + 1);
        let waiting = async {
            loop {
                let (quiet, storm): (Vec<String>, Vec<String>) =
                    lines(&reader).into_iter().partition(|line| line.starts_with("quiet"));
                storm_lines.store(storm.len(), Ordering::Relaxed);
                if quiet.len() >= wanted {
                    break sorted(quiet);
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let quiet = tokio::time::timeout(PATIENCE, waiting).await.expect("the quiet ones are read");
        let rounds =
            (0..=round).flat_map(|round| (0..QUIET).map(move |i| format!("quiet {i} round {round}")));
        assert_eq!(quiet, sorted(rounds.collect()));
    }
    assert!(storm_lines.load(Ordering::Relaxed) > 10_000, "the storm is read meanwhile: {storm_lines:?}");
    assert_eq!(gaps(&reader), []);
}

#[tokio::test]
async fn an_engine_that_refuses_our_version_is_quoted() {
    let words = "client version 1.53 is too old. Minimum supported API version is 1.60";
    let site = Site::open(Kind::Docker);
    site.engine.run("web");
    site.engine.log("web", 1, START_NS, "line");
    site.engine.refuse(Some(words));
    let registry = prometheus::Registry::new();
    let writer = Writer::open(&site.dir.path().join("data"), &store::Config::default(), &registry).unwrap();
    let host = DockerHost::Unix(site.engine.socket.clone());
    let (config, ingest) = (CollectConfig::default(), IngestConfig::default());
    let enricher = Arc::new(crate::Enricher::new(&ingest, crate::Redactor::off()));
    let source = Source::new(&config, &ingest, enricher, writer.clone(), host, &registry).unwrap();
    let (mut status, mut ready) = (source.status(), source.ready());
    let mut tasks = JoinSet::new();
    tasks.spawn(source.run(CancellationToken::new()));
    let quoted =
        status.wait_for(|status| matches!(status, Status::Unreachable { reason } if reason.contains(words)));
    tokio::time::timeout(PATIENCE, quoted).await.expect("its words are shown").unwrap();
    site.engine.refuse(None);
    tokio::time::timeout(PATIENCE, ready.wait_for(|ready| *ready)).await.expect("it is tried again").unwrap();
}
