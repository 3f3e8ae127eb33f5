//! What the books make of events and of what inspect shows.

use super::*;
use crate::config::CollectConfig;

fn message(action: &str, time_ns: i64, attributes: &str) -> EventMessage {
    let json = format!(
        r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"ab","Attributes":{{{attributes}}}}},"timeNano":{time_ns}}}"#
    );
    serde_json::from_str(&json).unwrap()
}

fn facts(started_ns: i64, exit_code: Option<i64>) -> Facts {
    Facts {
        id: "ab".into(),
        name: "web".into(),
        created_ns: Some(1),
        started_ns: Some(started_ns),
        running: exit_code.is_none(),
        finished_ns: exit_code.map(|_| started_ns + 50),
        exit_code,
        ..Facts::default()
    }
}

fn ledger_from(position: Option<&[u8]>, rows: &[Container]) -> Ledger {
    let config = CollectConfig { exclude_names: vec!["noisy-*".into()], ..CollectConfig::default() };
    let selection = Selection::new(&config, None).unwrap();
    Ledger::new("h1", selection, Containers::default(), position, rows)
}

fn ledger() -> Ledger {
    ledger_from(None, &[])
}

fn fresh(facts: Facts) -> HashMap<String, Facts> {
    HashMap::from([(facts.id.clone(), facts)])
}

fn told(records: &[Record]) -> Vec<(&'static str, Option<i64>)> {
    records.iter().filter_map(Event::of_record).map(|e| (e.action.name(), e.exit_code)).collect()
}

#[test]
fn a_repeated_event_is_recorded_once_also_after_a_restart() {
    let mut books = ledger();
    let news = [message("create", 5, ""), message("start", 110, "")];
    assert_eq!(told(&books.events(&news, fresh(facts(100, None)))), [("create", None), ("start", None)]);
    assert_eq!(told(&books.events(&news, fresh(facts(100, None)))), []);
    let position = books.batch(Vec::new()).cursors[0].position.clone();
    let row = Container {
        id: "ab".into(),
        name: "web".into(),
        image: String::new(),
        service: String::new(),
        project: String::new(),
        state: "running".into(),
        created_ns: 1,
        started_ns: Some(100),
        finished_ns: None,
        exit_code: None,
        source: String::new(),
    };
    let mut books = ledger_from(position.as_deref(), &[row]);
    assert_eq!(told(&books.events(&news, fresh(facts(100, None)))), []);
    let die = [message("die", 160, r#""exitCode":"3""#)];
    assert_eq!(told(&books.events(&die, fresh(facts(100, Some(3))))), [("die", Some(3))]);
}

#[test]
fn an_event_tells_the_name_of_its_time_whatever_inspect_shows_later() {
    let mut books = ledger();
    books.events(&[message("start", 110, r#""name":"web""#)], fresh(facts(100, None)));
    let renamed = Facts { name: "shop".into(), ..facts(100, None) };
    let messages = [
        message("restart", 120, r#""name":"web""#),
        message("rename", 130, r#""name":"shop","oldName":"/web""#),
        message("kill", 140, r#""signal":"1""#),
    ];
    let records = books.events(&messages, fresh(renamed));
    let sentences: Vec<String> = records.iter().filter_map(Event::of_record).map(|e| e.msg).collect();
    assert_eq!(sentences, ["web was restarted", "web is now named shop", "shop was sent signal 1"]);
}

#[test]
fn an_end_that_only_the_row_tells_of_is_concluded_once() {
    let mut books = ledger();
    books.events(&[message("start", 110, "")], fresh(facts(100, None)));
    let position = books.batch(Vec::new()).cursors[0].position.clone();
    // The process ended after it had seen the end, and before it had recorded it; the next run goes on.
    let row = Container {
        id: "ab".into(),
        name: "web".into(),
        image: String::new(),
        service: String::new(),
        project: String::new(),
        state: "exited".into(),
        created_ns: 1,
        started_ns: Some(100),
        finished_ns: Some(150),
        exit_code: Some(143),
        source: String::new(),
    };
    let mut books = ledger_from(position.as_deref(), std::slice::from_ref(&row));
    let mut records = Vec::new();
    assert!(books.take_in(facts(200, None), i64::MAX, &mut records));
    assert_eq!(told(&records), [("die", Some(143)), ("start", None)]);
    assert_eq!(records[0].timestamp_ns, 150);
    // Again, before the row knew of the next run.
    let position = books.batch(Vec::new()).cursors[0].position.clone();
    let mut books = ledger_from(position.as_deref(), &[row]);
    let mut records = Vec::new();
    books.take_in(facts(100, Some(143)), i64::MAX, &mut records);
    assert_eq!(told(&records), []);
}

#[test]
fn a_new_daemon_that_tells_of_the_next_start_alone_leaves_no_run_without_an_end() {
    let mut books = ledger();
    books.events(&[message("start", 110, "")], fresh(facts(100, None)));
    // The same start again is no other run.
    assert_eq!(told(&books.events(&[message("start", 120, "")], fresh(facts(100, None)))), [("start", None)]);
    let next = Facts { ended_before_ns: Some(150), ..facts(200, None) };
    let records = books.events(&[message("start", 210, "")], fresh(next));
    assert_eq!(told(&records), [("die", None), ("start", None)]);
    assert_eq!(records[0].timestamp_ns, 150);
    let die = Event::of_record(&records[0]).unwrap();
    assert!(die.rebuilt);
}

#[test]
fn after_a_quick_restart_the_death_is_that_of_the_run_before() {
    let mut books = ledger();
    books.events(&[message("start", 110, "")], fresh(facts(100, None)));
    let news = [message("die", 160, r#""exitCode":"9""#), message("start", 210, "")];
    let records = books.events(&news, fresh(facts(200, None)));
    assert_eq!(told(&records), [("die", Some(9)), ("start", None)]);
    let die = Event::of_record(&records[0]).unwrap();
    assert_eq!(die.generation, generation(Some(100)));
}

#[test]
fn events_the_daemon_never_sent_are_concluded() {
    let mut books = ledger();
    books.events(&[message("start", 110, "")], fresh(facts(100, None)));
    let mut records = Vec::new();
    assert!(!books.take_in(facts(100, Some(137)), 149, &mut records), "it may still come as an event");
    assert_eq!(told(&records), []);
    assert!(books.take_in(facts(100, Some(137)), 150, &mut records));
    assert_eq!(told(&records), [("die", Some(137))]);
    assert!(Event::of_record(&records[0]).unwrap().rebuilt);
    books.take_in(facts(100, Some(137)), 150, &mut records);
    assert_eq!(records.len(), 1);
}

#[test]
fn an_inspect_that_is_ahead_of_the_events_makes_none() {
    let mut books = ledger();
    books.events(&[message("start", 110, "")], fresh(facts(100, None)));
    let records = books.events(&[message("die", 160, r#""exitCode":"9""#)], fresh(facts(200, None)));
    assert_eq!(told(&records), [("die", Some(9))]);
    let records = books.events(&[message("start", 210, "")], fresh(facts(200, None)));
    assert_eq!(told(&records), [("start", None)]);
}

#[test]
fn a_start_that_failed_is_recorded_at_once_and_after_what_led_to_it() {
    let mut books = ledger();
    let failed = Facts { started_ns: None, error: "no such file".into(), ..facts(0, Some(127)) };
    let news = [message("create", 5, ""), message("update", 300, "")];
    let records = books.events(&news, fresh(failed));
    assert_eq!(told(&records), [("create", None), ("update", None), ("start_failed", Some(127))]);
    assert_eq!(records[2].timestamp_ns, 300);
}

#[test]
fn a_container_that_was_gone_at_once_is_still_recorded() {
    let mut books = ledger();
    let news =
        [message("die", 60, r#""exitCode":"1","name":"job","image":"i:1""#), message("destroy", 70, "")];
    let records = books.events(&news, HashMap::new());
    assert_eq!(told(&records), [("die", Some(1)), ("destroy", None)]);
    assert_eq!(Event::of_record(&records[0]).unwrap().service, "job");
    assert_eq!(records[0].labels.get("container"), None, "its lines are not the container's");
}

#[test]
fn a_run_of_which_only_the_end_was_told_is_not_told_again() {
    let mut books = ledger();
    books.events(&[message("die", 160, r#""exitCode":"3""#)], fresh(facts(100, Some(3))));
    let mut records = Vec::new();
    books.take_in(facts(100, Some(3)), i64::MAX, &mut records);
    assert_eq!(told(&records), []);
}

#[test]
fn a_container_that_opted_out_is_not_recorded() {
    let mut books = ledger();
    let labels = [("binnacle.enable".to_owned(), "false".to_owned())].into();
    let out = Facts { labels, ..facts(100, None) };
    assert_eq!(told(&books.events(&[message("start", 110, "")], fresh(out))), []);
}

#[test]
fn a_container_that_the_settings_exclude_is_not_recorded() {
    let noisy = Facts { name: "noisy-1".into(), ..facts(100, None) };
    assert_eq!(told(&ledger().events(&[message("start", 110, "")], fresh(noisy))), []);
}

#[test]
fn compose_replacing_an_image_is_told() {
    let mut books = ledger();
    let of = |id: &str, image: &str| Facts {
        id: id.into(),
        image: image.into(),
        labels: [("project", "shop"), ("service", "web"), ("container-number", "1")]
            .map(|(k, v)| (format!("com.docker.compose.{k}"), v.to_owned()))
            .into(),
        ..facts(100, None)
    };
    books.take_in(of("old", "web:1"), 1000, &mut Vec::new());
    let records = books.events(&[message("create", 500, "")], fresh(of("ab", "web:2")));
    let change = Event::of_record(&records[0]).unwrap();
    assert_eq!((change.action, change.before.as_deref()), (Action::ImageChange, Some("web:1")));
}
