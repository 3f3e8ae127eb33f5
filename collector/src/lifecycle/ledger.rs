//! The books: what was recorded of each container, up to when, and the records that follow from news.
//!
//! No input or output here. Everything of one delivery leaves as one batch with the cursor that covers it,
//! so that a crash neither loses nor repeats an event.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bollard::models::EventMessage;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use store::lifecycle::{self, Action, Event};
use store::record::attribute;
use store::{Batch, Container, CursorUpdate, Labels, Origin, Pair, Record};

use super::rebuild::{self, Recorded};
use super::{complete, death, generation, translate};
use crate::docker::Selection;
use crate::stats::{Containers, Facts};

/// Key of the cursor.
pub(super) const SOURCE: &str = "docker-events";

/// How far events were recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Position {
    /// Time of the latest event.
    pub(super) time_ns: i64,
    /// The events of exactly that time: the daemon repeats them on request.
    seen: Vec<String>,
    /// Time of the latest event that was concluded instead of told.
    concluded_ns: i64,
    /// When the host had booted, seconds since the epoch; 0 when not known.
    pub(super) booted_s: u64,
}

impl Position {
    /// What is known of a container from its row. Rows are written apart from events: an end after the latest event
    /// stands there, and was not recorded.
    fn recorded(&self, row: &Container) -> Recorded {
        let end_ns = row.finished_ns.filter(|end| row.started_ns.is_none_or(|start| start <= *end));
        let has_ended = end_ns.is_some_and(|end| end <= self.time_ns.max(self.concluded_ns));
        Recorded {
            started_ns: row.started_ns,
            has_ended,
            unrecorded_end: end_ns.filter(|_| !has_ended).map(|end| (end, row.exit_code)),
            start_failed: row.state == "created",
            latest_ns: row.started_ns.max(row.finished_ns).unwrap_or(row.created_ns),
        }
    }
}

/// The books of one engine.
#[derive(Debug)]
pub(super) struct Ledger {
    labels: Arc<Labels>,
    selection: Selection,
    containers: Containers,
    recorded: HashMap<String, Recorded>,
    pub(super) position: Position,
}

impl Ledger {
    /// Continues from the stored position and the catalog's rows.
    pub(super) fn new(
        host: &str,
        selection: Selection,
        containers: Containers,
        position: Option<&[u8]>,
        rows: &[Container],
    ) -> Self {
        let position: Position =
            position.and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
        let recorded = rows.iter().map(|row| (row.id.clone(), position.recorded(row))).collect();
        let labels = Labels::new([
            ("host", host),
            ("service_name", lifecycle::SERVICE),
            ("stream", lifecycle::STREAM),
        ]);
        Self { labels: Arc::new(labels), selection, containers, recorded, position }
    }

    /// Ids whose facts are needed before `messages` can be recorded.
    pub(super) fn wanted(&self, messages: &[EventMessage]) -> HashSet<String> {
        let mut ids = HashSet::new();
        for message in messages {
            let (Some(action), Some(id)) = (translate::action(message), translate::container_id(message))
            else {
                continue;
            };
            let changes = matches!(
                action,
                Action::Create
                    | Action::Start
                    | Action::Die
                    | Action::Stop
                    | Action::Pause
                    | Action::Unpause
                    | Action::Rename
                    | Action::Update
                    | Action::HealthStatus
            );
            let may_be_failed_start = action == Action::NetworkDisconnect && self.is_waiting_to_start(id);
            if changes || may_be_failed_start || self.containers.facts(id).is_none() {
                ids.insert(id.to_owned());
            }
        }
        ids
    }

    /// Containers that were made, or have ended under a restart policy, and do not run.
    pub(super) fn is_waiting_to_start(&self, id: &str) -> bool {
        self.recorded.get(id).is_some_and(|r| (r.started_ns.is_none() || r.has_ended) && !r.start_failed)
    }

    /// Records of events, in their order, with fresh facts of their containers.
    pub(super) fn events(&mut self, messages: &[EventMessage], fresh: HashMap<String, Facts>) -> Vec<Record> {
        let mut records = Vec::new();
        for message in messages {
            let Some(time_ns) = translate::time_ns(message) else { continue };
            if !self.is_news(message, time_ns) {
                continue;
            }
            let Some(id) = translate::container_id(message) else { continue };
            let facts = fresh.get(id).cloned().or_else(|| self.containers.facts(id).map(|f| (*f).clone()));
            let Some(event) = translate::event(message, facts.as_ref()) else { continue };
            if event.action == Action::Start {
                self.conclude_end_before(time_ns, facts.as_ref(), &mut records);
            }
            self.record(event, time_ns, facts.as_ref(), &mut records);
        }
        // Inspect may be ahead of the events; only what no event tells of is concluded here.
        for facts in fresh.into_values() {
            if self.recorded.contains_key(&facts.id) {
                self.take_in(facts, i64::MIN, &mut records);
            }
        }
        records
    }

    /// Records the end that must have been before a start: a daemon that was restarted does not tell of it any more.
    fn conclude_end_before(&mut self, start_ns: i64, facts: Option<&Facts>, records: &mut Vec<Record>) {
        // Facts of a run that began later do not tell of this one.
        let Some(facts) = facts.filter(|f| f.started_ns.is_some_and(|run| run <= start_ns)) else { return };
        let Some(recorded) = self.recorded.get(&facts.id) else { return };
        if let Some((time_ns, end)) = rebuild::missed_end(recorded, facts) {
            self.record(end, time_ns, Some(facts), records);
        }
    }

    /// Takes in facts, with records of what must have happened up to `settled_ns`; what is younger may still
    /// come as an event. A failed start makes no event and is recorded at once. False when something was
    /// left out.
    pub(super) fn take_in(&mut self, facts: Facts, settled_ns: i64, records: &mut Vec<Record>) -> bool {
        let mut is_complete = true;
        for (time_ns, event) in rebuild::missed(self.recorded.get(&facts.id), &facts) {
            if event.action == Action::StartFailed || (is_complete && time_ns <= settled_ns) {
                self.position.concluded_ns = self.position.concluded_ns.max(time_ns);
                self.record(event, time_ns, Some(&facts), records);
            } else {
                is_complete = false;
            }
        }
        self.containers.update(facts);
        is_complete
    }

    /// Forgets containers that are gone.
    pub(super) fn retain(&mut self, ids: &HashSet<String>) {
        self.recorded.retain(|id, _| ids.contains(id));
    }

    /// A record about the daemon or its host.
    pub(super) fn daemon(&self, action: Action, msg: &str, time_ns: i64) -> Record {
        let mut event = Event::new(action, "", "");
        event.msg = msg.to_owned();
        event.service = lifecycle::DAEMON.to_owned();
        self.record_of(&event, time_ns, Vec::new())
    }

    /// The records and the position they move to, to be stored together.
    pub(super) fn batch(&self, records: Vec<Record>) -> Batch {
        let position = serde_json::to_vec(&self.position).unwrap_or_default();
        Batch {
            records,
            cursors: vec![CursorUpdate {
                source: SOURCE.to_owned(),
                position: Some(position),
                covered_ns: None,
            }],
            ..Batch::default()
        }
    }

    /// Whether the event was not recorded yet; moves the position.
    fn is_news(&mut self, message: &EventMessage, time_ns: i64) -> bool {
        let key = format!(
            "{}/{}",
            translate::container_id(message).unwrap_or_default(),
            message.action.as_deref().unwrap_or_default()
        );
        let position = &mut self.position;
        if time_ns < position.time_ns || (time_ns == position.time_ns && position.seen.contains(&key)) {
            return false;
        }
        if time_ns > position.time_ns {
            position.time_ns = time_ns;
            position.seen.clear();
        }
        position.seen.push(key);
        true
    }

    fn record(&mut self, mut event: Event, time_ns: i64, facts: Option<&Facts>, records: &mut Vec<Record>) {
        let id = event.container_id.clone();
        let before = self.containers.facts(&id);
        // After a quick restart the facts are already those of the next run.
        let is_next_run = facts.is_some_and(|f| f.started_ns.is_some_and(|start| start > time_ns));
        let of_run = if is_next_run { before.as_deref() } else { facts.or(before.as_deref()) };
        match event.action {
            Action::Die | Action::StartFailed => {
                if let Some(facts) = of_run {
                    let is_final = !facts.running && !is_next_run;
                    event.exit_code =
                        if is_final { facts.exit_code.or(event.exit_code) } else { event.exit_code };
                    let mut death = death(facts, &self.containers, time_ns);
                    if !is_final {
                        death.oom_killed = false;
                        death.error.clear();
                    }
                    event.death = Some(death);
                }
            }
            Action::Oom => self.containers.count_oom(&id),
            Action::Create => records.extend(self.image_change(facts, time_ns)),
            _ => {}
        }
        event.generation = of_run.and_then(|facts| generation(facts.started_ns));
        complete(&mut event, facts.or(before.as_deref()));
        self.note(&event, time_ns, facts);
        let Some(facts) = facts.or(before.as_deref()) else {
            // Gone before it could be looked at: what the event itself tells is all there is.
            let facts =
                Facts { id, name: event.container.clone(), image: event.image.clone(), ..Facts::default() };
            complete(&mut event, Some(&facts));
            records.extend(self.of_container(&event, time_ns, &facts));
            return;
        };
        records.extend(self.of_container(&event, time_ns, facts));
    }

    fn note(&mut self, event: &Event, time_ns: i64, facts: Option<&Facts>) {
        if event.action == Action::Destroy {
            self.recorded.remove(&event.container_id);
            self.containers.remove(&event.container_id);
            return;
        }
        let recorded = self.recorded.entry(event.container_id.clone()).or_default();
        // The time that inspect shows is the mark; the event itself comes a little later.
        let inspected = facts.and_then(|f| f.started_ns).filter(|start| *start <= time_ns);
        recorded.started_ns = recorded.started_ns.or(inspected);
        match event.action {
            Action::Start => {
                *recorded = Recorded { started_ns: inspected.or(Some(time_ns)), ..Recorded::default() };
            }
            Action::Die => recorded.has_ended = true,
            Action::StartFailed => recorded.start_failed = true,
            _ => {}
        }
        recorded.latest_ns = recorded.latest_ns.max(time_ns);
    }

    /// Compose replaces a container by one made from another image.
    fn image_change(&self, facts: Option<&Facts>, time_ns: i64) -> Option<Record> {
        let facts = facts?;
        let before = self.containers.replaced_by(facts)?;
        if before.image == facts.image {
            return None;
        }
        let mut event = Event::new(Action::ImageChange, &facts.id, &facts.name);
        event.before = Some(before.image.clone());
        complete(&mut event, Some(facts));
        self.of_container(&event, time_ns, facts)
    }

    /// The record of an event; `None` when the container is not to be collected.
    fn of_container(&self, event: &Event, time_ns: i64, facts: &Facts) -> Option<Record> {
        if self.selection.refuses_named(&facts.id, &facts.name, facts.is_opted_out()).is_some() {
            return None;
        }
        let pairs = [(attribute::CONTAINER_ID, &facts.id), (attribute::IMAGE, &facts.image)];
        let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| Pair {
            origin: Origin::Derived,
            name: name.into(),
            value: value.as_str().into(),
        });
        Some(self.record_of(event, time_ns, pairs.collect()))
    }

    fn record_of(&self, event: &Event, timestamp_ns: i64, pairs: Vec<Pair>) -> Record {
        Record {
            timestamp_ns,
            labels: Arc::clone(&self.labels),
            line: Bytes::from(event.to_line()),
            level: event.level(),
            pairs,
        }
    }
}

#[cfg(test)]
mod tests;
