//! Container metrics: what `docker stats` shows, under the names and labels of cAdvisor, for Prometheus.
//!
//! Made from the Docker API alone; cgroup files are read instead of it where they can be read, a hundred
//! times cheaper and with the same values. A container that ends leaves `/metrics` at once: its series are
//! not kept, repeated or given timestamps.

mod api;
mod config;
mod containers;
mod exporter;
mod facts;
mod families;
mod host;
mod sample;
mod sampler;

pub use config::StatsConfig;
pub use containers::{Containers, Point};
pub use exporter::Exporter;
pub use facts::{Facts, Health, Limits, time_ns};
pub(crate) use families::Families;
pub(crate) use host::boot_time_s;
pub use sample::{Cpu, Device, Interface, Memory, Pressure, Sample, Stall, Traffic};
pub use sampler::{Sampler, SamplerMetrics};
