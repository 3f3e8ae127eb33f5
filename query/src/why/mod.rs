//! Why containers died: one verdict per death, with its evidence and how sure it is.
//!
//! The judge is pure: it sees the lifecycle events of the container, those of others in the same seconds,
//! and nothing else. Lines, patterns and neighbours are added afterwards; they explain, they do not decide.
//!
//! Works on stored records alone, so a container that is long gone has the same answer as one that still is.

mod case;
mod daemon;
mod desk;
mod gather;
mod judge;
mod kill;
mod lookup;
mod pattern;
mod signal;
mod start_failure;
#[cfg(test)]
mod tests;
mod usage;

use serde::{Deserialize, Serialize};

pub use gather::{Question, why};

use crate::Hit;

/// What ended a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The kernel killed it for want of memory.
    OomKill,
    /// Its own program failed.
    Crash,
    /// Its own program was done.
    CleanExit,
    /// Somebody stopped it: `docker stop`.
    DockerStop,
    /// Somebody restarted it: `docker restart`.
    DockerRestart,
    /// Somebody sent it a signal: `docker kill`.
    DockerKill,
    /// Somebody removed it while it ran: `docker rm -f`.
    DockerRemove,
    /// Compose stopped its project.
    ComposeStop,
    /// Compose replaced it by a new container.
    ComposeRecreate,
    /// It was restarted because its health check failed.
    HealthRestart,
    /// A signal came from outside of Docker.
    KilledFromOutside,
    /// It could not be started.
    StartFailure,
    /// The Docker daemon was restarted.
    DaemonRestart,
    /// The host was restarted.
    HostRestart,
    /// What is known does not tell.
    Unknown,
}

/// One observation a verdict rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// When, RFC 3339; absent for what has no time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What was observed.
    pub text: String,
}

/// Why one container died once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// When it died, RFC 3339.
    pub at: String,
    /// Name of the container.
    pub container: String,
    /// Its full id.
    pub container_id: String,
    /// Its service.
    pub service: String,
    /// Its image.
    pub image: String,
    /// Start of the run that ended, as Docker writes it.
    pub generation: Option<String>,
    /// Exit code of its main process.
    pub exit_code: Option<i64>,
    /// What ended it.
    pub cause: Cause,
    /// What of it that could not be started is to blame: `entrypoint`, `mount`, `port`, `image`, `network`,
    /// `limit` or `other`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blame: Option<String>,
    /// The verdict in a sentence.
    pub summary: String,
    /// How sure it is, from 0 to 1.
    pub confidence: f64,
    /// What it rests on, the weightiest first.
    pub evidence: Vec<Evidence>,
    /// How long the run took, milliseconds.
    pub ran_ms: Option<u64>,
    /// Memory and CPU of its last minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<usage::Trend>,
    /// Its last lines: errors first, then the last of all, each oldest first.
    pub last_errors: Vec<Hit>,
    /// See `last_errors`.
    pub last_lines: Vec<Hit>,
    /// Earlier deaths of the same kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<pattern::Pattern>,
    /// Other containers that failed in the same seconds.
    pub also_failed: Vec<Neighbour>,
}

/// Another service that failed in the same seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its service.
    pub service: String,
    /// What happened to it.
    pub what: String,
    /// Milliseconds after the death; negative for before.
    pub after_ms: i64,
}

/// The answer to "why".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was asked for, empty for everything.
    pub target: String,
    /// Whether a container of this name is or was known.
    pub known: bool,
    /// In what state the containers asked for are now, as far as known: `web is running`.
    pub now: Vec<String>,
    /// Deaths, newest first.
    pub deaths: Vec<Verdict>,
    /// Whether there are more deaths than given.
    pub more: bool,
}

pub use case::Timed;
pub use pattern::Pattern;
pub use usage::Trend;

pub(crate) use gather::events_of;
pub(crate) use usage::trend;
