//! What happened to containers: the lines of the stream `{host, service_name="docker-events", stream="events"}`.
//!
//! The collector writes them, one JSON object a line, into the same store as the containers' lines, so they
//! are searched and expired like every other line. The container is named by the line, not by labels:
//! asking for a container's lines must not bring lines that it never wrote. This is the one definition of
//! the fields. Reading is forgiving: a later version may add fields.

use serde::{Deserialize, Serialize};

use crate::{Level, Record};

/// Value of the label `stream` of these records.
pub const STREAM: &str = "events";
/// Value of the label `service_name` of these records.
pub const SERVICE: &str = "docker-events";
/// `service` of the events of the Docker daemon itself.
pub const DAEMON: &str = "dockerd";

/// What happened. The names are Docker's where Docker has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Made, not started.
    Create,
    /// Started.
    Start,
    /// Could not be started.
    StartFailed,
    /// Ended, for whatever reason.
    Die,
    /// The kernel killed one of its processes for want of memory.
    Oom,
    /// Docker sent it a signal, asked by somebody.
    Kill,
    /// Somebody asked Docker to stop it, and it has ended.
    Stop,
    /// Somebody asked Docker to restart it, and it runs again.
    Restart,
    /// Frozen.
    Pause,
    /// Thawed.
    Unpause,
    /// Has another name.
    Rename,
    /// Has other limits.
    Update,
    /// Its health check has another result.
    HealthStatus,
    /// Joined a network.
    NetworkConnect,
    /// Left a network.
    NetworkDisconnect,
    /// Compose has made it from another image than the one it replaces.
    ImageChange,
    /// Removed.
    Destroy,
    /// The daemon does not answer any more.
    DaemonDown,
    /// The daemon answers again.
    DaemonUp,
    /// The machine has booted.
    HostBoot,
    /// Something this version does not know.
    #[serde(other)]
    Other,
}

impl Action {
    /// The name in lines and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Start => "start",
            Self::StartFailed => "start_failed",
            Self::Die => "die",
            Self::Oom => "oom",
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
            Self::Rename => "rename",
            Self::Update => "update",
            Self::HealthStatus => "health_status",
            Self::NetworkConnect => "network_connect",
            Self::NetworkDisconnect => "network_disconnect",
            Self::ImageChange => "image_change",
            Self::Destroy => "destroy",
            Self::DaemonDown => "daemon_down",
            Self::DaemonUp => "daemon_up",
            Self::HostBoot => "host_boot",
            Self::Other => "other",
        }
    }
}

/// One thing that happened. Absent fields are left out of the line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The whole in a sentence, for people.
    pub msg: String,
    /// What happened.
    pub action: Action,
    /// Full id of the container, empty for the daemon.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub container_id: String,
    /// Name of the container.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub container: String,
    /// Service it belongs to: `service_name` of its lines.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// Compose project.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub project: String,
    /// Image it is made from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Start of the run it belongs to, as Docker writes it: the generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    /// Number of the signal sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<u32>,
    /// Exit code of the main process, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// `healthy`, `unhealthy`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// Network joined or left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Name or image before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Nobody saw it happen: it was concluded later from the container's state.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rebuilt: bool,
    /// What the daemon and the kernel knew when it ended, or could not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub death: Option<Death>,
}

/// The circumstances of an end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Death {
    /// The daemon says that the kernel killed it for want of memory; sometimes it fails to.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub oom_killed: bool,
    /// Kernel kills counted in its cgroup at the last reading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_kills: Option<u64>,
    /// Why the daemon could not start it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// How long it had run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ran_ms: Option<u64>,
    /// Restarts by its policy so far.
    #[serde(skip_serializing_if = "is_zero")]
    pub restart_count: u64,
    /// Its restart policy, empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub restart_policy: String,
    /// Memory limit in bytes, 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub memory_limit_bytes: u64,
    /// Health at the end, empty without a check.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub health: String,
    /// What the last health probe wrote.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub health_output: String,
    /// What it used in its last minutes, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub usage: Vec<Usage>,
}

/// What a container used at one moment: seconds before its end, memory in bytes, thousandths of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage(pub u32, pub u64, pub u64);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Event {
    /// An event of a container without any particulars.
    #[must_use]
    pub fn new(action: Action, container_id: &str, container: &str) -> Self {
        Self {
            msg: String::new(),
            action,
            container_id: container_id.to_owned(),
            container: container.to_owned(),
            service: String::new(),
            project: String::new(),
            image: String::new(),
            generation: None,
            signal: None,
            exit_code: None,
            health: None,
            network: None,
            before: None,
            rebuilt: false,
            death: None,
        }
    }

    /// How bad it is.
    #[must_use]
    pub fn level(&self) -> Level {
        match self.action {
            Action::Oom | Action::StartFailed => Level::Error,
            Action::Die if self.exit_code == Some(0) => Level::Info,
            Action::Die => Level::Error,
            Action::HealthStatus if self.health.as_deref() == Some("unhealthy") => Level::Warn,
            Action::DaemonDown => Level::Warn,
            _ => Level::Info,
        }
    }

    /// The line.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default() // strings and numbers cannot fail
    }

    /// Reads a line; `None` for what is no event.
    #[must_use]
    pub fn of_line(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// Reads a record; `None` when it is not of an event stream.
    #[must_use]
    pub fn of_record(record: &Record) -> Option<Self> {
        if record.labels.get("stream") != Some(STREAM) {
            return None;
        }
        Self::of_line(&record.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_back_and_leaves_out_what_it_lacks() {
        let mut event = Event::new(Action::Die, "ab12", "cart");
        event.exit_code = Some(137);
        event.death = Some(Death { usage: vec![Usage(20, 1 << 20, 500)], ..Death::default() });
        let line = String::from_utf8(event.to_line()).unwrap();
        assert_eq!(
            line,
            r#"{"msg":"","action":"die","container_id":"ab12","container":"cart","exit_code":137,"death":{"usage":[[20,1048576,500]]}}"#
        );
        assert_eq!(Event::of_line(line.as_bytes()), Some(event));
    }

    #[test]
    fn a_later_version_can_be_read() {
        let event = Event::of_line(br#"{"msg":"m","action":"teleport","container_id":"a","new":1}"#).unwrap();
        assert_eq!(event.action, Action::Other);
        assert_eq!(Event::of_line(b"{}"), None);
        assert_eq!(Event::of_line(b"not json"), None);
    }

    #[test]
    fn names_are_those_in_the_lines() {
        for action in [Action::StartFailed, Action::HealthStatus, Action::NetworkConnect, Action::DaemonUp] {
            assert_eq!(serde_json::to_string(&action).unwrap(), format!("\"{}\"", action.name()));
        }
    }
}
