//! From sources to records: Docker's logs, pushed lines, files and the demo shop, parsed and handed to
//! the store with the cursors that cover them.
//!
//! This crate alone knows bollard. It does not know how records are stored or queried.

pub mod admin;
pub mod cgroup;
pub mod config;
pub mod demo;
pub mod docker;
pub mod export;
pub mod exposition;
pub mod ingest;
pub mod lifecycle;
pub mod log_metrics;
pub mod multiline;
pub mod observer;
pub mod parse;
pub mod push;
pub mod redact;
mod service;
pub mod socket_proxy;
pub mod stats;
pub mod traces;

pub use config::{CollectConfig, IngestConfig};
pub use export::ExportConfig;
pub use multiline::{Joined, Joiner, RawLine};
pub use parse::{Enricher, Format, LineTime, ParseOptions};
pub use redact::Redactor;
