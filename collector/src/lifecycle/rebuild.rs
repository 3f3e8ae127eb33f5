//! What must have happened to a container while nobody watched, from what was recorded and what is now.
//!
//! Pure. Only ends and starts are concluded: they are what `why` needs, and inspect tells their times.

use store::lifecycle::{Action, Event};

use crate::stats::Facts;

/// What was recorded of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recorded {
    /// Start of the latest run recorded.
    pub(super) started_ns: Option<i64>,
    /// Whether that run's end was recorded.
    pub(super) has_ended: bool,
    /// Whether it was recorded that it could not be started.
    pub(super) start_failed: bool,
    /// Time of the latest event.
    pub(super) latest_ns: i64,
}

/// Events with their times, by time; `recorded` is what was recorded so far, `None` for nothing.
pub(super) fn missed(recorded: Option<&Recorded>, facts: &Facts) -> Vec<(i64, Event)> {
    let mut missed = Vec::new();
    let mut add = |time_ns: Option<i64>, action| {
        if let Some(time_ns) = time_ns {
            let mut event = Event::new(action, &facts.id, &facts.name);
            event.rebuilt = true;
            missed.push((time_ns, event));
        }
    };
    if recorded.is_none() {
        add(facts.created_ns, Action::Create);
    }
    let recorded = recorded.cloned().unwrap_or_default();
    let is_new_run = match (facts.started_ns, recorded.started_ns) {
        (Some(now), Some(before)) => now > before,
        (Some(_), None) => true,
        (None, _) => false,
    };
    if is_new_run {
        if recorded.started_ns.is_some() && !recorded.has_ended {
            // The run before has ended some time before this one began; when and how is lost.
            add(facts.started_ns.map(|started| started.saturating_sub(1)), Action::Die);
        }
        add(facts.started_ns, Action::Start);
    }
    let has_ended = !facts.running && facts.started_ns.is_some() && facts.finished_ns.is_some();
    if has_ended && (is_new_run || !recorded.has_ended) {
        add(facts.finished_ns.max(facts.started_ns), Action::Die);
        if let Some((_, event)) = missed.last_mut() {
            event.exit_code = facts.exit_code;
        }
    }
    if !facts.running && !facts.error.is_empty() && !recorded.start_failed {
        let mut event = Event::new(Action::StartFailed, &facts.id, &facts.name);
        event.exit_code = facts.exit_code;
        // It has no time of its own; it is not earlier than anything else that happened.
        let times = [facts.created_ns, facts.started_ns, facts.finished_ns, Some(recorded.latest_ns)];
        missed.push((times.into_iter().flatten().max().unwrap_or(0), event));
    }
    missed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(started: i64, finished: Option<i64>) -> Facts {
        Facts {
            id: "ab".into(),
            created_ns: Some(10),
            started_ns: Some(started),
            finished_ns: finished,
            running: finished.is_none(),
            exit_code: finished.map(|_| 3),
            ..Facts::default()
        }
    }

    fn names(recorded: Option<&Recorded>, facts: &Facts) -> Vec<(i64, &'static str)> {
        missed(recorded, facts).iter().map(|(ns, event)| (*ns, event.action.name())).collect()
    }

    fn running(started: i64) -> Recorded {
        Recorded { started_ns: Some(started), ..Recorded::default() }
    }

    #[test]
    fn what_was_recorded_is_not_concluded_again() {
        assert_eq!(names(Some(&running(20)), &facts(20, None)), []);
        let ended = Recorded { has_ended: true, ..running(20) };
        assert_eq!(names(Some(&ended), &facts(20, Some(30))), []);
    }

    #[test]
    fn a_whole_life_is_concluded_from_inspect() {
        assert_eq!(names(None, &facts(20, Some(30))), [(10, "create"), (20, "start"), (30, "die")]);
        assert_eq!(missed(None, &facts(20, Some(30)))[2].1.exit_code, Some(3));
        assert_eq!(names(None, &facts(20, None)), [(10, "create"), (20, "start")]);
    }

    #[test]
    fn an_end_that_nobody_saw_is_concluded() {
        assert_eq!(names(Some(&running(20)), &facts(20, Some(30))), [(30, "die")]);
        assert_eq!(names(Some(&running(20)), &facts(50, None)), [(49, "die"), (50, "start")]);
        assert_eq!(missed(Some(&running(20)), &facts(50, None))[0].1.exit_code, None, "how is lost");
        assert_eq!(
            names(Some(&running(20)), &facts(50, Some(60))),
            [(49, "die"), (50, "start"), (60, "die")]
        );
    }

    #[test]
    fn a_start_that_failed_is_told_once() {
        let failed = Facts {
            id: "ab".into(),
            created_ns: Some(10),
            error: "no such file".into(),
            exit_code: Some(127),
            ..Facts::default()
        };
        assert_eq!(names(None, &failed), [(10, "create"), (10, "start_failed")]);
        let told = Recorded { start_failed: true, ..Recorded::default() };
        assert_eq!(names(Some(&told), &failed), []);
    }
}
