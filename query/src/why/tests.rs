//! Scripted deaths, as engine 20.10 tells of them, and the verdicts on them.

use std::sync::Arc;

use store::lifecycle::{Action, Death, Event, Usage};
use store::{Batch, Labels, Level, Origin, Pair, Record, TimeRange, Writer};
use tokio_util::sync::CancellationToken;

use super::case::{Case, Timed};
use super::{Cause, Question, Report, judge, why};
use crate::{Config, Context};

const MS: i64 = 1_000_000;
const T0: i64 = 1_700_000_000_000 * MS;

/// An event of the container `web`, milliseconds after the start.
fn at(ms: i64, action: Action) -> Timed {
    let mut event = Event::new(action, "ab12ab12", "web");
    event.msg = format!("web {}", action.name());
    event.service = "web".into();
    Timed { at_ns: T0 + ms * MS, event }
}

fn kill(ms: i64, signal: u32) -> Timed {
    let mut timed = at(ms, Action::Kill);
    timed.event.signal = Some(signal);
    timed
}

fn die(ms: i64, code: i64) -> Timed {
    let mut timed = at(ms, Action::Die);
    timed.event.exit_code = Some(code);
    timed.event.death = Some(Death { ran_ms: u64::try_from(ms).ok(), ..Death::default() });
    timed
}

fn unhealthy(ms: i64) -> Timed {
    let mut timed = at(ms, Action::HealthStatus);
    timed.event.health = Some("unhealthy".into());
    timed
}

fn with_death(mut timed: Timed, death: Death) -> Timed {
    timed.event.death = Some(death);
    timed
}

fn of(mut timed: Timed, id: &str, service: &str, project: &str) -> Timed {
    timed.event.container_id = id.into();
    timed.event.container = service.into();
    timed.event.service = service.into();
    timed.event.project = project.into();
    timed
}

fn rebuilt(mut timed: Timed) -> Timed {
    timed.event.rebuilt = true;
    timed
}

/// The verdict on the last death of `own`.
fn verdict_among(own: &[Timed], others: &[Timed]) -> Cause {
    let death = own.iter().rfind(|e| matches!(e.event.action, Action::Die | Action::StartFailed)).unwrap();
    let opinion = judge::judge(&Case { death, own, others });
    assert!(!opinion.evidence.is_empty(), "a verdict without evidence: {opinion:?}");
    assert!(opinion.confidence > 0.0 && opinion.confidence <= 1.0);
    opinion.cause
}

fn verdict(own: &[Timed]) -> Cause {
    let mut all = vec![at(0, Action::Start)];
    all.extend_from_slice(own);
    verdict_among(&all, &[])
}

#[test]
fn exit_137_has_four_meanings() {
    assert_eq!(verdict(&[at(900, Action::Oom), die(940, 137)]), Cause::OomKill);
    assert_eq!(
        verdict(&[kill(900, 15), kill(10_900, 9), die(10_950, 137), at(11_000, Action::Stop)]),
        Cause::DockerStop
    );
    assert_eq!(verdict(&[kill(900, 9), die(940, 137)]), Cause::DockerKill);
    assert_eq!(verdict(&[die(940, 137)]), Cause::KilledFromOutside);
}

#[test]
fn an_oom_kill_is_found_also_when_docker_does_not_mark_it() {
    let near =
        Death { memory_limit_bytes: 32 << 20, usage: vec![Usage(3, 31 << 20, 900)], ..Death::default() };
    assert_eq!(verdict(&[with_death(die(940, 137), near.clone())]), Cause::OomKill);
    let counted = Death { oom_kills: Some(1), ..Death::default() };
    assert_eq!(verdict(&[with_death(die(940, 137), counted)]), Cause::OomKill);
    let marked = Death { oom_killed: true, ..Death::default() };
    assert_eq!(verdict(&[with_death(die(940, 137), marked.clone())]), Cause::OomKill);
    assert_eq!(verdict(&[at(930, Action::Oom), die(940, 1)]), Cause::OomKill, "a child was killed");
    assert_eq!(
        verdict(&[kill(900, 9), with_death(die(940, 137), near)]),
        Cause::DockerKill,
        "it was asked for"
    );
    assert_eq!(verdict(&[with_death(die(90_000, 0), marked)]), Cause::CleanExit, "a child, long ago");
}

#[test]
fn who_asked_docker_is_told_by_what_follows() {
    let stop = [kill(900, 15), die(950, 143), at(960, Action::Stop)];
    assert_eq!(verdict(&stop), Cause::DockerStop);
    let told_before = [kill(900, 15), kill(1900, 9), at(1940, Action::Stop), die(1950, 137)];
    assert_eq!(verdict(&told_before), Cause::DockerStop, "engine 26 tells in this order");
    let restart = [
        kill(900, 15),
        die(950, 0),
        at(960, Action::Stop),
        at(1200, Action::Start),
        at(1201, Action::Restart),
    ];
    assert_eq!(verdict(&restart), Cause::DockerRestart);
    let mut sick = vec![unhealthy(500)];
    sick.extend_from_slice(&restart);
    assert_eq!(verdict(&sick), Cause::HealthRestart);
    let removed = [kill(900, 9), die(940, 137), at(960, Action::Destroy)];
    assert_eq!(verdict(&removed), Cause::DockerRemove);
    let reload = [kill(100, 1), die(940, 3)];
    assert_eq!(verdict(&reload), Cause::Crash, "SIGHUP is often no more than a wish");
    let hung_up = [kill(900, 1), die(940, 129)];
    assert_eq!(verdict(&hung_up), Cause::DockerKill);
}

#[test]
fn compose_is_known_by_its_project() {
    let own: Vec<Timed> =
        [at(0, Action::Start), kill(900, 15), die(950, 0), at(960, Action::Stop), at(1000, Action::Destroy)]
            .into_iter()
            .map(|e| of(e, "ab12ab12", "web", "shop"))
            .collect();
    assert_eq!(verdict_among(&own, &[]), Cause::DockerStop);
    let neighbour = of(at(1500, Action::Stop), "cd34", "db", "shop");
    assert_eq!(verdict_among(&own, &[neighbour]), Cause::ComposeStop);
    let stranger = of(at(1500, Action::Stop), "cd34", "db", "other");
    assert_eq!(verdict_among(&own, &[stranger]), Cause::DockerStop);
    let replacement = of(at(800, Action::Create), "ef56", "web", "shop");
    assert_eq!(verdict_among(&own, &[replacement]), Cause::ComposeRecreate);
}

#[test]
fn own_ends_are_crashes_or_clean() {
    assert_eq!(verdict(&[die(940, 0)]), Cause::CleanExit);
    assert_eq!(verdict(&[die(940, 1)]), Cause::Crash);
    assert_eq!(verdict(&[die(940, 139)]), Cause::Crash, "a segmentation fault");
    assert_eq!(verdict(&[die(940, 127)]), Cause::Crash);
    assert_eq!(verdict(&[die(940, 143)]), Cause::KilledFromOutside);
}

#[test]
fn the_daemon_and_the_host_take_their_containers_along() {
    let own = [at(0, Action::Start), die(60_000, 137)];
    let down = of(at(61_000, Action::DaemonDown), "", "dockerd", "");
    assert_eq!(verdict_among(&own, &[down]), Cause::DaemonRestart);
    let boot = of(at(50_000, Action::HostBoot), "", "dockerd", "");
    assert_eq!(
        verdict_among(&[at(0, Action::Start), rebuilt(die(60_000, 255))], std::slice::from_ref(&boot)),
        Cause::HostRestart
    );
    let later = [at(55_000, Action::Start), die(60_000, 1)];
    assert_eq!(verdict_among(&later, &[boot]), Cause::Crash, "it was started after the boot");
    let crowd: Vec<Timed> = ["c1", "c2"].map(|id| of(rebuilt(die(60_100, 137)), id, id, "")).to_vec();
    assert_eq!(
        verdict_among(&[at(0, Action::Start), rebuilt(die(60_000, 137))], &crowd),
        Cause::DaemonRestart
    );
    // The first signals may be heard of before Binnacle's own container ends.
    let heard = |signal| [at(0, Action::Start), kill(59_900, signal), rebuilt(die(60_000, 0))];
    assert_eq!(verdict_among(&heard(15), &crowd), Cause::DaemonRestart);
    assert_eq!(verdict_among(&heard(15), &crowd[..1]), Cause::DockerKill, "two are no crowd");
    assert_eq!(verdict_among(&heard(9), &crowd), Cause::DockerKill);
    let told = [&heard(15)[..], &[at(60_100, Action::Stop)]].concat();
    assert_eq!(verdict_among(&told, &crowd), Cause::DockerStop);
    let stopped = [at(0, Action::Start), kill(900, 15), die(950, 0), at(960, Action::Stop)];
    let much_later = of(at(55_000, Action::DaemonDown), "", "dockerd", "");
    assert_eq!(verdict_among(&stopped, &[much_later]), Cause::DockerStop);
}

#[test]
fn what_nobody_saw_and_docker_forgot_is_unknown() {
    let mut lost = rebuilt(at(900, Action::Die));
    lost.event.exit_code = None;
    assert_eq!(verdict(&[lost]), Cause::Unknown);
    assert_eq!(verdict(&[rebuilt(die(900, 137))]), Cause::Unknown);
}

#[test]
fn a_signal_of_an_earlier_run_is_no_cause() {
    let own = [
        at(0, Action::Start),
        kill(900, 15),
        die(950, 143),
        at(960, Action::Stop),
        at(5000, Action::Start),
        die(9000, 2),
    ];
    assert_eq!(verdict_among(&own, &[]), Cause::Crash);
}

// === Reports from a store ===

fn record(at_ns: i64, labels: &[(&str, &str)], line: &[u8], level: Level, id: &str) -> Record {
    Record {
        timestamp_ns: at_ns,
        labels: Arc::new(Labels::new(labels.iter().copied())),
        line: line.to_vec().into(),
        level,
        pairs: vec![Pair { origin: Origin::Derived, name: "container_id".into(), value: id.into() }],
    }
}

fn event_record(timed: &Timed) -> Record {
    let event = &timed.event;
    let labels = [("service_name", "docker-events"), ("stream", "events")];
    record(timed.at_ns, &labels, &event.to_line(), event.level(), &event.container_id)
}

fn report(records: Vec<Record>, target: &str, limit: usize) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::open(dir.path(), &store::Config::default(), &prometheus::Registry::new()).unwrap();
    writer.append_blocking(Batch { records, ..Batch::default() }).unwrap();
    let question = Question { target: target.into(), range: TimeRange::ALL, limit };
    let context = Context::new(&Config::default(), CancellationToken::new());
    why(&writer.reader(), &question, &context).unwrap()
}

fn crash_loop() -> Vec<Record> {
    let mut records = Vec::new();
    for run in 0..4 {
        let start = run * 2000;
        records.push(event_record(&at(start, Action::Start)));
        let labels = [("service_name", "web"), ("container", "web"), ("stream", "stderr")];
        let line = |ms: i64, text: &str, level| {
            record(T0 + (start + ms) * MS, &labels, text.as_bytes(), level, "ab12ab12")
        };
        records.push(line(100, &format!("panic in run {run}"), Level::Error));
        for i in 0..20 {
            records.push(line(200 + i, &format!("bye {i}"), Level::Info));
        }
        records.push(event_record(&die(start + 900, 2)));
    }
    let labels = [("service_name", "api"), ("container", "api"), ("stream", "stdout")];
    records.push(record(T0 + 7000 * MS, &labels, b"web: connection refused", Level::Error, "cd34"));
    records
}

#[test]
fn a_report_shows_the_last_words_the_loop_and_who_failed_with_it() {
    let report = report(crash_loop(), "web", 2);
    assert!(report.known && report.more);
    assert_eq!(report.deaths.len(), 2);
    let last = &report.deaths[0];
    assert_eq!((last.cause, last.exit_code), (Cause::Crash, Some(2)));
    assert!(last.pattern.as_ref().unwrap().restart_loop, "{:?}", last.pattern);
    let lines = |hits: &[crate::Hit]| {
        hits.iter().map(|h| String::from_utf8_lossy(&h.line).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(lines(&last.last_errors).last().map(String::as_str), Some("panic in run 3"));
    assert_eq!(lines(&last.last_lines).last().map(String::as_str), Some("bye 19"));
    let before = &report.deaths[1];
    assert_eq!(
        lines(&before.last_errors).last().map(String::as_str),
        Some("panic in run 2"),
        "not of the next run"
    );
    assert_eq!(
        (last.also_failed[0].service.as_str(), last.also_failed[0].what.as_str()),
        ("api", "1 error line")
    );
}

#[test]
fn a_container_is_found_by_name_service_and_id() {
    let mut records = crash_loop();
    records.push(event_record(&of(die(500, 1), "cd34cd34", "api", "shop")));
    records.push(event_record(&of(die(600, 1), "ef56ef56", "web-2", "")));
    for (target, deaths) in
        [("web", 4), ("/web", 4), ("ab12", 4), ("ab12ab12", 4), ("api", 1), ("ab", 0), ("web-2", 1), ("", 6)]
    {
        assert_eq!(report(records.clone(), target, 10).deaths.len(), deaths, "{target}");
    }
    let unknown = report(records, "nobody", 10);
    assert!(!unknown.known && unknown.deaths.is_empty());
}
