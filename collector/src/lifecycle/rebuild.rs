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
    /// An end of that run that was seen and not recorded: its time, and its exit code.
    pub(super) unrecorded_end: Option<(i64, Option<i64>)>,
    /// Whether it was recorded that it could not be started.
    pub(super) start_failed: bool,
    /// Time of the latest event.
    pub(super) latest_ns: i64,
}

/// Events with their times, by time; `recorded` is what was recorded so far, `None` for nothing.
pub(super) fn missed(recorded: Option<&Recorded>, facts: &Facts) -> Vec<(i64, Event)> {
    let concluded = |time_ns, action, exit_code| concluded(facts, time_ns, action, exit_code);
    let mut missed = Vec::new();
    if recorded.is_none() {
        missed.extend(concluded(facts.created_ns, Action::Create, None));
    }
    let recorded = recorded.cloned().unwrap_or_default();
    let is_new_run = facts.started_ns > recorded.started_ns;
    if is_new_run {
        missed.extend(missed_end(&recorded, facts));
        missed.extend(concluded(facts.started_ns, Action::Start, None));
    }
    let has_ended = !facts.running && facts.started_ns.is_some() && facts.finished_ns.is_some();
    if has_ended && (is_new_run || !recorded.has_ended) {
        let end = facts.finished_ns.max(facts.started_ns);
        missed.extend(concluded(end, Action::Die, facts.exit_code));
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

/// The end of the recorded run, when it was not recorded and another run has begun since.
///
/// Inspect tells when while the next run goes on; how is lost, unless somebody looked in between.
pub(super) fn missed_end(recorded: &Recorded, facts: &Facts) -> Option<(i64, Event)> {
    let (before, now) = (recorded.started_ns?, facts.started_ns?);
    if recorded.has_ended || now <= before {
        return None;
    }
    let told = facts.ended_before_ns.filter(|end| *end > before);
    let (end, exit_code) = match recorded.unrecorded_end {
        Some((end, exit_code)) => (Some(end), exit_code),
        None => (told, None),
    };
    let latest = now.saturating_sub(1);
    concluded(facts, end.min(Some(latest)).or(Some(latest)), Action::Die, exit_code)
}

fn concluded(
    facts: &Facts,
    time_ns: Option<i64>,
    action: Action,
    exit_code: Option<i64>,
) -> Option<(i64, Event)> {
    let mut event = Event::new(action, &facts.id, &facts.name);
    event.rebuilt = true;
    event.exit_code = exit_code;
    Some((time_ns?, event))
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
    fn the_end_of_a_run_before_has_its_own_time_where_it_is_told() {
        let ended = |end| Facts { ended_before_ns: Some(end), ..facts(50, None) };
        assert_eq!(names(Some(&running(20)), &ended(30)), [(30, "die"), (50, "start")]);
        // An end before the recorded start is that of another run.
        assert_eq!(names(Some(&running(20)), &ended(15)), [(49, "die"), (50, "start")]);
        // A clock that was set back.
        assert_eq!(names(Some(&running(20)), &ended(60)), [(49, "die"), (50, "start")]);
    }

    #[test]
    fn an_end_that_was_seen_and_not_recorded_keeps_its_exit_code() {
        let seen = Recorded { unrecorded_end: Some((30, Some(143))), ..running(20) };
        let missed = missed(Some(&seen), &Facts { ended_before_ns: Some(40), ..facts(50, None) });
        let ends: Vec<_> = missed.iter().map(|(ns, event)| (*ns, event.exit_code)).collect();
        assert_eq!(ends, [(30, Some(143)), (50, None)]);
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
