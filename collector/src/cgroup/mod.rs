//! A container's counters straight from its cgroup files: the same values as the Docker API at a
//! hundredth of the cost, wherever the files can be read.
//!
//! Paths are never built from the container's id: they come from `/proc/<pid>/cgroup` and the mount table.
//! A path counts only when it holds the id, since a pid may belong to another pid namespace or to a remote
//! daemon's host; then the Docker API is used instead.

mod files;
mod net_dev;
mod paths;
mod v1;
mod v2;

use std::path::Path;

use crate::stats::{Facts, Sample};

pub use net_dev::interfaces as net_dev_interfaces;
pub use paths::Mounts;

/// Where the counters of one run of a container are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    hierarchy: paths::Hierarchy,
    net_dev: Option<std::path::PathBuf>,
    /// Path of the container's cgroup below the mount, as in cAdvisor's label `id`.
    pub path: String,
}

impl Cgroup {
    /// Finds the files of a running container; `None` when they cannot be found or read from here.
    /// Blocking.
    #[must_use]
    pub fn locate(facts: &Facts, mounts: &Mounts, proc: &Path) -> Option<Self> {
        let process = proc.join(facts.pid?.to_string());
        let membership = std::fs::read_to_string(process.join("cgroup")).ok()?;
        let (hierarchy, path) = paths::resolve(&membership, mounts, &facts.id)?;
        let net_dev = (!facts.shares_network()).then(|| process.join("net/dev"));
        let located = Self { hierarchy, net_dev, path };
        located.read(0).map(|_| located)
    }

    /// Reads the counters; `None` when the cgroup is gone or a needed file cannot be read. Blocking.
    #[must_use]
    pub fn read(&self, taken_ns: i64) -> Option<Sample> {
        let mut sample = match &self.hierarchy {
            paths::Hierarchy::V1(paths) => v1::read(paths)?,
            paths::Hierarchy::V2(dir) => v2::read(dir)?,
        };
        sample.taken_ns = taken_ns;
        if let Some(path) = &self.net_dev {
            sample.interfaces = net_dev_interfaces(&std::fs::read_to_string(path).ok()?);
        }
        Some(sample)
    }
}
