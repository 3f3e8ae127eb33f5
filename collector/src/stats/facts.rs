//! What is known of a container besides its counters, from `GET /containers/{id}/json`.
//!
//! Times are nanoseconds since the epoch; Docker's year 1 ("never") is `None`.

use std::collections::BTreeMap;

use bollard::models::{ContainerInspectResponse, ContainerState, HealthStatusEnum, HostConfig};

/// One container, as last inspected.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Full id.
    pub id: String,
    /// Name without the leading slash.
    pub name: String,
    /// Image as named by the user.
    pub image: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `created`, `running`, `paused`, `restarting`, `exited`, ...
    pub status: String,
    /// Whether its processes exist (paused ones do).
    pub running: bool,
    /// Process id of its main process as the daemon sees it, while it runs.
    pub pid: Option<u32>,
    /// When it was created.
    pub created_ns: Option<i64>,
    /// When its latest run started: the mark of that generation.
    pub started_ns: Option<i64>,
    /// When its latest run ended, unless it runs.
    pub finished_ns: Option<i64>,
    /// When the run before this one ended, while it runs.
    pub ended_before_ns: Option<i64>,
    /// Exit code of the last run.
    pub exit_code: Option<i64>,
    /// Whether the daemon says that the kernel killed it for want of memory.
    pub oom_killed: bool,
    /// Why the daemon could not start it, empty when it could.
    pub error: String,
    /// Restarts by its restart policy.
    pub restart_count: u64,
    /// Its restart policy, such as `always`; empty for none.
    pub restart_policy: String,
    /// Whether the daemon removes it when it ends.
    pub auto_remove: bool,
    /// Health, where a check is defined.
    pub health: Option<Health>,
    /// Limits.
    pub limits: Limits,
    /// Network mode, such as `bridge`, `host` or `container:<id>`.
    pub network_mode: String,
    /// Parent cgroup, empty for the daemon's default.
    pub cgroup_parent: String,
}

/// Result of a container's health check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// `starting`, `healthy` or `unhealthy`.
    pub status: String,
    /// Failures in a row.
    pub failing_streak: u64,
    /// What the last probe wrote.
    pub last_output: String,
}

/// Limits; 0 means unlimited, as in cAdvisor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory.
    pub memory_bytes: u64,
    /// Memory and swap together.
    pub memory_swap_bytes: u64,
    /// Memory that is defended under pressure.
    pub memory_reservation_bytes: u64,
    /// Relative weight on the processors.
    pub cpu_shares: u64,
    /// Length of a scheduler period.
    pub cpu_period_us: u64,
    /// Processor time per period.
    pub cpu_quota_us: u64,
}

/// The most of a health probe's output that is kept: it is shown to people and stored with each death.
const MAX_PROBE_OUTPUT_CHARS: usize = 400;

impl Facts {
    /// Reads an inspect answer; `None` when it has no id.
    #[must_use]
    pub fn of_inspect(answer: &ContainerInspectResponse) -> Option<Self> {
        let id = answer.id.clone().filter(|id| !id.is_empty())?;
        let config = answer.config.as_ref();
        let host = answer.host_config.as_ref();
        let state = answer.state.as_ref();
        let running = state.and_then(|s| s.running).unwrap_or(false);
        let mut facts = Self {
            name: answer.name.as_deref().unwrap_or_default().trim_start_matches('/').to_owned(),
            image: config.and_then(|c| c.image.clone()).unwrap_or_default(),
            labels: config.and_then(|c| c.labels.clone()).unwrap_or_default().into_iter().collect(),
            running,
            created_ns: answer.created.as_ref().and_then(|t| time_ns(&t.to_string())),
            restart_count: answer.restart_count.and_then(|n| n.try_into().ok()).unwrap_or(0),
            restart_policy: restart_policy(host),
            auto_remove: host.and_then(|h| h.auto_remove).unwrap_or(false),
            limits: host.map(limits).unwrap_or_default(),
            network_mode: host.and_then(|h| h.network_mode.clone()).unwrap_or_default(),
            cgroup_parent: host.and_then(|h| h.cgroup_parent.clone()).unwrap_or_default(),
            id,
            ..Self::default()
        };
        if let Some(state) = state {
            facts.read_state(state);
        }
        Some(facts)
    }

    fn read_state(&mut self, state: &ContainerState) {
        self.status = state.status.as_ref().map(ToString::to_string).unwrap_or_default();
        self.pid = state.pid.and_then(|pid| pid.try_into().ok()).filter(|pid| *pid > 0 && self.running);
        self.started_ns = state.started_at.as_ref().and_then(|t| time_ns(&t.to_string()));
        // The time of an earlier end stays while the next run goes on.
        let finished_ns = state.finished_at.as_ref().and_then(|t| time_ns(&t.to_string()));
        (self.finished_ns, self.ended_before_ns) =
            if self.running { (None, finished_ns) } else { (finished_ns, None) };
        self.exit_code = state.exit_code.filter(|_| !self.running);
        self.oom_killed = state.oom_killed.unwrap_or(false);
        self.error = state.error.clone().unwrap_or_default();
        self.health = state.health.as_ref().and_then(|health| {
            let status = health.status.unwrap_or(HealthStatusEnum::NONE);
            if matches!(status, HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) {
                return None;
            }
            let last = health.log.as_ref().and_then(|log| log.last());
            let output = last.and_then(|probe| probe.output.as_deref()).unwrap_or_default().trim();
            Some(Health {
                status: status.to_string(),
                failing_streak: health.failing_streak.and_then(|n| n.try_into().ok()).unwrap_or(0),
                last_output: output.chars().take(MAX_PROBE_OUTPUT_CHARS).collect(),
            })
        });
    }

    /// A label that is set and not empty.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// `service_name`: our label, else the compose service, else the container's name.
    #[must_use]
    pub fn service(&self) -> &str {
        let named =
            ["binnacle.service", "com.docker.compose.service"].into_iter().find_map(|name| self.label(name));
        named.unwrap_or(&self.name)
    }

    /// Compose project, empty for none.
    #[must_use]
    pub fn project(&self) -> &str {
        self.label("com.docker.compose.project").unwrap_or_default()
    }

    /// Project, service and number under compose.
    #[must_use]
    pub fn compose_place(&self) -> Option<(&str, &str, &str)> {
        let number = self.label("com.docker.compose.container-number").unwrap_or("1");
        Some((self.label("com.docker.compose.project")?, self.label("com.docker.compose.service")?, number))
    }

    /// Whether its label says to leave it alone.
    #[must_use]
    pub fn is_opted_out(&self) -> bool {
        self.label("binnacle.enable")
            .is_some_and(|value| matches!(value.trim(), "false" | "0" | "no" | "off"))
    }

    /// Whether its traffic is not its own: it lives in the host's network or in another container's, where
    /// counting it again would double the sum.
    #[must_use]
    pub fn shares_network(&self) -> bool {
        self.network_mode == "host" || self.network_mode.starts_with("container:")
    }
}

fn restart_policy(host: Option<&HostConfig>) -> String {
    let name = host.and_then(|h| h.restart_policy.as_ref()).and_then(|p| p.name.as_ref());
    name.map(ToString::to_string).filter(|name| name != "no").unwrap_or_default()
}

fn limits(host: &HostConfig) -> Limits {
    let positive = |value: Option<i64>| value.and_then(|v| u64::try_from(v).ok()).unwrap_or(0);
    let mut limits = Limits {
        memory_bytes: positive(host.memory),
        memory_swap_bytes: positive(host.memory_swap),
        memory_reservation_bytes: positive(host.memory_reservation),
        // What the kernel gives a cgroup that asks for nothing.
        cpu_shares: Some(positive(host.cpu_shares)).filter(|shares| *shares > 0).unwrap_or(1024),
        cpu_period_us: Some(positive(host.cpu_period)).filter(|period| *period > 0).unwrap_or(100_000),
        cpu_quota_us: positive(host.cpu_quota),
    };
    let nano_cpus = positive(host.nano_cpus);
    if nano_cpus > 0 {
        // `--cpus`: the daemon turns it into a quota of the default period.
        limits.cpu_period_us = 100_000;
        limits.cpu_quota_us = nano_cpus / 10_000;
    }
    limits
}

/// Docker's RFC 3339 time in nanoseconds since the epoch; `None` for the year 1 and for what is no time.
#[must_use]
pub fn time_ns(text: &str) -> Option<i64> {
    if text.starts_with("0001-") {
        return None;
    }
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(timestamp.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inspect_answer_of_engine_20_10_is_read() {
        let answer = serde_json::from_str(include_str!("fixtures/inspect-20.10.json")).unwrap();
        let facts = Facts::of_inspect(&answer).unwrap();
        assert_eq!((facts.name.as_str(), facts.image.as_str()), ("lim", "tiny:1"));
        assert_eq!(facts.status, "running");
        assert!(facts.running && facts.pid.is_some() && facts.started_ns > facts.created_ns);
        assert_eq!((facts.finished_ns, facts.exit_code), (None, None), "it runs");
        assert_eq!(facts.labels["com.docker.compose.service"], "cart");
        assert_eq!(facts.limits.memory_bytes, 64 << 20);
        assert_eq!((facts.limits.cpu_quota_us, facts.limits.cpu_period_us), (50_000, 100_000));
        assert_eq!(facts.limits.cpu_shares, 1024);
        assert_eq!(facts.restart_policy, "");
    }

    #[test]
    fn a_container_that_never_ran_has_no_times_and_keeps_its_error() {
        let answer = serde_json::from_str(
            r#"{"Id":"ab","Name":"/bad","State":{"Status":"created","Running":false,"ExitCode":127,"Pid":0,
                "Error":"exec: \"nope\": executable file not found","StartedAt":"0001-01-01T00:00:00Z",
                "FinishedAt":"0001-01-01T00:00:00Z"},"HostConfig":{"RestartPolicy":{"Name":"always"}}}"#,
        );
        let facts = Facts::of_inspect(&answer.unwrap()).unwrap();
        assert_eq!((facts.started_ns, facts.finished_ns, facts.pid), (None, None, None));
        assert_eq!(facts.exit_code, Some(127));
        assert!(facts.error.contains("nope"));
        assert_eq!(facts.restart_policy, "always");
    }

    #[test]
    fn a_health_check_is_read_with_the_last_output_cut() {
        let output = "x".repeat(1000);
        let answer = format!(
            r#"{{"Id":"ab","State":{{"Running":true,"Health":{{"Status":"unhealthy","FailingStreak":3,
                "Log":[{{"Output":"old"}},{{"Output":"{output}\n"}}]}}}}}}"#
        );
        let facts = Facts::of_inspect(&serde_json::from_str(&answer).unwrap()).unwrap();
        let health = facts.health.unwrap();
        assert_eq!((health.status.as_str(), health.failing_streak), ("unhealthy", 3));
        assert_eq!(health.last_output.len(), MAX_PROBE_OUTPUT_CHARS);
    }

    #[test]
    fn only_networks_of_its_own_are_counted() {
        for (mode, shares) in [("bridge", false), ("shop_net", false), ("host", true), ("container:ab", true)]
        {
            let facts = Facts { network_mode: mode.to_owned(), ..Facts::default() };
            assert_eq!(facts.shares_network(), shares, "{mode}");
        }
    }
}
