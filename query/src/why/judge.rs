//! The verdict on one death. The order of the judges is the order of how much their evidence weighs.

use store::lifecycle::{Action, Death};

use super::Cause;
use super::case::{Case, Opinion, bytes, span};
use super::{daemon, kill, signal, start_failure};

/// Share of the memory limit above which the last reading suggests that the limit was hit.
const NEAR_LIMIT_PERCENT: u64 = 90;
/// The kernel's kill and the end it brings are this close.
const OOM_SECONDS: i64 = 10;

/// What ended the container.
pub(super) fn judge(case: &Case<'_>) -> Opinion {
    start_failure::judge(case)
        .or_else(|| told_oom(case))
        .or_else(|| daemon::judge(case))
        .or_else(|| kill::judge(case))
        .or_else(|| suspected_oom(case))
        .unwrap_or_else(|| own_end(case))
}

/// The kernel's kill was told, by an event or by the daemon's mark.
fn told_oom(case: &Case<'_>) -> Option<Opinion> {
    let death = case.death.event.death.as_ref();
    let marked = death.is_some_and(|d| d.oom_killed);
    let event =
        case.last(Action::Oom).filter(|oom| oom.at_ns >= case.death.at_ns - OOM_SECONDS * 1_000_000_000);
    if !marked && event.is_none() {
        return None;
    }
    let is_killed = case.exit_code() == Some(137);
    if event.is_none() && !is_killed {
        return None; // the mark of an earlier kill of some other process
    }
    let limit = death.map_or(0, |d| d.memory_limit_bytes);
    let at_limit = if limit > 0 { format!(" at its limit of {}", bytes(limit)) } else { String::new() };
    let mut opinion = if is_killed {
        Opinion::new(Cause::OomKill, 0.98, format!("the kernel killed it for want of memory{at_limit}"))
    } else {
        let summary =
            format!("the kernel killed one of its processes for want of memory{at_limit}, and it ended");
        Opinion::new(Cause::OomKill, 0.85, summary)
    };
    if let Some(event) = event {
        opinion = opinion.because_of(event);
    }
    opinion = match (marked, is_killed) {
        (true, _) => opinion.because("Docker marks it as killed for want of memory (`OOMKilled`)"),
        (false, _) => opinion.because("Docker does not mark it (`OOMKilled` is false), the event tells"),
    };
    Some(add_memory(add_code(opinion, case), death))
}

/// SIGKILL that nobody asked for, with memory at its limit.
fn suspected_oom(case: &Case<'_>) -> Option<Opinion> {
    let death = case.death.event.death.as_ref()?;
    if case.exit_code() != Some(137) {
        return None;
    }
    let kills = death.oom_kills.unwrap_or(0);
    let limit = death.memory_limit_bytes;
    let near = limit > 0 && death.usage.last().is_some_and(|last| last.1 >= limit / 100 * NEAR_LIMIT_PERCENT);
    if kills == 0 && !near {
        return None;
    }
    let summary = "the kernel killed it for want of memory, though Docker did not notice";
    let mut opinion = Opinion::new(Cause::OomKill, if kills > 0 { 0.85 } else { 0.7 }, summary)
        .because("SIGKILL came, nobody asked Docker for it, and `OOMKilled` is false");
    if kills > 0 {
        opinion = opinion.because(format!("its cgroup counted {kills} kills for want of memory"));
    }
    Some(add_memory(add_code(opinion, case), Some(death)))
}

/// It ended by itself, or by a hand that Docker does not see.
fn own_end(case: &Case<'_>) -> Opinion {
    let Some(code) = case.exit_code() else {
        return Opinion::new(
            Cause::Unknown,
            0.9,
            "it ended while nobody watched, and Docker no longer knows how",
        )
        .because_of(case.death);
    };
    let opinion = match (code, signal::of_exit_code(code)) {
        (0, _) => Opinion::new(Cause::CleanExit, 0.95, "its program was done and ended in good order"),
        (_, Some(sent)) if signal::is_fault(sent) => {
            let summary = format!("its program crashed: {} ({})", signal::meaning(sent), signal::name(sent));
            Opinion::new(Cause::Crash, 0.95, summary)
        }
        (_, Some(sent)) if signal::is_request_to_end(sent) => from_outside(case, sent),
        (126 | 127, _) if !ran_long(case) => {
            let reason = if code == 127 { "a command was not found" } else { "a command is not executable" };
            Opinion::new(Cause::Crash, 0.9, format!("its program ended with exit code {code}: {reason}"))
        }
        _ => Opinion::new(Cause::Crash, 0.95, format!("its own program failed with exit code {code}")),
    };
    let opinion = add_code(opinion, case);
    let opinion = match case.death.event.rebuilt {
        true => Opinion { confidence: opinion.confidence * 0.8, ..opinion }
            .because("nobody watched; concluded from what inspect showed later"),
        false => opinion
            .because("nobody asked Docker to end it, and the kernel did not kill it for want of memory"),
    };
    add_memory(opinion, case.death.event.death.as_ref())
}

/// A signal that ends programs, and no word of it from Docker.
fn from_outside(case: &Case<'_>, sent: u32) -> Opinion {
    let name = signal::name(sent);
    if case.death.event.rebuilt {
        let summary = format!("it was ended by {name}; by whom is not known, since nobody watched");
        return Opinion::new(Cause::Unknown, 0.5, summary);
    }
    if sent == 9 {
        let summary = "it was killed from outside of Docker: SIGKILL by a process of the host, or of its own";
        return Opinion::new(Cause::KilledFromOutside, 0.8, summary)
            .because("SIGKILL came, and Docker sent no signal");
    }
    let summary =
        format!("{name} ended it, and Docker did not send it: a process of the host, or of its own, did");
    Opinion::new(Cause::KilledFromOutside, 0.65, summary)
        .because(format!("a program may also end with exit code {} by itself", 128 + sent))
}

fn ran_long(case: &Case<'_>) -> bool {
    case.death.event.death.as_ref().and_then(|d| d.ran_ms).is_some_and(|ms| ms > 5000)
}

fn add_code(opinion: Opinion, case: &Case<'_>) -> Opinion {
    let Some(code) = case.exit_code() else { return opinion };
    let ran = case.death.event.death.as_ref().and_then(|d| d.ran_ms);
    let ran = ran.map(|ms| format!(" after {}", span(ms))).unwrap_or_default();
    match signal::of_exit_code(code) {
        Some(sent) => opinion.because(format!("exit code {code} ({}){ran}", signal::name(sent))),
        None => opinion.because(format!("exit code {code}{ran}")),
    }
}

fn add_memory(opinion: Opinion, death: Option<&Death>) -> Opinion {
    let Some((death, last)) = death.and_then(|d| Some((d, d.usage.last()?))) else { return opinion };
    let limit = match death.memory_limit_bytes {
        0 => "no limit".to_owned(),
        limit => format!("limit {}", bytes(limit)),
    };
    opinion.because(format!("memory {} s before: {} ({limit})", last.0, bytes(last.1)))
}
