//! What the containers of a trace used about the time of the trace, and what happened to them.
//!
//! What happened is read from the same events as `why`. Of a container that died soon afterwards its last minutes
//! are stored with the death, which are kept longer than the readings of all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::lifecycle::{Action, Death};
use store::{Reader, TimeRange};

use super::Found;
use super::resources::Resources;
use super::waterfall::Bar;
use crate::why::{self, Evidence, Timed, Trend};
use crate::{Context, ExecError, time};

/// What happened so long before and after a trace may explain it.
const AROUND_NS: i64 = 30_000_000_000;
/// A death so long after a trace still holds readings of its time.
const READINGS_NS: i64 = 600_000_000_000;
/// Containers looked at.
const MAX_CONTAINERS: usize = 64;
/// Events told of one container.
const MAX_EVENTS: usize = 20;

/// What is known of a container of the trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerNote {
    /// Its name.
    pub container: String,
    /// Its full id.
    pub container_id: String,
    /// Its service.
    pub service: String,
    /// How often it was started from 30 s before the trace to 30 s after it.
    pub starts: usize,
    /// How often it ended in that time.
    pub deaths: usize,
    /// How often the kernel killed one of its processes for want of memory in that time.
    pub oom_kills: usize,
    /// What happened in that time, by time, the first ones.
    pub events: Vec<Evidence>,
    /// CPU, memory and throttling about the time of the trace, while readings of that time are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Memory and CPU before a death within ten minutes after the trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Trend>,
}

/// What is known of the containers of a trace; those of which nothing is are left out. Blocking.
///
/// # Errors
/// When the store cannot be read or the query may not go on.
pub(crate) fn notes(
    reader: &Reader,
    found: &Found,
    bars: &[Bar],
    context: &Context,
) -> Result<Vec<ContainerNote>, ExecError> {
    let mut notes: BTreeMap<&str, ContainerNote> = BTreeMap::new();
    for bar in bars {
        let Some(id) = bar.container_id.as_deref().filter(|_| notes.len() < MAX_CONTAINERS) else { continue };
        notes.entry(id).or_insert_with(|| ContainerNote {
            container: bar.container.clone().unwrap_or_default(),
            container_id: id.to_owned(),
            service: bar.service.clone(),
            ..ContainerNote::default()
        });
    }
    if notes.is_empty() {
        return Ok(Vec::new());
    }
    let times = || found.trace.spans.iter();
    let trace = TimeRange {
        start_ns: times().map(|span| span.start_ns).min().unwrap_or(0),
        end_ns: times().map(|span| span.end_ns).max().unwrap_or(0),
    };
    let around = TimeRange {
        start_ns: trace.start_ns.saturating_sub(AROUND_NS),
        end_ns: trace.end_ns.saturating_add(AROUND_NS),
    };
    let read = TimeRange { end_ns: around.end_ns.saturating_add(READINGS_NS), ..around };
    let ids: Vec<&str> = notes.keys().copied().collect();
    for timed in why::events_of(reader, &ids, read, context)? {
        if let Some(note) = notes.get_mut(timed.event.container_id.as_str()) {
            note.add(&timed, around);
        }
    }
    let ids: Vec<&str> = notes.keys().copied().collect();
    let rounds = reader.readings(around, &ids)?;
    for (id, note) in &mut notes {
        note.resources = Resources::of(id, &rounds, trace);
    }
    let is_known =
        |note: &ContainerNote| !note.events.is_empty() || note.usage.is_some() || note.resources.is_some();
    Ok(notes.into_values().filter(is_known).collect())
}

impl ContainerNote {
    fn add(&mut self, timed: &Timed, around: TimeRange) {
        if let Some(death) = &timed.event.death
            && self.usage.is_none()
        {
            self.usage = why::trend(&readings_within(death, timed.at_ns, around));
        }
        if !around.contains(timed.at_ns) {
            return;
        }
        match timed.event.action {
            Action::Start => self.starts += 1,
            Action::Die => self.deaths += 1,
            Action::Oom => self.oom_kills += 1,
            _ => {}
        }
        if self.events.len() < MAX_EVENTS {
            self.events
                .push(Evidence { at: Some(time::rfc3339(timed.at_ns)), text: timed.event.msg.clone() });
        }
    }
}

/// The death with those of its readings that were taken in a time range.
fn readings_within(death: &Death, died_ns: i64, range: TimeRange) -> Death {
    let is_within = |seconds: u32| range.contains(died_ns.saturating_sub(i64::from(seconds) * 1_000_000_000));
    let usage = death.usage.iter().copied().filter(|usage| is_within(usage.0)).collect();
    Death { usage, ..death.clone() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use store::lifecycle::{self, Event, Usage};
    use store::{Labels, Level, Record};

    use super::super::waterfall::Waterfall;
    use super::*;
    use crate::exec::tests::{Data, context, record};

    const SECOND: i64 = 1_000_000_000;
    const START: i64 = 1_700_000_000 * SECOND;

    fn event(action: Action, id: &str, at_ns: i64) -> Record {
        let mut event = Event::new(action, id, "shop-pay-1");
        event.msg = format!("pay {}", action.name());
        if action == Action::Die {
            let usage = vec![Usage(100, 1 << 20, 0), Usage(50, 2 << 20, 0), Usage(40, 3 << 20, 750)];
            event.death = Some(Death { usage, memory_limit_bytes: 4 << 20, ..Death::default() });
        }
        Record {
            timestamp_ns: at_ns,
            labels: Arc::new(Labels::new([
                ("service_name", lifecycle::SERVICE),
                ("stream", lifecycle::STREAM),
            ])),
            line: event.to_line().into(),
            level: Level::Info,
            pairs: Vec::new(),
        }
    }

    fn notes_of(records: Vec<Record>) -> Vec<ContainerNote> {
        let mut all =
            vec![record("pay", START, "a line", Level::Info, &[("trace_id", "ab"), ("container_id", "c1")])];
        all.extend(records);
        let data = Data::of([all]);
        let found = super::super::find(&data.reader(), "ab", &correlation::Config::default(), &context());
        let found = found.unwrap().unwrap();
        let bars = Waterfall::of(&found).spans;
        notes(&data.reader(), &found, &bars, &context()).unwrap()
    }

    #[test]
    fn only_events_of_the_traces_containers_about_its_time_are_told() {
        assert_eq!(notes_of(Vec::new()), []);
        let notes = notes_of(vec![
            event(Action::Start, "c1", START - 31 * SECOND),
            event(Action::Oom, "c1", START + SECOND),
            event(Action::Die, "c2", START + SECOND),
            event(Action::Start, "c1", START + 3 * SECOND),
            event(Action::Start, "c1", START + 31 * SECOND),
        ]);
        let note = &notes[0];
        assert_eq!((notes.len(), note.starts, note.deaths, note.oom_kills), (1, 1, 0, 1));
        let texts: Vec<&str> = note.events.iter().map(|event| event.text.as_str()).collect();
        assert_eq!(texts, ["pay oom", "pay start"]);
        assert_eq!(note.usage, None);
    }

    #[test]
    fn the_readings_of_a_later_death_tell_of_the_time_of_the_trace() {
        let notes = notes_of(vec![event(Action::Die, "c1", START + 50 * SECOND)]);
        let usage = notes[0].usage.as_ref().unwrap();
        assert_eq!((notes[0].deaths, usage.readings.len()), (0, 2));
        assert_eq!((usage.memory_peak_bytes, usage.memory_limit_bytes), (3 << 20, 4 << 20));
    }
}
