//! What happens to containers, recorded as log records of streams of their own (`stream="events"`).
//!
//! Docker's events are a hint, never the truth: the daemon keeps the last 256 in memory, loses them when it
//! restarts and drops them for slow readers. So every listing is compared with what was recorded, and what
//! nobody saw is concluded and marked `rebuilt`.

mod ledger;
mod metrics;
mod rebuild;
mod recorder;
mod translate;

pub use metrics::LifecycleMetrics;
pub use recorder::{Past, Recorder};

use store::lifecycle::{Action, Death, Event, Usage};

use crate::stats::{Containers, Facts};

/// Fills in what is known of the container and writes the sentence for people.
fn complete(event: &mut Event, facts: Option<&Facts>) {
    if let Some(facts) = facts {
        // The name of then: an inspect may come after a rename. Events of networks do not tell it.
        if event.container.is_empty() {
            event.container.clone_from(&facts.name);
        }
        facts.service().clone_into(&mut event.service);
        facts.project().clone_into(&mut event.project);
        event.image.clone_from(&facts.image);
    }
    event.msg = sentence(event);
}

fn sentence(event: &Event) -> String {
    let name = if event.container.is_empty() { &event.container_id } else { &event.container };
    let text = match event.action {
        Action::Create => format!("{name} created from {}", event.image),
        Action::Start => format!("{name} started"),
        Action::StartFailed => {
            let error = event.death.as_ref().map(|d| d.error.as_str()).unwrap_or_default();
            format!("{name} could not be started: {error}")
        }
        Action::Die => match event.exit_code {
            Some(code) => format!("{name} ended with exit code {code}"),
            None => format!("{name} ended, how is not known"),
        },
        Action::Oom => format!("the kernel killed a process of {name} for want of memory"),
        Action::Kill => match event.signal {
            Some(signal) => format!("{name} was sent signal {signal}"),
            None => format!("{name} was sent a signal"),
        },
        Action::Stop => format!("{name} was stopped"),
        Action::Restart => format!("{name} was restarted"),
        Action::Pause => format!("{name} paused"),
        Action::Unpause => format!("{name} resumed"),
        Action::Rename => format!("{} is now named {name}", event.before.as_deref().unwrap_or_default()),
        Action::Update => format!("limits of {name} changed"),
        Action::HealthStatus => format!("{name} is {}", event.health.as_deref().unwrap_or_default()),
        Action::NetworkConnect => {
            format!("{name} joined network {}", event.network.as_deref().unwrap_or_default())
        }
        Action::NetworkDisconnect => {
            format!("{name} left network {}", event.network.as_deref().unwrap_or_default())
        }
        Action::ImageChange => {
            let before = event.before.as_deref().unwrap_or_default();
            format!("{name} now runs {} instead of {before}", event.image)
        }
        Action::Destroy => format!("{name} removed"),
        Action::DaemonDown => "the Docker daemon does not answer".to_owned(),
        Action::DaemonUp => "the Docker daemon answers again".to_owned(),
        Action::HostBoot => "the host has booted".to_owned(),
        Action::Other => format!("something happened to {name}"),
    };
    if event.rebuilt { format!("{text} (nobody watched)") } else { text }
}

/// The circumstances of an end at `died_ns`: what inspect says, and the last minutes of its counters.
fn death(facts: &Facts, containers: &Containers, died_ns: i64) -> Death {
    let ran_ns = facts.started_ns.map(|started| died_ns.saturating_sub(started));
    let usage = containers.history(&facts.id).into_iter().filter_map(|point| {
        let before_ns = died_ns.checked_sub(point.taken_ns).filter(|ns| *ns >= 0)?;
        Some(Usage(u32::try_from(before_ns / 1_000_000_000).ok()?, point.memory_bytes, point.cpu_millis))
    });
    Death {
        oom_killed: facts.oom_killed,
        oom_kills: containers.oom_kills(&facts.id).filter(|kills| *kills > 0),
        error: facts.error.clone(),
        ran_ms: ran_ns.and_then(|ns| u64::try_from(ns / 1_000_000).ok()),
        restart_count: facts.restart_count,
        restart_policy: facts.restart_policy.clone(),
        memory_limit_bytes: facts.limits.memory_bytes,
        health: facts.health.as_ref().map(|h| h.status.clone()).unwrap_or_default(),
        health_output: facts.health.as_ref().map(|h| h.last_output.clone()).unwrap_or_default(),
        usage: usage.collect(),
    }
}

/// The mark of the run that began at `started_ns`.
fn generation(started_ns: Option<i64>) -> Option<String> {
    let timestamp = jiff::Timestamp::from_nanosecond(i128::from(started_ns?)).ok()?;
    Some(timestamp.to_string())
}
