//! From sources to records: Docker's logs, pushed lines, files and the demo shop, parsed and handed to
//! the store with the cursors that cover them.
//!
//! This crate alone knows bollard. It does not know how records are stored or queried.

pub mod cgroup;
pub mod config;
pub mod exposition;
pub mod stats;
