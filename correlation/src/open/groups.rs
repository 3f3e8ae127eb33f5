//! The groups that are held, each under a number, and when something is to be done with each.
//!
//! What is looked at every second, of groups that were not touched since, lies side by side: a hundred thousand are
//! passed over in a tenth of a millisecond.

use super::group::Group;
use crate::config::{Config, nanos};

/// Where a group is. Of one that has gone, it may be another's later.
pub(super) type Number = usize;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Groups {
    held: Vec<Option<Group>>,
    times: Vec<Times>,
    free: Vec<Number>,
}

/// Both far in the future where there is no group.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// When it is complete, or need not be remembered any more, if no line comes.
    due_ns: i64,
    /// Of the oldest line, while it is open.
    oldest_open_ns: i64,
}

const NEVER: Times = Times { due_ns: i64::MAX, oldest_open_ns: i64::MAX };

impl Groups {
    /// A new one, empty.
    pub(super) fn insert(&mut self) -> Number {
        let number = self.free.pop().unwrap_or(self.held.len());
        if number == self.held.len() {
            self.held.push(None);
            self.times.push(NEVER);
        }
        self.held[number] = Some(Group::default());
        number
    }

    pub(super) fn get(&self, number: Number) -> Option<&Group> {
        self.held.get(number)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: Number) -> Option<&mut Group> {
        self.held.get_mut(number)?.as_mut()
    }

    pub(super) fn remove(&mut self, number: Number) -> Option<Group> {
        let group = self.held.get_mut(number)?.take()?;
        self.times[number] = NEVER;
        self.free.push(number);
        Some(group)
    }

    /// To be called after each change of a group.
    pub(super) fn note(&mut self, number: Number, config: &Config) {
        if let (Some(Some(group)), Some(times)) = (self.held.get(number), self.times.get_mut(number)) {
            let quiet_ns = group.last_seen_ns().saturating_add(nanos(config.idle));
            *times = match group.opened_ns() {
                Some(opened_ns) => Times {
                    due_ns: quiet_ns.min(opened_ns.saturating_add(nanos(config.max_age))),
                    oldest_open_ns: group.oldest_ns(),
                },
                None => {
                    Times { due_ns: quiet_ns.saturating_add(nanos(config.late)), oldest_open_ns: i64::MAX }
                }
            };
        }
    }

    /// Those that are due.
    pub(super) fn due(&self, now_ns: i64) -> Vec<Number> {
        let is_due =
            |(number, times): &(Number, &Times)| times.due_ns <= now_ns && self.held[*number].is_some();
        self.times.iter().enumerate().filter(is_due).map(|(number, _)| number).collect()
    }

    /// Time of the oldest line of those that are open.
    pub(super) fn oldest_open_ns(&self) -> Option<i64> {
        self.times.iter().map(|times| times.oldest_open_ns).min().filter(|oldest_ns| *oldest_ns < i64::MAX)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Number, &Group)> {
        self.held.iter().enumerate().filter_map(|(number, group)| Some((number, group.as_ref()?)))
    }

    pub(super) fn len(&self) -> usize {
        self.held.len() - self.free.len()
    }
}
