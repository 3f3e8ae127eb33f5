//! The containers as last seen: facts, latest counters, and the last minutes of memory and CPU.
//!
//! Written by the sampler (counters) and by the lifecycle recorder (facts, at once on an event); read by
//! every scrape. One lock, never held across an await.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::readings::{Reading, Round};

use super::{Facts, Sample};
use crate::cgroup::Cgroup;

/// Points kept per container: ten minutes at the default period. When full the oldest goes.
const HISTORY_POINTS: usize = 60;

/// What a container used at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When, nanoseconds since the epoch.
    pub taken_ns: i64,
    /// Working set, or usage where that is all there is; bytes.
    pub memory_bytes: u64,
    /// CPU used since the point before, thousandths of one CPU.
    pub cpu_millis: u64,
}

/// One container.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub(super) facts: Arc<Facts>,
    /// `State` and `Status` of the listing at the last inspect, without its running clock.
    pub(super) listed_as: String,
    /// Its cgroup files in the run that began at the given time; `None` inside when they cannot be read.
    pub(super) cgroup: Option<(Option<i64>, Option<Arc<Cgroup>>)>,
    pub(super) sample: Option<Sample>,
    pub(super) history: VecDeque<Point>,
    pub(super) last_seen_ns: i64,
    pub(super) oom_events: u64,
    pub(super) writable_bytes: Option<u64>,
}

/// The table. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Containers {
    entries: Arc<Mutex<BTreeMap<String, Entry>>>,
}

impl Containers {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what an inspect told. A new run starts with no counters and no history.
    pub fn update(&self, facts: Facts) {
        let mut entries = self.lock();
        let entry = entries.entry(facts.id.clone()).or_default();
        if entry.facts.started_ns != facts.started_ns {
            entry.history.clear();
            entry.sample = None;
        }
        if !facts.running {
            entry.sample = None;
        }
        entry.facts = Arc::new(facts);
    }

    /// Forgets a container.
    pub fn remove(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Forgets every container that is not in `ids`.
    pub(super) fn retain(&self, ids: &HashSet<&str>) {
        self.lock().retain(|id, _| ids.contains(id.as_str()));
    }

    /// What is known of a container.
    #[must_use]
    pub fn facts(&self, id: &str) -> Option<Arc<Facts>> {
        self.lock().get(id).map(|entry| Arc::clone(&entry.facts))
    }

    /// The container that compose replaces by `facts`: another one of the same project, service and number.
    #[must_use]
    pub fn replaced_by(&self, facts: &Facts) -> Option<Arc<Facts>> {
        let place = facts.compose_place()?;
        let entries = self.lock();
        let others = entries.values().map(|entry| &entry.facts).filter(|other| other.id != facts.id);
        let replaced = others.filter(|other| other.compose_place() == Some(place));
        replaced.max_by_key(|other| other.created_ns).map(Arc::clone)
    }

    /// The last minutes of the container's present or last run, oldest first.
    #[must_use]
    pub fn history(&self, id: &str) -> Vec<Point> {
        self.lock().get(id).map(|entry| entry.history.iter().copied().collect()).unwrap_or_default()
    }

    /// Kernel kills for want of memory seen in the container's cgroup at the last reading, where readable.
    #[must_use]
    pub fn oom_kills(&self, id: &str) -> Option<u64> {
        self.lock().get(id)?.sample.as_ref()?.memory.oom_kills
    }

    /// What all running containers used when they were last read, as it is stored.
    pub(super) fn round(&self, at_ns: i64) -> Round {
        let entries = self.lock();
        let readings =
            entries.values().filter_map(|entry| Some(reading(&entry.facts, entry.sample.as_ref()?)));
        Round { at_ns, readings: readings.collect() }
    }

    /// Counts a kernel kill that Docker told of.
    pub fn count_oom(&self, id: &str) {
        self.lock().entry(id.to_owned()).or_default().oom_events += 1;
    }

    /// Takes in counters read at `now_ns`, unless the container has started anew since.
    pub(super) fn put_sample(&self, id: &str, started_ns: Option<i64>, now_ns: i64, sample: Option<Sample>) {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(id) else { return };
        if entry.facts.started_ns != started_ns || !entry.facts.running {
            return;
        }
        if let Some(sample) = &sample {
            entry.last_seen_ns = now_ns;
            let point = point(entry.sample.as_ref(), sample);
            if entry.history.len() == HISTORY_POINTS {
                entry.history.pop_front();
            }
            entry.history.push_back(point);
        }
        entry.sample = sample;
    }
}

fn reading(facts: &Facts, sample: &Sample) -> Reading {
    let limits = &facts.limits;
    Reading {
        container_id: facts.id.clone(),
        cpu_ns: sample.cpu.usage_ns,
        cpu_limit_millis: limits
            .cpu_quota_us
            .saturating_mul(1000)
            .checked_div(limits.cpu_period_us)
            .unwrap_or(0),
        periods: sample.cpu.periods,
        throttled_periods: sample.cpu.throttled_periods,
        memory_bytes: sample.memory.working_set.unwrap_or(sample.memory.usage),
        memory_limit_bytes: limits.memory_bytes,
    }
}

fn point(before: Option<&Sample>, now: &Sample) -> Point {
    let mut cpu_millis = 0;
    if let Some(before) = before {
        let wall_ns = u64::try_from(now.taken_ns.saturating_sub(before.taken_ns)).unwrap_or(0);
        let used_ns = now.cpu.usage_ns.saturating_sub(before.cpu.usage_ns);
        cpu_millis = used_ns.saturating_mul(1000).checked_div(wall_ns).unwrap_or(0);
    }
    Point {
        taken_ns: now.taken_ns,
        memory_bytes: now.memory.working_set.unwrap_or(now.memory.usage),
        cpu_millis,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Cpu, Limits, Memory};

    fn sample(second: i64, cpu_ms: u64, memory: u64) -> Sample {
        Sample {
            taken_ns: second * 1_000_000_000,
            cpu: Cpu { usage_ns: cpu_ms * 1_000_000, ..Cpu::default() },
            memory: Memory { usage: memory, ..Memory::default() },
            ..Sample::default()
        }
    }

    fn running(started_ns: i64) -> Facts {
        Facts { id: "ab".into(), running: true, started_ns: Some(started_ns), ..Facts::default() }
    }

    #[test]
    fn history_holds_the_last_points_of_one_run() {
        let containers = Containers::default();
        containers.update(running(1));
        for i in 0..100 {
            let sample = sample(10 * i, 5000 * i.unsigned_abs(), i.unsigned_abs());
            containers.put_sample("ab", Some(1), 0, Some(sample));
        }
        let history = containers.history("ab");
        assert_eq!(history.len(), HISTORY_POINTS);
        assert_eq!(history[0].memory_bytes, 40);
        assert!(history.iter().all(|p| p.cpu_millis == 500), "half a CPU throughout");
        containers.update(running(2));
        assert!(containers.history("ab").is_empty(), "a new run");
        containers.put_sample("ab", Some(1), 0, Some(sample(1, 1, 1)));
        assert!(containers.history("ab").is_empty(), "a late reading of the run before");
    }

    #[test]
    fn a_container_that_ended_has_no_counters() {
        let containers = Containers::default();
        containers.update(running(1));
        containers.put_sample("ab", Some(1), 0, Some(sample(1, 1, 1)));
        containers.update(Facts { running: false, ..running(1) });
        assert!(containers.lock()["ab"].sample.is_none());
        assert_eq!(containers.history("ab").len(), 1, "its last minutes are still evidence");
    }

    #[test]
    fn a_round_holds_the_running_containers_and_their_limits() {
        let containers = Containers::default();
        let limits = Limits { cpu_quota_us: 50_000, cpu_period_us: 100_000, ..Limits::default() };
        containers.update(Facts { limits, ..running(1) });
        assert_eq!(containers.round(5).readings, [], "not read yet");
        containers.put_sample("ab", Some(1), 0, Some(sample(1, 2, 3)));
        let reading = Reading {
            container_id: "ab".into(),
            cpu_ns: 2_000_000,
            cpu_limit_millis: 500,
            memory_bytes: 3,
            ..Reading::default()
        };
        assert_eq!(containers.round(5), Round { at_ns: 5, readings: vec![reading] });
    }

    #[test]
    fn counters_that_went_back_are_no_negative_use() {
        let (before, now) = (sample(10, 900, 1), sample(20, 100, 1));
        assert_eq!(point(Some(&before), &now).cpu_millis, 0);
        assert_eq!(
            point(Some(&now), &before).cpu_millis,
            0,
            "nor does a clock that went back divide by zero"
        );
    }
}
