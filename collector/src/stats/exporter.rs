//! The scrape: what is known of the containers and their machine now, as metric families.
//!
//! Running containers have cAdvisor's series; every container, running or not, has the `docker_container_*`
//! series, which cAdvisor lacks. Nothing is cached between scrapes.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::containers::{Containers, Entry};
use super::facts::Facts;
use super::families::{Families, LAST_SEEN, START_TIME, Subject};
use super::host::{self, Disk, Machine};
use super::sample::Sample;

/// What the sampler leaves for the scrapes besides the containers.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// What the engine says of its machine, once known.
    pub(super) machine: Option<Machine>,
    /// The machine's own counters, when the engine runs on this one.
    pub(super) host: Option<Sample>,
    /// The disk under the engine's folder, where it can be seen.
    pub(super) disk: Option<Disk>,
    /// Names of block devices.
    pub(super) devices: HashMap<(u64, u64), String>,
}

/// The container metrics of a registry. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Exporter {
    containers: Containers,
    pub(super) surroundings: Arc<Mutex<Surroundings>>,
    /// Container label and the metric label it becomes.
    labels: Vec<(String, String)>,
    desc: Desc,
    proc: PathBuf,
}

/// Series of every container, running or not.
const STATE: (&str, &str) = ("docker_container_state", "1 for the state the container is in, else 0.");
const STATES: [&str; 6] = ["created", "running", "paused", "restarting", "exited", "dead"];
const EXIT_CODE: (&str, &str) =
    ("docker_container_exit_code", "Exit code of the last run; absent while it runs and before it ran.");
const RESTARTS: (&str, &str) =
    ("docker_container_restarts_total", "Restarts by the container's restart policy.");
const OOM_KILLED: (&str, &str) =
    ("docker_container_oom_killed", "1 when Docker says that the last run was ended for want of memory.");
const INFO: (&str, &str) =
    ("docker_container_info", "Always 1; the container's id, image and restart policy.");
const FS_USAGE: (&str, &str) = (
    "container_fs_usage_bytes",
    "Size of the container's writable layer, with `collect.stats.disk_period`; of the machine, what is used of the \
     engine's disk.",
);
const FS_LIMIT: (&str, &str) =
    ("container_fs_limit_bytes", "Size of the disk that holds the engine's files.");
const VERSION_INFO: (&str, &str) =
    ("cadvisor_version_info", "Always 1; kernel, system and engine, as cAdvisor tells them.");
const CORES: (&str, &str) = ("machine_cpu_cores", "CPUs of the machine.");
const MEMORY: (&str, &str) = ("machine_memory_bytes", "Memory of the machine.");
const SWAP: (&str, &str) = ("machine_swap_bytes", "Swap space of the machine.");

impl Exporter {
    /// Exposes `containers`, with these container labels as metric labels.
    ///
    /// # Errors
    /// Never in practice: when the metric descriptor is malformed.
    pub fn new(containers: Containers, labels: &[String]) -> prometheus::Result<Self> {
        let mut sanitised: Vec<(String, String)> = Vec::new();
        for label in labels {
            let name: String =
                label.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
            let name = format!("container_label_{name}");
            // Of labels that become the same name the first wins, as in cAdvisor.
            if !sanitised.iter().any(|(_, taken)| *taken == name) {
                sanitised.push((label.clone(), name));
            }
        }
        let help = "Container metrics in cAdvisor's names.".to_owned();
        Ok(Self {
            containers,
            surroundings: Arc::default(),
            labels: sanitised,
            // The registry tells collectors apart by their descriptors; the families differ per scrape.
            desc: Desc::new("container_metrics".to_owned(), help, Vec::new(), HashMap::new())?,
            proc: PathBuf::from("/proc"),
        })
    }

    fn families(&self) -> Families {
        let mut families = Families::default();
        let surroundings = self.surroundings.lock().unwrap_or_else(PoisonError::into_inner);
        self.add_machine(&mut families, &surroundings);
        let device_name = |major, minor| {
            let known = surroundings.devices.get(&(major, minor)).cloned();
            known.unwrap_or_else(|| format!("{major}:{minor}"))
        };
        if let Some(host) = &surroundings.host {
            let labels = [("id", "/")];
            families.add(LAST_SEEN.0, LAST_SEEN.1, &labels, seconds_i64(host.taken_ns));
            if let Some(boot_s) = host::boot_time_s() {
                families.add(START_TIME.0, START_TIME.1, &labels, float(boot_s));
            }
            families.add_counters(host, &labels, &device_name);
        }
        if let Some(disk) = &surroundings.disk {
            let device = device_name(disk.device.0, disk.device.1);
            let labels = [("id", "/"), ("device", device.as_str())];
            families.add(FS_LIMIT.0, FS_LIMIT.1, &labels, float(disk.bytes));
            families.add(FS_USAGE.0, FS_USAGE.1, &labels, float(disk.used_bytes));
        }
        let systemd = surroundings.machine.as_ref().is_some_and(|m| m.systemd_cgroups);
        let entries: BTreeMap<String, Entry> = self.containers.lock().clone();
        for entry in entries.values() {
            self.add_entry(&mut families, entry, systemd, &device_name);
        }
        families
    }

    fn add_entry(
        &self,
        families: &mut Families,
        entry: &Entry,
        systemd: bool,
        device_name: &dyn Fn(u64, u64) -> String,
    ) {
        let facts = &entry.facts;
        if facts.id.is_empty() {
            return; // an event came before the first inspect
        }
        add_state(families, facts);
        if !facts.running {
            return;
        }
        let path = match &entry.cgroup {
            Some((_, Some(cgroup))) => cgroup.path.clone(),
            _ => usual_path(facts, systemd),
        };
        let mut labels = vec![("id", path.as_str()), ("name", &facts.name), ("image", &facts.image)];
        for (label, name) in &self.labels {
            if let Some(value) = facts.labels.get(label).filter(|value| !value.is_empty()) {
                labels.push((name, value));
            }
        }
        let subject = Subject {
            facts,
            sample: entry.sample.as_ref(),
            now_s: seconds_i64(if entry.last_seen_ns > 0 { entry.last_seen_ns } else { now_ns() }),
            oom_events: entry.oom_events,
        };
        families.add_container(&subject, &labels, device_name);
        if let Some(bytes) = entry.writable_bytes {
            families.add(FS_USAGE.0, FS_USAGE.1, &labels, float(bytes));
        }
    }

    fn add_machine(&self, families: &mut Families, surroundings: &Surroundings) {
        let Some(machine) = &surroundings.machine else { return };
        families.add(CORES.0, CORES.1, &[], float(machine.cpus));
        families.add(MEMORY.0, MEMORY.1, &[], float(machine.memory_bytes));
        if surroundings.host.is_some()
            && let Some(swap) = host::swap_bytes(&self.proc)
        {
            families.add(SWAP.0, SWAP.1, &[], float(swap));
        }
        let labels = [
            ("kernelVersion", machine.kernel_version.as_str()),
            ("osVersion", &machine.os_version),
            ("dockerVersion", &machine.docker_version),
            ("cadvisorVersion", concat!("binnacle-", env!("CARGO_PKG_VERSION"))),
            ("cadvisorRevision", ""),
        ];
        families.add(VERSION_INFO.0, VERSION_INFO.1, &labels, 1.0);
    }
}

fn add_state(families: &mut Families, facts: &Facts) {
    let short_id: String = facts.id.chars().take(12).collect();
    let own = [("name", facts.name.as_str()), ("container_id", &short_id)];
    for state in STATES {
        let labels = [own[0], own[1], ("state", state)];
        families.add(STATE.0, STATE.1, &labels, if facts.status == state { 1.0 } else { 0.0 });
    }
    if let Some(code) = facts.exit_code.filter(|_| facts.started_ns.is_some() || !facts.error.is_empty()) {
        families.add(EXIT_CODE.0, EXIT_CODE.1, &own, float_i64(code));
    }
    families.add(RESTARTS.0, RESTARTS.1, &own, float(facts.restart_count));
    families.add(OOM_KILLED.0, OOM_KILLED.1, &own, if facts.oom_killed { 1.0 } else { 0.0 });
    let policy = if facts.restart_policy.is_empty() { "no" } else { &facts.restart_policy };
    let labels = [own[0], own[1], ("image", facts.image.as_str()), ("restart_policy", policy)];
    families.add(INFO.0, INFO.1, &labels, 1.0);
}

/// Where the engine makes a container's cgroup, when the files cannot be seen from here.
fn usual_path(facts: &Facts, systemd: bool) -> String {
    let id = &facts.id;
    match (systemd, facts.cgroup_parent.as_str()) {
        (true, "") => format!("/system.slice/docker-{id}.scope"),
        (true, slice) => format!("/{}/docker-{id}.scope", slice.trim_matches('/')),
        (false, "") => format!("/docker/{id}"),
        (false, parent) => format!("/{}/{id}", parent.trim_matches('/')),
    }
}

impl Collector for Exporter {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.families().into_vec()
    }
}

/// Nanoseconds since the epoch.
pub(super) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus values are 64-bit floats")]
const fn float(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus values are 64-bit floats")]
const fn float_i64(value: i64) -> f64 {
    value as f64
}

fn seconds_i64(ns: i64) -> f64 {
    float_i64(ns) / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::Exposition;

    fn render(containers: &Containers, labels: &[&str]) -> String {
        let labels: Vec<String> = labels.iter().map(|&l| l.to_owned()).collect();
        let registry = prometheus::Registry::new();
        registry.register(Box::new(Exporter::new(containers.clone(), &labels).unwrap())).unwrap();
        Exposition::new(registry, None).render("").1
    }

    fn facts() -> Facts {
        Facts {
            id: "ab12".into(),
            name: "web".into(),
            image: "shop/web:3".into(),
            status: "running".into(),
            running: true,
            started_ns: Some(1_500_000_000),
            labels: [("com.docker.compose.service", "web"), ("secret", "s3cr3t"), ("a.b", "1"), ("a-b", "2")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            ..Facts::default()
        }
    }

    #[test]
    fn a_running_container_has_the_labels_of_cadvisor_and_only_the_allowed_ones() {
        let containers = Containers::default();
        containers.update(facts());
        let body = render(&containers, &["com.docker.compose.service", "a.b", "a-b", "absent"]);
        let start = "container_start_time_seconds{container_label_a_b=\"1\",\
                     container_label_com_docker_compose_service=\"web\",id=\"/docker/ab12\",\
                     image=\"shop/web:3\",name=\"web\"} 1.5\n";
        assert!(body.contains(start), "{body}");
        assert!(!body.contains("s3cr3t"), "{body}");
    }

    #[test]
    fn a_container_that_ended_leaves_at_once_but_for_its_state() {
        let containers = Containers::default();
        containers.update(facts());
        assert!(render(&containers, &[]).contains("container_last_seen{"));
        containers.update(Facts { running: false, status: "exited".into(), exit_code: Some(137), ..facts() });
        let body = render(&containers, &[]);
        assert!(!body.contains("\ncontainer_"), "{body}");
        assert!(
            body.contains("docker_container_state{container_id=\"ab12\",name=\"web\",state=\"exited\"} 1\n")
        );
        assert!(body.contains("docker_container_exit_code{container_id=\"ab12\",name=\"web\"} 137\n"));
        containers.remove("ab12");
        let body = render(&containers, &[]);
        assert!(!body.contains("web"), "{body}");
    }

    #[test]
    fn cgroup_paths_follow_the_driver_and_the_parent() {
        let own = |parent: &str| Facts { cgroup_parent: parent.into(), ..facts() };
        assert_eq!(usual_path(&own(""), false), "/docker/ab12");
        assert_eq!(usual_path(&own(""), true), "/system.slice/docker-ab12.scope");
        assert_eq!(usual_path(&own("/shop"), false), "/shop/ab12");
        assert_eq!(usual_path(&own("shop.slice"), true), "/shop.slice/docker-ab12.scope");
    }
}
