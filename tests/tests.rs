//! The real binary against real Docker engines, black box: containers write lines that are known in
//! advance, and what Binnacle then answers is compared with them.
//!
//! One program, so that it links once. Tests with containers need root, `docker.io` and `busybox-static`:
//! run `./test`, which sees to it. Every test starts an engine of its own and ends it (`harness/engine.rs`).

#![expect(clippy::unwrap_used, reason = "a step that fails here fails the test")]
#![expect(clippy::print_stdout, reason = "measured figures belong to a test's output")]

mod harness;

mod access;
mod cli;
mod container_metrics;
mod dashboards;
mod deaths;
mod doctor;
mod emitter_is_sound;
mod engine_failures;
mod exclusion;
mod failure_cases;
mod image;
mod jaeger;
mod lifecycle;
mod lifetimes;
mod line_shapes;
mod log_files;
mod log_metrics;
mod main_job;
mod metrics_page;
mod otlp_receivers;
mod own_dashboards;
mod processes;
mod push;
mod redaction;
mod rotation;
mod shortages;
mod socket_proxy;
mod torture;
mod trace_export;
