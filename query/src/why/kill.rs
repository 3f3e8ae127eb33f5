//! Ends that somebody asked Docker for: stop, restart, kill, remove, compose, a watcher of health.
//!
//! Docker tells of each signal it sends, not of who asked. Who it was follows from what came after: `stop`
//! and `restart` events, removal, a new container in its place, and whether the neighbours went as well.

use store::lifecycle::Action;

use super::Cause;
use super::case::{Case, Opinion, Timed, span};
use super::signal;

/// Docker repeats a stop with SIGKILL after its grace period, 10 s by default, hours at most by configuration.
const REQUEST_SECONDS: i64 = 3600;
/// `stop` follows the end within milliseconds, on a loaded machine within seconds.
const STOP_FOLLOWS_SECONDS: i64 = 10;
/// A restart starts the container again before it is told.
const RESTART_FOLLOWS_SECONDS: i64 = 60;
/// `docker rm -f` removes at once.
const REMOVE_FOLLOWS_SECONDS: i64 = 5;
/// Compose takes down a project's services one after another, each with its grace period.
const PROJECT_SECONDS: i64 = 30;

/// The opinion on a container that Docker was asked to end; `None` when it was not.
pub(super) fn judge(case: &Case<'_>) -> Option<Opinion> {
    let signals: Vec<&Timed> = requests(case).collect();
    let last = *signals.last()?;
    let first = signals[0];
    let opinion = match (
        case.next(Action::Restart, RESTART_FOLLOWS_SECONDS),
        // Engine 26 may tell of the stop before it tells of the end.
        case.next(Action::Stop, STOP_FOLLOWS_SECONDS).or_else(|| case.last(Action::Stop)),
    ) {
        (Some(restart), _) => of_restart(case, restart),
        (None, Some(stop)) => of_stop(case, stop),
        (None, None) => of_kill(case, last),
    };
    Some(add_signals(opinion, case, first, last))
}

/// The signals sent through Docker that end a program, or that the exit code tells of.
fn requests<'a>(case: &Case<'a>) -> impl Iterator<Item = &'a Timed> + use<'a> {
    let exit_signal = case.exit_code().and_then(signal::of_exit_code);
    let from_ns = case.death.at_ns.saturating_sub(REQUEST_SECONDS * 1_000_000_000);
    case.run().filter(move |e| {
        e.event.action == Action::Kill
            && e.at_ns >= from_ns
            && e.event.signal.is_none_or(|s| signal::is_request_to_end(s) || Some(s) == exit_signal)
    })
}

fn add_signals(opinion: Opinion, case: &Case<'_>, first: &Timed, last: &Timed) -> Opinion {
    let mut opinion = opinion.because_of(first);
    let waited_ms = u64::try_from((last.at_ns - first.at_ns) / 1_000_000).unwrap_or(0);
    if first.event.signal != Some(9) && last.event.signal == Some(9) {
        opinion = opinion.because_of(last).because(format!(
            "it did not end within its grace period: SIGKILL came {} after {}",
            span(waited_ms),
            first.event.signal.map_or_else(|| "the first signal".to_owned(), signal::name)
        ));
    }
    match case.exit_code() {
        Some(0) => opinion.because("exit code 0: it ended in good order"),
        Some(code) => match signal::of_exit_code(code) {
            Some(of_code) => opinion.because(format!("exit code {code}: ended by {}", signal::name(of_code))),
            None => opinion.because(format!("exit code {code}: its own answer to the signal")),
        },
        None => opinion,
    }
}

fn of_restart(case: &Case<'_>, restart: &Timed) -> Opinion {
    if let Some(unhealthy) = unhealthy(case) {
        let summary = "it was restarted because its health check failed";
        return health_output(Opinion::new(Cause::HealthRestart, 0.85, summary).because_of(unhealthy), case)
            .because_of(restart);
    }
    let others = of_project(case, Action::Restart).count();
    if others > 0 {
        let summary = format!("somebody restarted it with {others} more of its compose project");
        return Opinion::new(Cause::DockerRestart, 0.9, summary).because_of(restart);
    }
    Opinion::new(Cause::DockerRestart, 0.95, "somebody restarted it: `docker restart`").because_of(restart)
}

fn of_stop(case: &Case<'_>, stop: &Timed) -> Opinion {
    if let Some(created) = replacement(case) {
        let summary = "compose replaced it by a new container of the same service";
        return Opinion::new(Cause::ComposeRecreate, 0.95, summary).because_of(stop).because_of(created);
    }
    if let (Some(unhealthy), Some(start)) =
        (unhealthy(case), case.next(Action::Start, RESTART_FOLLOWS_SECONDS))
    {
        let summary = "it was stopped and started again, most likely because its health check failed";
        return health_output(Opinion::new(Cause::HealthRestart, 0.7, summary).because_of(unhealthy), case)
            .because_of(stop)
            .because_of(start);
    }
    let others: Vec<&Timed> = of_project(case, Action::Stop).collect();
    if let Some(other) = others.first() {
        let summary = format!(
            "compose stopped the project `{}`: {} more of its containers were stopped in the same seconds",
            case.death.event.project,
            others.len()
        );
        return Opinion::new(Cause::ComposeStop, 0.85, summary).because_of(stop).because_of(other);
    }
    Opinion::new(Cause::DockerStop, 0.95, "somebody stopped it: `docker stop`").because_of(stop)
}

fn of_kill(case: &Case<'_>, kill: &Timed) -> Opinion {
    if kill.event.signal == Some(9)
        && let Some(removed) = case.next(Action::Destroy, REMOVE_FOLLOWS_SECONDS)
    {
        if let Some(created) = replacement(case) {
            let summary = "compose replaced it by a new container of the same service";
            return Opinion::new(Cause::ComposeRecreate, 0.85, summary)
                .because_of(removed)
                .because_of(created);
        }
        let summary = "somebody removed it while it ran: `docker rm -f`";
        return Opinion::new(Cause::DockerRemove, 0.85, summary).because_of(removed);
    }
    let name = kill.event.signal.map_or_else(|| "a signal".to_owned(), signal::name);
    let opinion = Opinion::new(
        Cause::DockerKill,
        0.95,
        format!("somebody sent it {name} through Docker: `docker kill`"),
    );
    opinion.because("no stop was asked for")
}

/// The failed health check that was in force when the container was ended.
fn unhealthy<'a>(case: &Case<'a>) -> Option<&'a Timed> {
    let last = case.last(Action::HealthStatus)?;
    (last.event.health.as_deref() == Some("unhealthy")).then_some(last)
}

fn health_output(opinion: Opinion, case: &Case<'_>) -> Opinion {
    match case.death.event.death.as_ref().map(|d| d.health_output.as_str()) {
        None | Some("") => opinion,
        Some(output) => opinion.because(format!("the last probe wrote: {output}")),
    }
}

fn of_project<'a>(case: &Case<'a>, action: Action) -> impl Iterator<Item = &'a Timed> + use<'a> {
    let project = case.death.event.project.as_str();
    case.around(action, PROJECT_SECONDS, PROJECT_SECONDS)
        .filter(move |e| !project.is_empty() && e.event.project == project)
}

/// A new container of the same service, while this one is removed.
fn replacement<'a>(case: &Case<'a>) -> Option<&'a Timed> {
    if case.death.event.project.is_empty() {
        return None;
    }
    case.next(Action::Destroy, PROJECT_SECONDS)?;
    of_project(case, Action::Create).find(|e| e.event.service == case.death.event.service)
}
